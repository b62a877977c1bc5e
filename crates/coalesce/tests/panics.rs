//! A panic in a key or an aggregate costs at most the update at hand, or the entry, counted.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::cell::Cell;
use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use coalesce::{Aggregate, Coalescer, Last, Stamp, Taken, WhenFull, Writer};

/// What panics, the next time it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Hash,
    Eq,
    Clone,
    Merge,
    Drop,
}

thread_local! {
    static ARMED: Cell<Option<(Fault, u8)>> = const { Cell::new(None) };
}

fn arm(fault: Fault, name: u8) {
    ARMED.set(Some((fault, name)));
}

/// Without the message that a panic prints.
fn pass(fault: Fault, name: u8) {
    if ARMED.get() == Some((fault, name)) {
        ARMED.set(None);
        resume_unwind(Box::new("a panic"));
    }
}

#[derive(Debug, PartialOrd, Ord)]
struct Touchy(u8);

impl Hash for Touchy {
    fn hash<H: Hasher>(&self, state: &mut H) {
        pass(Fault::Hash, self.0);
        self.0.hash(state);
    }
}

impl PartialEq for Touchy {
    fn eq(&self, other: &Self) -> bool {
        pass(Fault::Eq, self.0);
        self.0 == other.0
    }
}

impl Eq for Touchy {}

impl Clone for Touchy {
    fn clone(&self) -> Self {
        pass(Fault::Clone, self.0);
        Self(self.0)
    }
}

impl Drop for Touchy {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            pass(Fault::Drop, self.0);
        }
    }
}

struct Total;

impl Aggregate for Total {
    type Update = u8;
    type Partial = u64;

    fn start(&self, update: u8, _stamp: Stamp) -> u64 {
        update.into()
    }

    fn absorb(&self, partial: &mut u64, update: u8, _stamp: Stamp) -> Option<u8> {
        *partial += u64::from(update);
        None
    }

    fn merge(&self, partial: &mut u64, other: u64) -> Option<u64> {
        pass(Fault::Merge, (other % 256) as u8);
        *partial += other;
        None
    }
}

type Buffer = Coalescer<Touchy, Total>;

/// Two handles with the keys 0 to 5; the value of a key is its name, plus 100 in the second handle.
fn filled() -> (Buffer, [Writer<Touchy, Total>; 2]) {
    let buffer = Coalescer::new(Total);
    let writers = [buffer.writer(), buffer.writer()];
    for (writer, value) in writers.iter().zip([0, 100]) {
        for name in 0..6 {
            let _ = writer.add(Touchy(name), name + value).unwrap();
        }
    }
    (buffer, writers)
}

fn fails<R>(run: impl FnOnce() -> R) {
    assert!(catch_unwind(AssertUnwindSafe(run)).is_err());
    assert_eq!(ARMED.get(), None, "the fault was met");
}

fn counts(batch: Taken<Touchy, u64>) -> BTreeMap<u8, u64> {
    batch.into_iter().map(|e| (e.key.0, e.updates)).collect()
}

fn balances(buffer: &Buffer, lost: u64) {
    let stats = buffer.stats();
    assert_eq!(
        stats.updates_buffered + stats.updates_restored,
        stats.updates_flushed + stats.updates_lost + stats.current_buffer_size
    );
    assert_eq!(stats.updates_lost, lost);
    assert_eq!(buffer.updates(), stats.current_buffer_size);
}

/// Everything twice but for what was lost.
fn all_but(lost: Option<u8>) -> BTreeMap<u8, u64> {
    (0..6)
        .map(|name| (name, 2 - u64::from(lost == Some(name))))
        .collect()
}

#[test]
fn a_panic_of_a_key_while_it_is_added_changes_nothing() {
    let (buffer, writers) = filled();
    for fault in [Fault::Hash, Fault::Eq] {
        arm(fault, 3);
        fails(|| writers[0].add(Touchy(3), 1));
        arm(fault, 3);
        fails(|| buffer.add_many([(Touchy(7), 1), (Touchy(3), 1)]).accepted);
        let _ = buffer.add(Touchy(3), 1).unwrap();
        let _ = writers[0].add(Touchy(3), 1).unwrap();
    }
    balances(&buffer, 0);
}

#[test]
fn a_panic_of_a_clone_loses_nothing_of_a_take() {
    for name in 0..6 {
        let (buffer, _writers) = filled();
        arm(Fault::Clone, name);
        fails(|| buffer.take().updates());
        balances(&buffer, 0);
        assert_eq!(counts(buffer.take()), all_but(None));
        balances(&buffer, 0);
    }
}

#[test]
fn a_panic_of_a_merge_loses_one_entry_of_a_take_and_counts_it() {
    for name in 0..6 {
        let (buffer, _writers) = filled();
        // One of the two is merged into the other; the first handle is merged first.
        arm(Fault::Merge, name + 100);
        fails(|| buffer.take().updates());
        balances(&buffer, 1);
        assert_eq!(counts(buffer.take()), all_but(Some(name)));
        balances(&buffer, 1);
    }
}

#[test]
fn a_panic_while_statistics_merge_loses_one_entry_and_counts_it() {
    let (buffer, writers) = filled();
    // Statistics begin with what was handed over last, the second handle.
    arm(Fault::Merge, 4);
    fails(|| buffer.stats().unique_keys);
    balances(&buffer, 1);
    let _ = writers[0].add(Touchy(9), 1).unwrap();
    let mut expected = all_but(Some(4));
    expected.insert(9, 1);
    assert_eq!(counts(buffer.take()), expected);
    balances(&buffer, 1);
}

