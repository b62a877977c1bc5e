//! Histories: append and take the newest window, alone and beside a reader.

mod alone;
mod beside;

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::ours;
use crate::measure::case::{Against, Case, Contender, Kind, Metric};
use crate::measure::pace::{Pace, thread_time};
use crate::report::Better;

/// The newest values that are taken.
const WINDOW: usize = 100;
/// Appends between two full checks; a prime, so that checks meet every place of a buffer.
const BLOCK: usize = 1_009;

const MAKE_CONTIGUOUS: &str = "VecDeque, make_contiguous";
const COPY_WHEN_SPLIT: &str = "VecDeque, copy when split";
const CONTIGUOUS_ALONE: &str = "VecDeque, make_contiguous, no times";
const SPLIT_ALONE: &str = "VecDeque, copy when split, no times";
const RW_LOCK: &str = "parking_lot RwLock";

/// The last values of one key, with one owner.
pub(crate) trait Store {
    fn new(depth: usize) -> Self;
    /// `time` is for stores that keep one.
    fn append(&mut self, value: f64, time: i64);
    /// The newest values, contiguous and in order.
    fn last(&mut self, count: usize) -> &[f64];
}

/// A store that keeps the times too, in a second one of its kind, and looks up both windows: the
/// work that a history does. Those that keep values alone are shown beside it.
pub(crate) struct Timed<S> {
    values: S,
    times: S,
}

impl<S: Store> Store for Timed<S> {
    fn new(depth: usize) -> Self {
        Self {
            values: S::new(depth),
            times: S::new(depth),
        }
    }

    #[inline(always)]
    fn append(&mut self, value: f64, time: i64) {
        self.values.append(value, time);
        self.times
            .append(f64::from_bits(time.cast_unsigned()), time);
    }

    #[inline(always)]
    fn last(&mut self, count: usize) -> &[f64] {
        std::hint::black_box(self.times.last(count));
        self.values.last(count)
    }
}

/// The last values of one key, written by one thread and read by another.
pub(crate) trait Beside {
    type Writer<'a>: Append + Send
    where
        Self: 'a;
    type Reader<'a>: Snapshot + Send
    where
        Self: 'a;

    fn new(depth: usize) -> Self;
    fn split(&mut self) -> (Self::Writer<'_>, Self::Reader<'_>);
}

pub(crate) trait Append {
    fn append(&mut self, value: f64, time: i64);
}

pub(crate) trait Snapshot {
    /// Shows the newest values, contiguous and in order.
    fn last<R>(&mut self, count: usize, look: impl FnOnce(&[f64]) -> R) -> R;
}

/// What is done with a window.
#[derive(Clone, Copy)]
enum Use {
    /// It is looked up.
    Take,
    /// And added up.
    Sum,
}

macro_rules! alone {
    ($depth:expr, $use:expr) => {
        vec![
            alone!(@ Ours, "ours", ours::Columns, $depth, $use),
            alone!(@ Peer, MAKE_CONTIGUOUS, Timed<alone::MakeContiguous>, $depth, $use),
            alone!(@ Peer, COPY_WHEN_SPLIT, Timed<alone::CopyWhenSplit>, $depth, $use),
            alone!(@ Peer, "Vec with 2.5 times the room", Timed<alone::Roomy>, $depth, $use),
            alone!(@ Peer, "vmcircbuffer", Timed<alone::Mirrored>, $depth, $use),
            alone!(@ Peer, CONTIGUOUS_ALONE, alone::MakeContiguous, $depth, $use),
            alone!(@ Peer, SPLIT_ALONE, alone::CopyWhenSplit, $depth, $use),
            alone!(@ Peer, "Vec with 2.5 times the room, no times", alone::Roomy, $depth, $use),
            alone!(@ Peer, "vmcircbuffer, no times", alone::Mirrored, $depth, $use),
        ]
    };
    (@ $kind:ident, $name:expr, $store:ty, $depth:expr, $use:expr) => {
        Contender::new(Kind::$kind, $name, move |duration| {
            append_and_take::<$store>($depth, $use, duration)
        })
    };
}

