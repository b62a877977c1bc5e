//! Event time, and how far ahead of the clock it may be.

use std::time::Duration;

use serde::Serialize;

use crate::RecordError;

/// When something happened, in microseconds since the Unix epoch, UTC, as the source says.
///
/// ```
/// use record::Timestamp;
/// let time: Timestamp = "2024-05-01T12:00:00+02:00".parse()?;
/// assert_eq!(time.micros(), 1_714_557_600_000_000);
/// assert_eq!(time.to_string(), "2024-05-01T10:00:00Z");
/// # Ok::<(), record::RecordError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

/// Year -9999 and year 9999, with the room that time zones need.
const MICROS_MIN: i64 = -377_705_023_201_000_000;
const MICROS_MAX: i64 = 253_402_207_200_999_999;

impl Timestamp {
    /// The moment so many microseconds after the Unix epoch.
    ///
    /// # Errors
    /// When that is outside the years -9999 to 9999.
    pub fn from_micros(micros: i64) -> Result<Self, RecordError> {
        if (MICROS_MIN..=MICROS_MAX).contains(&micros) {
            Ok(Self(micros))
        } else {
            Err(RecordError::unexpected(
                "timestamp",
                micros,
                "microseconds since 1970 within the years -9999 to 9999",
            ))
        }
    }

    /// The moment a system clock shows; wall time is data, never a decision.
    #[must_use]
    pub fn from_system(time: std::time::SystemTime) -> Self {
        let micros = match time.duration_since(std::time::UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_micros()).unwrap_or(MICROS_MAX),
            Err(before) => -i64::try_from(before.duration().as_micros()).unwrap_or(-MICROS_MIN),
        };
        Self(micros.clamp(MICROS_MIN, MICROS_MAX))
    }

    /// Microseconds since the Unix epoch.
    #[must_use]
    pub fn micros(self) -> i64 {
        self.0
    }
}

impl std::str::FromStr for Timestamp {
    type Err = RecordError;

    /// Reads RFC 3339, with an offset or `Z`; finer than a microsecond is cut off.
    fn from_str(text: &str) -> Result<Self, RecordError> {
        text.parse::<jiff::Timestamp>()
            .map(|time| Self(time.as_microsecond()))
            .map_err(|_| {
                RecordError::unexpected(
                    "timestamp",
                    format_args!("{text:?}"),
                    "RFC 3339 (2024-05-01T12:00:00Z) or microseconds since 1970",
                )
            })
    }
}

impl std::fmt::Display for Timestamp {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(time) => time.fmt(out),
            Err(_) => write!(out, "{} µs", self.0),
        }
    }
}

/// How far in the future a timestamp may lie. A reading from next year would otherwise stay the
/// newest of its history until then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FutureLimit {
    now: Timestamp,
    ahead: Duration,
}

impl FutureLimit {
    /// Timestamps up to `ahead` after `now` pass.
    #[must_use]
    pub fn new(now: Timestamp, ahead: Duration) -> Self {
        Self { now, ahead }
    }

    /// What the clock said when the limit was made; records without a timestamp get it.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Passes `time` on when it is within the limit.
    ///
    /// # Errors
    /// When it lies further in the future.
    pub fn check(&self, time: Timestamp) -> Result<Timestamp, RecordError> {
        let ahead_us = i64::try_from(self.ahead.as_micros()).unwrap_or(i64::MAX);
        if time.0 <= self.now.0.saturating_add(ahead_us) {
            return Ok(time);
        }
        Err(RecordError::Future {
            found: time.to_string(),
            limit_s: ahead_us / 1_000_000,
            now: self.now.to_string(),
        })
    }
}
