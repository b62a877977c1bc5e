//! The numbers of a data service: keys, commits, and the service itself.

use std::fmt;
use std::hash::{BuildHasher, RandomState};

/// The number of a key in its service. Ids are dense, start at 0 and are never given to another
/// key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(u32);

impl KeyId {
    /// The id of the key that is registered first.
    pub const FIRST: Self = Self(0);

    /// The id with this number, for one that was stored or sent.
    #[must_use]
    pub const fn from_number(number: u32) -> Self {
        Self(number)
    }

    /// The number.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }

    /// The id of the key that is registered after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

/// The number of a commit: one per transaction that changed something, over all keys, dense.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommitSeq(u64);

impl CommitSeq {
    /// Before the first commit.
    pub const START: Self = Self(0);

    /// The commit with this number, for one that was stored or sent.
    #[must_use]
    pub const fn from_number(number: u64) -> Self {
        Self(number)
    }

    /// The number of the commit after this one.
    #[must_use]
    pub(crate) const fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The number; the first commit has 1.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for CommitSeq {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

/// Where a reader stopped: the commit that its last poll contained, and of which service.
///
/// It can be stored or sent, and be given to [`DataService::resume`](crate::DataService::resume).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ResumePoint {
    /// The service.
    pub instance: Instance,
    /// The last commit that was seen.
    pub commit_seq: CommitSeq,
}

/// What came of resuming.
#[derive(Debug)]
pub enum Resumed<S> {
    /// It continues where it stopped: nothing is shown twice, and what cannot be shown any more is
    /// counted as missed.
    Continued(S),
    /// The service is another one, or does not remember what came since: forget what was shown.
    /// It begins as a new one does.
    Reset(S),
}

impl<S> Resumed<S> {
    /// The subscription or feed, either way.
    pub fn into_inner(self) -> S {
        match self {
            Self::Continued(inner) | Self::Reset(inner) => inner,
        }
    }

    /// Whether it continues.
    #[must_use]
    pub fn is_continued(&self) -> bool {
        matches!(self, Self::Continued(_))
    }
}

/// The random id of a running service. A [`CommitSeq`] means something only together with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Instance(u64);

impl Instance {
    /// The id with this number, for one that was sent.
    #[must_use]
    pub const fn from_number(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }

    pub(crate) fn random() -> Self {
        // The standard library seeds each hash state from the system's randomness.
        Self(RandomState::new().hash_one("instance"))
    }
}

/// As sixteen hexadecimal digits.
impl fmt::Display for Instance {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:016x}", self.0)
    }
}
