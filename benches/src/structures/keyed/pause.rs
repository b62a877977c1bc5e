//! How long a single `add` can last while everything is taken.
//!
//! Two threads add keys that are all in the map already; then one take. The thread that is timed
//! has a processor to itself: the taker and the other adder share the rest, so what it waits for is
//! the structure and not its turn. The time of every add is taken from the end of the one before,
//! so that nothing falls between two. Should another process get that processor all the same, the
//! time for which the kernel says that the thread was ready and did not run is taken off; time
//! asleep, as for a lock, is not.

use std::fs;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::keys::Key;
use super::{Add, Keyed, Totals};
use crate::measure::affinity;
use crate::measure::pace::Pace;

/// The limit that the project sets itself.
pub(super) const LIMIT_MS: f64 = 1.0;
const KEYS: u32 = if cfg!(test) { 3_500 } else { 350_000 };
const THREADS: usize = 2;
/// An add that lasts longer is looked at closely.
const SUSPICIOUS: Duration = Duration::from_micros(20);

/// The keys of both threads, each in an order of its own.
#[derive(Clone)]
pub(super) struct Work {
    streams: Arc<[Vec<u64>; THREADS]>,
}

impl Default for Work {
    fn default() -> Self {
        let stream = |thread| {
            let mut ranks: Vec<u32> = (0..KEYS).collect();
            fastrand::Rng::with_seed(thread as u64 + 1).shuffle(&mut ranks);
            u64::stream(&ranks)
        };
        Self {
            streams: Arc::new(std::array::from_fn(stream)),
        }
    }
}

impl Work {
    /// Milliseconds of the longest add from shortly before the take until the end.
    pub(super) fn measure<K: Key, M: Keyed<u64>>(&self, duration: Duration) -> Result<Vec<f64>> {
        let map = &M::new();
        let pace = &Pace::new(THREADS);
        let [timed_keys, other_keys] = &*self.streams;
        let mut taken = Totals::<u64>::default();
        let processors = affinity::Processors::divided();
        let (timed, other, keys) = thread::scope(|scope| {
            let timed = scope.spawn(|| {
                processors.keep_to_own();
                add_timed(map, timed_keys, pace)
            });
            let other = scope.spawn(|| {
                processors.keep_to_shared();
                add_until_stopped(map, other_keys, pace)
            });
            let taker = scope.spawn(|| {
                processors.keep_to_shared();
                // Passed when both threads have added every key.
                pace.wait_for_start();
                thread::sleep(duration / 12);
                map.take(&mut taken);
                let keys = taken.keys();
                thread::sleep(duration / 4);
                pace.stop();
                keys
            });
            (timed.join(), other.join(), taker.join())
        });
        let (timed_count, longest) = timed.expect("the timed adder does not panic");
        let other_count = other.expect("the other adder does not panic");
        let keys = keys.expect("the taker does not panic");
        map.take(&mut taken);
        let mut added = Totals::default();
        added.add_stream((timed_keys, timed_keys.len()), timed_count);
        added.add_stream((other_keys, other_keys.len()), other_count);
        taken.check_equal(&added)?;
        ensure!(
            keys == u64::from(KEYS),
            "the take had {keys} keys, not {KEYS}"
        );
        Ok(vec![longest.as_secs_f64() * 1e3])
    }
}

/// Adds every key, then waits for the others, and goes on until told to stop.
fn add_until_stopped<M: Keyed<u64>>(map: &M, stream: &[u64], pace: &Pace) -> u64 {
    let mut adder = map.adder();
    let mut count = add_each(&mut adder, stream);
    pace.wait_for_start();
    while pace.goes_on() {
        count += add_each(&mut adder, stream);
    }
    count
}

fn add_each(adder: &mut impl Add<u64>, stream: &[u64]) -> u64 {
    for key in stream {
        adder.add(key);
    }
    stream.len() as u64
}

/// As `add_until_stopped`, with a clock on every add after the start: also the longest of them.
fn add_timed<M: Keyed<u64>>(map: &M, stream: &[u64], pace: &Pace) -> (u64, Duration) {
    let mut adder = map.adder();
    let mut count = add_each(&mut adder, stream);
    pace.wait_for_start();
    let mut longest = Duration::ZERO;
    let (mut waited, mut before) = fresh_start();
    for key in stream.iter().cycle() {
        adder.add(key);
        count += 1;
        let now = Instant::now();
        let lasted = now - before;
        before = now;
        if lasted > SUSPICIOUS {
            let in_queue = waited_for_processor().saturating_sub(waited);
            longest = longest.max(lasted.saturating_sub(in_queue));
            (waited, before) = fresh_start();
        } else {
            longest = longest.max(lasted);
        }
        if count.is_multiple_of(256) && !pace.goes_on() {
            break;
        }
    }
    (count, longest)
}

/// The time waited so far, and the time, read close enough together that nothing is between them.
fn fresh_start() -> (Duration, Instant) {
    loop {
        let begun = Instant::now();
        let waited = waited_for_processor();
        let now = Instant::now();
        if now - begun <= SUSPICIOUS {
            return (waited, now);
        }
    }
}

/// How long this thread was ready to run and another had the processor, since it began. 0 where
/// the kernel does not say, and then the pauses are those of the scheduler too.
fn waited_for_processor() -> Duration {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(waited_ns_in(&text))
}

/// The second field of `schedstat`, in nanoseconds.
fn waited_ns_in(schedstat: &str) -> u64 {
    let field = schedstat.split_whitespace().nth(1);
    field.and_then(|field| field.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_spent_waiting_for_a_processor_is_the_second_field() {
        assert_eq!(waited_ns_in("250318743 93972304 136\n"), 93_972_304);
        assert_eq!(waited_ns_in(""), 0);
    }

    #[test]
    fn both_streams_hold_every_key_once() {
        let Work { streams } = Work::default();
        for stream in streams.iter() {
            let mut keys = stream.clone();
            keys.sort_unstable();
            keys.dedup();
            assert_eq!(keys.len(), KEYS as usize);
        }
        assert_ne!(streams[0], streams[1]);
    }
}
