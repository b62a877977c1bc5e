//! What is sent: the rows as JSON, packed or not, and the key of the request.

use std::fmt::Write as _;
use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

use super::{HttpFormat, HttpOptions, IdempotencyKey};
use crate::{Batch, Row, ScopeIndex, ScopeName};

/// Bodies of more bytes are packed on a thread where it holds up nobody.
const PACKED_INLINE_BYTES_MAX: usize = 64 << 10;
/// Bytes of the hash that the key shows.
const KEY_BYTES: usize = 16;
/// What a row takes beside itself.
const SEPARATORS_BYTES: usize = 3;

/// Rows of a batch as they are sent.
pub(super) struct Body {
    pub(super) text: Vec<u8>,
    pub(super) key: String,
    /// How many of the rows are in it: the first ones.
    pub(super) rows: usize,
}

impl Body {
    /// As many of the rows, which are indexes in the batch, as there is room for; at least one.
    pub(super) fn new<R: Row>(
        batch: &Batch<R>,
        rows: &[usize],
        options: &HttpOptions,
        name_of: impl Fn(ScopeIndex) -> Option<ScopeName>,
    ) -> Self {
        let is_array = options.format == HttpFormat::Array;
        let mut text = Vec::new();
        let mut hash = Sha256::new();
        // Two sinks may be two paths of one receiver, which knows a key again on each.
        for part in [options.url.path(), options.url.query().unwrap_or_default()] {
            hash.update(part);
            hash.update([0]);
        }
        let mut is_nameless = options.key == IdempotencyKey::Batch;
        let mut scope = None;
        let mut sent = 0;
        for entry in rows.iter().map(|row| &batch.rows()[*row]) {
            let Ok(row) = &entry.content else { continue };
            let row = row.to_json();
            if sent > 0 && text.len() + row.len() + SEPARATORS_BYTES > options.body_bytes_max {
                break;
            }
            if scope != Some(entry.scope) {
                scope = Some(entry.scope);
                match name_of(entry.scope) {
                    Some(name) => hash.update(name.as_str()),
                    None => {
                        is_nameless = true;
                        hash.update(entry.scope.0.to_le_bytes());
                    }
                }
                hash.update([0]);
            }
            hash.update(entry.position.number().to_le_bytes());
            if is_array {
                text.extend_from_slice(if sent == 0 { b"[" } else { b",\n" });
            }
            let start = text.len();
            text.extend_from_slice(row.as_bytes());
            // A line break within JSON is white space; in NDJSON it would end the row.
            for byte in &mut text[start..] {
                if matches!(byte, b'\n' | b'\r') {
                    *byte = b' ';
                }
            }
            if !is_array {
                text.push(b'\n');
            }
            sent += 1;
        }
        if is_array {
            text.push(b']');
        }
        hash.update(&text);
        if is_nameless {
            hash.update(batch.id().0.to_le_bytes());
        }
        let mut key = String::with_capacity(2 * KEY_BYTES);
        for byte in hash.finalize().iter().take(KEY_BYTES) {
            // Writing to a string cannot fail.
            let _ = write!(key, "{byte:02x}");
        }
        Self {
            text,
            key,
            rows: sent,
        }
    }
}

/// The text, and whether it is packed now.
pub(super) async fn pack(text: Vec<u8>, options: &HttpOptions) -> std::io::Result<(Vec<u8>, bool)> {
    let Some(level) = options.gzip else {
        return Ok((text, false));
    };
    if text.len() < options.gzip_bytes_min {
        return Ok((text, false));
    }
    let is_long = text.len() > PACKED_INLINE_BYTES_MAX;
    let work = move || {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::new(level));
        encoder.write_all(&text)?;
        encoder.finish()
    };
    let packed = if is_long {
        let work = tokio::task::spawn_blocking(work);
        work.await.map_err(std::io::Error::other)?
    } else {
        work()
    };
    packed.map(|packed| (packed, true))
}
