//! Readers that are there before anything is put, and stay until everything is: each kind that
//! there is, in a thread of its own, which accounts for every update of its keys.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use dataservice::{
    Backpressure, Extractor, Feed, FeedSpec, KeyId, LatestValue, NextError, Sample, SinceLast,
    Snapshot, Spec, Subscription, SubscriptionStats, WindowByCount,
};

use super::follow::{Follow, FollowFeed, check_pairs, check_window};
use super::value::Value;
use super::writer::OF_KEY_MAX;
use super::{BLOCK, Round};
use crate::ledger::Report;

/// A reader that has begun.
pub(super) enum Reader<V: Clone> {
    Pairs(Subscription<V>),
    Windows(Subscription<V>, usize),
    Every(Subscription<V>, Backpressure),
    Even(Subscription<V>),
    Feed(Feed<V>, Backpressure),
}

impl<V: Value> Reader<V> {
    pub(super) fn begin(
        round: &Round<V>,
        random: &mut fastrand::Rng,
    ) -> Result<(Self, Vec<KeyId>)> {
        let (service, keys) = (&round.service, &round.keys);
        let depth = random.usize(OF_KEY_MAX..300);
        let backpressure = match random.u8(0..8) {
            0 => Backpressure::Conflate,
            1 => Backpressure::DropOldest,
            2 => Backpressure::Reset,
            3 => Backpressure::Disconnect,
            _ => Backpressure::Block(BLOCK),
        };
        Ok(match random.u8(0..7) {
            0 => {
                let ids: Vec<_> = keys.pairs.iter().flat_map(|(a, b)| [*a, *b]).collect();
                let spec = Spec::new().keys(ids.clone(), LatestValue);
                (Self::Pairs(service.subscribe(spec)?), ids)
            }
            1 | 2 => {
                let ids = random.choose_multiple(keys.streams.iter().copied(), depth);
                let spec = Spec::new().keys(ids.clone(), SinceLast::new(depth));
                let spec = spec.backpressure(backpressure);
                (Self::Every(service.subscribe(spec)?, backpressure), ids)
            }
            3 => {
                let ids: Vec<_> = keys.all.clone();
                let spec = Spec::new().keys(ids.clone(), WindowByCount::new(depth));
                (Self::Windows(service.subscribe(spec)?, depth), ids)
            }
            4 => {
                let even = |sample: Sample<&V>| sample.value.number().is_multiple_of(2);
                let even = || SinceLast::new(depth).filter(even);
                let spec = keys
                    .streams
                    .iter()
                    .fold(Spec::new(), |spec, id| spec.key(*id, even()));
                let spec = spec.backpressure(Backpressure::Block(BLOCK));
                (Self::Even(service.subscribe(spec)?), keys.streams.clone())
            }
            _ => {
                let updates_max = 1 << random.u32(8..14);
                let (spec, ids) = if random.bool() {
                    (FeedSpec::all(), keys.all.clone())
                } else {
                    let some = random.choose_multiple(keys.streams.iter().copied(), depth);
                    let pair = keys.pairs[random.usize(..keys.pairs.len())];
                    let ids: Vec<_> = some.into_iter().chain([pair.0, pair.1]).collect();
                    (FeedSpec::keys(ids.clone()), ids)
                };
                let spec = spec.updates_max(updates_max).backpressure(backpressure);
                (Self::Feed(service.feed(spec)?, backpressure), ids)
            }
        })
    }

    /// Reads until nothing more will be put.
    pub(super) fn run(
        self,
        round: &Round<V>,
        ids: &[KeyId],
        random: fastrand::Rng,
    ) -> Result<Report> {
        match self {
            Self::Pairs(it) => pairs(round, it, ids, random).context("a reader of pairs"),
            Self::Windows(it, count) => {
                windows(round, it, (ids, count), random).context("a reader of windows")
            }
            Self::Every(it, backpressure) => every(round, it, (ids, backpressure), random)
                .with_context(|| format!("a reader of every update, {backpressure:?}")),
            Self::Even(it) => even(round, it, ids, random).context("a reader behind a filter"),
            Self::Feed(it, backpressure) => feed(round, it, (ids, backpressure), random)
                .with_context(|| format!("a feed of {} keys, {backpressure:?}", ids.len())),
        }
    }
}

