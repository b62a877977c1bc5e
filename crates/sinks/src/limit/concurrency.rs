//! How many writes are under way at once.

use std::time::{Duration, Instant};

use super::setting::{InvalidSetting, require};

/// The bounds of the concurrency, and what makes it move between them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConcurrencySpec {
    min: u32,
    max: u32,
    slow_call: Option<Duration>,
    decrease: f64,
}

const CONCURRENCY_MAX: u32 = 100_000;

impl ConcurrencySpec {
    /// Always so many.
    #[must_use]
    pub fn fixed(limit: u32) -> Self {
        Self::adaptive(limit, limit)
    }

    /// Between `min`, where it starts, and `max`.
    #[must_use]
    pub fn adaptive(min: u32, max: u32) -> Self {
        Self {
            min,
            max,
            slow_call: None,
            decrease: 0.7,
        }
    }

    /// A write that takes at least so long is a sign of overload, even if it succeeds.
    #[must_use]
    pub fn slow_call(self, slow_call: Duration) -> Self {
        Self {
            slow_call: Some(slow_call),
            ..self
        }
    }

    /// What is left of the limit after a sign of overload: above 0, below 1; at first 0.7.
    #[must_use]
    pub fn decrease(self, decrease: f64) -> Self {
        Self { decrease, ..self }
    }

    /// Checks all settings.
    ///
    /// # Errors
    /// Names the first setting that cannot be, with its value and what is allowed.
    pub fn check(&self) -> Result<(), InvalidSetting> {
        let holds = (1..=CONCURRENCY_MAX).contains(&self.min);
        require(holds, "limit: concurrency", self.min, "from 1 to 100000")?;
        let holds = (self.min..=CONCURRENCY_MAX).contains(&self.max);
        let allowed = "from the least one to 100000";
        require(holds, "limit: concurrency_max", self.max, allowed)?;
        let holds = self.decrease > 0.0 && self.decrease < 1.0;
        let allowed = "above 0, below 1";
        require(holds, "limit: decrease", self.decrease, allowed)
    }
}

/// What a write said about the load of the sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    /// It answered; whether that was slow is seen from the time.
    Answered,
    /// It failed as an overloaded sink fails.
    Overloaded,
    /// Nothing: the write was given up, refused before it reached the sink, or cannot work at all.
    Unknown,
}

/// A write that is under way, to be given back by [`Concurrency::end`].
#[derive(Debug)]
#[must_use = "a slot that is not given back is lost for all others"]
pub struct Slot {
    begun: Instant,
}

/// How many writes are under way, and how many may be.
///
/// One slot is for one attempt: whoever tries again takes another slot, so that the pause in
/// between neither holds one nor counts as the sink's time.
#[derive(Clone, Debug)]
pub struct Concurrency {
    spec: ConcurrencySpec,
    limit: f64,
    in_flight: u32,
    /// When the limit was lowered last. What began before says nothing about the lower one.
    lowered: Option<Instant>,
}

impl Concurrency {
    /// Nothing is under way.
    ///
    /// # Errors
    /// When a setting cannot be.
    pub fn new(spec: ConcurrencySpec) -> Result<Self, InvalidSetting> {
        spec.check()?;
        Ok(Self {
            spec,
            limit: f64::from(spec.min),
            in_flight: 0,
            lowered: None,
        })
    }

    /// How many may be under way.
    #[must_use]
    pub fn limit(&self) -> u32 {
        self.limit as u32
    }

    /// How many are under way.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// Whether another one may begin.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.in_flight < self.limit()
    }

    /// Begins one attempt, if there is room.
    pub fn begin(&mut self, now: Instant) -> Option<Slot> {
        self.has_room().then(|| {
            self.in_flight += 1;
            Slot { begun: now }
        })
    }

    /// One attempt ended, and moves the limit if it says something.
    #[expect(clippy::needless_pass_by_value, reason = "a slot is given back once")]
    pub fn end(&mut self, now: Instant, slot: Slot, load: Load) {
        let was_used = self.in_flight.saturating_mul(2) >= self.limit();
        self.in_flight = self.in_flight.saturating_sub(1);
        let begun = slot.begun;
        let took = now.saturating_duration_since(begun);
        let is_slow = self.spec.slow_call.is_some_and(|slow| took >= slow);
        match load {
            Load::Unknown => {}
            Load::Answered if !is_slow => {
                // An idle sink says nothing about how much more it could take.
                if was_used {
                    let raised = self.limit + 1.0 / self.limit;
                    self.limit = raised.min(f64::from(self.spec.max));
                }
            }
            Load::Answered | Load::Overloaded => {
                // All that were under way together are one sign, not as many as they are.
                if self.lowered.is_none_or(|lowered| begun >= lowered) {
                    let lower = self.limit * self.spec.decrease;
                    self.limit = lower.max(f64::from(self.spec.min));
                    self.lowered = Some(now.max(begun));
                }
            }
        }
    }
}
