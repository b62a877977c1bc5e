//! The work of rings that overwrite: a full ring, and producers beside a consumer.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::CAPACITY;
use crate::measure::pace::{Pace, thread_time};
use crate::structures::item::{InOrder, Item, Tally, check_conserved};

/// How often the consumer takes everything.
const DRAIN_INTERVAL: Duration = Duration::from_millis(5);
/// Pushes between two looks at the clock or the stop sign.
const BLOCK: usize = 256;

/// A bounded buffer in which a push into a full one displaces the oldest.
pub(crate) trait Overwriting {
    type Producer<'a>: Push
    where
        Self: 'a;
    type Consumer<'a>: Drain
    where
        Self: 'a;

    fn new(capacity: usize) -> Self;
    fn producer(&self) -> Self::Producer<'_>;
    fn consumer(&self) -> Self::Consumer<'_>;
}

/// A producer's end. What a push displaces is shown to the tally.
pub(crate) trait Push {
    fn push(&mut self, item: Item, displaced: &mut Tally);

    /// Pushes all, in order, and leaves the vector empty.
    fn push_many(&mut self, items: &mut Vec<Item>, displaced: &mut Tally) {
        for item in items.drain(..) {
            self.push(item, displaced);
        }
    }
}

/// The consumer's end.
pub(crate) trait Drain {
    /// Takes about everything that is there now.
    fn drain(&mut self, seen: &mut InOrder);
}

/// One thread pushes into a full ring, in batches if `batch` is above 1: nanoseconds per push.
pub(super) fn one_thread<R: Overwriting>(batch: usize, duration: Duration) -> Result<Vec<f64>> {
    let ring = R::new(CAPACITY);
    let (mut producer, mut consumer) = (ring.producer(), ring.consumer());
    let (mut displaced, mut seen) = (Tally::default(), InOrder::default());
    let mut seq = 0;
    // Twice around, so that every slot was written before the clock starts.
    while seq < 2 * CAPACITY as u64 {
        producer.push(Item::new(0, seq), &mut displaced);
        seq += 1;
    }
    let first = seq;
    let started = Instant::now();
    let worked = thread_time();
    if batch == 1 {
        singly(&mut producer, &mut seq, &mut displaced, (started, duration));
    } else {
        let mut items = Vec::with_capacity(batch);
        while started.elapsed() < duration {
            for _ in 0..BLOCK.div_ceil(batch) {
                items.extend((seq..seq + batch as u64).map(|seq| Item::new(0, seq)));
                producer.push_many(&mut items, &mut displaced);
                seq += batch as u64;
            }
        }
    }
    let worked = thread_time() - worked;
    drop(producer);
    drain_to_the_end(&mut consumer, &mut seen);
    check_conserved(&[seq], &seen, &[displaced])?;
    Ok(vec![worked.as_nanos() as f64 / (seq - first) as f64])
}

fn singly(
    producer: &mut impl Push,
    seq: &mut u64,
    displaced: &mut Tally,
    (started, duration): (Instant, Duration),
) {
    while started.elapsed() < duration {
        for _ in 0..BLOCK {
            producer.push(Item::new(0, *seq), displaced);
            *seq += 1;
        }
    }
}

/// Producers push flat out, a consumer drains every few milliseconds: millions of pushes per
/// second.
pub(super) fn several<R>(producers: usize, duration: Duration) -> Result<Vec<f64>>
where
    R: Overwriting + Sync,
    for<'a> R::Producer<'a>: Send,
{
    let ring = R::new(CAPACITY);
    let pace = Pace::new(producers);
    let mut consumer = ring.consumer();
    let mut seen = InOrder::default();
    let (window, ends) = thread::scope(|scope| {
        let work = |index| produce(ring.producer(), index, &pace);
        let threads: Vec<_> = (0..producers)
            .map(|index| scope.spawn(move || work(index)))
            .collect();
        let window = pace.watch(duration, DRAIN_INTERVAL, || consumer.drain(&mut seen));
        let ends: Vec<(u64, Tally)> = threads
            .into_iter()
            .map(|thread| thread.join().expect("a producer does not panic"))
            .collect();
        (window, ends)
    });
    drain_to_the_end(&mut consumer, &mut seen);
    let (pushed, displaced): (Vec<u64>, Vec<Tally>) = ends.into_iter().unzip();
    check_conserved(&pushed, &seen, &displaced)?;
    Ok(vec![window.millions_per_s()])
}

/// Pushes until told to stop; returns how many were pushed, and what they displaced.
fn produce(mut producer: impl Push, index: usize, pace: &Pace) -> (u64, Tally) {
    let mut displaced = Tally::default();
    let mut seq = 0;
    pace.wait_for_start();
    while pace.goes_on() {
        for _ in 0..BLOCK {
            producer.push(Item::new(index, seq), &mut displaced);
            seq += 1;
        }
        pace.publish(index, seq);
    }
    (seq, displaced)
}

/// What is left when nobody pushes any more.
fn drain_to_the_end(consumer: &mut impl Drain, seen: &mut InOrder) {
    loop {
        let before = seen.seen();
        consumer.drain(seen);
        if seen.seen() == before {
            return;
        }
    }
}
