//! Snapshots: one JSON document with all keys, in a file that is whole or not there.
//!
//! A snapshot is written beside its place, synced and renamed, so that a crash leaves the old one
//! or the new one. It is taken shard by shard: each key is as of one moment, all of them are not,
//! while others update. What is read is checked value by value before anything changes.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use hashbrown::HashTable;
use serde::{Deserialize, Serialize};

use crate::evidence::{EVIDENCE_MAX, Evidence, PARAMETER_MIN};
use crate::shard::{SHARDS, shard_of};
use crate::tracker::Slot;
use crate::{SnapshotError, TrustTracker};

const FORMAT: &str = "forebay trust";
const VERSION: u64 = 1;
/// Strengths are cut to the limit in one multiplication, which rounds.
const ROUNDING: f64 = 1.0 + 1e-12;

/// How much a snapshot may hold before it is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImportLimits {
    /// Bytes of the file; 4 GB by default.
    pub bytes_max: u64,
    /// Keys; 20 million by default.
    pub keys_max: usize,
    /// Bytes of one key; 4,096 by default.
    pub key_bytes_max: usize,
}

impl Default for ImportLimits {
    fn default() -> Self {
        Self {
            bytes_max: 4_000_000_000,
            keys_max: 20_000_000,
            key_bytes_max: 4_096,
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    key: String,
    alpha: f64,
    beta: f64,
    at_us: u64,
    /// Time, alpha, beta.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    history: Vec<(u64, f64, f64)>,
}

#[derive(Deserialize)]
struct Header {
    format: String,
    version: u64,
}

#[derive(Deserialize)]
struct Document {
    prior: (f64, f64),
    now_us: u64,
    entries: Vec<Entry>,
    /// Written last.
    keys: u64,
}

impl TrustTracker<String> {
    /// Writes a snapshot to `path`, by a temporary file beside it, and says how many keys it has.
    /// Blocks; copies one shard at a time, a 16th of the keys, and holds no lock while it writes.
    ///
    /// # Errors
    /// When the file system refuses; what was at `path` is still there, and the temporary file is
    /// removed.
    pub fn save(&self, path: &Path) -> Result<usize, SnapshotError> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}-{number}.tmp", std::process::id()));
        let temporary = path.with_file_name(name);
        let saved = self.save_by(&temporary, path);
        if saved.is_err() {
            // The first error is the one to report.
            let _ = fs::remove_file(&temporary);
        }
        saved
    }

