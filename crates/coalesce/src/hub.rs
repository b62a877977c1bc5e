//! What all handles share, under one lock: credits for the caps, and what was handed over.
//!
//! An add comes here once per some hundred updates, for credits; a take comes here to flip the
//! handles' containers and carry everything out, in time that does not depend on how much it is.
//! Merging goes on outside, or under the lock in small portions.
//!
//! Invariants, whenever the lock is free: `used` is the number of updates that are in the buffer or
//! for which somebody has a credit, and is at most the cap but for what was restored; `keys_used`
//! likewise for keys, where a key that several handles hold counts for each until they are merged.

use std::sync::Arc;

use buffer_core::handover::{Slot, Slots};

use crate::container::{Account, Container};
use crate::sync::{AtomicU64, Ordering};
use crate::table::{Cursor, Table};
use crate::tally::Counts;
use crate::{FlushesByReason, TakeReason, Taken};

/// Tables with places for the next time that each handle keeps, beside the one it writes.
const SPARES_MAX: usize = 2;

pub(crate) struct Hub<K, P> {
    pub(crate) slots: Slots<Container<K, P>>,
    pub(crate) held: Held<K, P>,
}

pub(crate) struct Held<K, P> {
    pub(crate) lanes: Vec<Option<LaneState<K, P>>>,
    pub(crate) lane_count: u64,
    /// Handed over and not merged yet.
    pub(crate) parked: Vec<Parked<K, P>>,
    /// Handed over and merged.
    pub(crate) central: Central<K, P>,
    pub(crate) used: u64,
    pub(crate) keys_used: u64,
    /// Whether the number of updates at which a flush is due was reached since the last take.
    pub(crate) is_due: bool,
    /// An order that is at least that of all updates that were handed over.
    pub(crate) clock: u64,
    /// Number of the next take, from 1.
    pub(crate) epoch: u64,
    pub(crate) counts: Counts,
    pub(crate) flushes: FlushesByReason,
    /// What ended handles counted by their gauges, and what came in without a handle.
    accepted_before: u64,
}

/// What the hub knows of a handle.
pub(crate) struct LaneState<K, P> {
    gauge: Arc<Gauge>,
    spares: Vec<Table<K, P>>,
    /// Whether it may have credits for updates that it did not use.
    pub(crate) is_loose: bool,
    /// Whether it may have charged keys, or credits for them.
    pub(crate) is_keyed: bool,
    /// Tickets for keys that are not known to be used or returned.
    pub(crate) key_tickets: u64,
    /// Whether it was written since the last take.
    is_written: bool,
}

/// Updates that one handle ever put in. Only that handle writes it, on a line of its own.
#[repr(align(128))]
pub(crate) struct Gauge(pub(crate) AtomicU64);

/// Updates that were handed over.
pub(crate) struct Parked<K, P> {
    pub(crate) source: Source<K, P>,
    pub(crate) updates: u64,
    /// Credits for keys that it holds.
    pub(crate) charged: u64,
}

pub(crate) enum Source<K, P> {
    Table {
        table: Table<K, P>,
        walk: Cursor,
        /// The handle that gets the emptied table back.
        lane: Option<usize>,
        /// Whether most of its keys were idle when it was handed over, and are to be forgotten.
        is_sparse: bool,
    },
    Batch(Taken<K, P>),
}

pub(crate) struct Central<K, P> {
    pub(crate) table: Table<K, P>,
    pub(crate) updates: u64,
    pub(crate) charged: u64,
}

/// Everything that was in the buffer.
pub(crate) struct TakenOut<K, P> {
    pub(crate) sources: Vec<Parked<K, P>>,
    pub(crate) updates: u64,
    /// Memory of handles that were not used lately, to be dropped after unlocking.
    pub(crate) idle: Vec<Table<K, P>>,
}

impl<K, P> Hub<K, P> {
    pub(crate) fn new() -> Self {
        Self {
            slots: Slots::new(),
            held: Held {
                lanes: Vec::new(),
                lane_count: 0,
                parked: Vec::new(),
                central: Central::new(),
                used: 0,
                keys_used: 0,
                is_due: false,
                clock: 0,
                epoch: 1,
                counts: Counts::default(),
                flushes: FlushesByReason::default(),
                accepted_before: 0,
            },
        }
    }

