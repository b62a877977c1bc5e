//! What a writer loses to a hundred subscribers that pull deep windows ten times per second.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::ours::Ours;
use super::peers::{DashMap, MutexMap, Port};
use super::store::{PullWindows, Windows};
use super::stream::Stream;
use super::{DASHMAP, ONE_LOCK, PORT, TRANSACTION};
use crate::measure::case::{Against, Case, Contender, Kind, Metric};
use crate::measure::pace::Pace;
use crate::report::Better;

const KEYS: u32 = if cfg!(test) { 20 } else { 1_000 };
const DEPTH: usize = if cfg!(test) { 50 } else { 10_000 };
const SUBSCRIBERS: usize = 100;
const PULL_INTERVAL: Duration = Duration::from_millis(100);
/// Threads that pull for all subscribers.
const PULLERS: usize = 2;
/// Losses that cannot be told from none.
const LOSS_MIN_PCT: f64 = 0.1;

/// How many keys a subscriber pulls: as many as a page of plots shows, or all.
#[derive(Clone, Copy)]
struct Share(u32);

impl Share {
    fn keys_of(self, subscriber: usize) -> Range<u32> {
        let first = subscriber as u32 * self.0 % KEYS;
        first..(first + self.0).min(KEYS)
    }
}

/// The cases.
pub(super) fn cases() -> [Case; 2] {
    [
        case(KEYS / 100, "10 of them each"),
        case(KEYS, "all of them each"),
    ]
}

fn case(keys: u32, what: &str) -> Case {
    let title = format!("1,000 keys x window of 10,000, 100 subscribers of {what} at 10 Hz");
    let share = Share(keys.max(1));
    Case {
        name: format!("windows/{keys}"),
        metrics: vec![
            Metric::new(format!("{title}: loss of the writer"), "%", Better::Lower)
                .aim(1.0, Against::Limit(10.0)),
            Metric::new(
                format!("{title}: pulls, 1,000 are asked for"),
                "/s",
                Better::Higher,
            ),
            Metric::new(format!("{title}: written meanwhile"), "M/s", Better::Higher),
        ],
        contenders: vec![
            Contender::new(Kind::Ours, "ours", move |duration| {
                measure::<Ours>(share, duration)
            }),
            Contender::new(Kind::Peer, PORT, move |duration| {
                measure::<Port>(share, duration)
            }),
            Contender::new(Kind::Peer, ONE_LOCK, move |duration| {
                measure::<MutexMap>(share, duration)
            }),
            Contender::new(Kind::Peer, DASHMAP, move |duration| {
                measure::<DashMap>(share, duration)
            }),
        ],
        duration: Duration::from_millis(600),
    }
}

/// When pullers pull, and how often all of them did.
#[derive(Default)]
struct Pulls {
    are_on: AtomicBool,
    count: AtomicU64,
}

/// The writer's loss in percent, pulls per second, and what it wrote meanwhile in M/s.
fn measure<S: Windows>(share: Share, duration: Duration) -> Result<Vec<f64>> {
    let stream = &Stream::over(KEYS);
    let store = &S::new(KEYS, DEPTH);
    let filled = fill(store);
    let (pace, pulls) = (&Pace::new(1 + PULLERS), &Pulls::default());
    let (loss, pulled, rate, wrong) = thread::scope(|scope| {
        scope.spawn(|| {
            let mut writer = store.writer();
            pace.wait_for_start();
            stream.write_until_stopped(&mut writer, (filled, TRANSACTION), pace)
        });
        let pull = |puller| {
            let own = (puller..SUBSCRIBERS).step_by(PULLERS);
            let subscribe = |number| store.subscribe(share.keys_of(number), DEPTH);
            let subscribers = own.map(subscribe).collect();
            scope.spawn(move || pull_until_stopped::<S>(subscribers, (stream, filled), pace, pulls))
        };
        let pullers: Vec<_> = (0..PULLERS).map(pull).collect();
        pace.wait_for_start();
        thread::sleep(duration / 8);
        // Before and after, so that a machine that gets slower looks like no loss.
        let before = pace.observe(duration / 2).millions_per_s();
        pulls.are_on.store(true, Ordering::Relaxed);
        let first = pulls.count.load(Ordering::Relaxed);
        let meanwhile = pace.observe(duration);
        let pulled = pulls.count.load(Ordering::Relaxed) - first;
        pulls.are_on.store(false, Ordering::Relaxed);
        let after = pace.observe(duration / 2).millions_per_s();
        pace.stop();
        let wrong: u64 = pullers
            .into_iter()
            .map(|puller| puller.join().expect("a puller does not panic"))
            .sum();
        let (rate, without) = (meanwhile.millions_per_s(), f64::midpoint(before, after));
        let pulled = pulled as f64 / meanwhile.elapsed().as_secs_f64();
        ((1.0 - rate / without) * 100.0, pulled, rate, wrong)
    });
    ensure!(wrong == 0, "{wrong} windows were too short, old or torn");
    Ok(vec![loss.max(LOSS_MIN_PCT), pulled, rate])
}

/// Fills every history to its depth, and returns the number of the next update.
fn fill<S: Windows>(store: &S) -> u64 {
    use super::store::Write;

    let mut writer = store.writer();
    for _ in 0..DEPTH {
        for key in 0..KEYS {
            writer.put(key, 0, 0.0);
        }
        writer.commit();
    }
    1
}

/// Pulls for each subscriber when it is due; returns how many windows were wrong.
fn pull_until_stopped<S: Windows>(
    mut subscribers: Vec<S::Subscriber<'_>>,
    (stream, filled): (&Stream, u64),
    pace: &Pace,
    pulls: &Pulls,
) -> u64 {
    let mut wrong = 0;
    let between = PULL_INTERVAL / subscribers.len() as u32;
    pace.wait_for_start();
    let mut due = Instant::now();
    for subscriber in (0..subscribers.len()).cycle() {
        while pace.goes_on() && !pulls.are_on.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(1));
        }
        if !pace.goes_on() {
            break;
        }
        thread::sleep(due.saturating_duration_since(Instant::now()));
        // Who is late does not make up for it.
        due = Instant::now().max(due + between);
        subscribers[subscriber].pull(|key, length, newest| {
            let is_filling = newest < filled as f64;
            let is_right = length == DEPTH && (is_filling || stream.key(newest as u64) == key);
            wrong += u64::from(!is_right);
        });
        pulls.count.fetch_add(1, Ordering::Relaxed);
    }
    wrong
}
