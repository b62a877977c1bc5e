//! What a value is.

use thiserror::Error;

/// A kind and a shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schema {
    kind: &'static str,
}

impl Schema {
    /// TEMPORARY
    #[must_use]
    pub const fn new(kind: &'static str) -> Self {
        Self { kind }
    }

    /// TEMPORARY
    #[must_use]
    pub fn mismatch(&self, got: &Self) -> Option<Mismatch> {
        (self != got).then_some(Mismatch {
            expected: *self,
            got: *got,
        })
    }
}

/// TEMPORARY
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the value is {got:?}, expected {expected:?}")]
pub struct Mismatch {
    /// TEMPORARY
    pub expected: Schema,
    /// TEMPORARY
    pub got: Schema,
}
