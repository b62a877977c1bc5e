//! Random sequences of calls against a map that is too simple to be wrong.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod naive;

use std::collections::BTreeMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};

use coalesce::{
    AddError, AddResult, Added, Aggregate, Coalescer, InvalidUpdate, Seeded, Stamp, Sum,
    TakeReason, Taken, WhenFull, WhenKeysFull, Writer,
};
use proptest::prelude::*;

use naive::{Expected, Model, OVERFLOW};

/// A sum that panics at infinity, which it lets in.
#[derive(Clone, Copy)]
struct Touchy;

impl Aggregate for Touchy {
    type Update = f64;
    type Partial = f64;

    fn check(&self, value: &f64) -> Result<(), InvalidUpdate> {
        if value.is_infinite() {
            return Ok(());
        }
        Sum.check(value)
    }

    fn start(&self, value: f64, stamp: Stamp) -> f64 {
        panic_if(value.is_infinite());
        Sum.start(value, stamp)
    }

    fn absorb(&self, partial: &mut f64, value: f64, stamp: Stamp) -> Option<f64> {
        panic_if(value.is_infinite());
        Sum.absorb(partial, value, stamp)
    }

    fn merge(&self, partial: &mut f64, other: f64) -> Option<f64> {
        Sum.merge(partial, other)
    }
}

/// Without the message that a panic prints.
fn panic_if(panics: bool) {
    if panics {
        std::panic::resume_unwind(Box::new("a panic"));
    }
}

/// Several handles, and none: the call goes to the coalescer itself.
const HANDLES: usize = 3;

#[derive(Debug, Clone)]
enum Call {
    Add(usize, u8, Option<i16>),
    AddRef(usize, u8, i16),
    AddBound(usize, u8, Vec<i16>),
    AddMany(usize, Vec<(u8, i16)>),
    AddToOverflowKey(usize, i16),
    /// Adds an update whose absorption panics.
    AddPanicking(usize, u8),
    /// Ends a handle, and makes another.
    EndHandle(usize),
    Take,
    TakeFor(TakeReason),
    /// Brings back a share of what is out.
    Restore(prop::sample::Index),
}

