//! A hash table in segments, which grows by one segment at a time.
//!
//! A directory says by the upper bits of a hash in which segment a key is (extendible hashing,
//! Fagin and others, TODS 4, 1979). A segment that is full doubles, and from [`PLACES_MAX`] places
//! on splits in two: whoever adds never waits for more than one segment to be moved. A key whose
//! updates were taken out keeps its place, so that a steady set of keys neither allocates nor
//! moves; [`Table::forget_idle`] gives such places back.

mod slot;

use slot::Segment;
pub(crate) use slot::Slot;

use crate::hash::Hash;
use crate::named::Named;

const PLACES_MIN: usize = 8;
/// A segment of this size is moved in some 20 µs.
const PLACES_MAX: usize = 4096;
/// Beyond this depth segments double instead, which only hashes that collide can cause.
const DEPTH_MAX: u32 = 20;

pub(crate) struct Table<K, P> {
    /// For each prefix of `depth` bits its segment.
    directory: Vec<u32>,
    depth: u32,
    segments: Vec<Segment<K, P>>,
    live: usize,
    keys: usize,
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
            live: 0,
            keys: 0,
        }
    }

    /// Keys with updates.
    pub(crate) fn live(&self) -> usize {
        self.live
    }

    /// Places that memory is held for.
    pub(crate) fn places(&self) -> usize {
        self.segments.iter().map(Segment::places).sum()
    }

    pub(crate) fn is_allocated(&self) -> bool {
        !self.segments.is_empty()
    }

    #[inline]
    pub(crate) fn prefetch(&self, hash: Hash) {
        if let Some(&segment) = self.directory.get(hash.prefix(self.depth)) {
            self.segments[segment as usize].prefetch(hash);
        }
    }

    /// The place of a key, live or idle, if it is there.
    #[inline]
    pub(crate) fn find<N: Named<K>>(&mut self, hash: Hash, named: &N) -> Option<&mut Slot<K, P>> {
        let segment = *self.directory.get(hash.prefix(self.depth))?;
        self.segments[segment as usize].find(hash, named)
    }

    /// Makes an idle place live; `slot` has to be a place of this table that `find` gave.
    #[inline]
    pub(crate) fn count_start(&mut self) {
        self.live += 1;
    }

    /// Puts in a key that is not there, with its updates.
    pub(crate) fn insert(&mut self, hash: Hash, key: K, partial: P, updates: u64) {
        let index = self.with_room(hash);
        self.segments[index]
            .insert(hash, key)
            .start(partial, updates);
        self.keys += 1;
        self.live += 1;
    }

    /// Makes a live place idle.
    pub(crate) fn empty(&mut self, slot: Cursor) -> Option<(P, u64)> {
        let out = self.slot_mut(slot)?.empty();
        self.live -= usize::from(out.is_some());
        out
    }

    /// The next live place of a walk in the order of prefixes, if there is one.
    pub(crate) fn next_live(&mut self, walk: &mut Cursor) -> Option<Cursor> {
        while let Some(&segment) = self.directory.get(walk.entry) {
            let segment = &mut self.segments[segment as usize];
            let rest = segment.slots_mut().get(walk.at..).unwrap_or_default();
            if let Some(ahead) = rest.iter().position(Slot::is_live) {
                let found = Cursor {
                    entry: walk.entry,
                    at: walk.at + ahead,
                };
                walk.at = found.at + 1;
                return Some(found);
            }
            walk.entry += 1 << (self.depth - segment.depth);
            walk.at = 0;
        }
        None
    }

    #[inline]
    pub(crate) fn slot_mut(&mut self, at: Cursor) -> Option<&mut Slot<K, P>> {
        let segment = *self.directory.get(at.entry)? as usize;
        self.segments[segment].slots_mut().get_mut(at.at)
    }

    /// Whether most of its keys had no updates lately, or it is much larger than its keys need.
    pub(crate) fn is_mostly_idle(&self) -> bool {
        self.keys - self.live > self.live + PLACES_MIN
    }

    /// Gives back the places of idle keys; returns what has to be dropped.
    #[must_use]
    pub(crate) fn forget_idle(&mut self) -> Self {
        let mut old = std::mem::replace(self, Self::new());
        let mut walk = Cursor::default();
        while let Some(at) = old.next_live(&mut walk) {
            if let Some(slot) = old.slot_mut(at) {
                let index = self.with_room(slot.hash());
                self.segments[index].adopt(slot);
                self.keys += 1;
                self.live += 1;
            }
        }
        old.live = 0;
        old
    }

    /// The segment of a hash, with room for a key.
    fn with_room(&mut self, hash: Hash) -> usize {
        if self.directory.is_empty() {
            self.segments.push(Segment::new(PLACES_MIN, 0));
            self.directory.push(0);
        }
        loop {
            let index = self.directory[hash.prefix(self.depth)] as usize;
            let segment = &self.segments[index];
            if !segment.is_full() {
                return index;
            }
            let splits = segment.places() >= PLACES_MAX && segment.depth < DEPTH_MAX && {
                // Hashes that collide stay together; splitting would never end.
                let upper = segment.upper_half();
                upper.min(segment.keys() - upper) * 16 > segment.keys()
            };
            if splits {
                self.split(index, hash);
            } else {
                self.double(index);
            }
        }
    }

    fn double(&mut self, index: usize) {
        let segment = &mut self.segments[index];
        let mut larger = Segment::new(segment.places() * 2, segment.depth);
        for slot in segment.slots_mut() {
            if !slot.is_vacant() {
                larger.adopt(slot);
            }
        }
        *segment = larger;
    }

    /// Splits the segment that a hash belongs to by one more bit.
    fn split(&mut self, index: usize, hash: Hash) {
        let segment = &mut self.segments[index];
        let (places, depth) = (segment.places(), segment.depth + 1);
        let mut halves = [Segment::new(places, depth), Segment::new(places, depth)];
        for slot in segment.slots_mut() {
            if !slot.is_vacant() {
                halves[slot.hash().prefix(depth) & 1].adopt(slot);
            }
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
