//! What can be wrong with the settings of a policy.

use std::time::Duration;

use crate::WAIT_MAX;

/// A setting that no policy can be built from.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// A number is below what makes sense.
    #[error("{field} is {value}, but must be at least {min}")]
    CountTooSmall {
        /// The setting, such as `size` or `adaptive.size_min`.
        field: &'static str,
        /// What was given.
        value: usize,
        /// The smallest accepted value.
        min: usize,
    },
    /// A number is above what makes sense.
    #[error("{field} is {value}, but must be at most {max}")]
    CountTooLarge {
        /// The setting, such as `adaptive.base` or `jitter.share_pct`.
        field: &'static str,
        /// What was given.
        value: usize,
        /// The largest accepted value.
        max: usize,
    },
    /// A duration is zero.
    #[error("{field} is {value:?}, but must be longer than 0 s")]
    WaitTooShort {
        /// The setting, such as `age` or `adaptive.wait`.
        field: &'static str,
        /// What was given.
        value: Duration,
    },
    /// A duration is longer than [`WAIT_MAX`].
    #[error("{field} is {} s, but must be at most {} s", value.as_secs(), max.as_secs())]
    WaitTooLong {
        /// The setting, such as `age` or `adaptive.wait`.
        field: &'static str,
        /// What was given.
        value: Duration,
        /// The longest accepted value.
        max: Duration,
    },
    /// A combinator was given nothing to combine.
    #[error("{combinator} has 0 policies, but must have at least 1")]
    NothingToCombine {
        /// The combinator: `any_of` or `all_of`.
        combinator: &'static str,
    },
    /// A preset was asked for by a name that does not exist.
    #[error("preset is {name:?}, but must be one of {known}")]
    UnknownPreset {
        /// What was given.
        name: String,
        /// The names that exist, separated by commas.
        known: &'static str,
    },
}

/// Refuses a count below `min`.
pub(crate) fn count_at_least(
    field: &'static str,
    value: usize,
    min: usize,
) -> Result<usize, PolicyError> {
    if value < min {
        return Err(PolicyError::CountTooSmall { field, value, min });
    }
    Ok(value)
}

/// Refuses a count above `max`.
pub(crate) fn count_at_most(
    field: &'static str,
    value: usize,
    max: usize,
) -> Result<usize, PolicyError> {
    if value > max {
        return Err(PolicyError::CountTooLarge { field, value, max });
    }
    Ok(value)
}

/// Refuses a wait of zero, and one beyond [`WAIT_MAX`].
pub(crate) fn wait_in_range(field: &'static str, value: Duration) -> Result<Duration, PolicyError> {
    if value.is_zero() {
        return Err(PolicyError::WaitTooShort { field, value });
    }
    if value > WAIT_MAX {
        return Err(PolicyError::WaitTooLong {
            field,
            value,
            max: WAIT_MAX,
        });
    }
    Ok(value)
}
