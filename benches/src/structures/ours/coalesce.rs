//! The coalescer of `coalesce`.

use std::hash::{BuildHasher, Hash, RandomState};

use coalesce::{Added, Coalescer, Count, Seeded, WhenFull, Writer};

use crate::structures::keyed::{self, Add, Key, Totals};

/// With the hasher that it has unless told otherwise, which is that of the quickest peers.
pub(crate) type Keyed<K> = Counting<K, Seeded>;
/// With the hasher of the standard library.
pub(crate) type StdHasher<K> = Counting<K, RandomState>;

/// Far above what a run adds between two takes.
const UPDATES_MAX: u64 = 1 << 40;

/// How the coalescer keeps a key, and how one is added.
pub(crate) trait Kept: Key {
    type Kept: Hash + Eq + Clone + Send + Sync + 'static;

    fn query(kept: &Self::Kept) -> &Self::Query;

    /// Whether it is in the buffer; anything else would show as lost.
    fn add<S: BuildHasher>(writer: &Writer<Self::Kept, Count, S>, key: &Self::Query) -> bool;
}

impl Kept for u64 {
    type Kept = u64;

    fn query(kept: &u64) -> &u64 {
        kept
    }

    #[inline(always)]
    fn add<S: BuildHasher>(writer: &Writer<u64, Count, S>, key: &u64) -> bool {
        matches!(writer.add(*key, ()), Ok(Added::Buffered))
    }
}

impl Kept for String {
    type Kept = coalesce::Key;

    fn query(kept: &coalesce::Key) -> &str {
        kept
    }

    #[inline(always)]
    fn add<S: BuildHasher>(writer: &Writer<coalesce::Key, Count, S>, key: &str) -> bool {
        matches!(writer.add_str(key, ()), Ok(Added::Buffered))
    }
}

pub(crate) struct Counting<K: Kept, S>(Coalescer<K::Kept, Count, S>);

/// A writer, by the type of key that the work has.
pub(crate) struct Adder<K: Kept, S>(Writer<K::Kept, Count, S>);

impl<K: Kept, S: BuildHasher + Default + Send + Sync> keyed::Keyed<K> for Counting<K, S> {
    type Adder<'a>
        = Adder<K, S>
    where
        S: 'a;

    fn new() -> Self {
        let builder = Coalescer::builder(Count)
            .updates_max(UPDATES_MAX, WhenFull::Reject)
            .flush_at(None)
            .hasher(S::default());
        Self(builder.build().expect("the settings fit together"))
    }

    fn adder(&self) -> Adder<K, S> {
        Adder(self.0.writer())
    }

    fn take(&self, totals: &mut Totals<K>) {
        for entry in &self.0.take() {
            totals.see(K::query(&entry.key), entry.partial);
        }
    }
}

impl<K: Kept, S: BuildHasher> Add<K> for Adder<K, S> {
    #[inline(always)]
    fn add(&mut self, key: &K::Query) {
        let is_in = K::add(&self.0, key);
        debug_assert!(is_in, "an update was refused");
    }
}
