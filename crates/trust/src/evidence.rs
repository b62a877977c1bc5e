//! The two numbers of a key, and what happens to them.

use std::collections::VecDeque;
use std::time::Duration;

use crate::Posterior;

/// The largest weight of one update.
pub const WEIGHT_MAX: f64 = 1e12;

/// The largest strength of a key. Above it a single observation would be lost to rounding; the
/// strength is cut to it, and the mean stays what it is.
pub const EVIDENCE_MAX: f64 = 1e15;

/// The least that alpha and beta become. Discounting that keeps the mean would let the parameter
/// of what never happens any more vanish, and Beta has two positive ones.
pub(crate) const PARAMETER_MIN: f64 = 1e-9;

/// How something ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It succeeded.
    Success,
    /// It failed.
    Failure,
}

impl From<bool> for Outcome {
    fn from(is_success: bool) -> Self {
        if is_success {
            Self::Success
        } else {
            Self::Failure
        }
    }
}

/// Observations of a key, added up by outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Weights {
    /// The weight of successes, from 0 to [`WEIGHT_MAX`].
    pub success: f64,
    /// The weight of failures, from 0 to [`WEIGHT_MAX`].
    pub failure: f64,
}

impl Weights {
    /// One observation.
    #[must_use]
    pub const fn of(outcome: Outcome, weight: f64) -> Self {
        match outcome {
            Outcome::Success => Self {
                success: weight,
                failure: 0.0,
            },
            Outcome::Failure => Self {
                success: 0.0,
                failure: weight,
            },
        }
    }

    /// The one of the two that is no weight.
    pub(crate) fn invalid(self) -> Option<f64> {
        let allowed = 0.0..=WEIGHT_MAX;
        [self.success, self.failure]
            .into_iter()
            .find(|weight| !allowed.contains(weight))
    }
}

/// A moment in the history of a key.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// The tracker's time when it was updated.
    pub at: Duration,
    /// Alpha after the update.
    pub alpha: f64,
    /// Beta after the update.
    pub beta: f64,
}

/// What holds for all keys of a tracker.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) prior: (f64, f64),
    pub(crate) half_life_us: Option<f64>,
    /// The strength below which nothing is discounted.
    pub(crate) floor: f64,
    pub(crate) history: usize,
    pub(crate) keys_max: usize,
    pub(crate) key_bytes_max: usize,
}

impl Rules {
    pub(crate) const DEFAULT: Self = Self {
        prior: (1.0, 1.0),
        half_life_us: None,
        floor: 2.0,
        history: 0,
        keys_max: 20_000_000,
        key_bytes_max: 4_096,
    };
}

/// What is known of a key as of its last update.
#[derive(Clone, Debug)]
pub(crate) struct Evidence {
    pub(crate) alpha: f64,
    pub(crate) beta: f64,
    /// The time up to which it is discounted.
    pub(crate) at_us: u64,
    /// Boxed, so that a key without one pays a pointer.
    #[allow(
        clippy::box_collection,
        reason = "a third of the size in a million keys without one"
    )]
    pub(crate) history: Option<Box<VecDeque<(u64, f64, f64)>>>,
}

impl Evidence {
    pub(crate) fn prior(rules: &Rules, now_us: u64) -> Self {
        Self {
            alpha: rules.prior.0,
            beta: rules.prior.1,
            at_us: now_us,
            history: None,
        }
    }

    /// The parameters at `now_us`: discounted by `2^(-elapsed / half-life)`, down to the floor.
    /// Discounting in two steps is discounting in one.
    #[inline]
    pub(crate) fn at(&self, rules: &Rules, now_us: u64) -> (f64, f64) {
        let elapsed_us = now_us.saturating_sub(self.at_us);
        match rules.half_life_us {
            Some(half_life_us) if elapsed_us > 0 => {
                let factor = (-(elapsed_us as f64) / half_life_us).exp2();
                discounted(self.alpha, self.beta, factor, rules.floor)
            }
            _ => (self.alpha, self.beta),
        }
    }

    pub(crate) fn posterior(&self, rules: &Rules, now_us: u64) -> Posterior {
        let (alpha, beta) = self.at(rules, now_us);
        Posterior::new(alpha, beta, rules.prior.0 + rules.prior.1)
    }

    #[inline]
    pub(crate) fn add(&mut self, rules: &Rules, now_us: u64, weights: Weights) {
        (self.alpha, self.beta) = self.at(rules, now_us);
        self.at_us = self.at_us.max(now_us);
        self.alpha += weights.success;
        self.beta += weights.failure;
        let strength = self.alpha + self.beta;
        if strength > EVIDENCE_MAX {
            (self.alpha, self.beta) = scaled(self.alpha, self.beta, EVIDENCE_MAX / strength);
        }
        if rules.history > 0 {
            self.note(rules.history);
        }
    }

    pub(crate) fn discount(&mut self, rules: &Rules, now_us: u64, factor: f64) {
        let (alpha, beta) = self.at(rules, now_us);
        self.at_us = self.at_us.max(now_us);
        (self.alpha, self.beta) = discounted(alpha, beta, factor, rules.floor);
    }

    fn note(&mut self, points: usize) {
        let history = self.history.get_or_insert_default();
        while history.len() >= points {
            history.pop_front();
        }
        history.push_back((self.at_us, self.alpha, self.beta));
    }
}

fn discounted(alpha: f64, beta: f64, factor: f64, floor: f64) -> (f64, f64) {
    let strength = alpha + beta;
    // Who is below the floor already stays there.
    scaled(alpha, beta, factor.max(floor / strength).min(1.0))
}

fn scaled(alpha: f64, beta: f64, factor: f64) -> (f64, f64) {
    let scale = |parameter: f64| (parameter * factor).clamp(PARAMETER_MIN, EVIDENCE_MAX);
    (scale(alpha), scale(beta))
}
