//! A writer thread, and three subscriptions to what it writes.

use std::collections::VecDeque;
use std::error::Error;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use dataservice::{
    CommitError, DataService, Extract, Extractor, KeyId, LatestValue, PutError, SinceLast, Spec,
    Subscription, SubscriptionStats, WindowByCount,
};

/// How much event time is plotted, in microseconds.
pub(crate) const SPAN_US: i64 = 3_000_000;
/// Values that are plotted: the signal lies between -1 and 1, its spikes at 2.
pub(crate) const VALUES: (f64, f64) = (-1.3, 2.3);

const WINDOW: usize = 100;
const TICK: Duration = Duration::from_millis(40);
const FRAME: Duration = Duration::from_millis(50);
const SPIKE: f64 = 2.0;

type Service = DataService<&'static str, f64>;

pub(crate) struct Session {
    readers: Vec<Reader>,
    /// The writer stops when this is dropped.
    stop: Sender<()>,
    writer: JoinHandle<Result<u64, CommitError<f64>>>,
}

/// A subscription, and what it was shown.
pub(crate) struct Reader {
    pub(crate) name: &'static str,
    subscription: Subscription<f64>,
    pub(crate) seen: Seen,
}

#[derive(Default)]
pub(crate) struct Seen {
    /// Those of the last stretch of time, each once.
    pub(crate) points: VecDeque<Point>,
    /// The number after that of the last update shown.
    next: u64,
    /// How many values were shown, again or not.
    pub(crate) shown: u64,
    /// How many of these had been shown before.
    pub(crate) again: u64,
    pub(crate) spikes: u64,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Point {
    pub(crate) seq: u64,
    pub(crate) time_us: i64,
    pub(crate) value: f64,
}

/// What became of the updates, for one of the readers.
pub(crate) struct Report {
    pub(crate) name: &'static str,
    pub(crate) stats: SubscriptionStats,
    pub(crate) seen: Seen,
    /// How many spikes were written.
    pub(crate) spikes_written: u64,
}

impl Session {
    pub(crate) fn begin() -> Result<Self, Box<dyn Error>> {
        let service = Service::new();
        let key = service.register("signal")?;
        let readers = vec![
            Reader::new("newest value", &service, key, LatestValue)?,
            Reader::new("window of 100", &service, key, WindowByCount::new(WINDOW))?,
            Reader::new("every update", &service, key, SinceLast::new(10_000))?,
        ];
        let (stop, stopped) = mpsc::channel();
        let writer = std::thread::spawn(move || {
            let (mut first, mut spikes) = (0, 0);
            for nth in 0.. {
                if stopped.recv_timeout(TICK) != Err(RecvTimeoutError::Timeout) {
                    break;
                }
                let count = 20 + nth * 67 % 181;
                spikes += commit(&service, key, (nth, first, count))?;
                first += count;
            }
            Ok(spikes)
        });
        Ok(Self {
            readers,
            stop,
            writer,
        })
    }

    /// Looks for so long, and shows each time what the readers have seen.
    pub(crate) fn run(&mut self, duration: Duration, mut show: impl FnMut(&[Reader])) {
        let start = Instant::now();
        while start.elapsed() < duration {
            // Woken by a commit: any of them would do.
            let is_woken = self.readers.iter().any(|it| it.subscription.wait(FRAME));
            if is_woken {
                for reader in &mut self.readers {
                    reader.look();
                }
                show(&self.readers);
            }
            std::thread::sleep(FRAME);
        }
    }

    /// Stops the writer, and looks a last time.
    pub(crate) fn finish(self) -> Result<Vec<Report>, Box<dyn Error>> {
        let Self {
            mut readers,
            stop,
            writer,
        } = self;
        drop(stop);
        let spikes_written = writer.join().map_err(|_| "the writer panicked")??;
        for reader in &mut readers {
            reader.look();
        }
        let reports = readers.into_iter().map(|reader| Report {
            name: reader.name,
            stats: reader.subscription.stats(),
            seen: reader.seen,
            spikes_written,
        });
        Ok(reports.collect())
    }
}

/// Commits one tick of the signal: its number, that of its first update, and how many. Returns how
/// many of the updates are spikes.
fn commit(
    service: &Service,
    key: KeyId,
    (nth, first, count): (i64, i64, i64),
) -> Result<u64, CommitError<f64>> {
    let tick_us = i64::try_from(TICK.as_micros()).unwrap_or(i64::MAX);
    let mut transaction = service.begin();
    let mut spikes = 0;
    for n in 0..count {
        let time_us = nth * tick_us + n * tick_us / count;
        let is_spike = (first + n) % 173 == 86;
        let value = if is_spike {
            SPIKE
        } else {
            let t = time_us as f64 / 1e6;
            0.8 * (t * 4.0).sin() + 0.2 * (t * 31.0).sin()
        };
        spikes += u64::from(is_spike);
        if let Err(PutError { refusal, .. }) = transaction.put(key, time_us, value) {
            return Err(CommitError {
                refusal,
                transaction,
            });
        }
    }
    transaction.commit()?;
    Ok(spikes)
}

impl Reader {
    fn new(
        name: &'static str,
        service: &Service,
        key: KeyId,
        extractor: impl Extractor<f64, Output = Extract<f64>> + 'static,
    ) -> Result<Self, Box<dyn Error>> {
        Ok(Self {
            name,
            subscription: service.subscribe(Spec::new().key(key, extractor))?,
            seen: Seen::default(),
        })
    }

    fn look(&mut self) {
        let Some(snapshot) = self.subscription.poll() else {
            return;
        };
        for update in snapshot.updates() {
            let numbers = update.range().start.number()..;
            let samples = update.times_us().iter().zip(update.values());
            for (seq, (time_us, value)) in numbers.zip(samples) {
                self.seen.note(Point {
                    seq,
                    time_us: *time_us,
                    value: *value,
                });
            }
        }
    }
}

impl Seen {
    fn note(&mut self, point: Point) {
        self.shown += 1;
        if point.seq < self.next {
            self.again += 1;
            return;
        }
        self.next = point.seq + 1;
        self.spikes += u64::from(point.value == SPIKE);
        self.points.push_back(point);
        let oldest_us = point.time_us - SPAN_US;
        while self
            .points
            .front()
            .is_some_and(|first| first.time_us < oldest_us)
        {
            self.points.pop_front();
        }
    }
}

/// The end of what is plotted: the latest time that anybody saw.
pub(crate) fn end_us<'a>(all: impl Iterator<Item = &'a Seen>) -> i64 {
    let newest = all.filter_map(|seen| seen.points.back());
    newest.map(|point| point.time_us).max().unwrap_or(0)
}
