//! What contenders have in common, by what a case asks of them.

use std::ops::Range;

/// The last values of keys, which are numbered from 0. One writes, others read.
pub(super) trait Store: Send + Sync + Sized {
    type Writer<'a>: Write + Send
    where
        Self: 'a;

    /// Room for the last `depth` values of each key; peers that only know the newest keep that.
    fn new(keys: u32, depth: usize) -> Self;
    fn writer(&self) -> Self::Writer<'_>;
    fn newest(&self, key: u32) -> Option<f64>;
}

pub(super) trait Write {
    fn put(&mut self, key: u32, time_us: i64, value: f64);
    /// Ends a transaction: its updates can be read now, if not before.
    fn commit(&mut self);
}

/// A store whose newest values can be taken for several keys at once.
pub(super) trait Snapshots: Store {
    type Reader<'a>: TakeSnapshot + Send
    where
        Self: 'a;

    fn reader(&self, keys: &[u32]) -> Self::Reader<'_>;
}

pub(super) trait TakeSnapshot {
    /// Shows each key with its newest value.
    fn take(&mut self, look: impl FnMut(u32, f64));
}

/// A store whose subscribers pull the last values of keys.
pub(super) trait Windows: Store {
    type Subscriber<'a>: PullWindows + Send
    where
        Self: 'a;

    /// Of these keys, whose windows hold `depth` values.
    fn subscribe(&self, keys: Range<u32>, depth: usize) -> Self::Subscriber<'_>;
}

pub(super) trait PullWindows {
    /// Shows each key that changed with the length of its window and its newest value.
    fn pull(&mut self, look: impl FnMut(u32, usize, f64));
}
