//! How much memory a history takes beyond what it keeps.

use thiserror::Error;

/// How a history of depth 2 or more allocates: the first allocation, and the room per kept value.
///
/// More room means that values are moved less often: with a factor of 2.5 about two thirds of an
/// element per append, with 1.5 two.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Room {
    initial_capacity: u32,
    over_allocation: f32,
}

impl Room {
    /// The smallest and the largest over-allocation.
    pub const OVER_ALLOCATION_RANGE: std::ops::RangeInclusive<f32> = 1.5..=16.0;

    /// Room for `initial_capacity` values at first, doubled until it is `over_allocation` times
    /// the depth.
    ///
    /// # Errors
    /// When the capacity is 0, or the factor is outside [`Self::OVER_ALLOCATION_RANGE`].
    pub fn new(initial_capacity: u32, over_allocation: f32) -> Result<Self, RoomError> {
        if initial_capacity == 0 {
            return Err(RoomError::InitialCapacity);
        }
        if !Self::OVER_ALLOCATION_RANGE.contains(&over_allocation) {
            return Err(RoomError::OverAllocation {
                value: over_allocation,
            });
        }
        Ok(Self {
            initial_capacity,
            over_allocation,
        })
    }

    /// The capacity of the first allocation.
    #[must_use]
    pub fn initial_capacity(self) -> usize {
        self.initial_capacity as usize
    }

    /// The capacity per kept value.
    #[must_use]
    pub fn over_allocation(self) -> f32 {
        self.over_allocation
    }

    /// The capacity of the first segment at this depth.
    pub(super) fn capacity_first(self, depth: usize) -> usize {
        self.initial_capacity().min(self.capacity_max(depth))
    }

    /// The capacity of the segment after one of `capacity` that ran full, when `len` values are
    /// kept: the same if moving those pays, and otherwise twice as much.
    pub(super) fn capacity_next(self, capacity: usize, len: usize, depth: usize) -> usize {
        let pays = capacity >= self.capacity_max(len);
        let wanted = if pays {
            capacity
        } else {
            capacity.saturating_mul(2)
        };
        wanted
            .max(self.capacity_first(depth))
            .min(self.capacity_max(depth))
            .max(len + 1)
    }

    /// The capacity that a history of this depth never exceeds by itself.
    fn capacity_max(self, depth: usize) -> usize {
        // The rounding of floats above 2^53 values does not matter: they do not fit into memory.
        (depth as f64 * f64::from(self.over_allocation)).ceil() as usize
    }
}

impl Default for Room {
    /// 16 values at first, 2.5 times the depth at last.
    fn default() -> Self {
        Self {
            initial_capacity: 16,
            over_allocation: 2.5,
        }
    }
}

/// Why a [`Room`] was refused.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum RoomError {
    /// The first allocation would be empty.
    #[error("initial capacity is 0, at least 1 is needed")]
    InitialCapacity,
    /// The factor is not a number, too small to move values rarely, or wasteful.
    #[error("over-allocation is {value}, allowed is 1.5 to 16")]
    OverAllocation {
        /// The factor given.
        value: f32,
    },
}
