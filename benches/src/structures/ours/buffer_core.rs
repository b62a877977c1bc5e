//! Rings and histories of `buffer-core`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use buffer_core::{
    Demand, History, Order, OverflowPolicy, Producer, Pushed, PushedMany, Reader, Ring, Waited,
};

use crate::structures::histories::{Append, Beside, Snapshot, Store};
use crate::structures::item::{InOrder, Item, Tally};
use crate::structures::rings::{Drain, Lossless, Offer, Overwriting, Push, Receive};

const BUILDS: &str = "the capacity is not 0";
/// How long a producer waits for room before the run counts as stuck.
const BLOCK_MAX: Duration = Duration::from_secs(10);
/// A consumer that takes much at once costs producers the least: it waits for a part of the
/// capacity, or for so long.
const DEMAND_DIVISOR: usize = 2;
const LINGER_MAX: Duration = Duration::from_millis(1);

/// A stripe per producer handle.
pub(crate) struct Striped(Ring<Item>);
/// One order for all producers, each with a handle.
pub(crate) struct Global(Ring<Item>);
/// One order for all producers, who share a reference.
pub(crate) struct Shared(Ring<Item>);

fn overwriting(capacity: usize) -> Ring<Item> {
    Ring::new(capacity).expect(BUILDS)
}

fn striped(capacity: usize) -> Ring<Item> {
    let builder = Ring::builder(capacity).order(Order::PerProducer);
    builder.build().expect(BUILDS)
}

macro_rules! overwriting {
    ($ring:ident, $new:expr, $producer:ty, $open:expr) => {
        impl Overwriting for $ring {
            type Producer<'a> = $producer;
            type Consumer<'a> = (&'a Ring<Item>, Vec<Item>);

            fn new(capacity: usize) -> Self {
                Self($new(capacity))
            }

            fn producer(&self) -> Self::Producer<'_> {
                let open: fn(&Ring<Item>) -> Self::Producer<'_> = $open;
                open(&self.0)
            }

            fn consumer(&self) -> Self::Consumer<'_> {
                (&self.0, Vec::new())
            }
        }
    };
}

overwriting!(Striped, striped, Producer<Item>, Ring::producer);
overwriting!(Global, overwriting, Producer<Item>, Ring::producer);
overwriting!(Shared, overwriting, &'a Ring<Item>, |ring| ring);

impl Push for Producer<Item> {
    #[inline(always)]
    fn push(&mut self, item: Item, displaced: &mut Tally) {
        see(Producer::push(self, item), displaced);
    }

    fn push_many(&mut self, items: &mut Vec<Item>, displaced: &mut Tally) {
        let pushed = Producer::push_many(self, items);
        see_many(pushed, items, displaced);
    }
}

impl Push for &Ring<Item> {
    #[inline(always)]
    fn push(&mut self, item: Item, displaced: &mut Tally) {
        see(Ring::push(self, item), displaced);
    }

    fn push_many(&mut self, items: &mut Vec<Item>, displaced: &mut Tally) {
        let pushed = Ring::push_many(self, items);
        see_many(pushed, items, displaced);
    }
}

/// Tallies what fell out. A refused or dropped item would show as lost, so it needs no arm.
#[inline(always)]
fn see(pushed: Pushed<Item>, displaced: &mut Tally) {
    if let Pushed::Displaced { first, rest } = pushed {
        displaced.see(&first);
        for item in &rest {
            displaced.see(item);
        }
    }
}

/// Tallies what fell out, which is in the vector now.
#[inline(always)]
fn see_many(pushed: PushedMany, items: &mut Vec<Item>, displaced: &mut Tally) {
    displaced.see_all(&items[..pushed.displaced]);
    items.clear();
}

impl Drain for (&Ring<Item>, Vec<Item>) {
    fn drain(&mut self, seen: &mut InOrder) {
        let (ring, batch) = self;
        ring.drain_into(batch);
        for item in batch.drain(..) {
            seen.see(&item);
        }
    }
}

/// Producers wait for room, each with a stripe.
pub(crate) struct Waiting;
/// Producers wait for room in one order.
pub(crate) struct WaitingGlobal;

/// A producer whose end closes the ring when it is the last.
pub(crate) struct Sender {
    /// `None` only while it is dropped.
    producer: Option<Producer<Item>>,
    ring: Ring<Item>,
    senders: Arc<AtomicUsize>,
}

pub(crate) struct Receiver {
    ring: Ring<Item>,
    demand: Demand,
    batch: Vec<Item>,
}

fn open(order: Order, capacity: usize, senders: usize) -> (Vec<Sender>, Receiver) {
    let policy = OverflowPolicy::Block(BLOCK_MAX);
    let builder = Ring::builder(capacity).order(order).policy(policy);
    let ring = builder.build().expect(BUILDS);
    let count = Arc::new(AtomicUsize::new(senders));
    let sender = |_| Sender {
        producer: Some(ring.producer()),
        ring: ring.clone(),
        senders: Arc::clone(&count),
    };
    let senders = (0..senders).map(sender).collect();
    let receiver = Receiver {
        ring,
        demand: Demand::items(capacity / DEMAND_DIVISOR),
        batch: Vec::new(),
    };
    (senders, receiver)
}

impl Lossless for Waiting {
    type Sender = Sender;
    type Receiver = Receiver;

    fn open(capacity: usize, senders: usize) -> (Vec<Sender>, Receiver) {
        open(Order::PerProducer, capacity, senders)
    }
}

impl Lossless for WaitingGlobal {
    type Sender = Sender;
    type Receiver = Receiver;

    fn open(capacity: usize, senders: usize) -> (Vec<Sender>, Receiver) {
        open(Order::Global, capacity, senders)
    }
}

impl Offer for Sender {
    #[inline(always)]
    fn offer(&mut self, item: Item) {
        if let Some(producer) = &mut self.producer {
            assert!(producer.push(item).is_stored(), "the ring is stuck");
        }
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        drop(self.producer.take());
        if self.senders.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.ring.close();
        }
    }
}

