//! Why an update or a setting is refused.

use std::fmt;

/// An update that was not accepted, with the update itself.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AddError<K, U> {
    /// The aggregate refuses such an update.
    #[error("update of key {key:?} is invalid: {cause}")]
    Invalid {
        /// Key of the update.
        key: K,
        /// The update.
        update: U,
        /// What is wrong with it.
        cause: InvalidUpdate,
    },
    /// The key is new, and there are as many keys as there may be.
    #[error("key {key:?} does not fit: keys_max is {keys_max}")]
    KeysFull {
        /// Key of the update.
        key: K,
        /// The update.
        update: U,
        /// The cap.
        keys_max: u64,
    },
    /// There are as many updates as there may be.
    #[error("update of key {key:?} does not fit: updates_max is {updates_max}")]
    UpdatesFull {
        /// Key of the update.
        key: K,
        /// The update.
        update: U,
        /// The cap.
        updates_max: u64,
    },
}

impl<K, U> AddError<K, U> {
    /// The key and the update that were refused.
    #[must_use]
    pub fn into_update(self) -> (K, U) {
        match self {
            Self::Invalid { key, update, .. }
            | Self::KeysFull { key, update, .. }
            | Self::UpdatesFull { key, update, .. } => (key, update),
        }
    }
}

/// What is wrong with an update: the field, its value, and what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} is {value}, but must be {allowed}")]
pub struct InvalidUpdate {
    field: &'static str,
    value: String,
    allowed: &'static str,
}

impl InvalidUpdate {
    /// Says that `field` is `value`, but must be `allowed` (such as "finite and at least 0").
    #[must_use]
    pub fn new(field: &'static str, value: impl fmt::Display, allowed: &'static str) -> Self {
        Self {
            field,
            value: value.to_string(),
            allowed,
        }
    }
}

/// A setting that no [`Coalescer`](crate::Coalescer) can be built from.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// A number is below what makes sense.
    #[error("{field} is {value}, but must be at least {min}")]
    TooSmall {
        /// The setting.
        field: &'static str,
        /// What was given.
        value: u64,
        /// The smallest accepted value.
        min: u64,
    },
    /// The flush is due at a number of updates that is never reached.
    #[error("flush_at is {flush_at}, but must be at most updates_max, which is {updates_max}")]
    FlushAtBeyondCap {
        /// The setting.
        flush_at: u64,
        /// The cap.
        updates_max: u64,
    },
    /// Neither the updates nor the keys are capped.
    #[error("updates_max and keys_max are both off, but at least one must be set")]
    NoCap,
}
