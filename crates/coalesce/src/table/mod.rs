//! A hash table in segments, which grows by one segment at a time.
//!
//! A directory says by the upper bits of a hash in which segment a key is (extendible hashing,
//! Fagin and others, TODS 4, 1979). A segment is a table of `hashbrown`. One that is full doubles,
//! and from a certain size on splits in two: whoever adds never waits for more than one segment to
//! be moved. A key whose updates were taken out keeps its slot, so that a steady set of keys
//! neither allocates nor moves; [`Table::forget_idle`] gives such slots back.

mod slot;

use hashbrown::HashTable;

use crate::hash::Hash;
use crate::named::Named;
pub(crate) use slot::Slot;

const KEYS_MIN: usize = 7;
/// Keys of a segment that splits instead of doubling; so many are moved in some 20 µs.
const KEYS_MAX: usize = 1_792;
/// Idle keys that a table keeps for each live one.
const IDLE_PER_LIVE: usize = 4;
/// Beyond this depth segments double instead, which only hashes that collide can cause.
const DEPTH_MAX: u32 = 20;

pub(crate) struct Table<K, P> {
    /// For each prefix of `depth` bits its segment.
    directory: Vec<u32>,
    depth: u32,
    segments: Vec<Segment<K, P>>,
    keys: usize,
    live: usize,
}

struct Segment<K, P> {
    slots: HashTable<Slot<K, P>>,
    /// How many upper bits the hashes of its keys have in common, at least.
    depth: u32,
}

/// A place in the walk through a table.
#[derive(Clone, Copy, Default)]
pub(crate) struct Cursor {
    entry: usize,
    at: usize,
}

impl<K, P> Table<K, P> {
    pub(crate) const fn new() -> Self {
        Self {
            directory: Vec::new(),
            depth: 0,
            segments: Vec::new(),
            keys: 0,
            live: 0,
        }
    }

    /// Keys with updates.
    pub(crate) fn live(&self) -> usize {
        self.live
    }

    /// Keys that memory is held for.
    pub(crate) fn capacity(&self) -> usize {
        let slots = self.segments.iter().map(|segment| segment.slots.capacity());
        slots.sum()
    }

    pub(crate) fn is_allocated(&self) -> bool {
        !self.segments.is_empty()
    }

    /// The slot of a key, live or idle, if it is there.
    #[inline(always)]
    pub(crate) fn find<N: Named<K>>(&mut self, hash: Hash, named: &N) -> Option<&mut Slot<K, P>> {
        let segment = *self.directory.get(hash.prefix(self.depth))?;
        let slots = &mut self.segments[segment as usize].slots;
        slots.find_mut(hash.in_segment(), |slot| {
            slot.hash() == hash && named.is(slot.key())
        })
    }

    /// Counts a slot that was idle and has been started.
    #[inline]
    pub(crate) fn count_start(&mut self) {
        self.live += 1;
    }

    /// Puts in a key that is not there, with its updates.
    pub(crate) fn insert(&mut self, hash: Hash, key: K, partial: P, updates: u64) {
        let mut slot = Slot::new(hash, key);
        slot.start(partial, updates);
        self.put(slot);
    }

    fn put(&mut self, slot: Slot<K, P>) {
        let index = self.with_room(slot.hash());
        self.live += usize::from(slot.is_live());
        self.keys += 1;
        self.segments[index].put(slot);
    }

    /// Makes a live slot idle.
    pub(crate) fn empty(&mut self, at: Cursor) -> Option<(P, u64)> {
        let out = self.slot_mut(at)?.empty();
        self.live -= usize::from(out.is_some());
        out
    }

    /// Takes an idle slot out, and gives its key.
    pub(crate) fn remove(&mut self, at: Cursor) -> Option<Slot<K, P>> {
        let segment = *self.directory.get(at.entry)? as usize;
        let slots = &mut self.segments[segment].slots;
        let (slot, _) = slots.get_bucket_entry(at.at).ok()?.remove();
        self.keys -= 1;
        self.live -= usize::from(slot.is_live());
        Some(slot)
    }

    /// The next live slot of a walk in the order of prefixes, if there is one.
    #[inline]
    pub(crate) fn next_live(&self, walk: &mut Cursor) -> Option<Cursor> {
        while let Some(&segment) = self.directory.get(walk.entry) {
            let segment = &self.segments[segment as usize];
            while walk.at < segment.slots.num_buckets() {
                let found = *walk;
                walk.at += 1;
                if segment
                    .slots
                    .get_bucket(found.at)
                    .is_some_and(Slot::is_live)
                {
                    return Some(found);
                }
            }
            walk.entry += 1 << (self.depth - segment.depth);
            walk.at = 0;
        }
        None
    }

