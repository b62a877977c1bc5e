//! A rate with a burst.

use std::time::{Duration, Instant};

use super::credits::{Credits, check_rate, units};
use super::setting::{InvalidSetting, require};

/// So many per second on average, and so many at once after a pause.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    per_second: f64,
    burst: u64,
}

/// The largest burst.
const BURST_MAX: u64 = 1_000_000_000_000;

impl Rate {
    /// A rate from 0.001 to 10¹² per second with a burst from 1 to 10¹².
    ///
    /// # Errors
    /// When one of them is not.
    pub fn new(per_second: f64, burst: u64) -> Result<Self, InvalidSetting> {
        check_rate("limit: rate", per_second)?;
        let holds = (1..=BURST_MAX).contains(&burst);
        require(holds, "limit: burst", burst, "from 1 to 1000000000000")?;
        Ok(Self { per_second, burst })
    }
}

/// A token bucket that is paid in advance: an item reserves its tokens at once and then waits
/// until they have come in.
///
/// So the order of reservations is the order of passing, an item larger than the burst waits
/// longer and passes like any other, and one that is given up hands its tokens back.
///
/// ```
/// use std::time::{Duration, Instant};
/// use sinks::{Rate, TokenBucket};
/// let now = Instant::now();
/// let mut rows = TokenBucket::new(Rate::new(100.0, 50)?, now);
/// assert_eq!(rows.reserve(now, 50), Duration::ZERO);
/// assert_eq!(rows.reserve(now, 200), Duration::from_secs(2));
/// # Ok::<(), sinks::InvalidSetting>(())
/// ```
#[derive(Clone, Debug)]
pub struct TokenBucket {
    credits: Credits,
}

impl TokenBucket {
    /// A full bucket.
    #[must_use]
    pub fn new(rate: Rate, now: Instant) -> Self {
        Self {
            credits: Credits::full(now, rate.per_second, rate.burst),
        }
    }

    /// Takes so many tokens, and says how long to wait before they may be used.
    #[must_use = "what was reserved has to be waited for, or refunded"]
    pub fn reserve(&mut self, now: Instant, amount: u64) -> Duration {
        self.credits.refill(now);
        self.credits.overdraw(amount);
        self.credits.until(0)
    }

    /// Puts back what was reserved and not used; never more than the burst is kept.
    pub fn refund(&mut self, now: Instant, amount: u64) {
        self.credits.refill(now);
        self.credits.put(units(amount as f64));
    }

    /// How long until one token can be had without waiting.
    #[must_use]
    pub fn wait(&mut self, now: Instant) -> Duration {
        self.credits.refill(now);
        self.credits.until(1)
    }

    /// Whether a token was there when it was last looked at, which needs no clock: since then
    /// they can only have become more.
    #[must_use]
    pub fn has_one(&self) -> bool {
        self.credits.has_one()
    }

    /// The tokens that are there now; below nothing when items are waiting for theirs.
    #[must_use]
    pub fn available(&mut self, now: Instant) -> i64 {
        self.credits.refill(now);
        self.credits.whole()
    }
}
