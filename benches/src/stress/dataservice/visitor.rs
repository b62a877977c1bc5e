//! Readers that come and go: they poll a little, pause, take keys in and out, leave, and resume
//! where they stopped. Whatever they do, between two updates that they are shown lie exactly as
//! many as they are told to have missed.

use std::collections::BTreeSet;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Wake, Waker};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use dataservice::{
    Backpressure, Feed, FeedSpec, FullHistory, KeyId, LatestValue, ResumePoint, Resumed, SinceLast,
    Spec, Subscription, WindowByCount, WindowByDuration,
};

use super::Round;
use super::follow::{Follow, FollowFeed, check_pairs, check_window};
use super::reader::{check_stats, dawdle};
use super::value::Value;
use crate::ledger::Report;

/// Visits until the round is over.
pub(super) fn run<V: Value>(round: &Round<V>, mut random: fastrand::Rng) -> Result<Report> {
    let mut report = Report::default();
    while !round.is_over() {
        report.count("visits", 1);
        match random.u8(0..5) {
            0 => glance(round, &mut random).context("a glance")?,
            1 | 2 => stay(round, &mut random, &mut report).context("a visitor")?,
            _ => stay_fed(round, &mut random, &mut report).context("a visitor with a feed")?,
        }
    }
    Ok(report)
}

fn any_backpressure(random: &mut fastrand::Rng) -> Backpressure {
    match random.u8(0..5) {
        0 => Backpressure::DropOldest,
        1 => Backpressure::Reset,
        2 => Backpressure::Disconnect,
        3 => Backpressure::Block(Duration::from_micros(random.u64(0..2_000))),
        _ => Backpressure::Conflate,
    }
}

fn some_keys<V>(round: &Round<V>, random: &mut fastrand::Rng) -> Vec<KeyId> {
    let count = random.usize(1..=round.keys.all.len());
    random.choose_multiple(round.keys.all.iter().copied(), count)
}

/// A short look with windows of other kinds, so that histories grow and shrink.
fn glance<V: Value>(round: &Round<V>, random: &mut fastrand::Rng) -> Result<()> {
    let depth = random.usize(1..2_000);
    let ids = some_keys(round, random);
    let spec = Spec::new().min_interval(Duration::from_micros(random.u64(0..500)));
    let spec = match random.u8(0..4) {
        0 => spec.keys(ids, WindowByCount::new(depth)),
        1 => spec.keys(ids, FullHistory::new(depth, 100_000)),
        2 => spec.keys(
            ids,
            WindowByDuration::new(Duration::from_millis(random.u64(0..10))),
        ),
        _ => spec.keys(ids, LatestValue),
    };
    let mut reader = round.service.subscribe(spec)?;
    if random.u8(0..4) == 0 {
        reader.set_waker(Waker::from(Arc::new(Panics(Arc::clone(
            &round.wakes_panicked,
        )))));
    }
    for _ in 0..random.u8(0..4) {
        for update in reader.snapshot().updates() {
            check_window(&round.keys, update, usize::MAX)?;
        }
        let _ = reader.wait(Duration::from_micros(random.u64(0..500)));
    }
    check_stats(&reader.stats())
}

/// A waker that panics, which must not keep others from being woken.
struct Panics(Arc<AtomicU64>);

impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
        resume_unwind(Box::new("on purpose"));
    }
}

