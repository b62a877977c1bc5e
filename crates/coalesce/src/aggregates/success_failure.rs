//! Weights of successes and failures of each key, as a Bayesian tracker wants them.

use super::sum::add_finite;
use crate::{Aggregate, InvalidUpdate, Stamp};

/// Adds up the weights of each key by outcome, with their counts.
///
/// Weights have to be finite and at least 0.
///
/// ```
/// use coalesce::{Coalescer, Evidence, SuccessFailure};
///
/// let buffer = Coalescer::new(SuccessFailure);
/// let added = buffer.add_many([
///     ("worker-1", Evidence::Success(1.0)),
///     ("worker-1", Evidence::Success(0.5)),
///     ("worker-1", Evidence::Failure(2.0)),
/// ]);
/// assert_eq!(added.accepted, 3);
/// let entry = buffer.take().into_iter().next().expect("one key");
/// assert_eq!(entry.partial.success_weight(), 1.5);
/// assert_eq!(entry.partial.failure_weight(), 2.0);
/// assert_eq!(entry.updates, 3);
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct SuccessFailure;

/// One observation of a key, with its weight.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Evidence {
    /// It succeeded.
    Success(f64),
    /// It failed.
    Failure(f64),
}

/// The weights of one key, added up by outcome.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Weights {
    success: Side,
    failure: Side,
}

#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Side {
    weight: f64,
    count: u64,
}

impl Side {
    fn add(&mut self, weight: f64, count: u64) {
        self.weight = add_finite(self.weight, weight);
        self.count = self.count.saturating_add(count);
    }
}

impl Weights {
    /// Sum of the weights of successes.
    #[must_use]
    pub const fn success_weight(&self) -> f64 {
        self.success.weight
    }

    /// Sum of the weights of failures.
    #[must_use]
    pub const fn failure_weight(&self) -> f64 {
        self.failure.weight
    }

    /// Number of successes.
    #[must_use]
    pub const fn success_count(&self) -> u64 {
        self.success.count
    }

    /// Number of failures.
    #[must_use]
    pub const fn failure_count(&self) -> u64 {
        self.failure.count
    }
}

impl Aggregate for SuccessFailure {
    type Update = Evidence;
    type Partial = Weights;

    fn check(&self, evidence: &Evidence) -> Result<(), InvalidUpdate> {
        let (Evidence::Success(weight) | Evidence::Failure(weight)) = evidence;
        if weight.is_finite() && *weight >= 0.0 {
            return Ok(());
        }
        Err(InvalidUpdate::new(
            "weight",
            weight,
            "finite and at least 0",
        ))
    }

    fn start(&self, evidence: Evidence, stamp: Stamp) -> Weights {
        let mut weights = Weights::default();
        self.absorb(&mut weights, evidence, stamp);
        weights
    }

    fn absorb(&self, partial: &mut Weights, evidence: Evidence, _stamp: Stamp) -> Option<Evidence> {
        match evidence {
            Evidence::Success(weight) => partial.success.add(weight, 1),
            Evidence::Failure(weight) => partial.failure.add(weight, 1),
        }
        None
    }

    fn merge(&self, partial: &mut Weights, other: Weights) -> Option<Weights> {
        partial
            .success
            .add(other.success.weight, other.success.count);
        partial
            .failure
            .add(other.failure.weight, other.failure.count);
        None
    }
}