macro_rules! beside {
    (@ $kind:ident, $name:expr, $store:ty) => {
        Contender::new(Kind::$kind, $name, append_beside_reader::<$store>)
    };
}

/// The cases of this family.
pub(super) fn cases() -> Vec<Case> {
    let title = "history, append and take the last 100 of";
    vec![
        Case {
            name: "history-append/1000".into(),
            metrics: vec![
                Metric::new(format!("{title} 1,000"), "ns", Better::Lower)
                    .aim(25.0, Against::BestOf(&[MAKE_CONTIGUOUS]))
                    .aim(1.8, Against::BestOf(&[COPY_WHEN_SPLIT])),
            ],
            contenders: alone!(1_000, Use::Take),
            duration: Duration::from_millis(80),
        },
        Case {
            name: "history-append/10000".into(),
            metrics: vec![Metric::new(
                format!("{title} 10,000 and add them up"),
                "ns",
                Better::Lower,
            )],
            contenders: alone!(10_000, Use::Sum),
            duration: Duration::from_millis(80),
        },
        Case {
            name: "history-beside-reader".into(),
            metrics: vec![
                Metric::new(
                    "history, writer beside a reader running flat out, appends per second",
                    "M/s",
                    Better::Higher,
                )
                .aim(1.3, Against::BestOf(&[RW_LOCK])),
                Metric::new(
                    "history, writer beside a reader running flat out, snapshots per second",
                    "M/s",
                    Better::Higher,
                )
                .aim(3.0, Against::BestOf(&[RW_LOCK])),
            ],
            contenders: vec![
                // Beside a reader that never rests a writer publishes per batch.
                beside!(@ Ours, "ours, published in batches of 32", ours::BatchedHistory),
                beside!(@ Variant, "ours, published per append", ours::SharedHistory),
                beside!(@ Peer, RW_LOCK, beside::ParkingLotRwLock),
                beside!(@ Peer, "parking_lot Mutex", beside::ParkingLotMutex),
                beside!(@ Peer, "std RwLock", beside::StdRwLock),
                beside!(@ Peer, "std Mutex", beside::StdMutex),
            ],
            duration: Duration::from_millis(160),
        },
    ]
}

/// Nanoseconds per append with a look at the newest window after each.
fn append_and_take<S: Store>(depth: usize, usage: Use, duration: Duration) -> Result<Vec<f64>> {
    let mut store = S::new(depth);
    let mut next = 0_u32;
    while (next as usize) < 4 * depth {
        store.append(f64::from(next), i64::from(next));
        next += 1;
    }
    let first = next;
    let started = Instant::now();
    let worked = thread_time();
    loop {
        let mut sum = 0.0;
        for _ in 0..BLOCK {
            store.append(f64::from(next), i64::from(next));
            next += 1;
            let window = std::hint::black_box(store.last(WINDOW));
            if let Use::Sum = usage {
                sum = sum_of(window);
            }
        }
        check_window(store.last(WINDOW), next)?;
        if let Use::Sum = usage {
            let expected = sum_of_window(next);
            ensure!(sum == expected, "a window adds up to {sum}, not {expected}");
        }
        if started.elapsed() >= duration {
            let worked = thread_time() - worked;
            return Ok(vec![worked.as_nanos() as f64 / f64::from(next - first)]);
        }
    }
}

/// In eight lanes, as a loop over contiguous numbers should be written.
fn sum_of(window: &[f64]) -> f64 {
    let (chunks, rest) = window.as_chunks::<8>();
    let mut lanes = [0.0; 8];
    for chunk in chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane += value;
        }
    }
    lanes.iter().sum::<f64>() + rest.iter().sum::<f64>()
}

/// The sum of the last values when `next` is to come; all are whole numbers, so it is exact.
fn sum_of_window(next: u32) -> f64 {
    let window = WINDOW as f64;
    window * f64::from(next) - window * (window + 1.0) / 2.0
}

