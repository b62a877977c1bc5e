//! Where a source hands over its records.
//!
//! Each intake belongs to one source. A record goes to the buffers of the routes that match it,
//! which may refuse it, and what one of them took is then shown in the data service; that step
//! cannot fail, since the keys were registered before. Both happen under the intake's own lock, so
//! that positions reach each buffer in order; a push that blocks for room holds it. The wakers of
//! the data service's subscribers run under it too: they must not push here.
//!
//! Where to read on: `accept` is the way of a record, `plain` its short cut, `targets` where it
//! leads, `keys` what is remembered of a key, `room` counts what would go where, `coming` is how a
//! source gets here.

mod accept;
mod coming;
mod keys;
mod plain;
mod pushed;
mod room;
mod targets;

use std::sync::Arc;
use std::time::{Duration, Instant};

use buffer_core::Refusal;
use parking_lot::Mutex;
use record::{Malformed, Position, Record};
use sinks::ScopeName;

use crate::PipelineError;
use crate::error::IntakeError;
use crate::live::LiveData;
use crate::opening::{Hold, Opening};
use crate::shape::Shape;
use crate::source::Item;
use crate::sources::Sources;
use crate::spec::WhenFull;
use crate::tracked::Tracked;
pub(crate) use accept::Mode;
use accept::Staged;
pub(crate) use coming::Coming;
use keys::Keys;
pub use room::RoomCount;
pub(crate) use targets::{Targets, open_soon};

/// A record, or a piece of input that was none and goes to the quarantine.
pub type Content = Result<Record, Malformed>;

/// What became of records that were handed over.
#[derive(Debug, Default)]
#[must_use]
pub struct Accepted {
    /// How many were accepted by all the routes they belong to; those that no route matches count
    /// too, since nobody refused them.
    pub accepted: usize,
    /// How many older or newer ones were lost for them, by the policies of their lanes.
    pub dropped: usize,
    /// How many rows were passed over because their scope had them before it was opened: a source
    /// with several lanes is read again from where the last of them was. Counted once per route.
    pub skipped: usize,
    /// Why others were refused, if any were.
    pub refusal: Option<Refusal>,
    /// Which ones were refused by one of their routes at least, by their index, ascending. Where
    /// all go to one lane, they are the last ones.
    pub refused: Vec<usize>,
    /// How many of those were taken by another of their routes.
    pub refused_partly: usize,
    /// How many rows a sink that is lost did not get, counted once per route; its lanes count them
    /// as refused. Only records that have no other sink are refused for it.
    pub unreachable: usize,
}

/// A source's way into a pipeline; see [`Pipeline::intake`](crate::Pipeline::intake). Once the last
/// clone is dropped, the source may come again, and goes on where it was.
#[derive(Clone)]
pub struct Intake {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    name: ScopeName,
    live: Option<LiveData>,
    sources: Arc<Sources>,
    state: Mutex<State>,
}

struct State {
    targets: Targets,
    keys: Keys,
    /// Empty vectors for the next records.
    staged: Staged,
}

impl Intake {
    pub(crate) fn new(
        name: ScopeName,
        targets: Targets,
        live: Option<LiveData>,
        sources: Arc<Sources>,
    ) -> Self {
        let state = Mutex::new(State {
            targets,
            keys: Keys::default(),
            staged: Staged::default(),
        });
        Self {
            inner: Arc::new(Inner {
                name,
                live,
                sources,
                state,
            }),
        }
    }

    /// The source's name, with which the names of its scopes begin.
    #[must_use]
    pub fn name(&self) -> &ScopeName {
        &self.inner.name
    }

    /// Says that the source has ended though nobody stopped it, so that health shows it.
    pub fn source_stopped(&self, reason: &str) {
        self.inner.sources.stopped(&self.inner.name, reason);
    }

    /// Says that it goes on after [`source_stopped`](Self::source_stopped).
    pub fn source_resumed(&self) {
        self.inner.sources.resumed(&self.inner.name);
    }

    /// How far the source was delivered when its scopes were opened: one that can be read again
    /// begins after it. With several lanes this is how far the last of them has come; the others
    /// know again what they have. [`Position::START`] while a scope of
    /// [`Pipeline::intake_at_once`] is not open.
    ///
    /// [`Pipeline::intake_at_once`]: crate::Pipeline::intake_at_once
    #[must_use]
    pub fn watermark(&self) -> Position {
        self.inner.state.lock().targets.watermark()
    }

    /// Whether a buffer that records of this source go to is past its high mark and not yet back
    /// at the low one. A source that can be slowed waits meanwhile. The lanes of a sink that is
    /// lost do not count.
    #[must_use]
    pub fn is_high(&self) -> bool {
        self.inner.state.lock().targets.is_high()
    }

