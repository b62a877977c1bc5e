//! Flush at a size that follows the sink and the queue.
//!
//! The policy is a [`Size`](crate::Size) whose number of items moves, beside an
//! [`Age`](crate::Age) whose bound never does. How the number moves is in `sizing`. It is a pure
//! decision: the items stay in the driver's buffer, so a new size can lose none of them.

mod settings;
mod sizing;

use std::time::Instant;

pub use settings::AdaptiveSpec;
use sizing::Sizing;

use crate::buffered::Buffered;
use crate::size::Due;
use crate::{Age, Decision, FlushPolicy, Flushed, Load, PolicyError, Reason};

/// Flushes at a number of items that follows the sink and the queue, and at an age.
///
/// The size starts at its base, and each write that the driver reports with
/// [`Flushed::wrote`] may move it within its range:
///
/// - **Down**, to a half, after two full batches in a row that took longer than the target, also if
///   they failed. If smaller batches then turn out to take about as long (a round trip, a sync),
///   the step is taken back, and it needs ever more slow batches to be tried again.
/// - **Up**, by about √2, after three batches in a row that left at least another full batch in the
///   queue and that were quick: the next size would still meet the target if its write took longer
///   in proportion. Nine are needed if they met the target without being quick. A step up that two
///   slow batches follow is taken back, and the next one needs more of them, until one has held for
///   as many as it would have needed at first.
/// - **Back to the base**, step by step, after eight flushes in a row that left next to nothing.
///   From below these are batches of at most half the size, however long they took within the
///   target; larger ones have to be quick, and then three are enough. After a pause without items,
///   at once.
///
/// Quick is below about 0.7 of the target and slow is above it; with one threshold for both
/// directions the size would swing. Each write is judged by itself; there is no average that a
/// quiet feed or an empty flush could spoil. A flush that wrote nothing, and a write that failed
/// quickly, say nothing about the size.
///
/// The age bound is a promise as in [`Age`]: it counts from the first item, and no size changes
/// it. The deadline is that of the age, or the moment when the size was reached if that is
/// earlier. Pushes and ends of flushes move it, as they do for [`Age`](crate::Age) and
/// [`Size`](crate::Size).
///
/// A driver takes at most [`size`](Self::size) items at once (through a box:
/// [`batch_items`](FlushPolicy::batch_items)). One that reports no writes gets the base for ever.
///
/// ```
/// use std::time::{Duration, Instant};
/// use flush_policy::{Adaptive, AdaptiveSpec, FlushPolicy, Flushed, Load, Remainder};
///
/// let spec = AdaptiveSpec::new().sizes(1, 50).base(20).write_target(Duration::from_millis(40));
/// let mut policy = Adaptive::new(spec)?;
/// let mut now = Instant::now();
/// for _ in 0..2 {
///     assert!(policy.on_push(now, Load::new(20, 0)).is_flush());
///     let took = Duration::from_millis(90);
///     now += took;
///     let done = Flushed::delivered(Remainder::EMPTY).wrote(20, took);
///     assert!(!policy.on_flushed(now, done).is_flush());
/// }
/// assert_eq!(policy.size(), 10);
/// # Ok::<(), flush_policy::PolicyError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Adaptive {
    sizing: Sizing,
    /// The age bound, with its own account of the buffer.
    age: Age,
    buffered: Buffered,
    full: Due,
}

impl Adaptive {
    /// Flushes as `spec` says.
    ///
    /// # Errors
    /// If the range is empty or starts at 0, the base is outside of it, or a duration is zero or
    /// longer than [`WAIT_MAX`](crate::WAIT_MAX).
    pub fn new(spec: AdaptiveSpec) -> Result<Self, PolicyError> {
        let limits = spec.limits()?;
        Ok(Self {
            age: Age::new(limits.wait)?,
            sizing: Sizing::new(limits),
            buffered: Buffered::default(),
            full: Due::default(),
        })
    }

    /// The number of items at which it flushes now, and that a batch should not exceed.
    #[must_use]
    pub fn size(&self) -> usize {
        self.sizing.size()
    }

    /// The size by itself, else what the age says.
    fn decide(&mut self, now: Instant, age: Decision) -> Decision {
        let reached = self.buffered.items() >= self.sizing.size();
        self.full
            .decide(now, reached.then_some(Reason::Size))
            .or(age)
    }
}

impl FlushPolicy for Adaptive {
    fn on_push(&mut self, now: Instant, pushed: Load) -> Decision {
        let now = self.buffered.advance(now);
        self.sizing.pass(now, self.buffered.items());
        self.buffered.accept(now, pushed);
        let age = self.age.on_push(now, pushed);
        self.decide(now, age)
    }

    fn next_deadline(&self) -> Option<Instant> {
        let full = self.full.since();
        full.into_iter().chain(self.age.next_deadline()).min()
    }

    fn on_deadline(&mut self, now: Instant) -> Decision {
        let now = self.buffered.advance(now);
        self.sizing.pass(now, self.buffered.items());
        let age = self.age.on_deadline(now);
        self.decide(now, age)
    }

    fn on_flushed(&mut self, now: Instant, flushed: Flushed) -> Decision {
        let now = self.buffered.settle(now, &flushed);
        self.sizing.learn(now, &flushed);
        self.full = Due::default();
        let age = self.age.on_flushed(now, flushed);
        self.decide(now, age)
    }

    fn deadline_reason(&self) -> Reason {
        match self.full.since() {
            Some(_) => Reason::Size,
            None => Reason::Age,
        }
    }

    fn batch_items(&self) -> Option<usize> {
        Some(self.size())
    }
}
