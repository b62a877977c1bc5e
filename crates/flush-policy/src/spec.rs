//! The usual policy, from options or from the name of a preset.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::{Age, Bytes, FlushPolicy, Interval, Manual, PolicyError, Size, any_of};

/// Which conditions flush a buffer: whichever of them comes first does.
///
/// The [default](FlushSpec::default) is 10 items or 300 s. Each condition can be switched off with
/// `None`; with all of them off, nothing is flushed but by hand.
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
pub struct FlushSpec {
    size: Option<usize>,
    bytes: Option<usize>,
    age: Option<Duration>,
    interval: Option<Duration>,
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

    /// The age at which the oldest item is flushed, if that is a condition.
    #[must_use]
    pub const fn age_max(&self) -> Option<Duration> {
        self.age
    }

    /// The number of items that is flushed, if that is a condition.
    #[must_use]
    pub const fn items_min(&self) -> Option<usize> {
        self.size
    }

    /// Builds the policy.
    ///
    /// If several conditions are due at once, the reason is the first of size, bytes, age and
    /// interval.
    ///
    /// # Errors
    /// If a number is 0, or a duration is zero or longer than [`WAIT_MAX`](crate::WAIT_MAX).
    pub fn build(&self) -> Result<Box<dyn FlushPolicy>, PolicyError> {
        let mut policies = Vec::new();
        if let Some(items) = self.size {
            policies.push(Size::new(items)?.boxed());
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
        match policies.len() {
            0 => Ok(Manual.boxed()),
            1 => Ok(policies.remove(0)),
            _ => Ok(any_of(policies)?.boxed()),
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
        let (items, age_s) = match preset {
            Preset::Default => (10, 300),
            Preset::HighVolume => (20, 180),
            Preset::LowLatency => (5, 60),
            Preset::Development => (3, 10),
        };
        Self::new().size(items).age(Duration::from_secs(age_s))
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
}

impl Preset {
    /// Every preset.
    pub const ALL: &'static [Self] = &[
        Self::Default,
        Self::HighVolume,
        Self::LowLatency,
        Self::Development,
    ];

    /// The name used in configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::HighVolume => "high-volume",
            Self::LowLatency => "low-latency",
            Self::Development => "development",
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
                known: "default, high-volume, low-latency, development",
            })
    }
}
