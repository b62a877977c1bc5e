//! Random sequences of calls against a map that is too simple to be wrong.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::collections::BTreeMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher};

use coalesce::{
    AddError, AddResult, Added, Coalescer, CoalescerStats, Sum, TakeReason, Taken, WhenFull,
    WhenKeysFull,
};
use proptest::prelude::*;

const OVERFLOW: &str = "other";

#[derive(Debug, Clone)]
enum Call {
    Add(u8, Option<i16>),
    AddRef(u8, i16),
    AddBound(u8, Vec<i16>),
    AddMany(Vec<(u8, i16)>),
    AddToOverflowKey(i16),
    Take,
    TakeFor(TakeReason),
    /// Brings back a share of what is out.
    Restore(prop::sample::Index),
}

fn calls() -> impl Strategy<Value = Vec<Call>> {
    let key = 0..12_u8;
    let call = prop_oneof![
        6 => (key.clone(), prop::option::weighted(0.9, any::<i16>()))
            .prop_map(|(key, value)| Call::Add(key, value)),
        3 => (key.clone(), any::<i16>()).prop_map(|(key, value)| Call::AddRef(key, value)),
        1 => (key.clone(), prop::collection::vec(any::<i16>(), 0..4))
            .prop_map(|(key, values)| Call::AddBound(key, values)),
        1 => prop::collection::vec((key, any::<i16>()), 0..6).prop_map(Call::AddMany),
        1 => any::<i16>().prop_map(Call::AddToOverflowKey),
        1 => Just(Call::Take),
        1 => prop::sample::select(TakeReason::ALL).prop_map(Call::TakeFor),
        1 => any::<prop::sample::Index>().prop_map(Call::Restore),
    ];
    prop::collection::vec(call, 1..120)
}

/// The same buffer as a map from key to sum and count.
#[derive(Default)]
struct Model {
    buffer: BTreeMap<String, (f64, u64)>,
    updates_max: u64,
    keys_max: u64,
    when_full: WhenFull,
    when_keys_full: WhenKeysFull<String>,
    offered: u64,
    accepted: u64,
    refused: u64,
    flushed: u64,
    restored: u64,
    overflowed: u64,
    flushes: u64,
}

#[derive(Debug, PartialEq)]
enum Expected {
    Buffered,
    Invalid,
    UpdatesFull,
    KeysFull,
    Flushed(BTreeMap<String, (f64, u64)>),
}

impl Model {
    fn updates(&self) -> u64 {
        self.buffer.values().map(|(_, updates)| updates).sum()
    }

    fn add(&mut self, key: &str, value: Option<i16>) -> Expected {
        self.offered += 1;
        let Some(value) = value else {
            self.refused += 1;
            return Expected::Invalid;
        };
        let mut key = key.to_owned();
        if self.updates() >= self.updates_max {
            return match self.when_full {
                WhenFull::FlushNow => self.flush_with(key, value),
                _ => self.refuse(Expected::UpdatesFull),
            };
        }
        // The overflow key has a place of its own, whether it is there or not.
        let overflow = match &self.when_keys_full {
            WhenKeysFull::OverflowKey(overflow) => Some(overflow.clone()),
            _ => None,
        };
        let others = self
            .buffer
            .keys()
            .filter(|&key| Some(key) != overflow.as_ref());
        let keys = others.count() as u64 + u64::from(overflow.is_some());
        let is_new = !self.buffer.contains_key(&key) && Some(&key) != overflow.as_ref();
        if is_new && keys >= self.keys_max {
            match &self.when_keys_full {
                WhenKeysFull::FlushNow => return self.flush_with(key, value),
                WhenKeysFull::OverflowKey(overflow) => {
                    key.clone_from(overflow);
                    self.overflowed += 1;
                }
                _ => return self.refuse(Expected::KeysFull),
            }
        }
        self.put(key, value);
        Expected::Buffered
    }

    fn refuse(&mut self, why: Expected) -> Expected {
        self.refused += 1;
        why
    }

