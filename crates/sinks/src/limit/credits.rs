//! An account that fills at a steady rate up to a cap, and may be overdrawn.
//!
//! Integers throughout, so that nothing is lost to rounding however long it runs: a level is
//! counted in units of 10⁻¹⁵ credits, a rate in 10⁻⁶ credits per second, and a nanosecond at such
//! a rate is a whole number of units.

use std::time::{Duration, Instant};

use super::setting::{InvalidSetting, require};

/// Units in one credit.
const CREDIT: i128 = 1_000_000_000_000_000;
const RATE_MIN: f64 = 0.001;
const RATE_MAX: f64 = 1e12;

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Credits {
    level: i128,
    cap: i128,
    /// Units per nanosecond.
    rate: i128,
    /// When the level was right; never goes back.
    at: Instant,
}

impl Credits {
    /// A full account. The rate is taken as it comes: [`check_rate`] comes before.
    pub(crate) fn full(now: Instant, per_second: f64, cap: u64) -> Self {
        let cap = i128::from(cap) * CREDIT;
        Self {
            level: cap,
            cap,
            rate: ((per_second * 1e6).round() as i128).max(1),
            at: now,
        }
    }

    /// Adds what has come in since; a clock that jumped back adds nothing.
    pub(crate) fn refill(&mut self, now: Instant) {
        let Some(elapsed) = now.checked_duration_since(self.at) else {
            return;
        };
        self.at = now;
        // A level below the cap needs at most this many nanoseconds, which also bounds the product.
        let elapsed = i128::try_from(elapsed.as_nanos()).unwrap_or(i128::MAX);
        let gain = elapsed.saturating_mul(self.rate);
        self.level = self.level.saturating_add(gain).min(self.cap);
    }

    /// Takes that much if it is there.
    pub(crate) fn take(&mut self, amount: u64) -> bool {
        let amount = i128::from(amount) * CREDIT;
        let covered = self.level >= amount;
        if covered {
            self.level -= amount;
        }
        covered
    }

    /// Takes that much whether it is there or not.
    pub(crate) fn overdraw(&mut self, amount: u64) {
        self.level = self.level.saturating_sub(i128::from(amount) * CREDIT);
    }

    /// Puts that many [`units`] in; what does not fit under the cap is gone.
    pub(crate) fn put(&mut self, units: i128) {
        self.level = self.level.saturating_add(units).min(self.cap);
    }

    /// How long from the last refill until the level is at least `credits`.
    pub(crate) fn until(&self, credits: u64) -> Duration {
        let missing = i128::from(credits) * CREDIT - self.level;
        if missing <= 0 {
            return Duration::ZERO;
        }
        let nanos = (missing + self.rate - 1) / self.rate;
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// Whether a credit is there.
    pub(crate) fn has_one(&self) -> bool {
        self.level >= CREDIT
    }

    /// What is there, in whole credits; below nothing when it is overdrawn.
    pub(crate) fn whole(&self) -> i64 {
        i64::try_from(self.level.div_euclid(CREDIT)).unwrap_or(i64::MIN)
    }
}

/// What [`Credits::put`] takes for a part or a multiple of a credit.
pub(crate) fn units(credits: f64) -> i128 {
    (credits * CREDIT as f64) as i128
}

/// Whether a rate is one that an account can have.
pub(crate) fn check_rate(setting: &'static str, per_second: f64) -> Result<(), InvalidSetting> {
    let holds = (RATE_MIN..=RATE_MAX).contains(&per_second);
    require(holds, setting, per_second, "from 0.001 to 1e12 per second")
}
