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

/// An update that is refused. Nothing of its batch was applied.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum UpdateError {
    /// The weight is no evidence.
    #[error("key {key}: the weight {weight} is not from 0 to {limit:e}", limit = crate::WEIGHT_MAX)]
    Weight {
        /// The place of the update in its batch.
        index: usize,
        /// The start of the key, as text.
        key: String,
        /// The weight that was refused.
        weight: f64,
    },
    /// The key is too long.
    #[error("key {key}: it has {bytes} bytes, above `key_bytes_max` of {limit}")]
    KeyBytes {
        /// The place of the update in its batch.
        index: usize,
        /// The start of the key, as text.
        key: String,
        /// How long it is.
        bytes: usize,
        /// How long it may be.
        limit: usize,
    },
    /// The key is new, and there is no room for it.
    #[error("key {key}: it would be one more than `keys_max` of {limit}")]
    Keys {
        /// The place of the update in its batch.
        index: usize,
        /// The start of the key, as text.
        key: String,
        /// How many keys there may be.
        limit: usize,
    },
}

impl UpdateError {
    /// The place in its batch of the update that was refused.
    #[must_use]
    pub fn index(&self) -> usize {
        let (Self::Weight { index, .. } | Self::KeyBytes { index, .. } | Self::Keys { index, .. }) =
            self;
        *index
    }

    /// Its key, as text, of which a long one is cut short.
    #[must_use]
    pub fn key(&self) -> &str {
        let (Self::Weight { key, .. } | Self::KeyBytes { key, .. } | Self::Keys { key, .. }) = self;
        key
    }
}

/// A key as errors name it.
pub(crate) fn shown(key: &(impl std::fmt::Debug + ?Sized)) -> String {
    const SHOWN_MAX: usize = 64;
    let mut text = format!("{key:?}");
    if let Some((end, _)) = text.char_indices().nth(SHOWN_MAX) {
        text.truncate(end);
        text.push('…');
    }
    text
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
