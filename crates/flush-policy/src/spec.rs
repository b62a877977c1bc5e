//! The usual policy, from options or from the name of a preset.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::{
    Adaptive, AdaptiveSpec, Age, Bytes, FlushPolicy, Interval, Jitter, JitterSpec, Manual,
    PolicyError, Size, any_of,
};

/// Which conditions flush a buffer: whichever of them comes first does.
///
/// The [default](FlushSpec::default) is 10 items or 300 s. Each condition can be switched off with
/// `None`; with all of them off, nothing is flushed but by hand. [`jitter`](FlushSpec::jitter) is
/// no condition: it brings forward what the conditions say.
///
/// With the feature `serde` it is a table of the same names; durations are in seconds and end in
/// `_s`. There, a condition that is left out is off.
///
/// ```
/// use std::time::Duration;
/// use flush_policy::{FlushSpec, Preset};
///
/// let spec = FlushSpec::from(Preset::LowLatency).bytes(1 << 20);
/// assert_eq!(spec, FlushSpec::new().size(5).age(Duration::from_secs(60)).bytes(1 << 20));
/// let without_timer = FlushSpec::default().age(None).build()?;
/// let by_name: Preset = "high-volume".parse()?;
/// # Ok::<(), flush_policy::PolicyError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(
    feature = "serde",
    serde(default = "FlushSpec::new", deny_unknown_fields)
)]
pub struct FlushSpec {
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    size: Option<usize>,
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    bytes: Option<usize>,
    #[cfg_attr(
        feature = "serde",
        serde(rename = "age_s", with = "crate::seconds::optional")
    )]
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    age: Option<Duration>,
    #[cfg_attr(
        feature = "serde",
        serde(rename = "interval_s", with = "crate::seconds::optional")
    )]
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    interval: Option<Duration>,
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    adaptive: Option<AdaptiveSpec>,
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    jitter: Option<JitterSpec>,
}

impl FlushSpec {
    /// Nothing is flushed but by hand, until a condition is set.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            size: None,
            bytes: None,
            age: None,
            interval: None,
            adaptive: None,
            jitter: None,
        }
    }

    /// Flushes at a number of items; see [`Size`].
    #[must_use]
    pub fn size(mut self, items: impl Into<Option<usize>>) -> Self {
        self.size = items.into();
        self
    }

    /// Flushes at a number of bytes; see [`Bytes`].
    #[must_use]
    pub fn bytes(mut self, bytes: impl Into<Option<usize>>) -> Self {
        self.bytes = bytes.into();
        self
    }

    /// Flushes when the oldest item has waited so long; see [`Age`].
    #[must_use]
    pub fn age(mut self, age_max: impl Into<Option<Duration>>) -> Self {
        self.age = age_max.into();
        self
    }

    /// Flushes when the last flush is so long ago; see [`Interval`].
    #[must_use]
    pub fn interval(mut self, interval: impl Into<Option<Duration>>) -> Self {
        self.interval = interval.into();
        self
    }

    /// Flushes at a size that follows the sink and the queue, and at an age; see [`Adaptive`].
    #[must_use]
    pub fn adaptive(mut self, adaptive: impl Into<Option<AdaptiveSpec>>) -> Self {
        self.adaptive = adaptive.into();
        self
    }

    /// Brings deadlines forward by a share that differs from seed to seed; see [`Jitter`].
    #[must_use]
    pub fn jitter(mut self, jitter: impl Into<Option<JitterSpec>>) -> Self {
        self.jitter = jitter.into();
        self
    }

    /// The age at which the oldest item is flushed, if that is a condition; with
    /// [`adaptive`](Self::adaptive) and [`age`](Self::age) the shorter one.
    #[must_use]
    pub fn age_max(&self) -> Option<Duration> {
        let wait = self.adaptive.map(|adaptive| adaptive.wait_max());
        self.age.into_iter().chain(wait).min()
    }

    /// The time since the last flush at which it flushes again, if that is a condition.
    #[must_use]
    pub const fn interval_max(&self) -> Option<Duration> {
        self.interval
    }

    /// The number of items that is flushed, if that is a condition.
    #[must_use]
    pub const fn items_min(&self) -> Option<usize> {
        self.size
    }

    /// Builds the policy.
    ///
    /// If several conditions are due at once, the reason is that of the first of size, adaptive,
    /// bytes, age and interval.
    ///
    /// # Errors
    /// If a number is out of its range, or a duration is zero or longer than
    /// [`WAIT_MAX`](crate::WAIT_MAX).
    pub fn build(&self) -> Result<Box<dyn FlushPolicy>, PolicyError> {
        let mut policies = Vec::new();
        if let Some(items) = self.size {
            policies.push(Size::new(items)?.boxed());
        }
        if let Some(adaptive) = self.adaptive {
            policies.push(Adaptive::new(adaptive)?.boxed());
        }
        if let Some(bytes) = self.bytes {
            policies.push(Bytes::new(bytes)?.boxed());
        }
        if let Some(age_max) = self.age {
            policies.push(Age::new(age_max)?.boxed());
        }
        if let Some(interval) = self.interval {
            policies.push(Interval::new(interval)?.boxed());
        }
        let policy = match policies.len() {
            0 => Manual.boxed(),
            1 => policies.remove(0),
            _ => any_of(policies)?.boxed(),
        };
        match self.jitter {
            Some(jitter) => Ok(Jitter::new(policy, jitter)?.boxed()),
            None => Ok(policy),
        }
    }
}

impl Default for FlushSpec {
    fn default() -> Self {
        Self::from(Preset::Default)
    }
}

impl From<Preset> for FlushSpec {
    fn from(preset: Preset) -> Self {
        let by_age = |items: usize, age_s| Self::new().size(items).age(Duration::from_secs(age_s));
        match preset {
            Preset::Default => by_age(10, 300),
            Preset::HighVolume => by_age(20, 180),
            Preset::LowLatency => by_age(5, 60),
            Preset::Development => by_age(3, 10),
            Preset::Aggregation => Self::new().size(100).interval(Duration::from_secs(5)),
        }
    }
}

/// A [`FlushSpec`] with a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum Preset {
    /// `default`: 10 items or 300 s.
    Default,
    /// `high-volume`: 20 items or 180 s.
    HighVolume,
    /// `low-latency`: 5 items or 60 s.
    LowLatency,
    /// `development`: 3 items or 10 s.
    Development,
    /// `aggregation`: 100 items, or 5 s since the last flush. It promises no age: what a flush
    /// leaves behind waits for another interval.
    Aggregation,
}

impl Preset {
    /// Every preset.
    pub const ALL: &'static [Self] = &[
        Self::Default,
        Self::HighVolume,
        Self::LowLatency,
        Self::Development,
        Self::Aggregation,
    ];

    /// The name used in configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::HighVolume => "high-volume",
            Self::LowLatency => "low-latency",
            Self::Development => "development",
            Self::Aggregation => "aggregation",
        }
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Preset {
    type Err = PolicyError;

    fn from_str(name: &str) -> Result<Self, PolicyError> {
        Self::ALL
            .iter()
            .copied()
            .find(|preset| preset.as_str() == name)
            .ok_or_else(|| PolicyError::UnknownPreset {
                name: name.to_owned(),
                known: "default, high-volume, low-latency, development, aggregation",
            })
    }
}
