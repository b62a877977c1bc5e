//! Which keys are in the lane, on loan or not: each has a small number, its slot.
//!
//! A slot is free again when none of its updates is in the lane any more, so that the cap on keys
//! counts what waits and what is on its way together, each key once.

use std::collections::HashMap;
use std::sync::Arc;

use coalesce::{Evidence, Seeded};
use sinks::ScopeIndex;

/// What the updates of one row have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct MergeKey {
    pub(super) slot: u32,
    pub(super) side: Side,
}

/// The outcome, where a key has a row for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Side {
    /// There is one row only.
    Whole,
    Success,
    Failure,
}

impl Side {
    pub(super) fn of(evidence: Evidence) -> Self {
        match evidence {
            Evidence::Success(_) => Self::Success,
            Evidence::Failure(_) => Self::Failure,
        }
    }
}

type Names = HashMap<Arc<str>, u32, Seeded>;

pub(super) struct Slots {
    keys_max: usize,
    by_name: HashMap<ScopeIndex, Names, Seeded>,
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// Keys with updates that wait.
    buffered: usize,
}

#[derive(Default)]
struct Slot {
    /// `None` of a row that cannot be merged.
    name: Option<(ScopeIndex, Arc<str>)>,
    is_live: bool,
    buffered: u64,
    leased: u64,
}

impl Slots {
    pub(super) fn new(keys_max: usize) -> Self {
        Self {
            keys_max,
            by_name: HashMap::default(),
            slots: Vec::new(),
            free: Vec::new(),
            buffered: 0,
        }
    }

    pub(super) fn keys_max(&self) -> usize {
        self.keys_max
    }

    /// Keys in the lane, those on loan included.
    pub(super) fn live(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Keys with updates that wait.
    pub(super) fn buffered(&self) -> usize {
        self.buffered
    }

    /// The slot of a key, or of a row without one; `None` where it is new and there is no place.
    /// A new slot stays only if something is [added](Self::add) before it is
    /// [released](Self::release).
    pub(super) fn slot(&mut self, scope: ScopeIndex, key: Option<&str>) -> Option<u32> {
        let known = key.and_then(|key| self.by_name.get(&scope)?.get(key).copied());
        if known.is_some() {
            return known;
        }
        if self.live() >= self.keys_max {
            return None;
        }
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            self.slots.len() as u32 - 1
        });
        let name = key.map(|key| {
            let key: Arc<str> = key.into();
            let names = self.by_name.entry(scope).or_default();
            names.insert(Arc::clone(&key), slot);
            (scope, key)
        });
        self.slots[slot as usize] = Slot {
            name,
            is_live: true,
            ..Slot::default()
        };
        Some(slot)
    }

    /// The expanded key of a slot.
    pub(super) fn name(&self, slot: u32) -> Option<Arc<str>> {
        let (_, name) = self.slots[slot as usize].name.as_ref()?;
        Some(Arc::clone(name))
    }

    /// One update more waits.
    pub(super) fn add(&mut self, slot: u32) {
        let slot = &mut self.slots[slot as usize];
        self.buffered += usize::from(slot.buffered == 0);
        slot.buffered += 1;
    }

    /// So many updates that waited are on loan.
    pub(super) fn lend(&mut self, slot: u32, updates: u64) {
        let slot = &mut self.slots[slot as usize];
        slot.buffered -= updates;
        slot.leased += updates;
        self.buffered -= usize::from(slot.buffered == 0 && updates > 0);
    }

    /// So many updates that were on loan wait again.
    pub(super) fn restore(&mut self, slot: u32, updates: u64) {
        let slot = &mut self.slots[slot as usize];
        self.buffered += usize::from(slot.buffered == 0 && updates > 0);
        slot.leased -= updates;
        slot.buffered += updates;
    }

    /// So many updates that were on loan are gone.
    pub(super) fn settle(&mut self, slot: u32, updates: u64) {
        self.slots[slot as usize].leased -= updates;
        self.release(slot);
    }

    /// Makes room for another key unless this one has updates in the lane.
    pub(super) fn release(&mut self, number: u32) {
        let slot = &mut self.slots[number as usize];
        if !slot.is_live || slot.buffered + slot.leased > 0 {
            return;
        }
        slot.is_live = false;
        if let Some((scope, name)) = slot.name.take()
            && let Some(names) = self.by_name.get_mut(&scope)
        {
            names.remove(&name);
            if names.is_empty() {
                self.by_name.remove(&scope);
            }
        }
        self.free.push(number);
    }
}
