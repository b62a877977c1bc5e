//! Snapshots: one JSON document with all keys.
//!
//! It is taken shard by shard: each key is as of one moment, all of them are not, while others
//! update. What is read is checked value by value before anything changes.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::time::Duration;

use hashbrown::HashTable;
use serde::{Deserialize, Serialize};

use crate::clock::TIME_MAX_US;
use crate::evidence::{EVIDENCE_MAX, Evidence, PARAMETER_MIN};
use crate::file::failed;
use crate::shard::{SHARDS, shard_of};
use crate::tracker::Slot;
use crate::{SnapshotError, TrustTracker};

const FORMAT: &str = "forebay trust";
const VERSION: u64 = 1;
/// Strengths are cut to the limit in one multiplication, which rounds.
const ROUNDING: f64 = 1.0 + 1e-12;

/// How much a snapshot may hold before it is refused. The tracker's own limits hold as well, and
/// are the only ones for keys unless these are less.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImportLimits {
    /// Bytes of the file, all of which are read into memory; 4 GB by default.
    pub bytes_max: u64,
    /// Keys; by default those that the tracker may hold.
    pub keys_max: usize,
    /// Bytes of one key; by default those that the tracker allows.
    pub key_bytes_max: usize,
}

impl Default for ImportLimits {
    fn default() -> Self {
        Self {
            bytes_max: 4_000_000_000,
            keys_max: usize::MAX,
            key_bytes_max: usize::MAX,
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
    /// Blocks.
    ///
    /// `now` is the time on the caller's clock at which the snapshot's goes on, so that the next
    /// [`advance`](Self::advance) discounts what passed since `now`: with a clock that starts with
    /// the process, its present time. What passed between the snapshot and the restart discounts
    /// nothing; where it should, let `now` be earlier by that.
    ///
    /// # Errors
    /// When it cannot be read, is torn, of another version or prior, above the limits, or says
    /// something of a key that cannot be. The tracker is what it was then.
    pub fn load(
        &self,
        path: &Path,
        now: Duration,
        limits: &ImportLimits,
    ) -> Result<usize, SnapshotError> {
        let file = File::open(path).map_err(failed("read", path))?;
        let mut document = Vec::new();
        let mut bounded = file.take(limits.bytes_max.saturating_add(1));
        let read = bounded.read_to_end(&mut document);
        read.map_err(failed("read", path))?;
        self.import(&document, now, limits)
    }

    /// The same, of a snapshot in memory.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn import(
        &self,
        document: &[u8],
        now: Duration,
        limits: &ImportLimits,
    ) -> Result<usize, SnapshotError> {
        let limits = ImportLimits {
            keys_max: limits.keys_max.min(self.rules.keys_max),
            key_bytes_max: limits.key_bytes_max.min(self.rules.key_bytes_max),
            ..*limits
        };
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
        within("now_us", document.now_us, TIME_MAX_US)?;
        let keys = document.entries.len();
        within("keys", keys as u64, limits.keys_max as u64)?;
        expect("keys", document.keys.to_string(), keys.to_string())?;
        let mut tables: Vec<HashTable<Slot<String>>> =
            (0..SHARDS).map(|_| HashTable::new()).collect();
        for entry in document.entries {
            check(&entry, document.now_us, &limits)?;
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
        let mut clock = self.clock.lock();
        clock.set(now, document.now_us);
        for (index, table) in tables.iter_mut().enumerate() {
            let shard = &mut *self.shard(index);
            self.room.replaced(shard.table.len(), table.len());
            // What was there before is dropped with the tables, behind the lock.
            std::mem::swap(&mut shard.table, table);
            shard.now_us = document.now_us;
        }
        drop(clock);
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