fn calls() -> impl Strategy<Value = Vec<Call>> {
    let key = 0..12_u8;
    let handle = 0..=HANDLES;
    let value = any::<i16>;
    let call = prop_oneof![
        6 => (handle.clone(), key.clone(), prop::option::weighted(0.9, value()))
            .prop_map(|(handle, key, value)| Call::Add(handle, key, value)),
        3 => (handle.clone(), key.clone(), value())
            .prop_map(|(handle, key, value)| Call::AddRef(handle, key, value)),
        1 => (0..HANDLES, key.clone(), prop::collection::vec(value(), 0..4))
            .prop_map(|(handle, key, values)| Call::AddBound(handle, key, values)),
        1 => (handle.clone(), prop::collection::vec((key.clone(), value()), 0..6))
            .prop_map(|(handle, updates)| Call::AddMany(handle, updates)),
        1 => (handle.clone(), value())
            .prop_map(|(handle, value)| Call::AddToOverflowKey(handle, value)),
        1 => (handle, key).prop_map(|(handle, key)| Call::AddPanicking(handle, key)),
        1 => (0..HANDLES).prop_map(Call::EndHandle),
        1 => Just(Call::Take),
        1 => prop::sample::select(TakeReason::ALL).prop_map(Call::TakeFor),
        1 => any::<prop::sample::Index>().prop_map(Call::Restore),
    ];
    prop::collection::vec(call, 1..120)
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

fn outcome(result: AddResult<String, Touchy>, out: &mut Vec<Taken<String, f64>>) -> Expected {
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

/// The buffer with its handles.
struct Buffer<S: BuildHasher> {
    coalescer: Coalescer<String, Touchy, S>,
    writers: Vec<Writer<String, Touchy, S>>,
}

impl<S: BuildHasher> Buffer<S> {
    fn add(&self, handle: usize, key: String, value: f64) -> AddResult<String, Touchy> {
        match self.writers.get(handle) {
            Some(writer) => writer.add(key, value),
            None => self.coalescer.add(key, value),
        }
    }

    fn add_ref(&self, handle: usize, key: &str, value: f64) -> AddResult<String, Touchy> {
        match self.writers.get(handle) {
            Some(writer) => writer.add_ref(key, value),
            None => self.coalescer.add_ref(key, value),
        }
    }
}

fn name(key: u8) -> String {
    format!("key {key}")
}

fn apply<S: BuildHasher>(
    call: Call,
    buffer: &mut Buffer<S>,
    model: &mut Model,
    out: &mut Vec<Taken<String, f64>>,
) {
    match call {
        Call::Add(handle, key, value) => {
            let update = value.map_or(f64::NAN, f64::from);
            let added = outcome(buffer.add(handle, name(key), update), out);
            assert_eq!(added, model.add(&name(key), value));
        }
        Call::AddRef(handle, key, value) => {
            let added = outcome(buffer.add_ref(handle, &name(key), value.into()), out);
            assert_eq!(added, model.add(&name(key), Some(value)));
        }
        Call::AddToOverflowKey(handle, value) => {
            let added = outcome(buffer.add_ref(handle, OVERFLOW, value.into()), out);
            assert_eq!(added, model.add(OVERFLOW, Some(value)));
        }
        Call::AddPanicking(handle, key) => {
            let add = AssertUnwindSafe(|| buffer.add(handle, name(key), f64::INFINITY));
            // It panics when it comes so far, and then it was never there.
            match catch_unwind(add) {
                Ok(refused) => assert_eq!(outcome(refused, out), model.add(&name(key), Some(0))),
                Err(_) => assert!(model.accepts(&name(key))),
            }
        }
        Call::EndHandle(handle) => buffer.writers[handle] = buffer.coalescer.writer(),
        Call::AddBound(handle, key, values) => {
            let bound = buffer.writers[handle].bind(name(key));
            for value in values {
                let added = outcome(bound.add(value.into()), out);
                assert_eq!(added, model.add(bound.key(), Some(value)));
            }
        }
        Call::AddMany(handle, updates) => add_many(handle, &updates, buffer, model, out),
        Call::Take => {
            let taken = buffer.coalescer.take();
            assert_eq!(by_key(&taken), model.take());
            out.push(taken);
        }
        Call::TakeFor(reason) => {
            let taken = buffer.coalescer.take_for(reason);
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
            buffer.coalescer.restore(entries.into_iter().collect());
        }
    }
}

fn add_many<S: BuildHasher>(
    handle: usize,
    updates: &[(u8, i16)],
    buffer: &Buffer<S>,
    model: &mut Model,
    out: &mut Vec<Taken<String, f64>>,
) {
    let all = updates
        .iter()
        .map(|&(key, value)| (name(key), f64::from(value)));
    let added = match buffer.writers.get(handle) {
        Some(writer) => writer.add_many(all),
        None => buffer.coalescer.add_many(all),
    };
    let expected: Vec<_> = updates
        .iter()
        .map(|&(key, value)| model.add(&name(key), Some(value)))
        .collect();
    let is_flushed = |e: &&Expected| matches!(e, Expected::Flushed(_));
    let flushed = expected.iter().filter(is_flushed).count();
    let buffered = expected.iter().filter(|e| **e == Expected::Buffered);
    let accepted = buffered.count() + flushed;
    assert_eq!(added.accepted, accepted as u64);
    assert_eq!(added.refused.len(), updates.len() - accepted);
    assert_eq!(added.flushed.len(), flushed);
    out.extend(added.flushed);
}

fn run<S: BuildHasher>(
    hasher: S,
    calls: Vec<Call>,
    checks_each: bool,
    (updates_max, when_full): (u64, WhenFull),
    (keys_max, when_keys_full): (u64, WhenKeysFull<String>),
) {
    let coalescer = Coalescer::builder(Touchy)
        .updates_max(updates_max, when_full)
        .keys_max(keys_max, when_keys_full.clone())
        .hasher(hasher)
        .build()
        .unwrap();
    let writers = (0..HANDLES).map(|_| coalescer.writer()).collect();
    let mut buffer = Buffer { coalescer, writers };
    let mut model = Model {
        updates_max,
        keys_max,
        when_full,
        when_keys_full,
        ..Model::default()
    };
    let mut out = Vec::new();
    for call in calls {
        apply(call, &mut buffer, &mut model, &mut out);
        assert_eq!(buffer.coalescer.updates(), model.updates());
        if checks_each {
            model.check(&buffer.coalescer.stats());
        }
    }
    model.check(&buffer.coalescer.stats());
    let rest = buffer.coalescer.take();
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
        let hasher = Seeded::default();
        run(hasher, calls, true, (updates_max, when_full), (keys_max, when_keys_full));
    }

    /// The statistics merge what the handles hold. This is without them.
    #[test]
    fn law_2_caps_are_exact_over_handles_that_are_left_alone(
        calls in calls(),
        updates_max in 1..40_u64,
        keys_max in 1..14_u64,
        when_full in updates_policy(),
        when_keys_full in keys_policy(),
    ) {
        let hasher = Seeded::default();
        run(hasher, calls, false, (updates_max, when_full), (keys_max, when_keys_full));
    }

    #[test]
    fn keys_that_collide_stay_apart(calls in calls()) {
        let hasher = BuildHasherDefault::<Colliding>::default();
        run(hasher, calls, true, (50, WhenFull::FlushNow), (8, WhenKeysFull::Reject));
    }
}
