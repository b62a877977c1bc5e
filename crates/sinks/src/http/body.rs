//! What is sent: the rows as JSON, packed or not, and the key of the request.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

use super::{HttpFormat, HttpOptions, IdempotencyKey};
use crate::{Batch, Refused, Row, ScopeIndex, ScopeName};

/// Bodies of more bytes are packed on a thread where it holds up nobody.
const PACKED_INLINE_BYTES_MAX: usize = 64 << 10;
/// Bytes of the hash that the key shows.
const KEY_BYTES: usize = 16;

/// The rows of a batch as they are sent.
pub(super) struct Body {
    pub(super) text: Vec<u8>,
    pub(super) key: String,
    /// The index in the batch of each row in the body.
    pub(super) sent: Vec<usize>,
    /// What was no row in the first place.
    pub(super) malformed: Vec<Refused>,
}

impl Body {
    pub(super) fn new<R: Row>(
        batch: &Batch<R>,
        options: &HttpOptions,
        names: &HashMap<ScopeIndex, ScopeName>,
    ) -> Self {
        let is_array = options.format == HttpFormat::Array;
        let (mut text, mut sent, mut malformed) = (Vec::new(), Vec::new(), Vec::new());
        let mut hash = Sha256::new();
        let mut is_nameless = options.key == IdempotencyKey::Batch;
        let mut scope = None;
        for (index, entry) in batch.rows().iter().enumerate() {
            let row = match &entry.content {
                Ok(row) => row,
                Err(error) => {
                    let reason = error.reason().to_owned();
                    malformed.push(Refused { row: index, reason });
                    continue;
                }
            };
            if scope != Some(entry.scope) {
                scope = Some(entry.scope);
                match names.get(&entry.scope) {
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
                text.extend_from_slice(if sent.is_empty() { b"[" } else { b",\n" });
            }
            let start = text.len();
            text.extend_from_slice(row.to_json().as_bytes());
            // A line break within JSON is white space; in NDJSON it would end the row.
            for byte in &mut text[start..] {
                if matches!(byte, b'\n' | b'\r') {
                    *byte = b' ';
                }
            }
            if !is_array {
                text.push(b'\n');
            }
            sent.push(index);
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
            sent,
            malformed,
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
