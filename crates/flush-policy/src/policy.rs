//! The trait that every policy implements, and what goes in and out of it.
//!
//! Invariants: a flush is never asked for while the buffer is empty; between two flushes a
//! condition that became true stays true; time that jumps back is clamped to the latest time seen.

use std::fmt;
use std::time::Instant;

use crate::Reason;

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
/// call can be made too often, and none is lost. Deadlines move only in `on_push` and `on_flushed`;
/// a sleep that was computed before such a call has to be computed again. A deadline in the past
/// means that a flush is due now. While a flush is in flight its driver goes on reporting pushes
/// and simply does not look at deadlines.
///
/// A `now` earlier than that of the call before is taken to be the same as that. All built-in
/// policies take constant time per call and do not allocate.
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
    /// Items were accepted by the buffer since the last call. May move the deadline.
    ///
    /// A load without items changes nothing.
    fn on_push(&mut self, now: Instant, pushed: Load) -> Decision;

    /// When to call [`on_deadline`](Self::on_deadline) if nothing else happens, or `None` if only
    /// another push can make a flush due.
    fn next_deadline(&self) -> Option<Instant>;

    /// Time has passed. Early, repeated and needless calls are harmless, and the deadline does not
    /// move.
    fn on_deadline(&mut self, now: Instant) -> Decision;

    /// A flush has ended, at `now`, and this is what is left. May move the deadline.
    ///
    /// The decision says whether the remainder has to be flushed at once: it was too large for one
    /// batch, or what arrived during the flush is due already, or the flush failed. How long to
    /// wait before a failed flush is tried again is the driver's choice; the deadline stays armed.
    fn on_flushed(&mut self, now: Instant, flushed: Flushed) -> Decision;

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

/// Items that the buffer accepted since the last report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    items: usize,
    bytes: usize,
    first_arrival: Option<Instant>,
}

impl Load {
    /// `items` that weigh `bytes` together (0 where nobody weighs them) and have just arrived.
    #[must_use]
    pub const fn new(items: usize, bytes: usize) -> Self {
        Self {
            items,
            bytes,
            first_arrival: None,
        }
    }

    /// The same items, the first of which arrived at `first_arrival`, before they are reported.
    ///
    /// Ages count from here. A time after the `now` of the report is taken to be that `now`.
    #[must_use]
    pub const fn arrived_at(mut self, first_arrival: Instant) -> Self {
        self.first_arrival = Some(first_arrival);
        self
    }

    /// Number of items.
    #[must_use]
    pub const fn items(&self) -> usize {
        self.items
    }

    /// Weight of the items in bytes.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// When the first of them arrived, seen from `now`.
    #[must_use]
    pub fn first_arrival(&self, now: Instant) -> Instant {
        self.first_arrival.map_or(now, |arrival| arrival.min(now))
    }
}

/// Whether a flush delivered what it took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Outcome {
    /// What it took has left the buffer.
    Delivered,
    /// What it took is in the buffer again.
    Failed,
}

/// How a flush went, and what is in the buffer after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flushed {
    outcome: Outcome,
    remainder: Remainder,
}

impl Flushed {
    /// The flush delivered what it took, and `remainder` is still there.
    #[must_use]
    pub const fn delivered(remainder: Remainder) -> Self {
        Self {
            outcome: Outcome::Delivered,
            remainder,
        }
    }

    /// The flush failed, and `remainder` is still there, with what the flush had taken.
    #[must_use]
    pub const fn failed(remainder: Remainder) -> Self {
        Self {
            outcome: Outcome::Failed,
            remainder,
        }
    }

    /// Whether it delivered.
    #[must_use]
    pub const fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// What is in the buffer now.
    #[must_use]
    pub const fn remainder(&self) -> Remainder {
        self.remainder
    }
}

/// What is in a buffer after a flush: everything that was reported and has not left it.
///
/// Items that are accepted but not yet reported do not belong to it, or they would count twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Remainder {
    items: usize,
    bytes: usize,
    oldest: Option<Instant>,
}

impl Remainder {
    /// Nothing is left.
    pub const EMPTY: Self = Self {
        items: 0,
        bytes: 0,
        oldest: None,
    };

    /// `items` that weigh `bytes` are left, the oldest of which *arrived* at `oldest`.
    ///
    /// The age counts from that arrival, not from the flush. No items are the same as
    /// [`Remainder::EMPTY`].
    #[must_use]
    pub const fn new(items: usize, bytes: usize, oldest: Instant) -> Self {
        if items == 0 {
            return Self::EMPTY;
        }
        Self {
            items,
            bytes,
            oldest: Some(oldest),
        }
    }

    /// Number of items.
    #[must_use]
    pub const fn items(&self) -> usize {
        self.items
    }

    /// Weight of the items in bytes.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// When the oldest of them arrived, or `None` if nothing is left.
    #[must_use]
    pub const fn oldest(&self) -> Option<Instant> {
        self.oldest
    }
}
