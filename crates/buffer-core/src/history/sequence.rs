//! Numbers of values in a history, and cursors between them.

use std::fmt;

/// The position of an update in its key's history. The first is 1, and there are no gaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeySeq(u64);

impl KeySeq {
    /// The number of a key's first update.
    pub const FIRST: Self = Self(1);

    /// The position with this number; `None` for 0, which no update has.
    #[must_use]
    pub const fn new(number: u64) -> Option<Self> {
        if number == 0 {
            None
        } else {
            Some(Self(number))
        }
    }

    /// The number.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }

    /// The position of the update after this one; the largest stays.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    pub(crate) fn from_count(number: u64) -> Self {
        debug_assert!(number > 0, "positions start at 1");
        Self(number)
    }
}

impl fmt::Display for KeySeq {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

/// How far a reader has come: everything up to and including some [`KeySeq`] is seen.
///
/// Its number is that of the last update seen, and 0 before everything.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cursor(u64);

impl Cursor {
    /// Before everything.
    pub const START: Self = Self(0);

    /// Just after an update.
    #[must_use]
    pub const fn after(seq: KeySeq) -> Self {
        Self(seq.0)
    }

    /// Just before an update.
    #[must_use]
    pub const fn before(seq: KeySeq) -> Self {
        Self(seq.0.saturating_sub(1))
    }

    /// The cursor with this number, for one that was stored or sent.
    #[must_use]
    pub const fn from_number(number: u64) -> Self {
        Self(number)
    }

    /// The number of the last update seen; 0 before everything.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}