impl Receive for Receiver {
    fn receive(&mut self, seen: &mut InOrder) -> bool {
        let waited = self.ring.wait(self.demand, LINGER_MAX);
        let count = self.ring.drain_into(&mut self.batch);
        for item in self.batch.drain(..) {
            seen.see(&item);
        }
        waited != Waited::Closed || count > 0
    }
}

/// A history with one owner.
pub(crate) struct Columns(History<f64>);

impl Store for Columns {
    fn new(depth: usize) -> Self {
        Self(History::new(depth))
    }

    #[inline(always)]
    fn append(&mut self, value: f64, time: i64) {
        drop(self.0.append(value, time));
    }

    #[inline(always)]
    fn last(&mut self, count: usize) -> &[f64] {
        self.0.window(count).values()
    }
}

/// A history whose reader is on another thread, shown after every append.
pub(crate) struct SharedHistory(History<f64>);
/// Shown after every so many appends, so that the writer's line and the readers' meet less often.
pub(crate) struct BatchedHistory(History<f64>);

const BATCH: i64 = 32;

impl Beside for SharedHistory {
    type Writer<'a> = &'a mut History<f64>;
    type Reader<'a> = Reader<f64>;

    fn new(depth: usize) -> Self {
        Self(History::new(depth))
    }

    fn split(&mut self) -> (&mut History<f64>, Reader<f64>) {
        let reader = self.0.reader();
        (&mut self.0, reader)
    }
}

impl Append for &mut History<f64> {
    #[inline(always)]
    fn append(&mut self, value: f64, time: i64) {
        drop(History::append(self, value, time));
    }
}

impl Beside for BatchedHistory {
    type Writer<'a> = &'a mut Self;
    type Reader<'a> = Reader<f64>;

    fn new(depth: usize) -> Self {
        Self(History::new(depth))
    }

    fn split(&mut self) -> (&mut Self, Reader<f64>) {
        let reader = self.0.reader();
        (self, reader)
    }
}

impl Append for &mut BatchedHistory {
    #[inline(always)]
    fn append(&mut self, value: f64, time: i64) {
        drop(self.0.append_deferred(value, time));
        if time % BATCH == 0 {
            self.0.publish();
        }
    }
}

impl Snapshot for Reader<f64> {
    #[inline(always)]
    fn last<R>(&mut self, count: usize, look: impl FnOnce(&[f64]) -> R) -> R {
        look(self.window(count).values())
    }
}
