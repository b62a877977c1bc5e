//! How many keys there are, and how large they are.

use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering};

/// The hash of a key, and how many bytes of text it has: those of numbers do not count.
#[inline]
pub(crate) fn measured<Q: Hash + ?Sized>(hasher: &impl BuildHasher, key: &Q) -> (u64, usize) {
    let inner = hasher.build_hasher();
    let mut hasher = Measuring { inner, bytes: 0 };
    key.hash(&mut hasher);
    (hasher.inner.finish(), hasher.bytes)
}

struct Measuring<H> {
    inner: H,
    bytes: usize,
}

/// Hands numbers on as what they are, so that hashes are those of the inner hasher.
macro_rules! hand_on {
    ($($write:ident: $number:ty),* $(,)?) => {
        impl<H: Hasher> Hasher for Measuring<H> {
            #[inline]
            fn write(&mut self, bytes: &[u8]) {
                self.bytes += bytes.len();
                self.inner.write(bytes);
            }

            fn finish(&self) -> u64 {
                self.inner.finish()
            }

            $(#[inline]
            fn $write(&mut self, number: $number) {
                self.inner.$write(number);
            })*
        }
    };
}

hand_on! {
    write_u8: u8, write_u16: u16, write_u32: u32, write_u64: u64, write_u128: u128,
    write_usize: usize,
}

/// The keys that a tracker has, and those on their way into it.
#[derive(Debug)]
pub(crate) struct Room {
    taken: AtomicUsize,
    max: usize,
}

impl Room {
    pub(crate) fn new(max: usize) -> Self {
        let taken = AtomicUsize::new(0);
        Self { taken, max }
    }

    /// None yet.
    pub(crate) fn reserved(&self) -> Reserved<'_> {
        Reserved {
            room: self,
            keys: 0,
        }
    }

    pub(crate) fn give_back(&self, keys: usize) {
        self.taken.fetch_sub(keys, Ordering::Relaxed);
    }

    /// So many keys were replaced by so many others.
    pub(crate) fn replaced(&self, old: usize, new: usize) {
        self.taken.fetch_add(new, Ordering::Relaxed);
        self.give_back(old);
    }
}

/// Room for keys; what is not used is given back.
pub(crate) struct Reserved<'a> {
    room: &'a Room,
    keys: usize,
}

impl Reserved<'_> {
    /// Whether there was room for so many more.
    pub(crate) fn extend(&mut self, keys: usize) -> bool {
        let more = |taken: usize| taken.checked_add(keys).filter(|sum| *sum <= self.room.max);
        let taken = &self.room.taken;
        let is_there = taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        self.keys += if is_there.is_ok() { keys } else { 0 };
        is_there.is_ok()
    }

    /// A key was added.
    pub(crate) fn use_one(&mut self) {
        match self.keys.checked_sub(1) {
            Some(left) => self.keys = left,
            // It was there when room was reserved, and was removed since, which made room.
            None => _ = self.room.taken.fetch_add(1, Ordering::Relaxed),
        }
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        self.room.give_back(self.keys);
    }
}