fn stay<V: Value>(round: &Round<V>, random: &mut fastrand::Rng, report: &mut Report) -> Result<()> {
    let service = &round.service;
    let extractor = SinceLast::new(random.usize(1..200));
    let backpressure = any_backpressure(random);
    let mut ids: BTreeSet<KeyId> = some_keys(round, random).into_iter().collect();
    let spec = |ids: &BTreeSet<KeyId>| {
        let spec = Spec::new().keys(ids.iter().copied(), extractor);
        spec.backpressure(backpressure)
    };
    let mut reader = service.subscribe(spec(&ids))?;
    let mut follow = Follow::default();
    for _ in 0..random.u8(0..30) {
        if reader.closed().is_some() {
            ensure!(
                backpressure == Backpressure::Disconnect,
                "{backpressure:?} was closed"
            );
            check_stats(&reader.stats())?;
            break;
        }
        match random.u8(0..20) {
            0 => reader.pause(),
            1 => reader.unpause(),
            2 => {
                let id = round.keys.all[random.usize(..round.keys.all.len())];
                ensure!(
                    reader.remove(id) == ids.remove(&id),
                    "key {id} was in, or not"
                );
                follow.forget(id);
            }
            3 => {
                let id = round.keys.all[random.usize(..round.keys.all.len())];
                if reader.add(id, extractor).is_ok() && ids.insert(id) {
                    follow.forget(id);
                }
            }
            4 => {
                let point = ResumePoint {
                    instance: service.instance(),
                    commit_seq: reader.commit_seq(),
                };
                drop(reader);
                dawdle(random);
                report.count("resumes", 1);
                reader = match service.resume(spec(&ids), point)? {
                    Resumed::Continued(reader) => {
                        report.count("resumes that continued", 1);
                        reader
                    }
                    Resumed::Reset(reader) => {
                        follow = Follow::default();
                        reader
                    }
                };
            }
            5 => {
                let _ = reader.wait(Duration::from_micros(random.u64(0..500)));
            }
            6 => check_stats(&reader.stats())?,
            _ => see(round, &mut reader, &mut follow, backpressure)?,
        }
        dawdle(random);
    }
    report.count("updates seen by visitors", follow.shown);
    Ok(())
}

fn see<V: Value>(
    round: &Round<V>,
    reader: &mut Subscription<V>,
    follow: &mut Follow,
    backpressure: Backpressure,
) -> Result<()> {
    let Some(snapshot) = reader.poll() else {
        return Ok(());
    };
    for update in snapshot.updates() {
        if snapshot.is_reset() && backpressure == Backpressure::Reset {
            follow.see_anew(update)?;
        } else {
            follow.see_all(&round.keys, update)?;
        }
    }
    check_stats(&reader.stats())
}

fn stay_fed<V: Value>(
    round: &Round<V>,
    random: &mut fastrand::Rng,
    report: &mut Report,
) -> Result<()> {
    let service = &round.service;
    let (updates_max, backpressure) = (1 << random.u32(0..14), any_backpressure(random));
    let mut pairs = random.choose_multiple(round.keys.pairs.iter().copied(), 3);
    let streams = random.choose_multiple(round.keys.streams.iter().copied(), 3);
    let is_of_all = random.bool();
    let spec = |pairs: &[(KeyId, KeyId)]| {
        let halves = pairs.iter().flat_map(|(a, b)| [*a, *b]);
        let spec = if is_of_all {
            FeedSpec::all()
        } else {
            FeedSpec::keys(halves.chain(streams.iter().copied()))
        };
        spec.updates_max(updates_max).backpressure(backpressure)
    };
    let (state, mut feed) = service.feed_with_state(spec(&pairs))?;
    let state = state.iter();
    check_pairs(
        &round.keys,
        state.map(|(id, sample)| (*id, Some(&sample.value))),
    )?;
    let mut follow = FollowFeed::new();
    let mut kept = Vec::new();
    for _ in 0..random.u8(0..30) {
        match random.u8(0..20) {
            0 => feed.pause(),
            1 => feed.unpause(),
            2 => {
                let pair = round.keys.pairs[random.usize(..round.keys.pairs.len())];
                for id in [pair.0, pair.1] {
                    if feed.add(id)? {
                        follow.forget(id);
                    }
                }
                if !pairs.contains(&pair) {
                    pairs.push(pair);
                }
            }
            3 => {
                let point = ResumePoint {
                    instance: service.instance(),
                    commit_seq: feed.commit_seq(),
                };
                drop(feed);
                dawdle(random);
                report.count("resumes", 1);
                feed = match service.resume_feed(spec(&pairs), point)? {
                    Resumed::Continued(feed) => {
                        report.count("resumes that continued", 1);
                        feed
                    }
                    Resumed::Reset(feed) => {
                        follow = FollowFeed::new();
                        feed
                    }
                };
            }
            4 => check_feed(&feed)?,
            _ => {
                if let Some(batch) = feed.poll() {
                    follow.see(&round.keys, &batch)?;
                    if random.u8(0..4) == 0 {
                        kept.push(batch);
                    }
                }
            }
        }
        dawdle(random);
    }
    report.count("updates seen by visiting feeds", follow.shown);
    check_feed(&feed)
}

fn check_feed<V: Value>(feed: &Feed<V>) -> Result<()> {
    let stats = feed.stats();
    ensure!(
        stats.committed == stats.delivered + stats.missed + stats.pending,
        "the statistics of a feed do not add up: {stats:?}"
    );
    Ok(())
}