    fn save_by(&self, temporary: &Path, path: &Path) -> Result<usize, SnapshotError> {
        let failed = |action, path: &Path| {
            let path = path.to_owned();
            move |source| io_error(action, path, source)
        };
        let mut options = File::options();
        let file = options.write(true).create_new(true).open(temporary);
        let file = file.map_err(failed("create", temporary))?;
        let mut out = BufWriter::with_capacity(1 << 18, file);
        let keys = self.export(&mut out).map_err(failed("write", temporary))?;
        let file = out.into_inner().map_err(io::IntoInnerError::into_error);
        let file = file.map_err(failed("write", temporary))?;
        file.sync_all().map_err(failed("sync", temporary))?;
        fs::rename(temporary, path).map_err(failed("rename to", path))?;
        let directory = path
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty());
        let directory = directory.unwrap_or(Path::new("."));
        // The rename itself is durable once its directory is.
        let synced = File::open(directory).and_then(|directory| directory.sync_all());
        synced.map_err(failed("sync", directory))?;
        Ok(keys)
    }

    /// Writes a snapshot as JSON, and says how many keys it has.
    ///
    /// # Errors
    /// When `out` fails.
    pub fn export(&self, out: &mut impl Write) -> io::Result<usize> {
        let (alpha, beta) = self.rules.prior;
        let now_us = self.shard(0).now_us;
        write!(
            out,
            r#"{{"format":"{FORMAT}","version":{VERSION},"prior":[{alpha:?},{beta:?}],"entries":["#
        )?;
        let (mut keys, mut latest_us) = (0, now_us);
        for shard in 0..SHARDS {
            for entry in self.entries_of(shard) {
                out.write_all(if keys == 0 { b"\n" } else { b",\n" })?;
                serde_json::to_writer(&mut *out, &entry)?;
                latest_us = latest_us.max(entry.at_us);
                keys += 1;
            }
        }
        writeln!(out, "\n],\"now_us\":{latest_us},\"keys\":{keys}}}")?;
        Ok(keys)
    }

    fn entries_of(&self, shard: usize) -> Vec<Entry> {
        let shard = self.shard(shard);
        let slots = shard.table.iter();
        slots
            .map(|Slot { evidence, key, .. }| Entry {
                key: key.clone(),
                alpha: evidence.alpha,
                beta: evidence.beta,
                at_us: evidence.at_us,
                history: evidence
                    .history
                    .iter()
                    .flat_map(|h| h.iter().copied())
                    .collect(),
            })
            .collect()
    }

    /// Replaces what the tracker holds by the snapshot at `path`, and says how many keys it has.
    /// The time becomes the snapshot's, unless it is beyond that already.
    ///
    /// # Errors
    /// When it cannot be read, is torn, of another version or prior, above the limits, or says
    /// something of a key that cannot be. The tracker is what it was then.
    pub fn load(&self, path: &Path, limits: &ImportLimits) -> Result<usize, SnapshotError> {
        let failed = |source| io_error("read", path.to_owned(), source);
        let file = File::open(path).map_err(failed)?;
        let mut document = Vec::new();
        let mut bounded = file.take(limits.bytes_max.saturating_add(1));
        bounded.read_to_end(&mut document).map_err(failed)?;
        self.import(&document, limits)
    }

    /// The same, of a snapshot in memory.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn import(&self, document: &[u8], limits: &ImportLimits) -> Result<usize, SnapshotError> {
        let bytes = document.len() as u64;
        within("bytes", bytes, limits.bytes_max)?;
        let header: Header = serde_json::from_slice(document)?;
        let expect = |field, value: String, expected: String| {
            let is_known = value == expected;
            let error = SnapshotError::Format {
                field,
                value,
                expected,
            };
            if is_known { Ok(()) } else { Err(error) }
        };
        expect("format", header.format, FORMAT.into())?;
        expect("version", header.version.to_string(), VERSION.to_string())?;
        let document: Document = serde_json::from_slice(document)?;
        let (found, expected) = (document.prior, self.rules.prior);
        if found != expected {
            return Err(SnapshotError::Prior { found, expected });
        }
        let keys = document.entries.len();
        within("keys", keys as u64, limits.keys_max as u64)?;
        expect("keys", document.keys.to_string(), keys.to_string())?;
        let mut tables: Vec<HashTable<Slot<String>>> =
            (0..SHARDS).map(|_| HashTable::new()).collect();
        for entry in document.entries {
            check(&entry, document.now_us, limits)?;
            let hash = self.hash(&entry.key);
            let table = &mut tables[shard_of(hash)];
            let is_same = |slot: &Slot<String>| slot.is(hash, entry.key.as_str());
            if table.find(hash, is_same).is_some() {
                let limit = "there once";
                return Err(refused(&entry.key, "key", entry.key.clone(), limit));
            }
            let slot = self.slot(hash, entry);
            table.insert_unique(hash, slot, |slot| slot.hash);
        }
        for (index, table) in tables.iter_mut().enumerate() {
            let shard = &mut *self.shard(index);
            // What was there before is dropped with the tables, behind the lock.
            std::mem::swap(&mut shard.table, table);
            shard.now_us = shard.now_us.max(document.now_us);
        }
        Ok(keys)
    }

    fn slot(&self, hash: u64, entry: Entry) -> Slot<String> {
        let skipped = entry.history.len().saturating_sub(self.rules.history);
        let history = entry.history.into_iter().skip(skipped).collect();
        Slot {
            hash,
            evidence: Evidence {
                alpha: entry.alpha,
                beta: entry.beta,
                at_us: entry.at_us,
                history: (self.rules.history > 0).then(|| Box::new(history)),
            },
            key: entry.key,
        }
    }
}

fn check(entry: &Entry, now_us: u64, limits: &ImportLimits) -> Result<(), SnapshotError> {
    let key = &entry.key;
    if key.len() > limits.key_bytes_max {
        let start: String = key.chars().take(64).collect();
        let limit = format!("at most {} bytes", limits.key_bytes_max);
        return Err(refused(
            &start,
            "key",
            format!("{} bytes", key.len()),
            limit,
        ));
    }
    let points = entry.history.iter().copied();
    let mut last_us = 0;
    for (at_us, alpha, beta) in points.chain([(entry.at_us, entry.alpha, entry.beta)]) {
        for (field, value) in [("alpha", alpha), ("beta", beta)] {
            if !(PARAMETER_MIN..=EVIDENCE_MAX).contains(&value) {
                let limit = format!("from {PARAMETER_MIN:e} to {EVIDENCE_MAX:e}");
                return Err(refused(key, field, format!("{value:?}"), limit));
            }
        }
        if alpha + beta > EVIDENCE_MAX * ROUNDING {
            let limit = format!("at most {EVIDENCE_MAX:e}");
            let sum = format!("{:?}", alpha + beta);
            return Err(refused(key, "alpha + beta", sum, limit));
        }
        if !(last_us..=now_us).contains(&at_us) {
            let limit = format!("from {last_us} to {now_us}");
            return Err(refused(key, "at_us", at_us.to_string(), limit));
        }
        last_us = at_us;
    }
    Ok(())
}

fn within(field: &'static str, value: u64, limit: u64) -> Result<(), SnapshotError> {
    if value > limit {
        return Err(SnapshotError::TooLarge {
            field,
            value,
            limit,
        });
    }
    Ok(())
}

fn refused(
    key: &str,
    field: &'static str,
    value: String,
    limit: impl Into<String>,
) -> SnapshotError {
    SnapshotError::Entry {
        key: key.to_owned(),
        field,
        value,
        limit: limit.into(),
    }
}

fn io_error(action: &'static str, path: PathBuf, source: io::Error) -> SnapshotError {
    SnapshotError::Io {
        action,
        path,
        source,
    }
}