    /// Moves a walk to the next live slot, itself included, at most so many buckets further, which
    /// are counted down; says whether it is at one. If not, and buckets are left, it is at the end.
    pub(crate) fn seek_live(&self, walk: &mut Cursor, buckets: &mut usize) -> bool {
        while let Some(&segment) = self.directory.get(walk.entry) {
            let segment = &self.segments[segment as usize];
            while walk.at < segment.slots.num_buckets() {
                if *buckets == 0 {
                    return false;
                }
                let slot = segment.slots.get_bucket(walk.at);
                if slot.is_some_and(Slot::is_live) {
                    return true;
                }
                *buckets -= 1;
                walk.at += 1;
            }
            walk.entry += 1 << (self.depth - segment.depth);
            walk.at = 0;
        }
        false
    }

    #[inline]
    pub(crate) fn slot(&self, at: Cursor) -> Option<&Slot<K, P>> {
        let segment = *self.directory.get(at.entry)?;
        self.segments[segment as usize].slots.get_bucket(at.at)
    }

    #[inline]
    fn slot_mut(&mut self, at: Cursor) -> Option<&mut Slot<K, P>> {
        let segment = *self.directory.get(at.entry)?;
        let slots = &mut self.segments[segment as usize].slots;
        slots.get_bucket_mut(at.at)
    }

    /// Whether by far the most of its keys are idle. Rare keys come again and again: it would cost
    /// more to forget them each time.
    pub(crate) fn is_mostly_idle(&self) -> bool {
        self.keys - self.live > IDLE_PER_LIVE * self.live + KEYS_MIN
    }

    /// Gives back the slots of idle keys; returns what has to be dropped.
    #[must_use]
    pub(crate) fn forget_idle(&mut self) -> Self {
        let mut old = std::mem::replace(self, Self::new());
        let mut walk = Cursor::default();
        while let Some(at) = old.next_live(&mut walk) {
            if let Some(slot) = old.remove(at) {
                self.put(slot);
            }
        }
        old
    }

    /// The segment of a hash, with room for a key.
    fn with_room(&mut self, hash: Hash) -> usize {
        if self.directory.is_empty() {
            self.segments.push(Segment::new(KEYS_MIN, 0));
            self.directory.push(0);
        }
        loop {
            let index = self.directory[hash.prefix(self.depth)] as usize;
            let segment = &mut self.segments[index];
            if segment.slots.len() < segment.slots.capacity() {
                return index;
            }
            if segment.is_to_split() {
                self.split(index, hash);
            } else {
                let double = segment.slots.len().max(KEYS_MIN);
                segment
                    .slots
                    .reserve(double, |slot| slot.hash().in_segment());
            }
        }
    }

    /// Splits the segment that a hash belongs to by one more bit.
    fn split(&mut self, index: usize, hash: Hash) {
        let segment = &mut self.segments[index];
        let depth = segment.depth + 1;
        let mut halves = [Segment::new(KEYS_MAX, depth), Segment::new(KEYS_MAX, depth)];
        for slot in segment.slots.drain() {
            halves[slot.hash().prefix(depth) & 1].put(slot);
        }
        let [lower, upper] = halves;
        *segment = lower;
        if depth > self.depth {
            self.directory = self.directory.iter().flat_map(|&at| [at, at]).collect();
            self.depth = depth;
        }
        // The upper half of the entries that pointed to the segment.
        let span = 1 << (self.depth - depth);
        let first = ((hash.prefix(depth - 1) << 1) | 1) * span;
        let added = u32::try_from(self.segments.len()).expect("at most 2^20 splits");
        self.directory[first..first + span].fill(added);
        self.segments.push(upper);
    }
}

impl<K, P> Segment<K, P> {
    fn new(keys: usize, depth: u32) -> Self {
        Self {
            slots: HashTable::with_capacity(keys),
            depth,
        }
    }

    fn put(&mut self, slot: Slot<K, P>) {
        let hash = slot.hash().in_segment();
        let rehash = |slot: &Slot<K, P>| slot.hash().in_segment();
        self.slots.insert_unique(hash, slot, rehash);
    }

    /// Whether it is large, and two of its kind would be smaller. Hashes that collide stay
    /// together, and splitting would never end.
    fn is_to_split(&self) -> bool {
        if self.slots.len() < KEYS_MAX || self.depth >= DEPTH_MAX {
            return false;
        }
        let is_upper = |slot: &&Slot<K, P>| slot.hash().prefix(self.depth + 1) & 1 == 1;
        let upper = self.slots.iter().filter(is_upper).count();
        upper.min(self.slots.len() - upper) * 16 > self.slots.len()
    }
}
