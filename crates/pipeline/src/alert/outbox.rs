//! What an alert does next: a pure state machine that takes the time.
//!
//! It holds one letter at the most, the newest: a change that comes while another waits takes its
//! place. One letter is under way at a time. Of all that were offered, each is sent, failed,
//! replaced, waiting or under way. A letter that failed goes back to wait, unless a newer one does.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sinks::{Admission, Breaker, BreakerState, CallOutcome, Pass, Retry, RetryDecision};
use sinks::{RetryPolicy, WriteError};

use super::spec::{AlertSpec, InvalidAlert};
use crate::HealthStatus;

/// A change as it is told.
#[derive(Debug)]
pub(super) struct Letter {
    pub(super) status: HealthStatus,
    pub(super) score: u8,
    /// The whole of it, as JSON.
    pub(super) body: String,
}

struct Waiting {
    letter: Arc<Letter>,
    retry: Retry,
    not_before: Instant,
}

/// A letter on its way, to be given back with what came of it.
#[must_use = "a letter on its way has to be settled"]
pub(super) struct Sending {
    pub(super) letter: Arc<Letter>,
    retry: Retry,
    pass: Pass,
}

/// What to do now.
pub(super) enum Step {
    /// Nothing, until something is offered.
    Idle,
    /// Nothing until then, or until something is offered.
    Until(Instant),
    /// Send this.
    Send(Sending),
    /// Nothing any more.
    Done,
}

/// What came of a letter.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Settled {
    Sent,
    Again,
    GivenUp,
}

/// What was counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) offered: u64,
    pub(super) sent: u64,
    pub(super) failed: u64,
    pub(super) replaced: u64,
    pub(super) retries: u64,
    pub(super) last_error: Option<String>,
}

pub(super) struct Outbox {
    on: Vec<HealthStatus>,
    min_interval: Duration,
    policy: RetryPolicy,
    breaker: Breaker,
    random: fastrand::Rng,
    waiting: Option<Waiting>,
    is_under_way: bool,
    /// What was told last, and when.
    told: Option<(Instant, HealthStatus)>,
    /// When everything ends, once that is known.
    deadline: Option<Instant>,
    counts: Counts,
}

impl Outbox {
    pub(super) fn new(spec: &AlertSpec, now: Instant, seed: u64) -> Result<Self, InvalidAlert> {
        Ok(Self {
            on: spec.on.clone(),
            min_interval: spec.min_interval,
            policy: spec.retry,
            breaker: spec.breaker_at(now, seed)?,
            random: fastrand::Rng::with_seed(seed),
            waiting: None,
            is_under_way: false,
            told: None,
            deadline: None,
            counts: Counts::default(),
        })
    }

    /// Whether changes to this status are told.
    pub(super) fn wants(&self, status: HealthStatus) -> bool {
        self.on.contains(&status) && self.deadline.is_none()
    }

    /// A change came about; what it replaces is handed back.
    pub(super) fn offer(&mut self, now: Instant, letter: Letter) -> Option<Arc<Letter>> {
        self.counts.offered += 1;
        let retry = Retry::new(self.policy, now, self.random.u64(..));
        let before = self.waiting.replace(Waiting {
            letter: Arc::new(letter),
            retry,
            not_before: now,
        });
        self.counts.replaced += u64::from(before.is_some());
        before.map(|before| before.letter)
    }

    /// Nothing more will be offered; what waits is sent, if it can be until then.
    pub(super) fn close(&mut self, deadline: Instant) {
        let before = self.deadline.unwrap_or(deadline);
        self.deadline = Some(before.min(deadline));
    }

    pub(super) fn next(&mut self, now: Instant) -> Step {
        if self.is_under_way {
            return Step::Idle;
        }
        let Some(due) = self.due(now) else {
            return self.when_idle();
        };
        if due > now {
            return self.wait_until(due);
        }
        match self.breaker.admit(now).0 {
            Admission::Refused(wait) => self.wait_until(now + wait),
            Admission::Admitted(pass) => {
                let Some(waiting) = self.waiting.take() else {
                    self.breaker.on_cancelled(pass);
                    return self.when_idle();
                };
                self.is_under_way = true;
                Step::Send(Sending {
                    letter: waiting.letter,
                    retry: waiting.retry,
                    pass,
                })
            }
        }
    }

    /// A letter was sent, or was not.
    pub(super) fn settle(
        &mut self,
        now: Instant,
        sending: Sending,
        outcome: Result<(), WriteError>,
    ) -> Settled {
        self.is_under_way = false;
        let Sending {
            letter,
            mut retry,
            pass,
        } = sending;
        let call = match outcome {
            Ok(()) => CallOutcome::Answered,
            Err(_) => CallOutcome::Failed,
        };
        self.breaker.on_result(now, pass, call);
        let Err(error) = outcome else {
            self.counts.sent += 1;
            self.told = Some((now, letter.status));
            return Settled::Sent;
        };
        self.counts.last_error = Some(error.to_string());
        if self.waiting.is_some() {
            self.counts.replaced += 1;
            return Settled::Again;
        }
        match retry.on_failure(now, &error) {
            RetryDecision::After(delay) | RetryDecision::Postpone(delay) => {
                self.counts.retries += 1;
                self.waiting = Some(Waiting {
                    letter,
                    retry,
                    not_before: now + delay,
                });
                Settled::Again
            }
            RetryDecision::GiveUp(_) => {
                self.counts.failed += 1;
                Settled::GivenUp
            }
        }
    }

    /// What is not sent by now never will be.
    pub(super) fn abandon(&mut self) {
        let left = u64::from(self.waiting.take().is_some()) + u64::from(self.is_under_way);
        self.is_under_way = false;
        if left > 0 {
            self.counts.failed += left;
            let error = self.counts.last_error.get_or_insert_default();
            if error.is_empty() {
                error.push_str("there was no time left to send it");
            }
        }
    }

    pub(super) fn counts(&self) -> Counts {
        self.counts.clone()
    }

    pub(super) fn pending(&self) -> u64 {
        u64::from(self.waiting.is_some()) + u64::from(self.is_under_way)
    }

    pub(super) fn breaker(&self) -> BreakerState {
        self.breaker.state()
    }

    /// When what waits may go, the breaker aside.
    fn due(&self, now: Instant) -> Option<Instant> {
        let waiting = self.waiting.as_ref()?;
        let rested = match self.told {
            // Nothing follows that it could be too close to.
            _ if self.deadline.is_some() => now,
            Some((at, status)) if waiting.letter.status <= status => at + self.min_interval,
            _ => now,
        };
        Some(waiting.not_before.max(rested))
    }

    fn when_idle(&self) -> Step {
        match self.deadline {
            Some(_) => Step::Done,
            None => Step::Idle,
        }
    }

    fn wait_until(&mut self, due: Instant) -> Step {
        if self.deadline.is_some_and(|deadline| due >= deadline) {
            self.abandon();
            return Step::Done;
        }
        Step::Until(due)
    }
}

#[cfg(test)]
mod tests;
