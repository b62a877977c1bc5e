//! Why a buffer is flushed.

use std::fmt;

/// Why a buffer is flushed; every flush carries one and is counted under it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Reason {
    /// The buffer holds as many items as a batch should have.
    Size,
    /// The buffer holds as many bytes as a batch should have.
    Bytes,
    /// The oldest item has waited as long as it may.
    Age,
    /// The last flush is long enough ago.
    Interval,
    /// Somebody asked for it.
    Manual,
    /// The buffer reached its hard cap.
    Capacity,
    /// The buffer is being closed.
    Shutdown,
}

impl Reason {
    /// Every reason, in the order in which they are counted and shown.
    pub const ALL: &'static [Self] = &[
        Self::Size,
        Self::Bytes,
        Self::Age,
        Self::Interval,
        Self::Manual,
        Self::Capacity,
        Self::Shutdown,
    ];

    /// The name used in configuration, statistics and metrics, in `snake_case`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Size => "size",
            Self::Bytes => "bytes",
            Self::Age => "age",
            Self::Interval => "interval",
            Self::Manual => "manual",
            Self::Capacity => "capacity",
            Self::Shutdown => "shutdown",
        }
    }

    /// Place of the reason in [`Reason::ALL`].
    pub(crate) const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_listed_once_and_at_their_index() {
        for (index, reason) in Reason::ALL.iter().enumerate() {
            assert_eq!(reason.index(), index, "{reason}");
            assert!(
                reason
                    .as_str()
                    .chars()
                    .all(|c| c.is_ascii_lowercase() || c == '_')
            );
        }
    }
}
