//! Patterns over `source/tag`.

use globset::{Glob, GlobSet, GlobSetBuilder};
use record::Key;

/// Patterns that a subscription may have, and bytes that one may have.
pub(crate) const PATTERNS_MAX: usize = 512;
pub(crate) const PATTERN_BYTES_MAX: usize = 1024;

/// Why patterns are refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GlobError {
    #[error("there are {count} patterns, expected 1 to {PATTERNS_MAX}")]
    Count { count: usize },
    #[error("a pattern has {length} bytes, the limit is {PATTERN_BYTES_MAX}")]
    TooLong { length: usize },
    #[error("{0}")]
    Invalid(#[from] globset::Error),
}

/// A set of globs over `source/tag`; `*` matches across the slash too.
#[derive(Debug)]
pub(crate) struct Globs(GlobSet);

impl Globs {
    pub(crate) fn new(patterns: &[String]) -> Result<Self, GlobError> {
        if !(1..=PATTERNS_MAX).contains(&patterns.len()) {
            return Err(GlobError::Count {
                count: patterns.len(),
            });
        }
        let mut set = GlobSetBuilder::new();
        for pattern in patterns {
            if pattern.len() > PATTERN_BYTES_MAX {
                return Err(GlobError::TooLong {
                    length: pattern.len(),
                });
            }
            set.add(Glob::new(pattern)?);
        }
        Ok(Self(set.build()?))
    }

    pub(crate) fn matches(&self, key: &Key) -> bool {
        self.0.is_match(key.to_string())
    }
}
