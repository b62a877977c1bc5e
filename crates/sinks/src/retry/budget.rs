//! What all batches of a sink may spend on retries together.
//!
//! A token bucket, after Finagle's `RetryBudget`: each first attempt deposits a fraction of a
//! retry, each retry withdraws one, and a minimum comes in per second so that nothing starves.
//! While a sink is dead, retries are then a fraction of the traffic however many batches wait.
//! Pure: the time comes in.

use std::time::Instant;

use crate::limit::credits::{Credits, check_rate, units};
use crate::limit::setting::{InvalidSetting, require};

/// How many retries are affordable now.
///
/// ```
/// use std::time::{Duration, Instant};
/// use sinks::RetryBudget;
/// let start = Instant::now();
/// // A tenth of a retry per first attempt, one per second in any case, ten saved at most.
/// let mut budget = RetryBudget::new(start, 0.1, 1.0, 10)?;
/// let spent = (0..50).filter(|_| budget.withdraw(start)).count();
/// assert_eq!(spent, 10);
/// assert!(budget.withdraw(start + Duration::from_secs(1)));
/// # Ok::<(), sinks::InvalidSetting>(())
/// ```
#[derive(Clone, Debug)]
pub struct RetryBudget {
    credits: Credits,
    /// In units of credits.
    deposit: i128,
}

/// The largest number of retries that can be saved.
const SAVED_MAX: u32 = 1_000_000;
/// The largest number of retries that one first attempt can be worth.
const DEPOSIT_MAX: f64 = 1_000.0;

impl RetryBudget {
    /// A full budget: each first attempt adds `deposit` retries, each second `per_second`, and no
    /// more than `saved_max` are saved.
    ///
    /// # Errors
    /// When `deposit` is not from 0 to 1,000, `per_second` not from 0.001 to 10¹², or `saved_max`
    /// not from 1 to 1,000,000.
    pub fn new(
        now: Instant,
        deposit: f64,
        per_second: f64,
        saved_max: u32,
    ) -> Result<Self, InvalidSetting> {
        let holds = (0.0..=DEPOSIT_MAX).contains(&deposit);
        require(holds, "retry budget: deposit", deposit, "from 0 to 1000")?;
        check_rate("retry budget: rate", per_second)?;
        let holds = (1..=SAVED_MAX).contains(&saved_max);
        let allowed = "from 1 to 1000000";
        require(holds, "retry budget: saved_max", saved_max, allowed)?;
        Ok(Self {
            credits: Credits::full(now, per_second, u64::from(saved_max)),
            deposit: units(deposit),
        })
    }

    /// The default: a fifth of a retry per first attempt, one per second in any case, 100 saved.
    #[must_use]
    pub fn starting(now: Instant) -> Self {
        Self {
            credits: Credits::full(now, 1.0, 100),
            deposit: units(0.2),
        }
    }

    /// A batch is attempted for the first time. It does not matter when: under a cap, what comes
    /// in and what is deposited add up the same in any order.
    pub fn deposit(&mut self) {
        self.credits.put(self.deposit);
    }

    /// Pays for one retry, if there is enough.
    #[must_use = "a retry that was not paid for must not happen"]
    pub fn withdraw(&mut self, now: Instant) -> bool {
        self.credits.refill(now);
        self.credits.take(1)
    }

    /// The whole retries that could be paid for now.
    #[must_use]
    pub fn affordable(&mut self, now: Instant) -> u64 {
        self.credits.refill(now);
        u64::try_from(self.credits.whole()).unwrap_or(0)
    }
}
