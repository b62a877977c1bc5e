//! Callbacks of a dispatcher that check what they are given, write, panic, and drop themselves and
//! their neighbours.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use dataservice::{
    Callback, Dispatcher, DispatcherHandle, DispatcherStats, FeedSpec, KeyId, LatestValue, Refusal,
    SinceLast, Spec,
};

use super::Round;
use super::follow::{Follow, FollowFeed, check_pairs};
use super::value::Value;
use crate::ledger::Report;

const CALLBACKS_MAX: usize = 24;
const PANICS_MAX: u32 = 3;
/// The numbers of callbacks as writers begin here.
const WRITER_FIRST: u32 = 1_000;

/// What a callback needs.
struct Stage<V: Value> {
    round: Arc<Round<V>>,
    dispatcher: DispatcherHandle,
    random: fastrand::Rng,
}

pub(super) fn start() -> Result<Dispatcher> {
    let builder = Dispatcher::builder().panics_max(PANICS_MAX).cascade_max(16);
    Ok(builder.callbacks_max(CALLBACKS_MAX).start()?)
}

/// Adds callbacks and drops some until the round is over.
pub(super) fn tend<V: Value>(
    round: &Arc<Round<V>>,
    dispatcher: &Dispatcher,
    mut random: fastrand::Rng,
) -> Result<()> {
    let mut stage = Stage {
        round: Arc::clone(round),
        dispatcher: dispatcher.handle(),
        random: random.fork(),
    };
    while !round.is_over() {
        match random.u8(0..4) {
            0 => drop_one(round, &mut random),
            1 => {
                let stats = dispatcher.stats();
                ensure!(
                    stats.callbacks <= CALLBACKS_MAX,
                    "too many callbacks: {stats:?}"
                );
            }
            _ => add_one(&mut stage),
        }
        std::thread::sleep(Duration::from_micros(random.u64(0..2_000)));
    }
    Ok(())
}

/// Whether the callbacks were content, once the dispatcher has stopped.
pub(super) fn account<V: Value>(round: &Round<V>, stats: &DispatcherStats) -> Result<Report> {
    if let Some(failure) = round.failure.lock().take() {
        return Err(failure).context("a callback");
    }
    let panics = round.panics.load(Ordering::Relaxed);
    ensure!(
        stats.panics == panics && stats.callbacks == 0,
        "callbacks panicked {panics} times; {stats:?}"
    );
    let mut report = Report::default();
    report.count("calls of callbacks", stats.calls);
    report.count("panics of callbacks", stats.panics);
    report.count("callbacks in quarantine", stats.quarantined);
    report.count(
        "writes by callbacks refused as too deep",
        round.too_deep.load(Ordering::Relaxed),
    );
    Ok(report)
}

fn drop_one<V: Value>(round: &Round<V>, random: &mut fastrand::Rng) {
    let dropped = {
        let mut callbacks = round.callbacks.lock();
        let len = callbacks.len();
        (len > 0).then(|| callbacks.swap_remove(random.usize(..len)))
    };
    drop::<Option<Callback>>(dropped);
}

fn add_one<V: Value>(stage: &mut Stage<V>) {
    match make(stage) {
        Ok(Some(callback)) => stage.round.callbacks.lock().push(callback),
        // There are enough, or it is all over.
        Ok(None) => {}
        Err(failure) => fail(&stage.round, failure),
    }
}

fn fail<V>(round: &Round<V>, failure: anyhow::Error) {
    round.failure.lock().get_or_insert(failure);
}