fn pairs<V: Value>(
    round: &Round<V>,
    mut reader: Subscription<V>,
    ids: &[KeyId],
    random: fastrand::Rng,
) -> Result<Report> {
    let mut whole = 0;
    let mut ends: std::collections::HashMap<KeyId, u64> = std::collections::HashMap::new();
    pull(round, &mut reader, random, |snapshot| {
        let updates = snapshot.updates().iter();
        let values = updates.map(|it| (it.id(), it.values().first()));
        whole += check_pairs(&round.keys, values)?;
        for update in snapshot.updates() {
            ends.insert(update.id(), update.range().end.number());
        }
        for (a, b) in &round.keys.pairs {
            let (left, right) = (ends.get(a), ends.get(b));
            ensure!(
                left == right,
                "{left:?} and {right:?} updates of keys {a} and {b} are seen"
            );
        }
        Ok(())
    })?;
    account(round, &reader, ids)?;
    let mut report = Report::default();
    report.count("pairs seen whole", whole);
    Ok(report)
}

fn windows<V: Value>(
    round: &Round<V>,
    mut reader: Subscription<V>,
    (ids, count): (&[KeyId], usize),
    random: fastrand::Rng,
) -> Result<Report> {
    let mut windows = 0;
    pull(round, &mut reader, random, |snapshot| {
        for update in snapshot.updates() {
            check_window(&round.keys, update, count)?;
            windows += 1;
        }
        Ok(())
    })?;
    account(round, &reader, ids)?;
    let mut report = Report::default();
    report.count("windows", windows);
    Ok(report)
}

fn every<V: Value>(
    round: &Round<V>,
    mut reader: Subscription<V>,
    (ids, backpressure): (&[KeyId], Backpressure),
    random: fastrand::Rng,
) -> Result<Report> {
    let mut follow = Follow::from_start(ids);
    let mut was_reset = false;
    pull(round, &mut reader, random, |snapshot| {
        was_reset |= snapshot.is_reset();
        for update in snapshot.updates() {
            if snapshot.is_reset() {
                follow.see_anew(update)?;
            } else {
                follow.see_all(&round.keys, update)?;
            }
        }
        Ok(())
    })?;
    let stats = account(round, &reader, ids)?;
    if !was_reset && reader.closed().is_none() {
        ensure!(
            follow.accounted() == stats.committed && follow.missed == stats.missed,
            "{} updates were shown and {} missed; {stats:?}",
            follow.shown,
            follow.missed
        );
    }
    if matches!(backpressure, Backpressure::Block(_)) && !round.is_lossy {
        ensure!(
            stats.missed == 0,
            "a reader that blocks missed updates: {stats:?}"
        );
    }
    let mut report = Report::default();
    report.count("updates seen by `SinceLast`", follow.shown);
    report.count("updates missed by `SinceLast`", stats.missed);
    report.count(
        "subscriptions closed as overrun",
        u64::from(reader.closed().is_some()),
    );
    Ok(report)
}

fn even<V: Value>(
    round: &Round<V>,
    mut reader: Subscription<V>,
    ids: &[KeyId],
    random: fastrand::Rng,
) -> Result<Report> {
    let mut shown = 0;
    pull(round, &mut reader, random, |snapshot| {
        for update in snapshot.updates() {
            let mut numbers = update.values().iter().map(V::number);
            ensure!(
                numbers.all(|number| number.is_multiple_of(2)),
                "an odd number passed"
            );
            shown += update.values().len() as u64;
        }
        Ok(())
    })?;
    let stats = account(round, &reader, ids)?;
    ensure!(
        stats.delivered == shown,
        "{shown} values passed the filter; {stats:?}"
    );
    ensure!(
        stats.missed == 0 || round.is_lossy,
        "a reader that blocks missed updates: {stats:?}"
    );
    let mut report = Report::default();
    report.count("updates filtered", stats.filtered);
    Ok(report)
}

