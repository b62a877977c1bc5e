//! Coalescers: adds in every way there is, caps of all kinds, takes, batches that come back whole
//! or in part, and writers that come and go.
//!
//! The values are small whole numbers, so that sums are exact; a value names nothing, a key does.
//! Per key, what was accepted must be what was taken out for good, in number and in sum; under an
//! overflow key, which takes in others, that holds for all keys together.

mod adder;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use coalesce::{Coalescer, CoalescerStats, Sum, Taken, WhenFull, WhenKeysFull};

use crate::ledger::Report;
use adder::Added;

/// The key that takes in others, which no thread adds to by itself.
const OVERFLOW_KEY: &str = "other";

/// What a round shares.
struct Round {
    coalescer: Coalescer<String, Sum>,
    keys: u32,
    over: AtomicBool,
}

/// Updates by key: how many, and the sum of their values.
#[derive(Debug, Default)]
struct Totals(BTreeMap<String, (u64, f64)>);

impl Totals {
    fn add(&mut self, key: &str, updates: u64, sum: f64) {
        match self.0.get_mut(key) {
            Some(total) => {
                total.0 += updates;
                total.1 += sum;
            }
            None => {
                self.0.insert(key.to_owned(), (updates, sum));
            }
        }
    }

    fn add_batch(&mut self, batch: &Taken<String, f64>) {
        for entry in batch {
            self.add(&entry.key, entry.updates, entry.partial);
        }
    }

    fn merge(&mut self, other: &Self) {
        for (key, (updates, sum)) in &other.0 {
            self.add(key, *updates, *sum);
        }
    }

    fn all(&self) -> (u64, f64) {
        let sum = |a: (u64, f64), b: &(u64, f64)| (a.0 + b.0, a.1 + b.1);
        self.0.values().fold((0, 0.0), sum)
    }
}

/// What a taker did.
#[derive(Default)]
struct Taking {
    delivered: Totals,
    restored: u64,
    takes: u64,
    looks: u64,
}

/// One coalescer from its start to the last update.
pub(crate) fn round(seed: u64) -> Result<Report> {
    let mut random = fastrand::Rng::with_seed(seed);
    let keys = 1 << random.u32(0..12);
    let updates_max = [None, Some(1 << random.u32(0..16))][random.usize(0..2)];
    let when_full = [WhenFull::Reject, WhenFull::FlushNow][random.usize(0..2)];
    // One of the two caps there must be.
    let keys_max = match random.u8(0..3) {
        0 if updates_max.is_some() => None,
        _ => Some(u64::from(random.u32(1..=2 * keys))),
    };
    let when_keys_full = match random.u8(0..3) {
        0 => WhenKeysFull::Reject,
        1 => WhenKeysFull::FlushNow,
        _ => WhenKeysFull::OverflowKey(OVERFLOW_KEY.to_owned()),
    };
    let overflows = keys_max.is_some() && matches!(when_keys_full, WhenKeysFull::OverflowKey(_));
    let settings = format!(
        "{keys} keys, at most {updates_max:?} updates, {when_full:?}, at most {keys_max:?} keys, \
         {when_keys_full:?}"
    );
    let coalescer = Coalescer::builder(Sum)
        .updates_max(updates_max, when_full)
        .keys_max(keys_max, when_keys_full)
        .flush_at(None)
        .build()?;
    let round = Round {
        coalescer,
        keys,
        over: AtomicBool::new(false),
    };
    play(&round, &mut random, overflows).with_context(|| format!("coalescer of {settings}"))
}

fn play(round: &Round, random: &mut fastrand::Rng, overflows: bool) -> Result<Report> {
    let adders = random.usize(1..=3);
    let takers = random.usize(1..=2);
    let length = Duration::from_millis(random.u64(20..120));
    let takes_over = &AtomicBool::new(false);
    let (added, taken) = thread::scope(|scope| {
        let adders: Vec<_> = (0..adders)
            .map(|_| random.fork())
            .map(|random| scope.spawn(move || adder::run(round, random)))
            .collect();
        let takers: Vec<_> = (0..takers)
            .map(|_| random.fork())
            .map(|random| scope.spawn(move || take(round, random, takes_over)))
            .collect();
        thread::sleep(length);
        round.over.store(true, Ordering::Relaxed);
        let added: Vec<_> = adders
            .into_iter()
            .map(thread::ScopedJoinHandle::join)
            .collect();
        takes_over.store(true, Ordering::Relaxed);
        let taken: Vec<_> = takers
            .into_iter()
            .map(thread::ScopedJoinHandle::join)
            .collect();
        (added, taken)
    });
    const PANICKED: &str = "a thread panicked";
    let (mut all_added, mut all_taken) = (Added::default(), Taking::default());
    for added in added {
        all_added.merge(&added.map_err(|_| anyhow::anyhow!(PANICKED))??);
    }
    for taken in taken {
        let taken = taken.map_err(|_| anyhow::anyhow!(PANICKED))??;
        all_taken.delivered.merge(&taken.delivered);
        all_taken.restored += taken.restored;
        all_taken.takes += taken.takes;
        all_taken.looks += taken.looks;
    }
    all_taken.delivered.add_batch(&round.coalescer.take());
    account(round, &all_added, &all_taken, overflows)?;
    let mut report = all_added.report();
    report.count("updates restored", all_taken.restored);
    report.count("takes", all_taken.takes);
    report.count("looks at the statistics", all_taken.looks);
    Ok(report)
}

