//! The shape of the rows of a history.

use std::fmt;

use thiserror::Error;

/// The shape of one array: its extent in each of up to [`Shape::RANK_MAX`] dimensions, the last of
/// which lies side by side in memory.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shape {
    extents: [usize; Shape::RANK_MAX],
    rank: u8,
    elements: usize,
}

impl Shape {
    /// How many dimensions there are at most.
    pub const RANK_MAX: usize = 4;

    /// The shape of a single number.
    pub const SCALAR: Self = Self {
        extents: [1; Self::RANK_MAX],
        rank: 0,
        elements: 1,
    };

    /// A shape with these extents; none is the shape of a single number.
    ///
    /// # Errors
    /// When there are too many, one is 0, or their product does not fit into a `usize`.
    pub fn new(extents: &[usize]) -> Result<Self, ShapeError> {
        let rank = extents.len();
        let mut shape = Self::SCALAR;
        let Some(front) = shape.extents.get_mut(..rank) else {
            return Err(ShapeError::Rank {
                rank,
                limit: Self::RANK_MAX,
            });
        };
        front.copy_from_slice(extents);
        if let Some(dimension) = extents.iter().position(|extent| *extent == 0) {
            return Err(ShapeError::Empty { dimension });
        }
        shape.elements = extents
            .iter()
            .try_fold(1_usize, |product, extent| product.checked_mul(*extent))
            .ok_or(ShapeError::TooLarge)?;
        // At most RANK_MAX, which fits.
        shape.rank = rank as u8;
        Ok(shape)
    }

    /// The extent in each dimension.
    #[must_use]
    pub fn extents(&self) -> &[usize] {
        &self.extents[..usize::from(self.rank)]
    }

    /// How many elements an array of this shape has; at least one.
    #[must_use]
    pub const fn elements(&self) -> usize {
        self.elements
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_tuple("Shape").field(&self.extents()).finish()
    }
}

/// Why a shape, or an array, was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ShapeError {
    /// It has too many dimensions.
    #[error("shape has {rank} dimensions, allowed are {limit}")]
    Rank {
        /// How many it has.
        rank: usize,
        /// How many are allowed.
        limit: usize,
    },
    /// An array of it has no element.
    #[error("extent of dimension {dimension} is 0, at least 1 is needed")]
    Empty {
        /// Which dimension, from 0.
        dimension: usize,
    },
    /// An array of it has more elements than can be counted.
    #[error("shape has more than {} elements", usize::MAX)]
    TooLarge,
    /// The array has another number of elements.
    #[error("array has {elements} elements, its shape needs {expected}")]
    Elements {
        /// How many it has.
        elements: usize,
        /// How many its shape needs.
        expected: usize,
    },
}

/// Counts how often the shape of a history changed, or what its numbers mean. The first is 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(u64);

impl Generation {
    /// The generation with this number, for what counts changes of shape by itself.
    #[must_use]
    pub const fn from_number(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }

    pub(super) const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

/// How the rows of a segment are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) shape: Shape,
    pub(super) generation: Generation,
}

impl Layout {
    /// Rows of one value each, for ever.
    pub(super) const SCALAR: Self = Self {
        shape: Shape::SCALAR,
        generation: Generation(0),
    };

    pub(super) const fn width(&self) -> usize {
        self.shape.elements()
    }
}