#[test]
fn a_panic_of_a_key_loses_nothing_of_a_batch_that_came_back() {
    for fault in [Fault::Hash, Fault::Eq] {
        for name in 0..6 {
            let (buffer, writers) = filled();
            let batch = buffer.take();
            buffer.restore(batch);
            let _ = writers[0].add(Touchy(name), 1).unwrap();
            let mut expected = all_but(None);
            *expected.get_mut(&name).unwrap() += 2;
            arm(fault, name);
            fails(|| buffer.take().updates());
            balances(&buffer, 0);
            let batch = buffer.take();
            buffer.restore(batch);
            let _ = writers[0].add(Touchy(name), 1).unwrap();
            arm(fault, name);
            fails(|| buffer.stats().unique_keys);
            balances(&buffer, 0);
            assert_eq!(counts(buffer.take()), expected);
        }
    }
}

#[test]
fn a_panic_of_a_key_while_statistics_merge_loses_nothing() {
    for fault in [Fault::Clone, Fault::Eq] {
        for name in 0..6 {
            let (buffer, _writers) = filled();
            arm(fault, name);
            fails(|| buffer.stats().unique_keys);
            balances(&buffer, 0);
            assert_eq!(counts(buffer.take()), all_but(None));
            balances(&buffer, 0);
        }
    }
}

#[test]
fn a_panic_of_an_idle_keys_destructor_loses_nothing_of_a_take() {
    let (buffer, writers) = filled();
    assert_eq!(counts(buffer.take()), all_but(None));
    for name in 0..6 {
        let _ = writers[1].add(Touchy(name), name).unwrap();
    }
    // The first handle was not used, and the keys that it knows are forgotten.
    arm(Fault::Drop, 3);
    fails(|| buffer.take().updates());
    balances(&buffer, 0);
    let once = (0..6).map(|name| (name, 1)).collect();
    assert_eq!(counts(buffer.take()), once);
    balances(&buffer, 0);
}

#[test]
fn a_panic_of_an_ended_handles_key_loses_nothing_of_a_take() {
    let (buffer, writers) = filled();
    drop(writers);
    // Nobody gets the tables back.
    arm(Fault::Drop, 3);
    fails(|| buffer.take().updates());
    balances(&buffer, 0);
    assert_eq!(counts(buffer.take()), all_but(None));
    balances(&buffer, 0);
}

#[test]
fn what_add_many_flushed_goes_back_when_it_panics() {
    let buffer = Coalescer::builder(Total)
        .updates_max(4, WhenFull::FlushNow)
        .flush_at(None)
        .build()
        .unwrap();
    for name in [40, 10] {
        arm(Fault::Hash, name);
        fails(|| buffer.add_many((0..50).map(|n| (Touchy(n), 1))).accepted);
        balances(&buffer, 0);
        let expected = (0..name).map(|name| (name, 1)).collect();
        assert_eq!(counts(buffer.take()), expected);
    }
}

#[test]
fn updates_before_a_panic_of_an_iterator_are_added() {
    let buffer = Coalescer::new(Total);
    let writer = buffer.writer();
    let updates = (0..50).map(|name| match name {
        40 => resume_unwind(Box::new("a panic")),
        name => (Touchy(name), 1),
    });
    fails(|| writer.add_many(updates).accepted);
    balances(&buffer, 0);
    assert_eq!(buffer.take().updates(), 40);
}

/// A value whose destructor panics.
#[derive(Debug)]
struct Fragile(u8);

impl Drop for Fragile {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            pass(Fault::Drop, self.0);
        }
    }
}

#[test]
fn a_panic_of_a_destructor_comes_after_the_update_was_added() {
    let buffer = Coalescer::new(Last::new());
    let writer = buffer.writer();
    let _ = writer.add("a", Fragile(1)).unwrap();
    arm(Fault::Drop, 1);
    fails(|| writer.add("a", Fragile(2)).unwrap());
    let _ = writer.add("b", Fragile(3)).unwrap();
    let batch = buffer.take();
    assert_eq!((batch.updates(), batch.keys()), (3, 2));
    assert!(batch.into_iter().all(|entry| entry.partial.value().0 != 1));
}

thread_local! {
    static MERGES_LEFT: Cell<Option<u32>> = const { Cell::new(None) };
}

/// A count of which some merge panics.
struct Countdown;

impl Aggregate for Countdown {
    type Update = ();
    type Partial = u64;

    fn start(&self, (): (), _stamp: Stamp) -> u64 {
        1
    }

    fn absorb(&self, partial: &mut u64, (): (), _stamp: Stamp) -> Option<()> {
        *partial += 1;
        None
    }

    fn merge(&self, partial: &mut u64, other: u64) -> Option<u64> {
        let left = MERGES_LEFT.get();
        MERGES_LEFT.set(left.and_then(|left| left.checked_sub(1)));
        if left == Some(0) {
            resume_unwind(Box::new("a panic"));
        }
        *partial += other;
        None
    }
}

#[test]
fn a_table_that_statistics_merged_in_part_is_taken_to_its_end() {
    for merges in 0..100 {
        let buffer: Coalescer<u32, Countdown> = Coalescer::new(Countdown);
        let writers = [buffer.writer(), buffer.writer()];
        for writer in &writers {
            assert_eq!(writer.add_many((0..100).map(|key| (key, ()))).accepted, 100);
        }
        MERGES_LEFT.set(Some(merges));
        fails(|| buffer.stats().unique_keys);
        let batch = buffer.take();
        assert_eq!((batch.keys(), batch.updates()), (100, 199));
        let delivered: u64 = batch.into_iter().map(|entry| entry.partial).sum();
        assert_eq!(delivered, 199, "after {merges} merges");
    }
}
