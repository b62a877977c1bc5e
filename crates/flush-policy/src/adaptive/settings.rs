//! What an adaptive policy is told beforehand.

use std::time::Duration;

use crate::PolicyError;
use crate::error::{count_at_least, count_at_most, wait_in_range};

/// The settings of an [`Adaptive`](crate::Adaptive) policy.
///
/// Unless said otherwise: 1 to 50 items with the geometric mean of the range (7) as base, an age
/// bound and a target of 50 ms each, and back to the base after a pause of 10 s.
///
/// With the feature `serde` it is a table of the same names; durations are in seconds and end in
/// `_s`. What is left out has its default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
pub struct AdaptiveSpec {
    size_min: usize,
    size_max: usize,
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    base: Option<usize>,
    #[cfg_attr(feature = "serde", serde(rename = "wait_s", with = "crate::seconds"))]
    wait: Duration,
    #[cfg_attr(
        feature = "serde",
        serde(rename = "write_target_s", with = "crate::seconds")
    )]
    write_target: Duration,
    #[cfg_attr(feature = "serde", serde(rename = "quiet_s", with = "crate::seconds"))]
    quiet: Duration,
}

impl AdaptiveSpec {
    /// The defaults.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            size_min: 1,
            size_max: 50,
            base: None,
            wait: Duration::from_millis(50),
            write_target: Duration::from_millis(50),
            quiet: Duration::from_secs(10),
        }
    }

    /// The smallest and the largest size; 1 and 50 unless said.
    #[must_use]
    pub const fn sizes(mut self, size_min: usize, size_max: usize) -> Self {
        self.size_min = size_min;
        self.size_max = size_max;
        self
    }

    /// The size to start from and to return to; the geometric mean of the range unless said, from
    /// which it is as many steps to either end.
    #[must_use]
    pub const fn base(mut self, base: usize) -> Self {
        self.base = Some(base);
        self
    }

    /// The age at which the oldest item is flushed, however few there are; 50 ms unless said.
    #[must_use]
    pub const fn wait(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }

    /// What the write of a batch may take before it counts as slow; 50 ms unless said.
    ///
    /// Set it well above what the sink takes for a single item: below that, no size can meet it.
    #[must_use]
    pub const fn write_target(mut self, write_target: Duration) -> Self {
        self.write_target = write_target;
        self
    }

    /// After how long with an empty buffer and no write the size is the base again; 10 s unless
    /// said.
    #[must_use]
    pub const fn quiet(mut self, quiet: Duration) -> Self {
        self.quiet = quiet;
        self
    }

    /// The age bound.
    pub(crate) const fn wait_max(&self) -> Duration {
        self.wait
    }

    pub(super) fn limits(&self) -> Result<Limits, PolicyError> {
        let size_min = count_at_least("adaptive.size_min", self.size_min, 1)?;
        let size_max = count_at_least("adaptive.size_max", self.size_max, size_min)?;
        let base = match self.base {
            Some(base) => {
                count_at_least("adaptive.base", base, size_min)?;
                count_at_most("adaptive.base", base, size_max)?
            }
            None => size_min
                .saturating_mul(size_max)
                .isqrt()
                .clamp(size_min, size_max),
        };
        Ok(Limits {
            size_min,
            size_max,
            base,
            wait: wait_in_range("adaptive.wait", self.wait)?,
            write_target: wait_in_range("adaptive.write_target", self.write_target)?,
            quiet: wait_in_range("adaptive.quiet", self.quiet)?,
        })
    }
}

impl Default for AdaptiveSpec {
    fn default() -> Self {
        Self::new()
    }
}

/// Settings that were found possible.
#[derive(Debug, Clone)]
pub(super) struct Limits {
    pub(super) size_min: usize,
    /// At least `size_min`.
    pub(super) size_max: usize,
    /// Between the two, or one of them.
    pub(super) base: usize,
    pub(super) wait: Duration,
    pub(super) write_target: Duration,
    pub(super) quiet: Duration,
}
