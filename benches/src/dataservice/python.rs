//! The algorithm that the data service comes from, in the language that it was written in: a
//! thousand keys, and three subscribers of all of them.
//!
//! One wants the newest value of what changed, one a window of 100, one every update. The algorithm
//! calls them at the end of each transaction. Ours is measured as it is used: a thread waits and
//! pulls for the three, everything as it comes, the newest value and the window a thousand times
//! per second, which is twice as often as `CPython` comes to calling anybody. Beside that it is
//! shown polled after every commit.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use dataservice::{
    DataService, Feed, FeedBatch, KeyId, LatestValue, Spec, Subscription, WindowByCount,
};
use serde::Deserialize;

use super::TRANSACTION;
use super::ours::{END_INTERVAL, every_update};
use super::peers::{Port, Wants};
use super::store::Store;
use super::stream::Stream;
use crate::measure::case::{Against, Case, Contender, Kind, Metric};
use crate::process;
use crate::report::Better;

const SCRIPT: &str = include_str!("peer.py");
const PYTHON: &str = "the algorithm in CPython";
const KEYS: u32 = 1_000;
const WINDOW: usize = 100;
/// Between two pulls of newest values.
const PULL_INTERVAL: Duration = Duration::from_millis(1);

/// The case.
pub(super) fn case() -> Case {
    let title = "1,000 keys, 3 subscribers (newest, window of 100, every update)";
    let mut metric = Metric::new(title, "M/s", Better::Higher);
    let mut contenders = vec![
        Contender::new(Kind::Ours, "ours", pulled),
        Contender::new(Kind::Variant, "ours, polled after each commit", polled),
        Contender::new(Kind::Peer, "the algorithm in Rust", ported),
    ];
    if let Some(interpreter) = process::python() {
        metric = metric.aim(200.0, Against::BestOf(&[PYTHON]));
        contenders.push(Contender::new(Kind::Peer, PYTHON, move |duration| {
            python(&interpreter, duration)
        }));
    } else {
        println!("SKIPPED: {PYTHON}, because there is no python3 here\n");
    }
    Case {
        name: "python".into(),
        metrics: vec![metric],
        contenders,
        duration: Duration::from_millis(500),
    }
}

/// What three subscribers saw in the end.
#[derive(Debug, Deserialize)]
struct Seen {
    updates: u64,
    seconds: f64,
    /// By the subscriber that wants every update, and the sum of their values.
    seen: u64,
    sum: f64,
    /// The newest time that the first was shown, and the longest window that the second was.
    newest: u64,
    longest: usize,
}

impl Seen {
    fn millions_per_s(&self) -> Result<Vec<f64>> {
        let Self { updates, seen, .. } = self;
        ensure!(seen == updates, "{seen} of {updates} updates were shown");
        // Whole numbers below 2^53 add up exactly, whatever the order.
        let expected = (u128::from(*updates) * u128::from(updates - 1) / 2) as f64;
        let error = (self.sum - expected).abs();
        ensure!(error <= expected * 1e-9, "values add up to {}", self.sum);
        ensure!(
            self.newest == updates - 1,
            "the newest shown is {} of {updates}",
            self.newest
        );
        ensure!(
            self.longest <= WINDOW,
            "a window held {} values",
            self.longest
        );
        Ok(vec![*updates as f64 / self.seconds / 1e6])
    }
}

fn python(interpreter: &PathBuf, duration: Duration) -> Result<Vec<f64>> {
    let arguments = [
        KEYS.to_string(),
        TRANSACTION.to_string(),
        WINDOW.to_string(),
    ];
    let mut command = Command::new(interpreter);
    command.arg("-c").arg(SCRIPT).args(arguments);
    command.arg(duration.as_secs_f64().to_string());
    let finished = process::measure(&mut command)?;
    let seen: Seen = serde_json::from_str(&finished.stdout).with_context(|| finished.stdout)?;
    seen.millions_per_s()
}

/// The sums that the Rust contenders keep, in atomics so that callbacks may own them.
#[derive(Default)]
struct Tally {
    seen: AtomicU64,
    sum: AtomicU64,
    newest: AtomicU64,
    longest: AtomicU64,
}

impl Tally {
    fn newest(&self, time_us: i64) {
        let time = time_us.cast_unsigned();
        if time > self.newest.load(Ordering::Relaxed) {
            self.newest.store(time, Ordering::Relaxed);
        }
    }

    fn window(&self, length: usize) {
        if length as u64 > self.longest.load(Ordering::Relaxed) {
            self.longest.store(length as u64, Ordering::Relaxed);
        }
    }

    fn fresh(&self, values: impl ExactSizeIterator<Item = f64>) {
        let seen = self.seen.load(Ordering::Relaxed) + values.len() as u64;
        self.seen.store(seen, Ordering::Relaxed);
        let sum = f64::from_bits(self.sum.load(Ordering::Relaxed)) + values.sum::<f64>();
        self.sum.store(sum.to_bits(), Ordering::Relaxed);
    }

    fn batch(&self, batch: &FeedBatch<f64>) {
        for updates in batch.slices() {
            self.fresh(updates.iter().map(|update| update.value));
        }
    }

    fn seen(&self, updates: u64, elapsed: Duration) -> Seen {
        Seen {
            updates,
            seconds: elapsed.as_secs_f64(),
            seen: self.seen.load(Ordering::Relaxed),
            sum: f64::from_bits(self.sum.load(Ordering::Relaxed)),
            newest: self.newest.load(Ordering::Relaxed),
            longest: self.longest.load(Ordering::Relaxed) as usize,
        }
    }
}

