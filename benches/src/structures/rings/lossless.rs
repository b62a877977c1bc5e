//! The work of lossless rings: producers wait when it is full, the consumer takes batches.

use std::thread;
use std::time::Duration;

use anyhow::Result;

use super::CAPACITY;
use crate::measure::pace::Pace;
use crate::structures::item::{InOrder, Item, check_conserved};

/// Items sent between two looks at the stop sign.
const BLOCK: usize = 64;
/// How often the watching thread wakes to see whether it is time.
const WATCH_INTERVAL: Duration = Duration::from_millis(20);

/// A bounded queue that makes producers wait.
pub(crate) trait Lossless {
    type Sender: Offer + Send;
    type Receiver: Receive + Send;

    fn open(capacity: usize, senders: usize) -> (Vec<Self::Sender>, Self::Receiver);
}

/// A producer's end; when the last one is dropped, the receiver ends.
pub(crate) trait Offer {
    /// Waits for room.
    fn offer(&mut self, item: Item);
}

/// The consumer's end.
pub(crate) trait Receive {
    /// Waits for something, and takes what is there. False when all senders are gone and nothing
    /// is left.
    fn receive(&mut self, seen: &mut InOrder) -> bool;
}

/// Millions of items delivered per second.
pub(super) fn run<R: Lossless>(producers: usize, duration: Duration) -> Result<Vec<f64>> {
    let (senders, mut receiver) = R::open(CAPACITY, producers);
    let pace = &Pace::new(producers + 1);
    let (window, pushed, seen) = thread::scope(|scope| {
        let consumer = scope.spawn(move || {
            let mut seen = InOrder::default();
            pace.wait_for_start();
            while receiver.receive(&mut seen) {
                pace.publish(0, seen.seen());
            }
            seen
        });
        let threads: Vec<_> = senders
            .into_iter()
            .enumerate()
            .map(|(index, sender)| scope.spawn(move || produce(sender, index, pace)))
            .collect();
        let window = pace.watch(duration, WATCH_INTERVAL.min(duration / 4), || {});
        let pushed: Vec<u64> = threads
            .into_iter()
            .map(|thread| thread.join().expect("a producer does not panic"))
            .collect();
        let seen = consumer.join().expect("the consumer does not panic");
        (window, pushed, seen)
    });
    check_conserved(&pushed, &seen, &[])?;
    Ok(vec![window.millions_per_s()])
}

fn produce(mut sender: impl Offer, index: usize, pace: &Pace) -> u64 {
    let mut seq = 0;
    pace.wait_for_start();
    while pace.goes_on() {
        for _ in 0..BLOCK {
            sender.offer(Item::new(index, seq));
            seq += 1;
        }
    }
    seq
}
