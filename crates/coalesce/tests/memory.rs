//! Memory follows the keys that are there, whoever merged them.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use coalesce::{Coalescer, Count, WhenFull, WhenKeysFull};

#[test]
fn fresh_keys_and_statistics_before_each_take_do_not_make_memory_grow() {
    let buffer = Coalescer::new(Count);
    let writer = buffer.writer();
    for round in 0..300_u64 {
        let keys = (0..100).map(|key| (round * 100 + key, ()));
        assert_eq!(writer.add_many(keys).accepted, 100);
        assert_eq!(buffer.stats().unique_keys, 100);
        assert_eq!(buffer.take().keys(), 100);
        assert!(buffer.capacity() < 5_000, "{}", buffer.capacity());
    }
}

#[test]
fn fresh_keys_at_a_cap_on_keys_do_not_make_memory_grow() {
    let buffer = Coalescer::builder(Count)
        .updates_max(1_000_000, WhenFull::Reject)
        .keys_max(100, WhenKeysFull::Reject)
        .flush_at(None)
        .build()
        .unwrap();
    let writers = [buffer.writer(), buffer.writer()];
    for round in 0..300_u64 {
        for writer in &writers {
            // The second handle's keys are the first one's, which only merging shows.
            let keys = (0..101).map(|key| (round * 101 + key, ()));
            assert_eq!(writer.add_many(keys).accepted, 100);
        }
        assert_eq!(buffer.take().keys(), 100);
        assert!(buffer.capacity() < 5_000, "{}", buffer.capacity());
    }
}