    /// A handle: its number, its side of the hand-over, and the gauge that it keeps.
    pub(crate) fn add_lane(&mut self) -> (usize, Slot<Container<K, P>>, Arc<Gauge>) {
        let gauge = Arc::new(Gauge(AtomicU64::new(0)));
        let state = LaneState {
            gauge: Arc::clone(&gauge),
            spares: Vec::new(),
            is_loose: false,
            is_keyed: false,
            key_tickets: 0,
            is_written: false,
        };
        let lanes = &mut self.held.lanes;
        let lane = match lanes.iter().position(Option::is_none) {
            Some(free) => free,
            None => {
                lanes.push(None);
                lanes.len() - 1
            }
        };
        lanes[lane] = Some(state);
        self.held.lane_count += 1;
        let slot = self.slots.add(Container::new(lane), Container::new(lane));
        (lane, slot, gauge)
    }

    /// Ends a handle; what it holds stays. Returns memory to be dropped after unlocking.
    pub(crate) fn end_lane(
        &mut self,
        lane: usize,
        slot: &mut Slot<Container<K, P>>,
    ) -> Option<LaneState<K, P>> {
        let held = &mut self.held;
        self.slots.retire(slot, |container| held.park(container));
        let state = held.lanes.get_mut(lane)?.take()?;
        held.lane_count -= 1;
        held.accepted_before += state.gauge.0.load(Ordering::Relaxed);
        Some(state)
    }

    /// Hands over what all handles hold, with the credits that they did not use.
    pub(crate) fn park_all(&mut self) {
        let held = &mut self.held;
        self.slots.take(|container| held.park(container));
        for lane in held.lanes.iter_mut().flatten() {
            lane.is_loose = false;
            lane.is_keyed = lane.key_tickets > 0;
        }
    }

    /// Carries everything out.
    pub(crate) fn take_out(&mut self) -> TakenOut<K, P> {
        self.park_all();
        let held = &mut self.held;
        // The list keeps its memory, which an add that parks would have to ask for.
        let mut sources: Vec<_> = held.parked.drain(..).collect();
        if held.central.table.live() > 0 {
            let central = std::mem::replace(&mut held.central, Central::new());
            sources.push(Parked {
                source: Source::table(central.table, None),
                updates: central.updates,
                charged: central.charged,
            });
        }
        let updates = sources.iter().map(|parked| parked.updates).sum();
        held.used -= updates;
        held.keys_used -= sources.iter().map(|parked| parked.charged).sum::<u64>();
        held.counts.flushed = held.counts.flushed.saturating_add(updates);
        held.is_due = false;
        held.epoch += 1;
        let mut idle = Vec::new();
        for lane in held.lanes.iter_mut().flatten() {
            if !std::mem::take(&mut lane.is_written) {
                idle.append(&mut lane.spares);
            }
        }
        TakenOut {
            sources,
            updates,
            idle,
        }
    }
}

impl<K, P> Held<K, P> {
    /// Takes what a handle filled.
    fn park(&mut self, container: &mut Container<K, P>) {
        let account = std::mem::replace(&mut container.account, Account::NONE);
        self.counts.accepted += account.accepted();
        self.counts.invalid += account.invalid;
        self.counts.overflowed += account.overflowed;
        self.used -= account.credits;
        self.keys_used -= account.key_credits;
        self.clock = self.clock.max(account.clock);
        if let Some(Some(lane)) = self.lanes.get_mut(container.lane) {
            lane.is_written = true;
            lane.key_tickets -= account.key_tickets;
        }
        if container.table.live() > 0 {
            let table = std::mem::replace(&mut container.table, Table::new());
            self.parked.push(Parked {
                source: Source::table(table, Some(container.lane)),
                updates: account.accepted(),
                charged: account.charged - account.key_credits,
            });
        }
    }

