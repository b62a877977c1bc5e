//! The hash of a key: computed once, seeded at random, mixed, and kept beside the key.

use std::fmt;
use std::hash::{BuildHasher, Hasher};

/// The default hasher of keys: fast, and seeded at random for each coalescer.
///
/// It is [foldhash](https://github.com/orlp/foldhash): whoever chooses keys without seeing hashes
/// or timings cannot make them collide. It is no cryptographic hash; who fears an attacker that
/// measures takes [`std::hash::RandomState`] instead, at a few nanoseconds per add.
#[derive(Clone, Default)]
pub struct Seeded(foldhash::fast::RandomState);

impl BuildHasher for Seeded {
    type Hasher = SeededHasher;

    #[inline]
    fn build_hasher(&self) -> SeededHasher {
        SeededHasher(self.0.build_hasher())
    }
}

impl fmt::Debug for Seeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The seed stays a secret.
        f.write_str("Seeded")
    }
}

/// Hashes one key; made by [`Seeded`].
#[derive(Clone)]
pub struct SeededHasher(foldhash::fast::FoldHasher<'static>);

macro_rules! forward {
    ($($method:ident($number:ty)),*) => {
        $(
            #[inline]
            fn $method(&mut self, number: $number) {
                self.0.$method(number);
            }
        )*
    };
}

impl Hasher for SeededHasher {
    #[inline]
    fn finish(&self) -> u64 {
        self.0.finish()
    }

    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        self.0.write(bytes);
    }

    forward!(
        write_u8(u8),
        write_u16(u16),
        write_u32(u32),
        write_u64(u64),
        write_u128(u128),
        write_usize(usize)
    );
}

impl fmt::Debug for SeededHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SeededHasher")
    }
}

/// A hash whose upper bits say the segment of a table, and the others the place in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hash(u64);

impl Hash {
    /// Mixes what the hasher said, since a poor one leaves some bits alone.
    #[inline]
    pub(crate) fn new(hashed: u64) -> Self {
        const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
        let wide = u128::from(hashed) * u128::from(GOLDEN);
        Self((wide >> 64) as u64 ^ wide as u64)
    }

    /// The uppermost bits; `bits` is at most 63.
    #[inline]
    pub(crate) fn prefix(self, bits: u32) -> usize {
        ((self.0 >> 1) >> (63 - bits)) as usize
    }

    /// What a segment goes by, which uses the uppermost and the lowest bits: not those that all its
    /// keys have in common.
    #[inline]
    pub(crate) fn in_segment(self) -> u64 {
        self.0.rotate_left(32)
    }

    /// Where to look first among any number of places: in the order of the hashes.
    #[inline]
    pub(crate) fn place_in_order(self, places: usize) -> usize {
        ((u128::from(self.0) * places as u128) >> 64) as usize
    }

    /// Bits that neighbours in that order do not have in common.
    #[inline]
    pub(crate) fn lowest(self) -> u64 {
        self.0
    }
}