/// Whether the window holds the values right before `next`, each once and in order.
fn check_window(window: &[f64], next: u32) -> Result<()> {
    ensure!(
        window.len() == WINDOW,
        "a window holds {} values",
        window.len()
    );
    let expected = (next - WINDOW as u32)..next;
    for (value, number) in window.iter().zip(expected) {
        ensure!(
            *value == f64::from(number),
            "a window holds {value} in place of {number}"
        );
    }
    Ok(())
}

/// A writer and a reader flat out: millions of appends, and of snapshots, per second.
fn append_beside_reader<S: Beside>(duration: Duration) -> Result<Vec<f64>> {
    const DEPTH: u32 = 10_000;
    let mut store = S::new(DEPTH as usize);
    let (mut writer, mut reader) = store.split();
    for number in 0..2 * DEPTH {
        writer.append(f64::from(number), i64::from(number));
    }
    let pace = &Pace::new(2);
    let (window, read) = thread::scope(|scope| {
        scope.spawn(move || {
            let mut next = 2 * DEPTH;
            pace.wait_for_start();
            while pace.goes_on() {
                for _ in 0..256 {
                    writer.append(f64::from(next), i64::from(next));
                    next += 1;
                }
                pace.publish(0, u64::from(next - 2 * DEPTH));
            }
        });
        let read = scope.spawn(move || read(&mut reader, pace));
        let window = pace.watch(duration, duration / 4, || {});
        (window, read.join().expect("the reader does not panic"))
    });
    read?;
    Ok(vec![
        window.millions_per_s_of(0),
        window.millions_per_s_of(1),
    ])
}

/// Takes snapshots until told to stop. Values are consecutive whole numbers, so a snapshot that is
/// torn, or older than one before, shows.
fn read(reader: &mut impl Snapshot, pace: &Pace) -> Result<()> {
    let (mut count, mut wrong, mut newest) = (0, 0, 0.0);
    pace.wait_for_start();
    while pace.goes_on() {
        for _ in 0..64 {
            wrong += reader.last(WINDOW, |window| check_snapshot(window, &mut newest));
            count += 1;
        }
        pace.publish(1, count);
    }
    ensure!(wrong == 0, "{wrong} of {count} snapshots were torn or old");
    Ok(())
}

/// 1 if the snapshot is torn or older than `newest`, which becomes its last value.
#[inline(always)]
fn check_snapshot(window: &[f64], newest: &mut f64) -> u64 {
    let (&[first, ..], &[.., last]) = (window, window) else {
        return 1;
    };
    let middle = window[window.len() / 2];
    let whole = window.len() == WINDOW && last - first == 99.0 && last - middle == 49.0;
    let wrong = !whole || last < *newest;
    *newest = last;
    u64::from(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(numbers: impl IntoIterator<Item = u32>) -> Vec<f64> {
        numbers.into_iter().map(f64::from).collect()
    }

    #[test]
    fn a_window_that_lost_doubled_or_swapped_a_value_is_detected() {
        let right = values(100..200);
        check_window(&right, 200).unwrap();
        assert!(check_window(&right[1..], 200).is_err());
        for (at, value) in [(0, 99.0), (50, 149.0), (99, 200.0)] {
            let mut wrong = right.clone();
            wrong[at] = value;
            assert!(check_window(&wrong, 200).is_err());
        }
    }

    #[test]
    fn a_torn_or_old_snapshot_is_detected() {
        let mut newest = 0.0;
        assert_eq!(check_snapshot(&values(100..200), &mut newest), 0);
        assert_eq!(check_snapshot(&values(99..199), &mut newest), 1);
        assert_eq!(check_snapshot(&values(300..399), &mut newest), 1);
        let torn = values((300..350).chain(1350..1400));
        assert_eq!(check_snapshot(&torn, &mut newest), 1);
        assert_eq!(check_snapshot(&[], &mut newest), 1);
    }

    #[test]
    fn the_sum_of_a_window_is_known() {
        let window = values(1_000_000..1_000_100);
        assert_eq!(sum_of(&window), sum_of_window(1_000_100));
        assert_eq!(sum_of(&window), window.iter().sum::<f64>());
    }
}
