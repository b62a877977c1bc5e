//! Histories: one writer that appends, publishes, grows, shrinks and clears, beside readers that
//! take snapshots, keep some for a while, follow a cursor, and come and go.
//!
//! The value of number n is n, and its time is 10 n. So a reader knows what every window must hold,
//! and a snapshot that changes while it is held is noticed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use buffer_core::{Cursor, History, Pool, Reader, Room, Snapshot, Window};
use parking_lot::Mutex;

use crate::ledger::{Alive, Report, Tracked};

const TIME_STEP: i64 = 10;
const HELD_MAX: usize = 8;

/// What the threads of a round share.
#[derive(Default)]
struct Round {
    alive: Alive,
    /// Readers that the writer made and nobody has fetched yet.
    offered: Mutex<Vec<Reader<Tracked>>>,
    over: AtomicBool,
    /// Set when everything is published that ever will be.
    written: AtomicBool,
}

/// One history from its start until the last snapshot is gone.
pub(crate) fn round(seed: u64) -> Result<Report> {
    let mut random = fastrand::Rng::with_seed(seed);
    let depth = [0, 1, 2, random.usize(3..64), random.usize(64..2_000)][random.usize(0..5)];
    let room = Room::new(random.u32(1..32), 1.5 + 2.0 * random.f32())?;
    let mut history = History::with_room(depth, room);
    let pool = Pool::new(random.usize(0..1 << 20));
    if random.bool() && !crate::SANITIZED.load(Ordering::Relaxed) {
        history = history.with_pool(&pool);
    }
    let round = Round::default();
    let report = play(&round, history, &mut random);
    let report = report.with_context(|| format!("history of {depth} values, {room:?}"))?;
    drop((round.offered, pool));
    let alive = round.alive.count();
    ensure!(alive == 0, "{alive} values are alive that nobody owns");
    Ok(report)
}

fn play(
    round: &Round,
    mut history: History<Tracked>,
    random: &mut fastrand::Rng,
) -> Result<Report> {
    let length = Duration::from_millis(random.u64(20..120));
    let readers = random.usize(1..=2);
    let (written, read) = thread::scope(|scope| {
        let first: Vec<_> = (0..readers).map(|_| history.reader()).collect();
        let readers: Vec<_> = first
            .into_iter()
            .map(|reader| (reader, random.fork()))
            .map(|(reader, random)| scope.spawn(move || read(round, reader, random)))
            .collect();
        let random = random.fork();
        let writer = scope.spawn(move || write(round, history, random));
        thread::sleep(length);
        round.over.store(true, Ordering::Relaxed);
        let written = writer.join();
        round.written.store(true, Ordering::Release);
        let read: Vec<_> = readers
            .into_iter()
            .map(thread::ScopedJoinHandle::join)
            .collect();
        (written, read)
    });
    const PANICKED: &str = "a thread panicked";
    let mut report = written.map_err(|_| anyhow::anyhow!(PANICKED))??;
    for read in read {
        report.add(&read.map_err(|_| anyhow::anyhow!(PANICKED))??);
    }
    Ok(report)
}

/// Appends and changes the depth until the round is over; accounts for what left.
fn write(
    round: &Round,
    mut history: History<Tracked>,
    mut random: fastrand::Rng,
) -> Result<Report> {
    let (mut appended, mut left, mut changes) = (0_u64, 0_u64, 0_u64);
    while !round.over.load(Ordering::Relaxed) {
        match random.u8(0..100) {
            0..90 => {
                let is_deferred = random.bool();
                for _ in 0..random.u8(1..50) {
                    let value = Tracked::new(0, appended + 1, &round.alive);
                    let time = TIME_STEP * (appended as i64 + 1);
                    let done = if is_deferred {
                        history.append_deferred(value, time)
                    } else {
                        history.append(value, time)
                    };
                    appended += 1;
                    ensure!(done.seq.number() == appended, "numbers are not dense");
                    left += done.displaced.len() as u64;
                }
                history.publish();
            }
            90..93 => {
                history.grow(random.usize(0..2_000));
                changes += 1;
            }
            93..96 => {
                left += history.shrink(random.usize(0..2_000)).len() as u64;
                changes += 1;
            }
            96 => {
                left += history.clear().len() as u64;
                changes += 1;
            }
            97 => {
                let mut offered = round.offered.lock();
                if offered.len() < 2 {
                    offered.push(history.reader());
                }
            }
            _ => thread::yield_now(),
        }
        let all = history.window(usize::MAX);
        check_window(&all)?;
        ensure!(
            history.appended() == appended
                && left + all.len() as u64 == appended
                && all.range().end.number() == appended + 1
                && all.len() <= history.depth(),
            "of {appended} values, {left} left and {} are there",
            all.len()
        );
    }
    history.publish();
    let mut report = Report::default();
    report.count("values appended", appended);
    report.count("changes of depth", changes);
    Ok(report)
}

