//! How a tracker is made.

use std::hash::Hash;
use std::marker::PhantomData;
use std::time::Duration;

use crate::evidence::Rules;
use crate::{SettingsError, TrustTracker};

/// The least and the largest parameter of a prior.
const PRIOR: std::ops::RangeInclusive<f64> = 1e-6..=1e9;

/// How evidence is discounted as time goes by: after each half-life a key has half its strength
/// left, and the mean that it had.
///
/// Both parameters are multiplied by the same factor, as Harvey and Fernandes (Time Series Models
/// for Count or Qualitative Observations, Journal of Business and Economic Statistics 7, 1989)
/// discount the Beta of their binomial model; West and Harrison (Bayesian Forecasting and Dynamic
/// Models, chapter 6) on discounting in general. The floor holds for the sum of the parameters:
/// one for each apart would pull the mean towards a half.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decay {
    half_life: Duration,
    floor: Option<f64>,
}

impl Decay {
    /// Halves the strength in each such time.
    #[must_use]
    pub const fn half_life(half_life: Duration) -> Self {
        Self {
            half_life,
            floor: None,
        }
    }

    /// The strength (alpha plus beta) below which nothing is discounted; that of the prior unless
    /// said otherwise.
    #[must_use]
    pub const fn floor(self, strength: f64) -> Self {
        Self {
            floor: Some(strength),
            ..self
        }
    }
}

/// Settings of a [`TrustTracker`].
#[derive(Clone, Debug)]
#[must_use]
pub struct Builder<K> {
    prior: (f64, f64),
    decay: Option<Decay>,
    history: usize,
    keys_max: usize,
    key_bytes_max: usize,
    keys: PhantomData<fn() -> K>,
}

impl<K> Default for Builder<K> {
    fn default() -> Self {
        Self {
            prior: Rules::DEFAULT.prior,
            decay: None,
            history: Rules::DEFAULT.history,
            keys_max: Rules::DEFAULT.keys_max,
            key_bytes_max: Rules::DEFAULT.key_bytes_max,
            keys: PhantomData,
        }
    }
}

impl<K: Hash + Eq + Clone> Builder<K> {
    /// The parameters of Beta before anything was observed; 1e-6 to 1e9 each. The default is
    /// (1, 1), under which every probability is as likely as any other (Bayes and Laplace);
    /// (0.5, 0.5) is that of Jeffreys.
    pub const fn prior(self, alpha: f64, beta: f64) -> Self {
        Self {
            prior: (alpha, beta),
            ..self
        }
    }

    /// Discounts evidence as time goes by; off by default.
    pub const fn decay(self, decay: Decay) -> Self {
        Self {
            decay: Some(decay),
            ..self
        }
    }

    /// The number of points that each key keeps of its past, up to 65,536; 0, the default, keeps
    /// none. A point takes 24 bytes.
    pub const fn history(self, points: usize) -> Self {
        Self {
            history: points,
            ..self
        }
    }

    /// The number of keys beyond which a new one is refused; 20 million by default, at least 1.
    /// Updates that are under way may count as new keys until they end.
    pub const fn keys_max(self, keys: usize) -> Self {
        Self {
            keys_max: keys,
            ..self
        }
    }

    /// The bytes of text beyond which a key is refused; 4,096 by default, at least 1.
    pub const fn key_bytes_max(self, bytes: usize) -> Self {
        Self {
            key_bytes_max: bytes,
            ..self
        }
    }

    /// Makes the tracker.
    ///
    /// # Errors
    /// When a setting is out of bounds; the error names it.
    pub fn build(self) -> Result<TrustTracker<K>, SettingsError> {
        let (alpha, beta) = self.prior;
        for (field, value) in [("prior alpha", alpha), ("prior beta", beta)] {
            check(field, value, PRIOR.contains(&value), "from 1e-6 to 1e9")?;
        }
        let strength = alpha + beta;
        let (mut half_life_us, mut floor) = (None, strength);
        if let Some(decay) = self.decay {
            let seconds = decay.half_life.as_secs_f64();
            let is_positive = decay.half_life >= Duration::from_micros(1);
            check("half_life", seconds, is_positive, "at least a microsecond")?;
            half_life_us = Some(seconds * 1e6);
            floor = decay.floor.unwrap_or(strength);
            let is_floor = (1e-6..=1e12).contains(&floor);
            check("floor", floor, is_floor, "from 1e-6 to 1e12")?;
        }
        let points = self.history as f64;
        check("history", points, self.history <= 65_536, "at most 65536")?;
        for (field, limit) in [
            ("keys_max", self.keys_max),
            ("key_bytes_max", self.key_bytes_max),
        ] {
            check(field, limit as f64, limit > 0, "at least 1")?;
        }
        Ok(TrustTracker::with_rules(Rules {
            prior: self.prior,
            half_life_us,
            floor,
            history: self.history,
            keys_max: self.keys_max,
            key_bytes_max: self.key_bytes_max,
        }))
    }
}

fn check(
    field: &'static str,
    value: f64,
    is_valid: bool,
    limit: &'static str,
) -> Result<(), SettingsError> {
    if is_valid {
        return Ok(());
    }
    Err(SettingsError {
        field,
        value,
        limit,
    })
}
