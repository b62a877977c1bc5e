//! What is known of one key.

use crate::InvalidLevel;
use crate::quantile::{beta_quantile, normal_quantile};

/// How the ends of a credible interval are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Interval {
    /// The quantiles of Beta that leave the same probability below and above: the central interval
    /// of Gelman et al., Bayesian Data Analysis, third edition, section 2.3. Some microseconds.
    Quantile,
    /// `mean ± z sqrt(variance)`, cut to 0 and 1: the normal approximation of the same section.
    /// Quicker, and wrong where there is little evidence or the mean is near 0 or 1.
    Normal,
}

/// A range that holds the probability of success with a given credibility.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CredibleInterval {
    /// The lower end, from 0 to 1.
    pub lower: f64,
    /// The upper end, from 0 to 1.
    pub upper: f64,
}

/// The Beta distribution that holds what is known of one key.
///
/// With a prior Beta(α₀, β₀), after successes that weigh s and failures that weigh f, the
/// posterior is Beta(α₀ + s, β₀ + f): Gelman et al., Bayesian Data Analysis, section 2.4.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Posterior {
    alpha: f64,
    beta: f64,
    prior_strength: f64,
}

impl Posterior {
    pub(crate) fn new(alpha: f64, beta: f64, prior_strength: f64) -> Self {
        Self {
            alpha,
            beta,
            prior_strength,
        }
    }

    /// The parameter of successes.
    #[must_use]
    pub fn alpha(&self) -> f64 {
        self.alpha
    }

    /// The parameter of failures.
    #[must_use]
    pub fn beta(&self) -> f64 {
        self.beta
    }

    /// The trust: the expected probability of success, `α / (α + β)`.
    #[must_use]
    pub fn mean(&self) -> f64 {
        self.alpha / (self.alpha + self.beta)
    }

    /// `αβ / ((α + β)² (α + β + 1))` (Johnson, Kotz and Balakrishnan, Continuous Univariate
    /// Distributions, volume 2, chapter 25).
    #[must_use]
    pub fn variance(&self) -> f64 {
        let mean = self.mean();
        mean * (self.beta / self.strength()) / (self.strength() + 1.0)
    }

    /// `α + β`: the evidence, with that of the prior.
    #[must_use]
    pub fn strength(&self) -> f64 {
        self.alpha + self.beta
    }

    /// The evidence beyond the prior: the weight of what was observed, less what was discounted.
    #[must_use]
    pub fn sample_size(&self) -> f64 {
        (self.strength() - self.prior_strength).max(0.0)
    }

    /// The range that holds the probability of success with credibility `level`, above 0 and at
    /// most 0.999999, for example 0.95.
    ///
    /// # Errors
    /// When there is no such level.
    ///
    /// ```
    /// use trust::{Interval, Outcome, TrustTracker};
    ///
    /// let tracker = TrustTracker::<String>::new();
    /// tracker.update("rule 7", Outcome::Success, 80.0).expect("a weight");
    /// tracker.update("rule 7", Outcome::Failure, 20.0).expect("a weight");
    /// let trust = tracker.posterior("rule 7");
    /// let range = trust.interval(Interval::Quantile, 0.95).expect("a level");
    /// assert!((range.lower - 0.710877).abs() < 1e-6);
    /// assert!((range.upper - 0.866445).abs() < 1e-6);
    /// ```
    pub fn interval(
        &self,
        interval: Interval,
        level: f64,
    ) -> Result<CredibleInterval, InvalidLevel> {
        if !(level > 0.0 && level <= 0.999_999) {
            return Err(InvalidLevel { level });
        }
        let below = (1.0 - level) / 2.0;
        let (lower, upper) = match interval {
            Interval::Quantile => {
                let quantile = |p| beta_quantile(p, self.alpha, self.beta);
                (quantile(below), quantile(1.0 - below))
            }
            Interval::Normal => {
                let reach = -normal_quantile(below) * self.variance().sqrt();
                (self.mean() - reach, self.mean() + reach)
            }
        };
        Ok(CredibleInterval {
            lower: lower.clamp(0.0, 1.0),
            upper: upper.clamp(0.0, 1.0),
        })
    }
}