    fn put(&mut self, key: String, value: i16) {
        let (sum, updates) = self.buffer.entry(key).or_default();
        *sum += f64::from(value);
        *updates += 1;
        self.accepted += 1;
    }

    fn flush_with(&mut self, key: String, value: i16) -> Expected {
        self.put(key, value);
        Expected::Flushed(self.take())
    }

    fn take(&mut self) -> BTreeMap<String, (f64, u64)> {
        self.flushed += self.updates();
        self.flushes += u64::from(!self.buffer.is_empty());
        std::mem::take(&mut self.buffer)
    }

    fn check(&self, stats: &CoalescerStats) {
        assert_eq!(stats.updates_offered, self.offered);
        assert_eq!(stats.updates_buffered, self.accepted);
        assert_eq!(stats.updates_refused, self.refused);
        assert_eq!(stats.updates_overflowed, self.overflowed);
        assert_eq!(stats.updates_flushed, self.flushed);
        assert_eq!(stats.updates_restored, self.restored);
        assert_eq!(stats.flush_operations, self.flushes);
        assert_eq!(stats.auto_flushes + stats.manual_flushes, self.flushes);
        assert_eq!(stats.flushes_by_reason.total(), self.flushes);
        assert_eq!(stats.current_buffer_size, self.updates());
        assert_eq!(stats.unique_keys, self.buffer.len() as u64);
        // Law 1, without the model.
        assert_eq!(
            stats.updates_offered,
            stats.updates_buffered + stats.updates_refused
        );
        assert_eq!(
            stats.updates_buffered + stats.updates_restored,
            stats.updates_flushed + stats.current_buffer_size
        );
        let refusals = [
            stats.refused_invalid,
            stats.refused_keys_full,
            stats.refused_updates_full,
        ];
        assert_eq!(refusals.iter().sum::<u64>(), stats.updates_refused);
    }
}

fn by_key(taken: &Taken<String, f64>) -> BTreeMap<String, (f64, u64)> {
    let map: BTreeMap<_, _> = taken
        .into_iter()
        .map(|entry| (entry.key.clone(), (entry.partial, entry.updates)))
        .collect();
    assert_eq!(map.len(), taken.keys(), "a key was taken twice");
    assert_eq!(
        map.values().map(|(_, updates)| updates).sum::<u64>(),
        taken.updates()
    );
    map
}

fn outcome(result: AddResult<String, Sum>, out: &mut Vec<Taken<String, f64>>) -> Expected {
    match result {
        Ok(Added::Flushed(taken)) => {
            let map = by_key(&taken);
            out.push(taken);
            Expected::Flushed(map)
        }
        Ok(_) => Expected::Buffered,
        Err(AddError::Invalid { .. }) => Expected::Invalid,
        Err(AddError::KeysFull { .. }) => Expected::KeysFull,
        Err(AddError::UpdatesFull { .. }) => Expected::UpdatesFull,
        Err(other) => panic!("unknown refusal {other}"),
    }
}

