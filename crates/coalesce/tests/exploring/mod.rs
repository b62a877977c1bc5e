//! What the loom models share.

use std::collections::hash_map::DefaultHasher;
use std::hash::BuildHasherDefault;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use coalesce::{Builder, Coalescer, Count, Taken};

/// A seed at random would make the runs of a model differ.
type Fixed = BuildHasherDefault<DefaultHasher>;

pub(crate) fn builder() -> Builder<u8, Count, Fixed> {
    Coalescer::builder(Count)
        .hasher(Fixed::default())
        .flush_at(None)
}

pub(crate) fn total(taken: &Taken<u8, u64>) -> u64 {
    let partials: u64 = taken.into_iter().map(|entry| entry.partial).sum();
    assert_eq!(partials, taken.updates());
    partials
}

/// Explores a model, and says if there was nothing to explore: then it would prove nothing.
pub(crate) fn explore(model: impl Fn() + Send + Sync + 'static) {
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&runs);
    loom::model(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        model();
    });
    let runs = runs.load(Ordering::Relaxed);
    assert!(runs > 10, "only {runs} executions");
}