fn make<V: Value>(stage: &mut Stage<V>) -> Result<Option<Callback>> {
    let Stage {
        round,
        dispatcher,
        random,
    } = stage;
    let mut own = Stage {
        round: Arc::clone(round),
        dispatcher: dispatcher.clone(),
        random: random.fork(),
    };
    let keys = &round.keys;
    let interval = Duration::from_micros([0, random.u64(0..1_000)][random.usize(0..2)]);
    let handle = match random.u8(0..5) {
        0 => {
            let ids = keys.pairs.iter().flat_map(|(a, b)| [*a, *b]);
            let spec = Spec::new().keys(ids, LatestValue).min_interval(interval);
            let subscription = round.service.subscribe(spec)?;
            dispatcher.on_update(subscription, move |snapshot| {
                let updates = snapshot.updates().iter();
                let values = updates.map(|it| (it.id(), it.values().first()));
                let checked = check_pairs(&own.round.keys, values);
                own.end(checked.map(drop));
            })
        }
        1 => {
            let spec = Spec::new().keys(keys.streams.clone(), SinceLast::new(64));
            let subscription = round.service.subscribe(spec.min_interval(interval))?;
            let mut follow = Follow::default();
            dispatcher.on_update(subscription, move |snapshot| {
                let mut updates = snapshot.updates().iter();
                let checked = updates.try_for_each(|it| follow.see_all(&own.round.keys, it));
                own.end(checked);
            })
        }
        2 => {
            let feed = round.service.feed(FeedSpec::all().min_interval(interval))?;
            let mut follow = FollowFeed::new();
            return Ok(dispatcher
                .on_update(feed, move |batch| {
                    let checked = follow.see(&own.round.keys, &batch);
                    own.end(checked);
                })
                .ok());
        }
        _ if round.echoes => {
            let id = *random.choice(&keys.streams).unwrap_or(&keys.echoes[0]);
            let heard = if random.bool() {
                id
            } else {
                echo(round, random)
            };
            let target = echo(round, random);
            let spec = Spec::new().key(heard, LatestValue).min_interval(interval);
            let subscription = round.service.subscribe(spec)?;
            let mut echoing = Echoing {
                target,
                writer: WRITER_FIRST + round.writers.fetch_add(1, Ordering::Relaxed),
                last: 0,
            };
            dispatcher.on_update(subscription, move |_| {
                let written = echoing.write(&own.round);
                own.end(written);
            })
        }
        _ => {
            let ids = keys.all.clone();
            let subscription = round
                .service
                .subscribe(Spec::new().keys(ids, LatestValue))?;
            return Ok(dispatcher
                .on_change(subscription, move |ids| {
                    let unknown = ids.iter().find(|id| !own.round.keys.all.contains(id));
                    let checked = match unknown {
                        None => Ok(()),
                        Some(id) => Err(anyhow::anyhow!("a change of key {id}, which is unknown")),
                    };
                    own.end(checked);
                })
                .ok());
        }
    };
    Ok(handle.ok())
}

fn echo<V: Value>(round: &Round<V>, random: &mut fastrand::Rng) -> KeyId {
    round.keys.echoes[random.usize(..round.keys.echoes.len())]
}

/// A callback that writes to a key, which it, or another one, may be woken by.
struct Echoing {
    target: KeyId,
    writer: u32,
    last: u64,
}

impl Echoing {
    fn write<V: Value>(&mut self, round: &Round<V>) -> Result<()> {
        let value = V::new(self.writer, self.last + 1, &round.alive);
        match round.service.put(self.target, 0, value) {
            Ok(_) => {
                self.last += 1;
                round.echoed.lock().updates[self.target.number() as usize] += 1;
            }
            Err(error) => match error.refusal {
                Refusal::Cascade { .. } => {
                    round.too_deep.fetch_add(1, Ordering::Relaxed);
                }
                Refusal::OutOfMemory { .. } => round.echoed.lock().refused += 1,
                other => anyhow::bail!("a write was refused: {other}"),
            },
        }
        Ok(())
    }
}

impl<V: Value> Stage<V> {
    /// The rest of a call: what was found is noted, and now and then something goes wrong.
    fn end(&mut self, checked: Result<()>) {
        if let Err(failure) = checked {
            fail(&self.round, failure);
        }
        match self.random.u8(0..60) {
            // It may be itself.
            0 | 1 => drop_one(&self.round, &mut self.random),
            2 => add_one(self),
            3..9 => {
                self.round.panics.fetch_add(1, Ordering::Relaxed);
                // Says nothing, other than `panic!`.
                resume_unwind(Box::new("on purpose"));
            }
            _ => {}
        }
    }
}