fn ported(duration: Duration) -> Result<Vec<f64>> {
    let stream = Stream::over(KEYS);
    let port = Port::new(KEYS, WINDOW);
    let mut writer = port.writer();
    let tally = Arc::new(Tally::default());
    let own = Arc::clone(&tally);
    let latest = move |_, shown: &[(i64, f64)]| {
        if let Some((time_us, _)) = shown.last() {
            own.newest(*time_us);
        }
    };
    writer.subscribe(Wants::Latest, Box::new(latest));
    let own = Arc::clone(&tally);
    let window = move |_, shown: &[(i64, f64)]| own.window(shown.len());
    writer.subscribe(Wants::Window(WINDOW), Box::new(window));
    let own = Arc::clone(&tally);
    let fresh = move |_, shown: &[(i64, f64)]| own.fresh(shown.iter().map(|(_, value)| *value));
    writer.subscribe(Wants::SinceLast, Box::new(fresh));
    let (started, mut next) = (Instant::now(), 0);
    while started.elapsed() < duration {
        next = stream.write(&mut writer, next, TRANSACTION);
    }
    tally.seen(next, started.elapsed()).millions_per_s()
}

/// The three subscribers. The one of every update reads a feed, as it should for all keys.
struct Subscribers {
    latest: Subscription<f64>,
    window: Subscription<f64>,
    feed: Feed<f64>,
}

impl Subscribers {
    fn new(service: &DataService<u32, f64>) -> Result<Self> {
        let ids = || (0..KEYS).map(KeyId::from_number);
        Ok(Self {
            latest: service.subscribe(Spec::new().keys(ids(), LatestValue))?,
            window: service.subscribe(Spec::new().keys(ids(), WindowByCount::new(WINDOW)))?,
            feed: service.feed(every_update())?,
        })
    }

    fn poll_feed(&mut self, tally: &Tally) {
        if let Some(batch) = self.feed.poll() {
            tally.batch(&batch);
        }
    }

    fn poll_newest(&mut self, tally: &Tally) {
        if let Some(snapshot) = self.latest.poll() {
            for update in snapshot.updates() {
                if let Some(time_us) = update.times_us().last() {
                    tally.newest(*time_us);
                }
            }
        }
        if let Some(snapshot) = self.window.poll() {
            for update in snapshot.updates() {
                tally.window(update.values().len());
            }
        }
    }
}

fn service() -> Result<DataService<u32, f64>> {
    let service = DataService::new();
    service.register_all((0..KEYS).collect())?;
    Ok(service)
}

fn write(service: &DataService<u32, f64>, stream: &Stream, next: &mut u64) -> Result<()> {
    let mut transaction = service.begin();
    for _ in 0..TRANSACTION {
        let id = KeyId::from_number(stream.key(*next));
        transaction.put(id, next.cast_signed(), *next as f64)?;
        *next += 1;
    }
    transaction.commit()?;
    Ok(())
}

/// The subscribers are polled by the thread that writes.
fn polled(duration: Duration) -> Result<Vec<f64>> {
    let (service, stream, tally) = (service()?, Stream::over(KEYS), Tally::default());
    let mut subscribers = Subscribers::new(&service)?;
    let (started, mut next) = (Instant::now(), 0);
    while started.elapsed() < duration {
        write(&service, &stream, &mut next)?;
        subscribers.poll_feed(&tally);
        subscribers.poll_newest(&tally);
    }
    tally.seen(next, started.elapsed()).millions_per_s()
}

/// The subscribers have a thread, which is woken and polls. It counts until all is seen.
fn pulled(duration: Duration) -> Result<Vec<f64>> {
    let (service, stream, tally) = (service()?, Stream::over(KEYS), &Tally::default());
    let mut subscribers = Subscribers::new(&service)?;
    let is_ended = &AtomicBool::new(false);
    let (started, mut next) = (Instant::now(), 0);
    let (written, ended) = thread::scope(|scope| {
        let reader = scope.spawn(move || {
            let (mut polled, mut ended) = (started, started);
            loop {
                // Asked before, so that what was written last is waited for.
                let is_last = is_ended.load(Ordering::Acquire);
                if let Ok(batch) = subscribers.feed.next(END_INTERVAL) {
                    tally.batch(&batch);
                    ended = Instant::now();
                } else if is_last {
                    subscribers.poll_newest(tally);
                    return ended;
                }
                if ended - polled >= PULL_INTERVAL {
                    subscribers.poll_newest(tally);
                    polled = ended;
                }
            }
        });
        let mut written = Ok(());
        while started.elapsed() < duration && written.is_ok() {
            written = write(&service, &stream, &mut next);
        }
        is_ended.store(true, Ordering::Release);
        (written, reader.join().expect("the reader does not panic"))
    });
    written?;
    tally.seen(next, ended - started).millions_per_s()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen() -> Seen {
        Seen {
            updates: 10,
            seconds: 2.0,
            seen: 10,
            sum: 45.0,
            newest: 9,
            longest: 100,
        }
    }

    #[test]
    fn a_lost_changed_or_stale_update_is_detected() {
        assert_eq!(seen().millions_per_s().unwrap(), [5e-6]);
        for wrong in [
            Seen { seen: 9, ..seen() },
            Seen {
                sum: 44.0,
                ..seen()
            },
            Seen {
                newest: 8,
                ..seen()
            },
            Seen {
                longest: 101,
                ..seen()
            },
        ] {
            assert!(wrong.millions_per_s().is_err(), "{wrong:?}");
        }
    }
}