/// Takes, delivers or brings back, and looks at the statistics, until told to stop.
fn take(round: &Round, mut random: fastrand::Rng, over: &AtomicBool) -> Result<Taking> {
    let coalescer = &round.coalescer;
    let mut out = Taking::default();
    while !over.load(Ordering::Relaxed) {
        let batch = coalescer.take();
        out.takes += 1;
        let count: u64 = batch.entries().iter().map(|entry| entry.updates).sum();
        ensure!(
            count == batch.updates() && batch.keys() == batch.entries().len(),
            "a batch of {count} updates says that it has {}",
            batch.updates()
        );
        match random.u8(0..10) {
            0 | 1 => {
                out.restored += batch.updates();
                coalescer.restore(batch);
            }
            2 => {
                // A sink that refused some of the rows.
                let (kept, back): (Vec<_>, Vec<_>) = batch.into_iter().partition(|_| random.bool());
                let back: Taken<_, _> = back.into_iter().collect();
                out.restored += back.updates();
                coalescer.restore(back);
                out.delivered.add_batch(&kept.into_iter().collect());
            }
            _ => out.delivered.add_batch(&batch),
        }
        check_stats(&coalescer.stats())?;
        out.looks += 1;
        if random.u8(0..3) == 0 {
            thread::sleep(Duration::from_micros(random.u64(0..3_000)));
        }
    }
    Ok(out)
}

/// What holds at every moment.
fn check_stats(stats: &CoalescerStats) -> Result<()> {
    ensure!(
        stats.updates_offered == stats.updates_buffered + stats.updates_refused
            && stats.updates_buffered + stats.updates_restored
                == stats.updates_flushed + stats.current_buffer_size
            && stats.updates_refused
                == stats.refused_invalid + stats.refused_keys_full + stats.refused_updates_full,
        "the statistics do not add up: {stats:?}"
    );
    Ok(())
}

/// Whether everything that was accepted was taken out once, and the statistics say the same.
fn account(round: &Round, added: &Added, taken: &Taking, overflows: bool) -> Result<()> {
    let mut out = Totals::default();
    out.merge(&taken.delivered);
    out.merge(&added.flushed);
    let stats = round.coalescer.stats();
    ensure!(
        added.accepted.all() == out.all(),
        "updates and their sum: {:?} were accepted and {:?} taken out; {stats:?}",
        added.accepted.all(),
        out.all()
    );
    if !overflows {
        for (key, total) in &added.accepted.0 {
            let taken = out.0.get(key).copied().unwrap_or_default();
            ensure!(
                *total == taken,
                "of key {key}, updates and sum {total:?} were accepted and {taken:?} taken out"
            );
        }
    }
    check_stats(&stats)?;
    let expected = [
        (
            "updates_buffered",
            stats.updates_buffered,
            added.accepted.all().0,
        ),
        ("updates_refused", stats.updates_refused, added.refused),
        ("refused_invalid", stats.refused_invalid, added.invalid),
        ("updates_restored", stats.updates_restored, taken.restored),
        ("current_buffer_size", stats.current_buffer_size, 0),
        ("unique_keys", stats.unique_keys, 0),
    ];
    for (what, counted, expected) in expected {
        ensure!(
            counted == expected,
            "the statistics say {what} {counted}, and it was {expected}"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_are_kept_by_key() {
        let mut totals = Totals::default();
        totals.add("a", 2, 3.0);
        totals.add("b", 1, 1.0);
        let mut more = Totals::default();
        more.add("a", 1, 4.0);
        totals.merge(&more);
        assert_eq!(totals.0["a"], (3, 7.0));
        assert_eq!(totals.all(), (4, 8.0));
    }
}
