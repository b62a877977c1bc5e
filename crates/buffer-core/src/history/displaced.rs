//! What leaves a history, on its way to whoever may run its destructors.

use std::fmt;

use super::KeySeq;
use super::segment::Segment;
use crate::sync::Arc;

/// What an append did.
#[derive(Debug)]
pub struct Appended<T> {
    /// The number of the value that was appended.
    pub seq: KeySeq,
    /// The value that no longer fits: the oldest, or at depth 0 the appended one itself.
    pub displaced: Displaced<T>,
}

/// Values that left a history. Whoever appends under a lock carries this out and drops it after
/// unlocking, since destructors may run any code.
///
/// While a history is its owner's alone, these are the values themselves. Once readers are
/// attached, values that left stay where they are, since a snapshot may show them, until their
/// segment is left as a whole: then it is in here, and the last who holds it drops its values.
#[must_use = "drop displaced values after unlocking: their destructors may run any code"]
pub struct Displaced<T> {
    len: usize,
    /// The only value that left, if it is not shared.
    value: Option<T>,
    /// What is rare, behind one pointer: this is on the path of every append.
    rest: Option<Box<Rest<T>>>,
}

enum Rest<T> {
    Values(Vec<T>),
    /// Held for its destructor.
    Segment {
        _segment: Arc<Segment<T>>,
    },
}

impl<T> Displaced<T> {
    #[inline]
    pub(super) const fn nothing() -> Self {
        Self::shared(0)
    }

    #[inline]
    pub(super) const fn one(value: T) -> Self {
        Self {
            len: 1,
            value: Some(value),
            rest: None,
        }
    }

    /// So many values, which are still in the segment.
    #[inline]
    pub(super) const fn shared(len: usize) -> Self {
        Self {
            len,
            value: None,
            rest: None,
        }
    }

    /// So many values, and the segment that is to be dropped, if it is.
    pub(super) fn with_segment(len: usize, segment: Option<Arc<Segment<T>>>) -> Self {
        let rest = segment.map(|segment| Box::new(Rest::Segment { _segment: segment }));
        Self {
            len,
            value: None,
            rest,
        }
    }

    /// This, where the one value that left is not shared.
    pub(super) fn and(self, value: T) -> Self {
        Self {
            value: Some(value),
            ..self
        }
    }

    pub(super) fn with_values(len: usize, values: Vec<T>) -> Self {
        Self {
            len,
            value: None,
            rest: (!values.is_empty()).then(|| Box::new(Rest::Values(values))),
        }
    }

    /// How many values left the history by this call.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether none did.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether there is nothing in here but one value that left.
    #[must_use]
    #[inline]
    pub fn is_one(&self) -> bool {
        self.value.is_some() && self.rest.is_none()
    }

    /// Whether there is nothing in here to drop: none left, or those that did are still in the
    /// history's segment.
    #[must_use]
    #[inline]
    pub fn holds_nothing(&self) -> bool {
        self.value.is_none() && self.rest.is_none()
    }

    /// The values, oldest first; none if they are shared with readers.
    #[must_use]
    pub fn into_values(self) -> Vec<T> {
        match (self.value, self.rest.map(|rest| *rest)) {
            (Some(value), _) => vec![value],
            (None, Some(Rest::Values(values))) => values,
            (None, _) => Vec::new(),
        }
    }

    /// The newest of the values, dropping the others; none if they are shared with readers.
    #[must_use]
    #[inline]
    pub fn into_newest(self) -> Option<T> {
        if self.rest.is_none() {
            return self.value;
        }
        self.into_values().pop()
    }
}

impl<T> Default for Displaced<T> {
    fn default() -> Self {
        Self::nothing()
    }
}

impl<T> fmt::Debug for Displaced<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Displaced")
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}
