//! Batches that somebody made up, and that no take gave, come back without harm.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::rc::Rc;

use coalesce::{Coalescer, Count, Entry, Last, WhenFull};

#[test]
fn entries_without_updates_are_dropped() {
    let buffer = Coalescer::new(Last::new());
    let value = Rc::new(());
    let _ = buffer.add(1, Rc::clone(&value)).unwrap();
    let taken = buffer.take().into_iter().map(|entry| Entry {
        updates: 0,
        ..entry
    });
    buffer.restore(taken.collect());
    assert_eq!(
        Rc::strong_count(&value),
        1,
        "the partial result was dropped"
    );
    assert_eq!((buffer.updates(), buffer.stats().unique_keys), (0, 0));
    let _ = buffer.add(1, Rc::clone(&value)).unwrap();
    assert_eq!(buffer.take().keys(), 1);
    assert_eq!(Rc::strong_count(&value), 1);
}

#[test]
fn sums_of_updates_do_not_overflow() {
    let buffer = Coalescer::builder(Count)
        .updates_max(10, WhenFull::Reject)
        .build()
        .unwrap();
    for _ in 0..40 {
        let entry = |key| Entry {
            key,
            partial: 1,
            updates: u64::MAX,
        };
        buffer.restore([entry(1), entry(2)].into_iter().collect());
        buffer.restore([entry(1), entry(2)].into_iter().collect());
        assert!(buffer.add(1, ()).is_err());
        assert_eq!(buffer.stats().unique_keys, 2);
        assert_eq!(buffer.take().keys(), 2);
        let _ = buffer.add(1, ()).unwrap();
        assert_eq!(buffer.take().updates(), 1);
    }
}