    /// Whether none of its lanes takes anything any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.inner.state.lock().targets.is_closed()
    }

    /// Whether one of its lanes leads into a sink that is lost.
    #[cfg(feature = "host")]
    pub(crate) fn is_lost(&self) -> bool {
        self.inner.state.lock().targets.is_lost()
    }

    /// Waits while [`is_high`](Self::is_high), for so long at the most, and says whether that has
    /// passed. Lanes whose policy is to block do not count: they slow whoever pushes.
    ///
    /// Blocks the thread.
    #[must_use]
    pub fn wait_until_low(&self, timeout: Duration) -> bool {
        let deadline = Instant::now().checked_add(timeout);
        while self.inner.state.lock().targets.is_high_unblocked() {
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return false;
            }
            std::thread::sleep(HIGH_PULSE);
        }
        true
    }

    /// How many records may be handed over at a time without going past the end of a buffer that
    /// is not past its high mark.
    pub(crate) fn room_above_high(&self) -> usize {
        self.inner.state.lock().targets.room_above_high()
    }

    /// Leaves out records whose keys are new and cannot be shown any more, and says how many.
    pub fn keep_showable(&self, records: &mut Vec<Record>) -> usize {
        let before = records.len();
        if let Some(live) = &self.inner.live {
            let mut state = self.inner.state.lock();
            records.retain(|record| state.keys.learn(live, std::iter::once(record)).is_ok());
        }
        before - records.len()
    }

    /// Hands over records of a source without positions, by the policies of their lanes; they get
    /// the positions after the last one. With a blocking policy this call may wait.
    ///
    /// # Errors
    /// When they have more new keys than may be; then none of them is taken.
    pub fn push(&self, now: Instant, contents: Vec<Content>) -> Result<Accepted, IntakeError> {
        self.inner
            .accept(now, numbered(contents), Mode::ByPolicy, None)
    }

    /// Hands over records of a source without positions if there is room for all of them; never
    /// waits and never displaces. Where they go to several lanes, another source may take the room
    /// of one in between: then the records of that lane alone are refused, and the error says
    /// which ones.
    ///
    /// # Errors
    /// When a lane is past its high mark, there is no room, they have more new keys than may be, or
    /// one of them has no sink but one that is lost; then none of them is taken.
    pub fn try_push_all(&self, now: Instant, contents: Vec<Content>) -> Result<(), IntakeError> {
        let accepted = self
            .inner
            .accept(now, numbered(contents), Mode::AllOrNone, None)?;
        match accepted.refusal {
            Some(_) if accepted.accepted > 0 => Err(IntakeError::Partly {
                accepted: accepted.accepted,
                refused: accepted.refused,
            }),
            Some(refusal) => Err(refusal.into()),
            None => Ok(()),
        }
    }

    /// Hands over items of a reader, which bring their positions, by the policies of their lanes.
    /// What is refused is lost to this call: a reader reads it again from the watermark.
    ///
    /// # Errors
    /// When they have more new keys than may be; then none of them is taken.
    pub fn push_items(&self, now: Instant, items: Vec<Item>) -> Result<Accepted, IntakeError> {
        let items = items
            .into_iter()
            .map(|item| (Some(item.position), item.content));
        self.inner.accept(now, items, Mode::ByPolicy, None)
    }

    /// One record, if it can be taken by the way; it comes back otherwise, and nothing has
    /// happened.
    #[inline]
    pub(crate) fn push_plainly(&self, now: Instant, record: Record) -> Result<(), Record> {
        self.inner.accept_plainly(now, record)
    }

    /// One record, by the policy of its lane, whose sender may want to know what becomes of it.
    pub(crate) fn push_one(
        &self,
        now: Instant,
        record: Record,
        mode: Mode,
        tracked: Option<&mut Tracked>,
    ) -> Result<Accepted, IntakeError> {
        let one = std::iter::once((None, Ok(record)));
        self.inner.accept(now, one, mode, tracked)
    }
}

impl std::fmt::Debug for Intake {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Intake({})", self.inner.name)
    }
}

impl State {
    /// For how long a push of this record would block at most, if it would block now.
    fn blocks(&mut self, record: &Record) -> Option<Duration> {
        let Self { targets, keys, .. } = self;
        let shape = Arc::clone(&targets.shape);
        let routes = keys.routes(&shape, record);
        let queues = routes.iter().map(|route| {
            let target = targets.of(*route, record.priority);
            &targets.all[target].queue
        });
        let waits = queues.filter_map(|queue| match queue.spec.buffer.policy {
            WhenFull::Block(timeout) if queue.is_full() => Some(timeout),
            _ => None,
        });
        waits.max()
    }
}

impl Drop for Inner {
    /// Its rows may still wait: if the source comes again, it goes on behind them.
    fn drop(&mut self) {
        let targets = self.state.get_mut().targets.take();
        self.sources.left(&self.name, targets);
    }
}

impl Inner {
    fn accept(
        &self,
        now: Instant,
        contents: impl Iterator<Item = (Option<Position>, Content)>,
        mode: Mode,
        tracked: Option<&mut Tracked>,
    ) -> Result<Accepted, IntakeError> {
        self.accept_with(self.state.lock(), now, contents, mode, tracked)
    }

    /// Takes a record from a task, which must not be held up: hands it back while its lane is full
    /// and would make it wait for longer than it has, or while a thread holds the intake because
    /// it waits for room itself.
    pub(crate) fn try_one(
        &self,
        now: Instant,
        record: Record,
        waited: Duration,
    ) -> Result<Result<Accepted, IntakeError>, Record> {
        let Some(mut state) = self.state.try_lock() else {
            return Err(record);
        };
        if state
            .blocks(&record)
            .is_some_and(|timeout| waited < timeout)
        {
            return Err(record);
        }
        let one = std::iter::once((None, Ok(record)));
        Ok(self.accept_with(state, now, one, Mode::NoWait, None))
    }

    /// Where its records would lead in another shape. The scopes that are new have to be opened.
    pub(crate) fn announce(
        &self,
        shape: &Arc<Shape>,
    ) -> Result<(Targets, Vec<Opening>), PipelineError> {
        let state = self.state.lock();
        Targets::announce(shape, &self.name, Some(&state.targets), Hold::UntilOpen)
    }

    /// Leads its records there from now on.
    pub(crate) fn follow(&self, mut targets: Targets) {
        let mut state = self.state.lock();
        targets.go_on_from(&state.targets);
        state.targets = targets;
        state.keys.forget_routes();
    }
}

fn numbered(contents: Vec<Content>) -> impl ExactSizeIterator<Item = (Option<Position>, Content)> {
    contents.into_iter().map(|content| (None, content))
}

/// How often it is looked whether a buffer has emptied.
const HIGH_PULSE: Duration = Duration::from_millis(1);
