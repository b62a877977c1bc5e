//! The queue of a ring: runs of items, oldest first, that move in and out whole.
//!
//! Items carry an implicit number, their place in the order of acceptance. `runs` is one dense
//! sequence that ends at the newest item; `returned` holds runs that came back from dropped leases
//! and are older than everything after them. What is taken are whole runs where that is possible,
//! so that a lock around the queue is held for a few moves, however many items they hold. Buffers
//! that are emptied come back, and are used again.

use std::collections::{BTreeMap, VecDeque};

use super::Demand;

/// A stripe's run that is shorter than this is copied behind the last one instead of kept apart.
const SHORT: usize = 32;

/// Places of buffers that are kept for later, for each place of the ring.
const SPARE_FACTOR: usize = 3;

/// Items in order with their weights; there are no weights when items are not weighed.
pub(super) struct Run<T> {
    pub(super) items: VecDeque<T>,
    pub(super) weights: VecDeque<usize>,
}

impl<T> Default for Run<T> {
    fn default() -> Self {
        Self {
            items: VecDeque::new(),
            weights: VecDeque::new(),
        }
    }
}

impl<T> Run<T> {
    /// Items that are not weighed.
    pub(super) fn of(items: VecDeque<T>) -> Self {
        Self {
            items,
            weights: VecDeque::new(),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.weights.iter().sum()
    }
}

/// What a lease or a drain took: runs that follow each other.
pub(super) struct Taken<T> {
    /// The number of the first item.
    pub(super) first: u64,
    pub(super) head: Run<T>,
    pub(super) tail: Vec<Run<T>>,
}

impl<T> Taken<T> {
    pub(super) fn len(&self) -> usize {
        self.head.items.len() + self.tail.iter().map(|run| run.items.len()).sum::<usize>()
    }

    pub(super) fn bytes(&self) -> usize {
        self.head.bytes() + self.tail.iter().map(Run::bytes).sum::<usize>()
    }

