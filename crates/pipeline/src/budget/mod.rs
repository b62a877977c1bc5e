//! The memory that the lanes of a route share, decided purely: who takes room from whom.
//!
//! Each lane starts with its own size, part of which may be *reserved*: never taken from it. A
//! lane that is full asks [`Budget::make_room`]. It is given what lies unused in others, and
//! else what lower lanes use, the lowest first, whose oldest items are evicted as they shrink;
//! never what an equal or more urgent lane uses, nor what is on loan to a sink and so cannot be
//! evicted. [`Budget::give_back`] returns what was borrowed.
//!
//! - The sum of all sizes never changes; no lane is smaller than its reservation, nor than 1. A
//!   place is whatever the sizes count: items, or bytes.
//! - `used` is of one moment. What a lane takes between that and the shrinking of its buffer is
//!   evicted too; the caller serialises the two with pushes where that matters.
//! - The same holds for items on loan: what is lent between that and the shrinking keeps a lane
//!   above its new size until that batch is acknowledged.

#[cfg(test)]
mod tests;

use record::Priority;

use crate::gate::PerClass;
use crate::setting::{SettingError, check_range};

/// Every class, the least urgent first: the order in which lanes are taken from.
const LOWEST_FIRST: [Priority; 4] = [
    Priority::Low,
    Priority::Normal,
    Priority::High,
    Priority::Critical,
];

/// The part of a lane's own size that moves at once where it is free, so that a lane does not ask
/// again for each record.
const CHUNKS: usize = 16;

/// What a lane has of the memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Room {
    /// Places in its buffer; in a budget, those it starts with.
    pub(crate) size: usize,
    /// Places that are never taken from it.
    pub(crate) reserved: usize,
}

impl Room {
    /// The smallest that the lane may become.
    fn floor(self) -> usize {
        self.reserved.max(1)
    }

    /// How much moves at once where it is free.
    fn chunk(self) -> usize {
        self.size.div_ceil(CHUNKS)
    }
}

/// Shares the memory among lanes; see the module.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    /// The lanes as they were at the start.
    own: PerClass<Option<Room>>,
    /// Their sizes now; 0 where there is no lane.
    sizes: PerClass<usize>,
}

/// New sizes for some lanes. The caller resizes the [`shrunk`](Self::shrunk) before the
/// [`grown`](Self::grown), so that the memory is never more than it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "the budget counts on the buffers being resized"]
pub(crate) struct Moves {
    before: PerClass<usize>,
    after: PerClass<usize>,
}

impl Moves {
    /// Whether nothing moves.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.before == self.after
    }

    /// The lanes that become smaller, the least urgent first, each with its new size.
    pub(crate) fn shrunk(&self) -> impl Iterator<Item = (Priority, usize)> {
        self.where_size(|before, after| after < before)
    }

    /// The lanes that become larger, the least urgent first, each with its new size.
    pub(crate) fn grown(&self) -> impl Iterator<Item = (Priority, usize)> {
        self.where_size(|before, after| after > before)
    }

    fn where_size(
        &self,
        changed: fn(usize, usize) -> bool,
    ) -> impl Iterator<Item = (Priority, usize)> {
        let Self { before, after } = *self;
        let lanes = LOWEST_FIRST.into_iter();
        lanes
            .filter(move |class| changed(before[*class as usize], after[*class as usize]))
            .map(move |class| (class, after[class as usize]))
    }
}

impl Budget {
    /// A budget of all that these lanes have together; `shares[priority as usize]`.
    ///
    /// # Errors
    /// When a lane has no place, reserves more than it has, or all sizes overflow a number.
    pub(crate) fn new(shares: PerClass<Option<Room>>) -> Result<Self, SettingError> {
        let mut left = usize::MAX;
        for class in LOWEST_FIRST {
            let Some(room) = shares[class as usize] else {
                continue;
            };
            let name = class.as_str();
            check_range(format_args!("{name}.size"), room.size, 1, left)?;
            let field = format_args!("{name}.reserved");
            check_range(field, room.reserved, 0, room.size)?;
            left -= room.size;
        }
        Ok(Self {
            own: shares,
            sizes: shares.map(|room| room.map_or(0, |room| room.size)),
        })
    }

