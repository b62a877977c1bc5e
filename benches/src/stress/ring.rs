//! Rings: all policies and orders, handles that come and go, leases that are acknowledged, dropped
//! or lost in a panic, resizing and closing, all at once.

mod consumer;
mod producer;

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use buffer_core::{Order, OverflowPolicy, Ring, RingStats};

use crate::ledger::{Alive, Ledger, Report, Tracked};
use consumer::Consumed;
use producer::Produced;

/// The settings of a round, and what its threads share.
struct Round {
    ring: Ring<Tracked>,
    alive: Alive,
    /// Set when producers should end.
    over: AtomicBool,
    /// Set when producers have ended and the ring is closed.
    closed: AtomicBool,
    next_owner: AtomicU32,
    capacity_max: usize,
}

impl Round {
    /// An owner that no item had so far: every handle, and every thread's shared push, is one.
    fn new_owner(&self) -> u32 {
        self.next_owner.fetch_add(1, Ordering::Relaxed)
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }
}

/// One ring from its start to the last item.
pub(crate) fn round(seed: u64) -> Result<Report> {
    let mut random = fastrand::Rng::with_seed(seed);
    let capacity = 1 << random.u32(0..10);
    let policy = match random.u8(0..4) {
        0 => OverflowPolicy::DropOldest,
        1 => OverflowPolicy::DropNewest,
        2 => OverflowPolicy::Reject,
        _ => OverflowPolicy::Block(Duration::from_micros(random.u64(0..3_000))),
    };
    let order = if random.bool() {
        Order::Global
    } else {
        Order::PerProducer
    };
    let producers = random.usize(1..=3);
    let consumers = random.usize(1..=2);
    let resizes = random.bool();
    let length = Duration::from_millis(random.u64(20..120));
    let settings = format!(
        "{capacity} items, {order:?}, {policy:?}, {producers} producers, {consumers} consumers"
    );
    let builder = Ring::builder(capacity).policy(policy).order(order);
    let round = Round {
        ring: builder.build()?,
        alive: Alive::default(),
        over: AtomicBool::new(false),
        closed: AtomicBool::new(false),
        next_owner: AtomicU32::new(0),
        capacity_max: 2 * capacity,
    };
    play(&round, &mut random, (producers, consumers), resizes, length)
        .with_context(|| format!("ring of {settings}"))
}

fn play(
    round: &Round,
    random: &mut fastrand::Rng,
    (producers, consumers): (usize, usize),
    resizes: bool,
    length: Duration,
) -> Result<Report> {
    let closes_early = random.u8(0..4) == 0;
    let (produced, consumed, meddled) = thread::scope(|scope| {
        let producers: Vec<_> = (0..producers)
            .map(|_| random.fork())
            .map(|random| scope.spawn(move || producer::run(round, random)))
            .collect();
        let consumers: Vec<_> = (0..consumers)
            .map(|_| random.fork())
            .map(|random| scope.spawn(move || consumer::run(round, random, consumers == 1)))
            .collect();
        let meddler = random.fork();
        let meddler = scope.spawn(move || meddle(round, meddler, resizes, length));
        let meddled = meddler.join();
        if closes_early {
            round.ring.close();
        }
        round.over.store(true, Ordering::Relaxed);
        let produced: Vec<_> = producers
            .into_iter()
            .map(thread::ScopedJoinHandle::join)
            .collect();
        round.ring.close();
        round.closed.store(true, Ordering::Release);
        let consumed: Vec<_> = consumers
            .into_iter()
            .map(thread::ScopedJoinHandle::join)
            .collect();
        (produced, consumed, meddled)
    });
    const PANICKED: &str = "a thread panicked";
    let (mut all_produced, mut all_consumed) = (Produced::default(), Consumed::default());
    for produced in produced {
        all_produced.add(&produced.map_err(|_| anyhow::anyhow!(PANICKED))??);
    }
    for consumed in consumed {
        all_consumed.add(&consumed.map_err(|_| anyhow::anyhow!(PANICKED))??);
    }
    let (evicted, looks) = meddled.map_err(|_| anyhow::anyhow!(PANICKED))??;
    account(round, &all_produced, &all_consumed, &evicted)?;
    let mut report = all_produced.report();
    report.add(&all_consumed.report());
    report.count("items evicted by resizing", evicted.count());
    report.count("looks at the statistics", looks);
    Ok(report)
}

/// Looks at the statistics all the time, and changes the size now and then. Returns what that
/// evicted, and how often it looked.
fn meddle(
    round: &Round,
    mut random: fastrand::Rng,
    resizes: bool,
    length: Duration,
) -> Result<(Ledger, u64)> {
    let mut evicted = Ledger::default();
    let mut looks = 0;
    let until = Instant::now() + length;
    while Instant::now() < until {
        check_stats(&round.ring.stats(), round.capacity_max)?;
        looks += 1;
        match random.u8(0..8) {
            0 if resizes => {
                for item in &round.ring.resize(random.usize(1..=round.capacity_max))? {
                    evicted.see(item.name());
                }
            }
            1 => {
                let len = round.ring.len();
                ensure!(len <= round.capacity_max, "{len} items are in the ring");
            }
            2 => thread::yield_now(),
            _ => thread::sleep(Duration::from_micros(random.u64(0..400))),
        }
    }
    Ok((evicted, looks))
}

/// What holds at every moment.
fn check_stats(stats: &RingStats, capacity_max: usize) -> Result<()> {
    let in_ring = (stats.queued + stats.leased) as u64;
    ensure!(
        stats.total_offered == stats.total_added + stats.total_refused
            && stats.total_added == stats.total_acked + stats.dropped.total() + in_ring
            && stats.current_size as u64 == in_ring
            && stats.current_size <= capacity_max,
        "the statistics do not add up: {stats:?}"
    );
    Ok(())
}

/// Whether everything that went in came out once, and the statistics say the same.
fn account(
    round: &Round,
    produced: &Produced,
    consumed: &Consumed,
    evicted: &Ledger,
) -> Result<()> {
    let mut out = consumed.acknowledged.clone();
    out.add(&produced.displaced);
    out.add(&produced.dropped);
    out.add(evicted);
    produced.accepted.check_equal(&out)?;
    let stats = round.ring.stats();
    check_stats(&stats, round.capacity_max)?;
    let expected = [
        ("offered", stats.total_offered, produced.offered),
        ("added", stats.total_added, produced.accepted.count()),
        ("refused", stats.total_refused, produced.refused),
        ("acked", stats.total_acked, consumed.acknowledged.count()),
        (
            "dropped.oldest",
            stats.dropped.oldest,
            produced.displaced.count(),
        ),
        (
            "dropped.newest",
            stats.dropped.newest,
            produced.dropped.count(),
        ),
        ("dropped.resized", stats.dropped.resized, evicted.count()),
        ("current_size", stats.current_size as u64, 0),
    ];
    for (what, counted, expected) in expected {
        ensure!(
            counted == expected,
            "the statistics say {what} {counted}, and it was {expected}"
        );
    }
    let alive = round.alive.count();
    ensure!(alive == 0, "{alive} items are alive that nobody owns");
    Ok(())
}
