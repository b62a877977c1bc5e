//! The trait that every policy implements, and what it answers.
//!
//! Invariants: a flush is never asked for while the buffer is empty; between two flushes a
//! condition that became true stays true; time that jumps back is clamped to the latest time seen.

use std::fmt;
use std::time::Instant;

use crate::{Flushed, Load, Reason};

/// Decides when a buffer is to be flushed.
///
/// The policy owns no clock and no items. Its driver
/// 1. reports what was accepted with [`on_push`](Self::on_push), at once or later,
/// 2. sleeps until [`next_deadline`](Self::next_deadline) at the latest, however few items arrive,
///    and then calls [`on_deadline`](Self::on_deadline),
/// 3. flushes when a call answers [`Decision::Flush`], and reports how that went with
///    [`on_flushed`](Self::on_flushed), also when it failed, and follows the decision that this
///    call returns.
///
/// Calls answer for the *state*, not for the event: a decision that the driver could not follow
/// is given again by the next call, and an early or needless call answers [`Decision::Wait`]. So no
/// call can be made too often, and none is lost. A deadline in the past means that a flush is due
/// now. While a flush is in flight its driver goes on reporting pushes and simply does not look at
/// deadlines. A `now` earlier than that of the call before is taken to be the same as that. All
/// built-in policies take constant time per call and do not allocate.
///
/// # What moves the deadline
///
/// Only [`on_push`](Self::on_push) and [`on_flushed`](Self::on_flushed), and each policy says how:
/// look at `next_deadline` again after either of them. Time alone does not, nor does any number of
/// calls of [`on_deadline`](Self::on_deadline): what was computed from `next_deadline` before them
/// still holds.
///
/// # Example
///
///
/// ```
/// use std::time::{Duration, Instant};
/// use flush_policy::{Decision, FlushPolicy, FlushSpec, Flushed, Load, Reason, Remainder};
///
/// let mut policy = FlushSpec::new().size(3).age(Duration::from_secs(5)).build()?;
/// let start = Instant::now();
///
/// assert_eq!(policy.on_push(start, Load::new(1, 64)), Decision::Wait);
/// let due = policy.next_deadline().expect("one item waits");
/// assert_eq!(due, start + Duration::from_secs(5));
///
/// // Nothing else arrives, and the item is flushed all the same.
/// assert_eq!(policy.on_deadline(due), Decision::Flush(Reason::Age));
/// let next = policy.on_flushed(due, Flushed::delivered(Remainder::EMPTY));
/// assert_eq!(next, Decision::Wait);
/// assert_eq!(policy.next_deadline(), None);
/// # Ok::<(), flush_policy::PolicyError>(())
/// ```
pub trait FlushPolicy: fmt::Debug + Send {
    /// Items were accepted by the buffer since the last call. **May move the deadline**: sets it
    /// where there was none, or brings it forward.
    ///
    /// A load without items changes nothing.
    fn on_push(&mut self, now: Instant, pushed: Load) -> Decision;

    /// When to call [`on_deadline`](Self::on_deadline) if nothing else happens, or `None` if only
    /// another push can make a flush due.
    ///
    /// A plain reading: it changes nothing and may be asked for at any time.
    fn next_deadline(&self) -> Option<Instant>;

    /// Time has passed. Early, repeated and needless calls, and calls with an earlier `now` than
    /// before, are harmless, and **the deadline does not move**.
    fn on_deadline(&mut self, now: Instant) -> Decision;

    /// A flush has ended, at `now`, and this is what is left. **May move the deadline**: takes it
    /// away, or puts it to that of the remainder.
    ///
    /// The decision says whether the remainder has to be flushed at once: it was too large for one
    /// batch, or what arrived during the flush is due already, or the flush failed. How long to
    /// wait before a failed flush is tried again is the driver's choice; the deadline stays armed.
    fn on_flushed(&mut self, now: Instant, flushed: Flushed) -> Decision;

    /// The reason that the flush at [`next_deadline`](Self::next_deadline) will have.
    ///
    /// It means something only while there is a deadline. [`Jitter`](crate::Jitter) asks, because
    /// it flushes before; an own policy whose deadlines are not ages says so here.
    fn deadline_reason(&self) -> Reason {
        Reason::Age
    }

    /// How many items the next batch should hold at most, if the policy has a view on that.
    ///
    /// [`Adaptive`](crate::Adaptive) has one, and combinations hand on the smallest among their
    /// parts. It changes in [`on_flushed`](Self::on_flushed), and after a pause in any call.
    fn batch_items(&self) -> Option<usize> {
        None
    }

    /// The policy in a box, as the combinators take it.
    fn boxed(self) -> Box<dyn FlushPolicy>
    where
        Self: Sized + 'static,
    {
        Box::new(self)
    }
}

impl FlushPolicy for Box<dyn FlushPolicy> {
    fn on_push(&mut self, now: Instant, pushed: Load) -> Decision {
        (**self).on_push(now, pushed)
    }

    fn next_deadline(&self) -> Option<Instant> {
        (**self).next_deadline()
    }

    fn on_deadline(&mut self, now: Instant) -> Decision {
        (**self).on_deadline(now)
    }

    fn on_flushed(&mut self, now: Instant, flushed: Flushed) -> Decision {
        (**self).on_flushed(now, flushed)
    }

    fn deadline_reason(&self) -> Reason {
        (**self).deadline_reason()
    }

    fn batch_items(&self) -> Option<usize> {
        (**self).batch_items()
    }

    fn boxed(self) -> Box<dyn FlushPolicy> {
        self
    }
}

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[must_use = "a flush that is decided has to be carried out"]
pub enum Decision {
    /// Nothing is due.
    Wait,
    /// The buffer is to be flushed now.
    Flush(Reason),
}

impl Decision {
    /// Why to flush, or `None` to wait.
    #[must_use]
    pub const fn reason(self) -> Option<Reason> {
        match self {
            Self::Wait => None,
            Self::Flush(reason) => Some(reason),
        }
    }

    /// Whether to flush.
    #[must_use]
    pub const fn is_flush(self) -> bool {
        matches!(self, Self::Flush(_))
    }

    /// The decision of one policy, else that of another.
    pub(crate) const fn or(self, other: Self) -> Self {
        match self {
            Self::Wait => other,
            Self::Flush(_) => self,
        }
    }
}
