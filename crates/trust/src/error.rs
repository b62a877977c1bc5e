//! What can be wrong with settings, weights, levels and snapshots.

use std::path::PathBuf;

/// A setting is out of bounds.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("`{field}` is {value}, but must be {limit}")]
pub struct SettingsError {
    pub(crate) field: &'static str,
    pub(crate) value: f64,
    pub(crate) limit: &'static str,
}

/// A weight that is no evidence. Nothing of its batch was applied.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error(
    "update {index} of key {key}: the weight {weight} is not from 0 to {limit:e}",
    limit = crate::WEIGHT_MAX
)]
pub struct InvalidWeight {
    pub(crate) index: usize,
    pub(crate) key: String,
    pub(crate) weight: f64,
}

impl InvalidWeight {
    /// The place in the batch of the update that was refused.
    #[must_use]
    pub fn index(&self) -> usize {
        self.index
    }

    /// Its key, as text.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The weight that was refused.
    #[must_use]
    pub fn weight(&self) -> f64 {
        self.weight
    }
}

/// A credible interval was asked for with a probability that no interval has.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("the level {level} is not above 0 and at most 0.999999")]
pub struct InvalidLevel {
    pub(crate) level: f64,
}

/// A snapshot was not written, or not read; the tracker is what it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// The file system refused.
    #[error("cannot {action} `{}`: {source}", path.display())]
    Io {
        /// What was attempted.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// It is no snapshot, or it ends too early.
    #[error("not a whole snapshot: {0}")]
    Malformed(#[from] serde_json::Error),
    /// It was written in another format.
    #[error("`{field}` is `{value}`, but this program reads `{expected}`")]
    Format {
        /// The field that says so.
        field: &'static str,
        /// What it says.
        value: String,
        /// What is understood.
        expected: String,
    },
    /// It is larger than the limits allow.
    #[error("`{field}` is {value}, above the limit of {limit}")]
    TooLarge {
        /// What is too large.
        field: &'static str,
        /// How large it is, or at least.
        value: u64,
        /// The limit.
        limit: u64,
    },
    /// The prior differs, so that its evidence would count as observed.
    #[error(
        "the snapshot's prior is ({}, {}), the tracker's ({}, {})",
        found.0, found.1, expected.0, expected.1
    )]
    Prior {
        /// The snapshot's.
        found: (f64, f64),
        /// The tracker's.
        expected: (f64, f64),
    },
    /// A key has a value that cannot be.
    #[error("key `{key}`: `{field}` is {value}, but must be {limit}")]
    Entry {
        /// The key.
        key: String,
        /// Which of its values.
        field: &'static str,
        /// The value.
        value: String,
        /// What is allowed.
        limit: String,
    },
}
