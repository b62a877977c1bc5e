//! Rings and histories of `buffer-core`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use buffer_core::{History, LeaseError, OverflowPolicy, Producer, Pushed, Ring};

use crate::structures::histories::{Append, Beside, Snapshot, Store};
use crate::structures::item::{InOrder, Item, Tally};
use crate::structures::rings::{Drain, Lossless, Offer, Overwriting, Push, Receive};

const BUILDS: &str = "the capacity is not 0";
/// How long a producer waits for room before the run counts as stuck.
const BLOCK_MAX: Duration = Duration::from_secs(10);

/// A stripe per producer handle.
pub(crate) struct Striped(Ring<Item>);
/// One order for all producers, each with a handle.
pub(crate) struct Global(Ring<Item>);
/// One order for all producers, who share a reference.
pub(crate) struct Shared(Ring<Item>);

fn overwriting(capacity: usize) -> Ring<Item> {
    Ring::new(capacity).expect(BUILDS)
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

overwriting!(Striped, overwriting, Producer<Item>, Ring::producer);
overwriting!(Global, overwriting, Producer<Item>, Ring::producer);
overwriting!(Shared, overwriting, &'a Ring<Item>, |ring| ring);

impl Push for Producer<Item> {
    #[inline(always)]
    fn push(&mut self, item: Item, displaced: &mut Tally) {
        see(Producer::push(self, item), displaced);
    }

    fn push_many(&mut self, items: &mut Vec<Item>, displaced: &mut Tally) {
        displaced.see_all(&Producer::push_many(self, items).displaced);
    }
}

impl Push for &Ring<Item> {
    #[inline(always)]
    fn push(&mut self, item: Item, displaced: &mut Tally) {
        see(Ring::push(self, item), displaced);
    }

    fn push_many(&mut self, items: &mut Vec<Item>, displaced: &mut Tally) {
        displaced.see_all(&Ring::push_many(self, items).displaced);
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
    producer: Producer<Item>,
    ring: Ring<Item>,
    senders: Arc<AtomicUsize>,
}

fn open(ring: Ring<Item>, senders: usize) -> (Vec<Sender>, Ring<Item>) {
    let count = Arc::new(AtomicUsize::new(senders));
    let sender = |_| Sender {
        producer: ring.producer(),
        ring: ring.clone(),
        senders: Arc::clone(&count),
    };
    let senders = (0..senders).map(sender).collect();
    (senders, ring)
}

fn blocking(capacity: usize) -> Ring<Item> {
    let policy = OverflowPolicy::Block(BLOCK_MAX);
    Ring::builder(capacity)
        .policy(policy)
        .build()
        .expect(BUILDS)
}

impl Lossless for Waiting {
    type Sender = Sender;
    type Receiver = Ring<Item>;

    fn open(capacity: usize, senders: usize) -> (Vec<Sender>, Ring<Item>) {
        open(blocking(capacity), senders)
    }
}

impl Lossless for WaitingGlobal {
    type Sender = Sender;
    type Receiver = Ring<Item>;

    fn open(capacity: usize, senders: usize) -> (Vec<Sender>, Ring<Item>) {
        open(blocking(capacity), senders)
    }
}

impl Offer for Sender {
    #[inline(always)]
    fn offer(&mut self, item: Item) {
        assert!(self.producer.push(item).is_stored(), "the ring is stuck");
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        if self.senders.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.ring.close();
        }
    }
}

impl Receive for Ring<Item> {
    fn receive(&mut self, seen: &mut InOrder) -> bool {
        match self.lease_timeout(usize::MAX, BLOCK_MAX) {
            Ok(lease) => {
                for item in lease.iter() {
                    seen.see(item);
                }
                lease.ack();
                true
            }
            Err(LeaseError::Closed) => false,
            Err(error) => panic!("nothing arrives: {error}"),
        }
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
        self.0.append(value, time);
    }

    #[inline(always)]
    fn last(&mut self, count: usize) -> &[f64] {
        self.0.window(count).values()
    }
}

/// A history whose reader is on another thread.
pub(crate) struct SharedHistory(parking_lot::RwLock<History<f64>>);

impl Beside for SharedHistory {
    type Writer<'a> = &'a Self;
    type Reader<'a> = &'a Self;

    fn new(depth: usize) -> Self {
        Self(parking_lot::RwLock::new(History::new(depth)))
    }

    fn split(&mut self) -> (&Self, &Self) {
        (self, self)
    }
}

impl Append for &SharedHistory {
    #[inline(always)]
    fn append(&mut self, value: f64, time: i64) {
        self.0.write().append(value, time);
    }
}

impl Snapshot for &SharedHistory {
    #[inline(always)]
    fn last<R>(&mut self, count: usize, look: impl FnOnce(&[f64]) -> R) -> R {
        look(self.0.read().window(count).values())
    }
}
