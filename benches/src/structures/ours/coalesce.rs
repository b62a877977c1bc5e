//! The coalescer of `coalesce`.

use std::hash::{BuildHasher, RandomState};

use coalesce::{Added, Coalescer, Count, WhenFull, Writer};

use crate::structures::keyed::{self, Add, Key, Totals};

/// With the hasher that the quickest peers have.
pub(crate) type Keyed<K> = Counting<K, foldhash::fast::RandomState>;
/// With the hasher that it has unless told otherwise.
pub(crate) type DefaultHasher<K> = Counting<K, RandomState>;

/// Far above what a run adds between two takes.
const UPDATES_MAX: u64 = 1 << 40;

pub(crate) struct Counting<K, S>(Coalescer<K, Count, S>);

impl<K: Key, S: BuildHasher + Default + Send + Sync> keyed::Keyed<K> for Counting<K, S> {
    type Adder<'a>
        = Writer<K, Count, S>
    where
        S: 'a;

    fn new() -> Self {
        let builder = Coalescer::builder(Count)
            .updates_max(UPDATES_MAX, WhenFull::Reject)
            .flush_at(None)
            .hasher(S::default());
        Self(builder.build().expect("the settings fit together"))
    }

    fn adder(&self) -> Writer<K, Count, S> {
        self.0.writer()
    }

    fn take(&self, totals: &mut Totals<K>) {
        for entry in &self.0.take() {
            totals.see(entry.key.borrow(), entry.partial);
        }
    }
}

impl<K: Key, S: BuildHasher> Add<K> for Writer<K, Count, S> {
    #[inline(always)]
    fn add(&mut self, key: &K::Query) {
        // Anything else would show as a lost update.
        if let Ok(Added::Buffered) = self.add_ref(key, ()) {}
    }
}
