//! A callback's place in a dispatcher: what wakes it, what it runs, and what became of it.
//!
//! Whoever runs the work or drops it takes it out of the cell first, so that neither happens under
//! a lock. The handle and the dispatcher may both want to drop it: whoever takes it does. While it
//! is out for a run, a cancellation leaves a note, and the run's end drops it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Wake, Waker};
use std::time::{Duration, Instant};

use super::dispatcher::Hub;
use super::work::{Ran, Work};
use super::{CallbackState, CallbackStats};
use crate::cascade::{self, Turn};
use crate::sync::{AtomicU64, Mutex, Ordering};

pub(super) struct Slot {
    hub: Arc<Hub>,
    number: u64,
    /// The depth of the deepest wake since the last turn; 0 if there was none. Whoever raises it
    /// from 0 adds the slot to the ready list, so that it is there at most once.
    woken: AtomicU64,
    cell: Mutex<Cell>,
}

struct Cell {
    work: Option<Box<dyn Work>>,
    is_cancelled: bool,
    /// Not before then comes the next turn.
    due: Option<Instant>,
    /// Whether it waits for that in the timers, with the depth that its turn will have.
    timed: Option<u32>,
    panics_in_a_row: u32,
    total: Duration,
    stats: CallbackStats,
}

/// What the dispatcher has to do with its timers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Timer {
    /// Nothing.
    Keep,
    /// Call again at this moment.
    Set(Instant),
    /// Forget the one that was set for this moment.
    Clear(Instant),
}

impl Slot {
    pub(super) fn new(hub: Arc<Hub>, number: u64, work: Box<dyn Work>) -> Self {
        Self {
            hub,
            number,
            woken: AtomicU64::new(0),
            cell: Mutex::new(Cell {
                work: Some(work),
                is_cancelled: false,
                due: None,
                timed: None,
                panics_in_a_row: 0,
                total: Duration::ZERO,
                stats: CallbackStats::default(),
            }),
        }
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn stats(&self) -> CallbackStats {
        self.cell.lock().stats
    }

    /// Puts it on the ready list, if it is not there.
    pub(super) fn wake(self: &Arc<Self>) {
        let depth = u64::from(cascade::depth()) + 1;
        if self.woken.fetch_max(depth, Ordering::AcqRel) == 0 {
            self.hub.ready.push(Arc::clone(self));
        }
    }

    /// Drops the work, now or at the end of the run it is out for.
    pub(super) fn cancel(self: &Arc<Self>) {
        self.hub.forget(self.number);
        let (work, is_timed) = {
            let mut cell = self.cell.lock();
            cell.is_cancelled = true;
            (cell.work.take(), cell.timed.is_some())
        };
        if is_timed {
            // Its turn takes it out of the timers.
            self.wake();
        }
        discard(work);
    }

    /// Drops the work for another reason than that its handle went away.
    pub(super) fn end(&self, state: CallbackState) {
        let work = {
            let mut cell = self.cell.lock();
            if cell.stats.state == CallbackState::Active {
                cell.stats.state = state;
            }
            cell.is_cancelled = true;
            cell.work.take()
        };
        discard(work);
    }

    /// Its turn, in the dispatcher's thread.
    pub(super) fn turn(self: &Arc<Self>) -> Timer {
        // Before the pull: what changes after it wakes again.
        let depth = self.woken.swap(0, Ordering::AcqRel);
        let depth = u32::try_from(depth).unwrap_or(u32::MAX);
        let (work, depth, timer) = {
            let mut cell = self.cell.lock();
            let depth = depth.max(cell.timed.unwrap_or(1));
            let timer = match (cell.timed.take(), cell.due) {
                (Some(_), Some(due)) => Timer::Clear(due),
                _ => Timer::Keep,
            };
            if let Some(due) = cell.due
                && cell.work.is_some()
                && Instant::now() < due
            {
                cell.timed = Some(depth);
                return Timer::Set(due);
            }
            (cell.work.take(), depth, timer)
        };
        if let Some(work) = work {
            self.run(work, depth);
        }
        timer
    }

    fn run(self: &Arc<Self>, mut work: Box<dyn Work>, depth: u32) {
        let waker = Waker::from(Arc::clone(self));
        let turn = Turn::begin(depth, self.hub.options.cascade_max);
        let ran = catch_unwind(AssertUnwindSafe(|| work.run(&waker))).map_err(|payload| {
            discard(Some(payload));
            // It may have panicked before it left a waker; a second one does no harm.
            catch_unwind(AssertUnwindSafe(|| work.rearm(&waker)))
                .map_err(|payload| discard(Some(payload)))
                .is_ok()
        });
        let panics_max = self.hub.options.panics_max;
        let (left, state) = {
            let mut cell = self.cell.lock();
            let state = cell.note(&ran, panics_max);
            if cell.is_cancelled || state != CallbackState::Active {
                cell.stats.state = state;
                (Some(work), state)
            } else {
                cell.work = Some(work);
                (None, state)
            }
        };
        self.hub.note(&ran, state);
        if state != CallbackState::Active {
            self.hub.forget(self.number);
        }
        // Still within the turn: what a destructor writes is part of the cascade.
        discard(left);
        drop(turn);
    }
}

/// What a run came to; after a panic, whether the work can be woken again.
pub(super) type Outcome = Result<Ran, bool>;

impl Cell {
    /// Counts a run, and says how it leaves the callback.
    fn note(&mut self, ran: &Outcome, panics_max: u32) -> CallbackState {
        let stats = &mut self.stats;
        match *ran {
            Ok(Ran::Nothing) => {}
            Ok(Ran::Closed(reason)) => return CallbackState::Closed(reason),
            Ok(Ran::Called { took, due }) => {
                self.due = due;
                self.panics_in_a_row = 0;
                self.total = self.total.saturating_add(took);
                stats.calls += 1;
                stats.last = took;
                stats.max = stats.max.max(took);
                let nanos = self.total.as_nanos() / u128::from(stats.calls);
                stats.mean = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
            }
            Err(can_be_woken) => {
                stats.panics += 1;
                self.panics_in_a_row += 1;
                if self.panics_in_a_row >= panics_max || !can_be_woken {
                    return CallbackState::Quarantined;
                }
            }
        }
        stats.state
    }
}

impl Wake for Slot {
    fn wake(self: Arc<Self>) {
        Slot::wake(&self);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        Slot::wake(self);
    }
}

/// Drops what is not this crate's: if its destructor panics, that stays its own affair.
pub(super) fn discard<T>(foreign: Option<T>) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(foreign))) {
        // Its destructor could panic as well.
        std::mem::forget(payload);
    }
}
