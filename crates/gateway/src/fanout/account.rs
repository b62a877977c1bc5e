//! What administrators see of a connection: numbers that its loop writes and anybody reads.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use dataservice::CommitSeq;
use parking_lot::Mutex;
use pipeline::LiveData;
use protocol::Encoding;
use tokio::sync::Notify;

use crate::connections::{Connected, ConnectionStats};

/// A time or a number that there is not.
const NONE: u64 = u64::MAX;

/// The account of a connection. Its loop alone writes, so no count is lost.
pub(super) struct Account {
    id: u64,
    address: String,
    encoding: Encoding,
    live: LiveData,
    since: Instant,
    name: Mutex<Arc<str>>,
    end: Notify,
    subscriptions: AtomicUsize,
    /// The commit that it saw last, of the subscription that is furthest behind.
    behind_seq: AtomicU64,
    conflated: AtomicU64,
    missed: AtomicU64,
    frames: AtomicU64,
    bytes: AtomicU64,
    /// In milliseconds after `since`.
    blocked_ms: AtomicU64,
}

impl Account {
    pub(super) fn new(
        id: u64,
        address: String,
        encoding: Encoding,
        name: Arc<str>,
        live: LiveData,
        now: Instant,
    ) -> Self {
        Self {
            id,
            address,
            encoding,
            live,
            since: now,
            name: Mutex::new(name),
            end: Notify::new(),
            subscriptions: AtomicUsize::new(0),
            behind_seq: AtomicU64::new(NONE),
            conflated: AtomicU64::new(0),
            missed: AtomicU64::new(0),
            frames: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            blocked_ms: AtomicU64::new(NONE),
        }
    }

    pub(super) fn named(&self, name: Arc<str>) {
        *self.name.lock() = name;
    }

    pub(super) fn name(&self) -> Arc<str> {
        Arc::clone(&self.name.lock())
    }

    pub(super) fn subscriptions(&self, count: usize) {
        self.subscriptions.store(count, Ordering::Relaxed);
    }

    /// It has seen no more than this commit.
    pub(super) fn fell_behind(&self, seq: CommitSeq) {
        self.behind_seq.fetch_min(seq.number(), Ordering::Relaxed);
    }

    pub(super) fn caught_up(&self) {
        self.behind_seq.store(NONE, Ordering::Relaxed);
    }

    pub(super) fn conflated(&self, frames: u64) {
        self.conflated.fetch_add(frames, Ordering::Relaxed);
    }

    pub(super) fn missed(&self, updates: u64) {
        if updates > 0 {
            self.missed.fetch_add(updates, Ordering::Relaxed);
        }
    }

    /// A frame was taken, and so many bytes so far.
    pub(super) fn sent(&self, bytes: u64) {
        // Only this loop writes, so there is nothing to lose between the two.
        let frames = self.frames.load(Ordering::Relaxed) + 1;
        self.frames.store(frames, Ordering::Relaxed);
        self.bytes.store(bytes, Ordering::Relaxed);
    }

    pub(super) fn wrote(&self, bytes: u64, blocked_since: Option<Instant>) {
        self.bytes.store(bytes, Ordering::Relaxed);
        let ms = blocked_since.map_or(NONE, |moment| {
            moment.saturating_duration_since(self.since).as_millis() as u64
        });
        self.blocked_ms.store(ms, Ordering::Relaxed);
    }
}

impl Connected for Account {
    fn stats(&self) -> ConnectionStats {
        let count = |number: &AtomicU64| number.load(Ordering::Relaxed);
        let connected = self.since.elapsed();
        let lag = match count(&self.behind_seq) {
            NONE => 0,
            seq => self.live.commit_seq().number().saturating_sub(seq),
        };
        let blocked_ms = match count(&self.blocked_ms) {
            NONE => 0,
            since_ms => (connected.as_millis() as u64).saturating_sub(since_ms),
        };
        ConnectionStats {
            connection_id: self.id,
            name: self.name().to_string(),
            address: self.address.clone(),
            encoding: match self.encoding {
                Encoding::Json => "json",
                Encoding::MessagePack => "msgpack",
            },
            connected_s: connected.as_secs_f64(),
            subscriptions: self.subscriptions.load(Ordering::Relaxed),
            lag,
            conflated: count(&self.conflated),
            missed: count(&self.missed),
            frames: count(&self.frames),
            bytes: count(&self.bytes),
            blocked_s: blocked_ms as f64 / 1000.0,
        }
    }

    fn end(&self) -> &Notify {
        &self.end
    }
}
