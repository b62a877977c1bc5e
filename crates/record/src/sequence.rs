//! Where a record stands in its source.

use serde::Serialize;

/// The place of a record in its source: a line of a file, a sequence number of a stream, or a
/// count at acceptance where the source has none. The first is 1; positions of one source only
/// grow, and need not be dense.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Position(u64);

impl Position {
    /// Before everything: no record has it.
    pub const START: Self = Self(0);
    /// The last position that fits the signed integers of databases.
    pub const MAX: Self = Self(i64::MAX as u64);

    /// The position with this number; beyond [`MAX`](Self::MAX) it stays there.
    #[must_use]
    pub fn new(number: u64) -> Self {
        Self(number.min(Self::MAX.0))
    }

    /// The number.
    #[must_use]
    pub fn number(self) -> u64 {
        self.0
    }

    /// The one after this.
    #[must_use]
    pub fn next(self) -> Self {
        Self::new(self.0 + 1)
    }
}

impl std::fmt::Display for Position {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}", self.0)
    }
}
