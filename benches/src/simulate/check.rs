//! The laws, as far as an account tells.

use std::time::Duration;

use anyhow::{Result, ensure};
use pipeline::Stats;

/// What the model knows of a life so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Known {
    pub(crate) offered: u64,
    pub(crate) accepted: u64,
    /// Rows that the store settled for this life, some of them more than once.
    pub(crate) settled: u64,
    pub(crate) cap: usize,
}

/// Laws 1 and 2, and that nothing is said to be in the sink that is not.
///
/// # Errors
/// With the law that is broken.
pub(crate) fn account(stats: &Stats, known: &Known) -> Result<()> {
    ensure!(
        stats.offered == stats.accepted + stats.refused,
        "law 1: offered {} is not accepted {} + refused {}",
        stats.offered,
        stats.accepted,
        stats.refused
    );
    let elsewhere = stats.dropped.total() + stats.quarantined + stats.pending;
    ensure!(
        stats.accepted == stats.delivered + elsewhere,
        "law 1: accepted {} is not delivered {} + dropped {} + quarantined {} + pending {}",
        stats.accepted,
        stats.delivered,
        stats.dropped.total(),
        stats.quarantined,
        stats.pending
    );
    ensure!(
        (stats.offered, stats.accepted) == (known.offered, known.accepted),
        "law 1: offered {} and accepted {}, the sources say {} and {}",
        stats.offered,
        stats.accepted,
        known.offered,
        known.accepted
    );
    ensure!(
        stats.pending <= known.cap as u64,
        "law 2: {} are pending, and there is room for {}",
        stats.pending,
        known.cap
    );
    ensure!(
        stats.delivered + stats.quarantined <= known.settled,
        "law 1: {} are said to be delivered, {} quarantined, and the sink settled {}",
        stats.delivered,
        stats.quarantined,
        known.settled
    );
    Ok(())
}

/// Laws 5 and 10: while a sink is well, nothing waits for it for longer than this.
///
/// # Errors
/// When something does.
pub(crate) fn age(stats: &Stats, bound: Duration) -> Result<()> {
    let oldest_s = stats.buffer.oldest_age_s;
    ensure!(
        oldest_s <= bound.as_secs_f64(),
        "law 5: the oldest of {} waits for {oldest_s:.3} s though its sink is well, at most {} s \
         are allowed",
        stats.pending,
        bound.as_secs_f64()
    );
    Ok(())
}