    /// Moves everything behind the head; what remains in the tail is empty and can be recycled.
    pub(super) fn merge(&mut self) {
        for run in &mut self.tail {
            self.head.items.append(&mut run.items);
            self.head.weights.append(&mut run.weights);
        }
    }
}

pub(super) struct Queue<T> {
    /// The number of the first item in `runs`.
    first: u64,
    /// None but the last may be empty.
    runs: VecDeque<Run<T>>,
    /// Runs that came back, by the number of their first item.
    returned: BTreeMap<u64, Run<T>>,
    /// Emptied buffers, the largest last, with places for `SPARE_FACTOR` times what the ring holds
    /// at the most.
    spare: Vec<Run<T>>,
    /// The capacity of the ring, beyond which no buffer grows.
    capacity: usize,
}

impl<T> Queue<T> {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            first: 0,
            runs: VecDeque::new(),
            returned: BTreeMap::new(),
            spare: Vec::new(),
            capacity,
        }
    }

    /// Adapts to another capacity, and hands back buffers that are too many now.
    pub(super) fn resize(&mut self, capacity: usize) -> Vec<Run<T>> {
        self.capacity = capacity;
        let spare = std::mem::take(&mut self.spare);
        let too_large = |run: Run<T>| self.recycle(run);
        spare.into_iter().filter_map(too_large).collect()
    }

    /// The largest buffer that is not used, or a new one.
    pub(super) fn buffer(&mut self) -> VecDeque<T> {
        self.spare.pop().unwrap_or_default().items
    }

    /// Appends the newest item, with a weight where items are weighed.
    // Inlined by force, as the pushes around it: an item is moved once.
    #[inline(always)]
    pub(super) fn push(&mut self, item: T, weight: Option<usize>) {
        if self.runs.is_empty() {
            let empty = self.spare.pop().unwrap_or_default();
            self.runs.push_back(empty);
        }
        if let Some(last) = self.runs.back_mut() {
            reserve(&mut last.items, 1, self.capacity);
            last.items.push_back(item);
            last.weights.extend(weight);
        }
    }

    /// Appends items that are not weighed, with their buffer; hands back one that is surplus.
    pub(super) fn append(&mut self, mut items: VecDeque<T>) -> Option<Run<T>> {
        match self.runs.back_mut() {
            Some(last) if last.items.is_empty() => std::mem::swap(&mut last.items, &mut items),
            Some(last) if items.len() < SHORT => last.items.append(&mut items),
            _ => {
                self.runs.push_back(Run::of(std::mem::take(&mut items)));
            }
        }
        self.recycle(Run::of(items))
    }

    /// Takes the oldest item and its weight, 0 where items are not weighed.
    pub(super) fn pop_oldest(&mut self) -> Option<(T, usize)> {
        if let Some((first, mut run)) = self.returned.pop_first() {
            let item = run.items.pop_front();
            let weight = run.weights.pop_front();
            if run.items.is_empty() {
                drop(self.recycle(run));
            } else {
                self.returned.insert(first + 1, run);
            }
            return item.map(|item| (item, weight.unwrap_or(0)));
        }
        self.drop_empty_front();
        let run = self.runs.front_mut()?;
        let item = run.items.pop_front()?;
        self.first += 1;
        Some((item, run.weights.pop_front().unwrap_or(0)))
    }

    /// Puts these items at the end, and the oldest in their places; fails, and does nothing, unless
    /// there is a single run that is long enough.
    #[inline]
    pub(super) fn exchange(&mut self, items: &mut [T]) -> bool {
        if !self.returned.is_empty() || self.runs.len() != 1 {
            return false;
        }
        let run = &mut self.runs[0];
        if run.items.len() < items.len() || !run.weights.is_empty() {
            return false;
        }
        rotate_in(&mut run.items, items);
        self.first += items.len() as u64;
        true
    }

    /// Takes up to `max` items from one dense part of the order, the oldest: at least one, then as
    /// many as `max` allows.
    pub(super) fn take(&mut self, max: Demand) -> Option<Taken<T>> {
        if let Some((first, mut run)) = self.returned.pop_first() {
            let count = count_up_to(&run, max, true);
            let head = self.split_front(&mut run, count);
            if !run.items.is_empty() {
                self.returned.insert(first + count as u64, run);
            }
            return (count > 0).then(|| Taken {
                first,
                head,
                tail: Vec::new(),
            });
        }
        let first = self.first;
        let mut left = max;
        let head = self.take_run(left, true)?;
        let mut taken = Taken {
            first,
            head,
            tail: Vec::new(),
        };
        left.items -= taken.head.items.len();
        left.bytes = left.bytes.saturating_sub(taken.head.bytes());
        while let Some(run) = self.take_run(left, false) {
            left.items -= run.items.len();
            left.bytes = left.bytes.saturating_sub(run.bytes());
            taken.tail.push(run);
        }
        Some(taken)
    }

    /// Takes the first run, or as much of it as fits.
    fn take_run(&mut self, max: Demand, at_least_one: bool) -> Option<Run<T>> {
        self.drop_empty_front();
        let mut run = self.runs.pop_front()?;
        let count = count_up_to(&run, max, at_least_one);
        let whole = count == run.items.len();
        if count == 0 {
            self.runs.push_front(run);
            return None;
        }
        let taken = self.split_front(&mut run, count);
        if !whole {
            self.runs.push_front(run);
        }
        self.first += count as u64;
        Some(taken)
    }

    /// The first items of a run: the run itself where that is all of it. Whichever part is smaller
    /// moves to another buffer.
    fn split_front(&mut self, run: &mut Run<T>, count: usize) -> Run<T> {
        if count == run.items.len() {
            return std::mem::take(run);
        }
        let mut other = self.spare.pop().unwrap_or_default();
        if count > run.items.len() / 2 {
            other.items.extend(run.items.drain(count..));
            let weights = count.min(run.weights.len());
            other.weights.extend(run.weights.drain(weights..));
            return std::mem::replace(run, other);
        }
        other.items.extend(run.items.drain(..count));
        let weights = count.min(run.weights.len());
        other.weights.extend(run.weights.drain(..weights));
        other
    }

    /// Puts back what was taken, where it belongs in the order.
    pub(super) fn put_back(&mut self, first: u64, run: Run<T>) {
        self.returned.insert(first, run);
        // A run that ends where the queue begins becomes part of the queue again.
        while let Some((first, run)) = self.returned.pop_last() {
            if first + run.items.len() as u64 != self.first {
                self.returned.insert(first, run);
                return;
            }
            self.first = first;
            self.runs.push_front(run);
        }
    }

    /// Keeps an emptied buffer for later, or hands it back if there are so many already.
    pub(super) fn recycle(&mut self, run: Run<T>) -> Option<Run<T>> {
        let capacity = run.items.capacity();
        let kept: usize = self.spare.iter().map(|spare| spare.items.capacity()).sum();
        if capacity > 2 * self.capacity || kept + capacity > SPARE_FACTOR * self.capacity {
            return Some(run);
        }
        if capacity > 0 {
            let larger = |spare: &Run<T>| spare.items.capacity() >= capacity;
            let place = self.spare.iter().position(larger);
            self.spare.insert(place.unwrap_or(self.spare.len()), run);
        }
        None
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.returned
            .values()
            .chain(&self.runs)
            .flat_map(|run| &run.items)
    }

    fn drop_empty_front(&mut self) {
        while self.runs.len() > 1 && self.runs[0].items.is_empty() {
            if let Some(run) = self.runs.pop_front() {
                drop(self.recycle(run));
            }
        }
    }
}

/// How many items of a run fit into `max`; one is let through if nothing fits and it may be.
fn count_up_to<T>(run: &Run<T>, max: Demand, at_least_one: bool) -> usize {
    let count = run.items.len().min(max.items);
    let mut bytes = 0_usize;
    for (index, weight) in run.weights.iter().take(count).enumerate() {
        bytes = bytes.saturating_add(*weight);
        if bytes > max.bytes && !(index == 0 && at_least_one) {
            return index;
        }
    }
    count
}

/// Makes room for so many more items: by doubling, but not beyond `most` if that is enough. So a
/// full ring fills its buffer, and the newest item takes the place of the oldest in memory too.
#[inline]
pub(super) fn reserve<T>(items: &mut VecDeque<T>, more: usize, most: usize) {
    #[cold]
    fn grow<T>(items: &mut VecDeque<T>, needed: usize, most: usize) {
        let capacity = (2 * items.capacity()).clamp(4, most.max(4)).max(needed);
        items.reserve_exact(capacity - items.len());
    }
    let needed = items.len() + more;
    if needed > items.capacity() {
        grow(items, needed, most);
    }
}

/// Exchanges the oldest of a sequence for these, which become its newest. It must be as long.
#[inline]
pub(super) fn rotate_in<T>(sequence: &mut VecDeque<T>, items: &mut [T]) {
    let (front, back) = sequence.as_mut_slices();
    let count = items.len().min(front.len());
    let (first, second) = items.split_at_mut(count);
    first.swap_with_slice(&mut front[..count]);
    second.swap_with_slice(&mut back[..second.len()]);
    // Where the buffer is full, as a full ring's soon is, this moves a number and no item.
    sequence.rotate_left(items.len());
}