    /// The sizes of the lanes now, 0 where there is none; `sizes[priority as usize]`.
    #[cfg(test)]
    pub(crate) fn sizes(&self) -> PerClass<usize> {
        self.sizes
    }

    /// Gives a lane up to `wanted` places more than it has now; `used` counts the places that each
    /// lane uses, items on loan included, and `lent` those of the items on loan alone.
    ///
    /// What lies unused in other lanes goes first, the least urgent lane's before others', and of
    /// that at least a sixteenth of the lane's own size, even if less is wanted. If that is not
    /// enough, places are taken that lower lanes use for items that are not on loan, the lowest
    /// lane's first, and no more of those than wanted. Less than that may be left, or nothing: then
    /// the lane makes do with its own.
    /// A class without a lane gets nothing.
    pub(crate) fn make_room(
        &mut self,
        class: Priority,
        wanted: usize,
        used: PerClass<usize>,
        lent: PerClass<usize>,
    ) -> Moves {
        let before = self.sizes;
        if let Some(own) = self.own[class as usize].filter(|_| wanted > 0) {
            let goal = wanted.max(own.chunk());
            let mut gained = 0;
            for lender in LOWEST_FIRST.into_iter().filter(|lender| *lender != class) {
                gained += self.take(lender, goal - gained, used[lender as usize]);
            }
            for lender in LOWEST_FIRST.into_iter().filter(|lender| *lender < class) {
                let most = wanted.saturating_sub(gained);
                gained += self.take(lender, most, lent[lender as usize]);
            }
            self.sizes[class as usize] += gained;
        }
        self.moves_since(before)
    }

    /// Returns what lanes have borrowed and need no more, to those that are below their own size,
    /// the most urgent first.
    ///
    /// A lane that uses at most half of its size keeps twice what it uses, or its own size if that
    /// is more, and returns the rest, if that is at least a sixteenth of its own size or all that
    /// it has borrowed. Nothing is evicted, and a second call with the same `used` moves nothing.
    /// It is meant to be called now and then, not per record.
    pub(crate) fn give_back(&mut self, used: PerClass<usize>) -> Moves {
        let before = self.sizes;
        let mut returned = 0;
        for class in LOWEST_FIRST {
            returned += self.spare(class, used[class as usize]);
        }
        for class in LOWEST_FIRST.into_iter().rev() {
            let own = self.own[class as usize].map_or(0, |room| room.size);
            let size = &mut self.sizes[class as usize];
            let gained = own.saturating_sub(*size).min(returned);
            *size += gained;
            returned -= gained;
        }
        // What is above one lane's own size is missing in others', so that nothing is left.
        debug_assert_eq!(returned, 0, "more was returned than had been borrowed");
        self.moves_since(before)
    }

    /// Takes up to `most` places from a lane, but none that it keeps and none below its floor.
    fn take(&mut self, lender: Priority, most: usize, keeps: usize) -> usize {
        let Some(own) = self.own[lender as usize] else {
            return 0;
        };
        let size = &mut self.sizes[lender as usize];
        let taken = size.saturating_sub(own.floor().max(keeps)).min(most);
        *size -= taken;
        taken
    }

    /// Takes from a lane what it has borrowed and needs no more.
    fn spare(&mut self, class: Priority, used: usize) -> usize {
        let Some(own) = self.own[class as usize] else {
            return 0;
        };
        let size = &mut self.sizes[class as usize];
        let kept = used.saturating_mul(2).max(own.size);
        let spare = size.saturating_sub(kept);
        if spare < own.chunk() && kept > own.size {
            return 0;
        }
        *size -= spare;
        spare
    }

    fn moves_since(&self, before: PerClass<usize>) -> Moves {
        Moves {
            before,
            after: self.sizes,
        }
    }
}