/// A reader and what it has seen.
struct Seen {
    reader: Reader<Tracked>,
    cursor: Cursor,
    followed: u64,
    missed: u64,
    newest: u64,
    held: Vec<(Snapshot<Tracked>, u64)>,
    snapshots: u64,
}

/// Reads until everything was written; then the cursor must have come to the end.
fn read(round: &Round, reader: Reader<Tracked>, mut random: fastrand::Rng) -> Result<Report> {
    let mut seen = Seen {
        reader,
        cursor: Cursor::START,
        followed: 0,
        missed: 0,
        newest: 0,
        held: Vec::new(),
        snapshots: 0,
    };
    loop {
        let is_last = round.written.load(Ordering::Acquire);
        match random.u8(0..100) {
            0..50 => {
                let snapshot = seen.reader.window(random.usize(0..300));
                seen.look(snapshot, &mut random)?;
            }
            50..60 => {
                let snapshot = seen.reader.within(random.i64(0..3_000));
                seen.look(snapshot, &mut random)?;
            }
            60..70 => {
                let snapshot = seen.reader.latest();
                seen.look(snapshot, &mut random)?;
            }
            70..95 => seen.follow()?,
            95..97 => {
                if let Some(reader) = round.offered.lock().pop() {
                    seen.reader = reader;
                }
            }
            97 => seen.reader = seen.reader.clone(),
            _ => thread::yield_now(),
        }
        let published = seen.reader.published();
        ensure!(published >= seen.newest, "what is published went back");
        if is_last {
            seen.follow()?;
            ensure!(
                seen.cursor.number() == published && seen.followed + seen.missed == published,
                "of {published} values, a cursor brought {} and missed {}",
                seen.followed,
                seen.missed
            );
            let mut report = Report::default();
            report.count("snapshots", seen.snapshots);
            report.count("values brought by a cursor", seen.followed);
            report.count("values missed by a cursor", seen.missed);
            return Ok(report);
        }
    }
}

impl Seen {
    /// Checks a snapshot, keeps it perhaps, and looks again at one that was kept.
    fn look(&mut self, snapshot: Snapshot<Tracked>, random: &mut fastrand::Rng) -> Result<()> {
        check_window(&snapshot.window())?;
        self.snapshots += 1;
        let end = snapshot.range().end.number();
        ensure!(end > self.newest, "a snapshot is older than one before");
        self.newest = end - 1;
        if random.u8(0..4) == 0 {
            if self.held.len() == HELD_MAX {
                let (old, end) = self.held.swap_remove(random.usize(0..HELD_MAX));
                check_window(&old.window())?;
                ensure!(old.range().end.number() == end, "a snapshot changed");
            }
            self.held.push((snapshot, end));
        }
        Ok(())
    }

    fn follow(&mut self) -> Result<()> {
        let since = self.reader.since(self.cursor);
        check_window(&since.window.window())?;
        let brought = since.window.len() as u64;
        let before = self.cursor.number();
        ensure!(
            since.next.number() == before + since.missed + brought
                && since.window.range().end.number() == since.next.number() + 1,
            "after {before}, a cursor brought {brought}, missed {} and went to {}",
            since.missed,
            since.next.number()
        );
        self.followed += brought;
        self.missed += since.missed;
        self.cursor = since.next;
        Ok(())
    }
}

/// Whether a window holds consecutive values up to its end, with their times.
fn check_window(window: &Window<'_, Tracked>) -> Result<()> {
    let range = window.range();
    let numbers = range.start.number()..range.end.number();
    ensure!(
        window.len() as u64 == numbers.end - numbers.start
            && window.values().len() == window.times().len(),
        "a window of {numbers:?} holds {} values",
        window.len()
    );
    for ((value, time), number) in window.values().iter().zip(window.times()).zip(numbers) {
        let found = value.name().number;
        ensure!(
            found == number && *time == TIME_STEP * number as i64,
            "in place of value {number}, there is {found} of time {time}"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_with_another_value_or_time_is_detected() {
        let alive = Alive::default();
        let history = |values: &[(u64, i64)]| {
            let mut history = History::new(10);
            for (number, time) in values {
                drop(history.append(Tracked::new(0, *number, &alive), *time));
            }
            history
        };
        check_window(&history(&[(1, 10), (2, 20)]).window(2)).unwrap();
        for wrong in [[(1, 10), (1, 20)], [(2, 10), (3, 20)], [(1, 10), (2, 10)]] {
            assert!(
                check_window(&history(&wrong).window(2)).is_err(),
                "{wrong:?}"
            );
        }
    }
}