fn feed<V: Value>(
    round: &Round<V>,
    mut feed: Feed<V>,
    (ids, backpressure): (&[KeyId], Backpressure),
    mut random: fastrand::Rng,
) -> Result<Report> {
    let mut follow = FollowFeed::from_start();
    let mut was_reset = false;
    loop {
        let is_last = round.is_settled();
        match feed.next(Duration::from_millis(random.u64(0..3))) {
            Ok(batch) => {
                was_reset |= batch.is_reset();
                follow.see(&round.keys, &batch)?;
            }
            Err(NextError::Timeout) if is_last => break,
            Err(NextError::Timeout) => {}
            Err(_) => break,
        }
        dawdle(&mut random);
    }
    let stats = feed.stats();
    let committed = round.committed(ids);
    ensure!(
        stats.committed == stats.delivered + stats.missed + stats.pending
            && stats.pending == 0
            && (stats.committed == committed || feed.closed().is_some()),
        "{committed} updates were put to its keys; {stats:?}"
    );
    if !was_reset && feed.closed().is_none() {
        ensure!(
            follow.shown == stats.delivered && follow.missed == stats.missed,
            "{} updates were shown and {} missed; {stats:?}",
            follow.shown,
            follow.missed
        );
    }
    if matches!(backpressure, Backpressure::Block(_)) && !round.is_lossy && !round.echoes {
        ensure!(
            stats.missed == 0,
            "a feed that blocks missed updates: {stats:?}"
        );
    }
    let mut report = Report::default();
    report.count("updates seen by feeds", stats.delivered);
    report.count("updates missed by feeds", stats.missed);
    report.count(
        "feeds closed as overrun",
        u64::from(feed.closed().is_some()),
    );
    Ok(report)
}

/// Pulls in every way there is until nothing more will come.
fn pull<V: Value>(
    round: &Round<V>,
    reader: &mut Subscription<V>,
    mut random: fastrand::Rng,
    mut see: impl FnMut(&Snapshot<dataservice::Extract<V>>) -> Result<()>,
) -> Result<()> {
    loop {
        let is_last = round.is_settled();
        match random.u8(0..10) {
            0 if reader.closed().is_none() => see(&reader.snapshot())?,
            1 => {
                check_stats(&reader.stats())?;
                for id in reader.ids().take(1) {
                    let granted = reader.granted(id);
                    ensure!(
                        granted.is_none_or(|it| it.depth >= 1),
                        "{granted:?} of key {id}"
                    );
                }
            }
            _ => match reader.next(Duration::from_millis(random.u64(0..3))) {
                Ok(snapshot) => see(&snapshot)?,
                Err(NextError::Timeout) if is_last => return Ok(()),
                Err(NextError::Timeout) => {}
                Err(_) => return Ok(()),
            },
        }
        dawdle(&mut random);
    }
}

/// Lets commits wait, or come together, now and then.
pub(super) fn dawdle(random: &mut fastrand::Rng) {
    if random.u8(0..6) == 0 {
        std::thread::sleep(Duration::from_micros(random.u64(0..1_500)));
    }
}

/// What holds at every moment.
pub(super) fn check_stats(stats: &SubscriptionStats) -> Result<()> {
    ensure!(
        stats.committed == stats.delivered + stats.missed + stats.filtered + stats.pending,
        "the statistics do not add up: {stats:?}"
    );
    Ok(())
}

/// What holds in the end of one that was there from the start.
fn account<V: Value>(
    round: &Round<V>,
    reader: &Subscription<V>,
    ids: &[KeyId],
) -> Result<SubscriptionStats> {
    let stats = reader.stats();
    check_stats(&stats)?;
    let committed = round.committed(ids);
    ensure!(
        stats.pending == 0 && (stats.committed == committed || reader.closed().is_some()),
        "{committed} updates were put to its keys; {stats:?}"
    );
    Ok(stats)
}