fn apply<S: BuildHasher>(
    call: Call,
    buffer: &Coalescer<String, Sum, S>,
    model: &mut Model,
    out: &mut Vec<Taken<String, f64>>,
) {
    let name = |key: u8| format!("key {key}");
    let add_ref = |key: &str, value: i16, model: &mut Model, out: &mut Vec<_>| {
        let added = outcome(buffer.add_ref(key, value.into()), out);
        assert_eq!(added, model.add(key, Some(value)));
    };
    match call {
        Call::Add(key, value) => {
            let update = value.map_or(f64::NAN, f64::from);
            let added = outcome(buffer.add(name(key), update), out);
            assert_eq!(added, model.add(&name(key), value));
        }
        Call::AddRef(key, value) => add_ref(&name(key), value, model, out),
        Call::AddToOverflowKey(value) => add_ref(OVERFLOW, value, model, out),
        Call::AddBound(key, values) => {
            let writer = buffer.writer();
            let bound = writer.bind(name(key));
            for value in values {
                let added = outcome(bound.add(value.into()), out);
                assert_eq!(added, model.add(bound.key(), Some(value)));
            }
        }
        Call::AddMany(updates) => {
            let all = updates
                .iter()
                .map(|&(key, value)| (name(key), f64::from(value)));
            let added = buffer.writer().add_many(all);
            let expected: Vec<_> = updates
                .iter()
                .map(|&(key, value)| model.add(&name(key), Some(value)))
                .collect();
            let flushed = expected
                .iter()
                .filter(|e| matches!(e, Expected::Flushed(_)))
                .count();
            let accepted = expected
                .iter()
                .filter(|e| **e == Expected::Buffered)
                .count()
                + flushed;
            assert_eq!(added.accepted, accepted as u64);
            assert_eq!(added.refused.len(), updates.len() - accepted);
            assert_eq!(added.flushed.len(), flushed);
            out.extend(added.flushed);
        }
        Call::Take => {
            let taken = buffer.take();
            assert_eq!(by_key(&taken), model.take());
            out.push(taken);
        }
        Call::TakeFor(reason) => {
            let taken = buffer.take_for(reason);
            assert_eq!(by_key(&taken), model.take());
            out.push(taken);
        }
        Call::Restore(share) => {
            let Some(mut entries) = out.pop().map(Taken::into_entries) else {
                return;
            };
            entries.truncate(share.index(entries.len() + 1));
            for entry in &entries {
                let (sum, updates) = model.buffer.entry(entry.key.clone()).or_default();
                *sum += entry.partial;
                *updates += entry.updates;
                model.restored += entry.updates;
            }
            buffer.restore(entries.into_iter().collect());
        }
    }
}

fn run<S: BuildHasher>(
    hasher: S,
    calls: Vec<Call>,
    (updates_max, when_full): (u64, WhenFull),
    (keys_max, when_keys_full): (u64, WhenKeysFull<String>),
) {
    let buffer = Coalescer::builder(Sum)
        .updates_max(updates_max, when_full)
        .keys_max(keys_max, when_keys_full.clone())
        .hasher(hasher)
        .build()
        .unwrap();
    let mut model = Model {
        updates_max,
        keys_max,
        when_full,
        when_keys_full,
        ..Model::default()
    };
    let mut out = Vec::new();
    for call in calls {
        apply(call, &buffer, &mut model, &mut out);
        model.check(&buffer.stats());
        assert_eq!(buffer.updates(), model.updates());
    }
    let rest = buffer.take();
    assert_eq!(by_key(&rest), model.take());
}

fn keys_policy() -> impl Strategy<Value = WhenKeysFull<String>> {
    prop_oneof![
        Just(WhenKeysFull::Reject),
        Just(WhenKeysFull::FlushNow),
        Just(WhenKeysFull::OverflowKey(OVERFLOW.to_owned())),
    ]
}

fn updates_policy() -> impl Strategy<Value = WhenFull> {
    prop_oneof![Just(WhenFull::Reject), Just(WhenFull::FlushNow)]
}

/// Hashes everything to one of two values, so that nearly all keys collide.
#[derive(Default)]
struct Colliding(u64);

impl Hasher for Colliding {
    fn finish(&self) -> u64 {
        self.0 % 2
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 += bytes.iter().map(|&byte| u64::from(byte)).sum::<u64>();
    }
}

proptest! {
    #[test]
    fn law_1_conservation_after_every_call(
        calls in calls(),
        updates_max in 1..40_u64,
        keys_max in 1..14_u64,
        when_full in updates_policy(),
        when_keys_full in keys_policy(),
    ) {
        let hasher = std::hash::RandomState::new();
        run(hasher, calls, (updates_max, when_full), (keys_max, when_keys_full));
    }

    #[test]
    fn keys_that_collide_stay_apart(calls in calls()) {
        let hasher = BuildHasherDefault::<Colliding>::default();
        run(hasher, calls, (50, WhenFull::FlushNow), (8, WhenKeysFull::Reject));
    }
}
