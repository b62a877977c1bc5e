//! The data service, as a contender.

use std::mem;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dataservice::{
    Backpressure, DataService, Feed, FeedSpec, KeyId, LatestValue, Spec, Subscription, Transaction,
    WindowByCount,
};

use super::every_update::{EveryUpdate, See, Update};
use super::store::{PullWindows, Snapshots, Store, TakeSnapshot, Windows, Write};

/// How often a reader that waits looks whether the writer has ended.
pub(super) const END_INTERVAL: Duration = Duration::from_millis(20);
const REGISTERED: &str = "the key is registered";

pub(super) struct Ours {
    service: DataService<u32, f64>,
    depth: usize,
}

pub(super) struct Writer<'a> {
    service: &'a DataService<u32, f64>,
    transaction: Transaction<f64>,
}

impl Store for Ours {
    type Writer<'a> = Writer<'a>;

    fn new(keys: u32, depth: usize) -> Self {
        let service = DataService::builder()
            .depth_default(depth)
            .build()
            .expect("the limits are sensible");
        let ids = service.register_all((0..keys).collect());
        // So that a key is its id.
        assert!(ids.is_ok_and(|ids| ids.iter().map(|id| id.number()).eq(0..keys)));
        Self { service, depth }
    }

    fn writer(&self) -> Writer<'_> {
        Writer {
            service: &self.service,
            transaction: self.service.begin(),
        }
    }

    fn newest(&self, key: u32) -> Option<f64> {
        self.service.get(&key)
    }
}

impl Write for Writer<'_> {
    #[inline(always)]
    fn put(&mut self, key: u32, time_us: i64, value: f64) {
        self.transaction
            .put(KeyId::from_number(key), time_us, value)
            .expect(REGISTERED);
    }

    #[inline(always)]
    fn commit(&mut self) {
        let transaction = mem::replace(&mut self.transaction, self.service.begin());
        transaction.commit().expect("nothing is refused");
    }
}

impl Snapshots for Ours {
    type Reader<'a> = Subscription<f64>;

    fn reader(&self, keys: &[u32]) -> Subscription<f64> {
        let ids = keys.iter().copied().map(KeyId::from_number);
        let spec = Spec::new().keys(ids, LatestValue);
        self.service.subscribe(spec).expect(REGISTERED)
    }
}

impl TakeSnapshot for Subscription<f64> {
    fn take(&mut self, mut look: impl FnMut(u32, f64)) {
        for update in self.snapshot().updates() {
            if let [newest] = update.values() {
                look(update.id().number(), *newest);
            }
        }
    }
}

impl Windows for Ours {
    type Subscriber<'a> = Subscription<f64>;

    fn subscribe(&self, keys: Range<u32>, depth: usize) -> Subscription<f64> {
        assert!(depth <= self.depth, "histories were made so deep");
        let ids = keys.map(KeyId::from_number);
        let spec = Spec::new().keys(ids, WindowByCount::new(depth));
        self.service.subscribe(spec).expect(REGISTERED)
    }
}

impl PullWindows for Subscription<f64> {
    fn pull(&mut self, mut look: impl FnMut(u32, usize, f64)) {
        let Some(snapshot) = self.poll() else {
            return;
        };
        for update in snapshot.updates() {
            let values = update.values();
            if let Some(newest) = values.last() {
                look(update.id().number(), values.len(), *newest);
            }
        }
    }
}

/// The service with readers of every update.
pub(super) struct Fed {
    ours: Ours,
    is_ended: Arc<AtomicBool>,
}

pub(super) struct FedWriter<'a> {
    writer: Writer<'a>,
    is_ended: &'a AtomicBool,
}

pub(super) struct FedReader {
    feed: Feed<f64>,
    is_ended: Arc<AtomicBool>,
}

impl EveryUpdate for Fed {
    type Writer<'a> = FedWriter<'a>;
    type Reader = FedReader;

    fn new(keys: u32, readers: usize) -> (Self, Vec<FedReader>) {
        let ours = Ours::new(keys, 1);
        let is_ended = Arc::new(AtomicBool::new(false));
        let reader = |_| FedReader {
            feed: (ours.service.feed(every_update())).expect("there is room for readers"),
            is_ended: Arc::clone(&is_ended),
        };
        let readers = (0..readers).map(reader).collect();
        (Self { ours, is_ended }, readers)
    }

    fn writer(&self) -> FedWriter<'_> {
        FedWriter {
            writer: self.ours.writer(),
            is_ended: &self.is_ended,
        }
    }
}

/// Between two polls of a reader that follows a writer at full speed: with two cores and five
/// threads, readers that never rest take the writer's time.
const READ_INTERVAL: Duration = Duration::from_micros(500);

/// A feed of all keys that a commit waits for rather than lose an update.
pub(super) fn every_update() -> FeedSpec {
    FeedSpec::all()
        .min_interval(READ_INTERVAL)
        .backpressure(Backpressure::Block(Duration::from_secs(60)))
}

impl Write for FedWriter<'_> {
    #[inline(always)]
    fn put(&mut self, key: u32, time_us: i64, value: f64) {
        self.writer.put(key, time_us, value);
    }

    #[inline(always)]
    fn commit(&mut self) {
        self.writer.commit();
    }
}

impl Drop for FedWriter<'_> {
    fn drop(&mut self) {
        self.is_ended.store(true, Ordering::Release);
    }
}

impl See for FedReader {
    fn see(&mut self, mut each: impl FnMut(Update)) -> bool {
        let is_ended = self.is_ended.load(Ordering::Acquire);
        let Ok(batch) = self.feed.next(END_INTERVAL) else {
            return !is_ended;
        };
        for update in batch.slices().flatten() {
            each((update.id.number(), update.time_us, update.value));
        }
        true
    }
}
