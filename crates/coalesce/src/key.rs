//! A string that is made to be a key.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;

use compact_str::CompactString;

/// A string of which up to 24 bytes lie in the table itself, without an allocation of their own.
///
/// It is as large as a `String`. Looking up such a key touches one line of memory less, and a batch
/// that is taken copies it without the allocator. Longer ones are allocated.
///
/// ```
/// use coalesce::{Added, Coalescer, Count, Key};
///
/// let hits: Coalescer<Key, Count> = Coalescer::new(Count);
/// assert_eq!(hits.add_str("/index.html", ()), Ok(Added::Buffered));
/// assert_eq!(&*hits.take().entries()[0].key, "/index.html");
/// ```
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key(CompactString);

impl Key {
    /// The string.
    #[must_use]
    #[inline]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl Hash for Key {
    /// As the string itself, so that either finds the other.
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl Borrow<str> for Key {
    #[inline]
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl Deref for Key {
    type Target = str;

    #[inline]
    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl From<&str> for Key {
    #[inline]
    fn from(key: &str) -> Self {
        Self(CompactString::from(key))
    }
}

impl From<String> for Key {
    /// Without copying, if it is too long to lie in the table.
    fn from(key: String) -> Self {
        Self(CompactString::from(key))
    }
}

impl From<Key> for String {
    fn from(key: Key) -> Self {
        key.0.into_string()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.as_str(), f)
    }
}