    /// What a handle puts its next updates into: places that it had before, if there are any.
    pub(crate) fn spare(&mut self, lane: usize) -> Option<Table<K, P>> {
        self.lanes.get_mut(lane)?.as_mut()?.spares.pop()
    }

    pub(crate) fn lane_mut(&mut self, lane: usize) -> Option<&mut LaneState<K, P>> {
        self.lanes.get_mut(lane)?.as_mut()
    }

    /// Gives an emptied table back to its handle, or returns it to be dropped after unlocking.
    pub(crate) fn give_back(
        &mut self,
        lane: Option<usize>,
        table: Table<K, P>,
    ) -> Option<Table<K, P>> {
        match lane.and_then(|lane| self.lane_mut(lane)) {
            Some(lane) if lane.spares.len() < SPARES_MAX => {
                lane.spares.push(table);
                None
            }
            _ => Some(table),
        }
    }

    /// Whether a handle other than this one may have credits for updates that it did not use.
    pub(crate) fn is_loose_beside(&self, lane: Option<usize>) -> bool {
        let mut others = self.lanes.iter().enumerate();
        others
            .any(|(other, state)| Some(other) != lane && state.as_ref().is_some_and(|s| s.is_loose))
    }

    /// Whether the keys in use may be fewer than the credits for keys say.
    pub(crate) fn is_keyed_beside(&self, lane: Option<usize>) -> bool {
        let mut others = self.lanes.iter().enumerate();
        others
            .any(|(other, state)| Some(other) != lane && state.as_ref().is_some_and(|s| s.is_keyed))
    }

    /// Brings in what comes without a handle, beyond the caps if need be.
    pub(crate) fn force(&mut self, batch: Taken<K, P>) {
        let (updates, charged) = (batch.updates(), batch.keys() as u64);
        self.used += updates;
        self.keys_used += charged;
        self.parked.push(Parked {
            source: Source::Batch(batch),
            updates,
            charged,
        });
    }

    /// Counts an update that goes straight out, beside what is taken.
    pub(crate) fn count_passing(&mut self) {
        self.counts.accepted += 1;
        self.counts.flushed += 1;
        self.accepted_before += 1;
    }

    pub(crate) fn record(&mut self, reason: TakeReason) {
        self.flushes.record(reason);
    }

    /// Updates in the buffer, as the gauges say while others add.
    pub(crate) fn updates(&self) -> u64 {
        let gauges = self.lanes.iter().flatten();
        let accepted: u64 = gauges.map(|l| l.gauge.0.load(Ordering::Relaxed)).sum();
        (accepted + self.accepted_before)
            .saturating_add(self.counts.restored)
            .saturating_sub(self.counts.flushed.saturating_add(self.counts.lost))
    }

    /// Updates that were handed over, counted where they are.
    pub(crate) fn updates_held(&self) -> u64 {
        let parked: u64 = self.parked.iter().map(|parked| parked.updates).sum();
        parked + self.central.updates
    }

    /// Keys that memory is held for, but for those that are written now.
    pub(crate) fn capacity(&self) -> usize {
        let spares = self.lanes.iter().flatten().flat_map(|lane| &lane.spares);
        let spares: usize = spares.map(Table::capacity).sum();
        let parked = self.parked.iter().map(|parked| match &parked.source {
            Source::Table { table, .. } => table.capacity(),
            Source::Batch(batch) => batch.keys(),
        });
        spares + parked.sum::<usize>() + self.central.table.capacity()
    }
}

impl<K, P> Source<K, P> {
    pub(crate) fn table(table: Table<K, P>, lane: Option<usize>) -> Self {
        Self::Table {
            is_sparse: table.is_mostly_idle(),
            table,
            walk: Cursor::default(),
            lane,
        }
    }

    pub(crate) fn keys(&self) -> usize {
        match self {
            Self::Table { table, .. } => table.live(),
            Self::Batch(batch) => batch.keys(),
        }
    }
}

impl<K, P> Central<K, P> {
    const fn new() -> Self {
        Self {
            table: Table::new(),
            updates: 0,
            charged: 0,
        }
    }
}
