//! A committed scalar allocates nothing in the steady state, counted by the allocator itself.

#![cfg(not(loom))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(unsafe_code, reason = "an allocator is an unsafe trait")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;

use dataservice::{DataService, FeedSpec, KeyId, LatestValue, SinceLast, Spec, WindowByCount};

/// Counts the allocations of each thread, so that tests may run side by side.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    static LIVE_BYTES: Cell<isize> = const { Cell::new(0) };
}

// SAFETY: everything is left to the system's allocator; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        LIVE_BYTES.with(|bytes| bytes.set(bytes.get() + layout.size().cast_signed()));
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE_BYTES.with(|bytes| bytes.set(bytes.get() - layout.size().cast_signed()));
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations(action: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    action();
    ALLOCATIONS.get() - before
}

fn service(keys: u32) -> (DataService<u32, f64>, Vec<KeyId>) {
    let service = DataService::new();
    let ids = service.register_all((0..keys).collect()).unwrap();
    (service, ids)
}

fn put_all(service: &DataService<u32, f64>, ids: &[KeyId], rounds: i64) {
    for round in 0..rounds {
        for id in ids {
            service.put(*id, round, 0.5).unwrap();
        }
    }
}

/// Commits transactions of `size` updates.
fn commit(service: &DataService<u32, f64>, ids: &[KeyId], size: usize, count: i64) {
    let mut ids = ids.iter().cycle();
    for round in 0..count {
        let mut transaction = service.begin();
        for id in ids.by_ref().take(size) {
            transaction.put(*id, round, 0.5).unwrap();
        }
        transaction.commit().unwrap();
    }
}

#[test]
fn a_put_allocates_nothing() {
    let (service, ids) = service(1_000);
    put_all(&service, &ids, 2);
    assert_eq!(allocations(|| put_all(&service, &ids, 10)), 0);
}

#[test]
fn nor_do_transactions_of_16_and_1_024() {
    let (service, ids) = service(1_000);
    for size in [16, 1_024] {
        commit(&service, &ids, size, 200);
        let count = allocations(|| commit(&service, &ids, size, 200));
        assert_eq!(count, 0, "transactions of {size}");
    }
}

#[test]
fn nor_does_a_commit_that_wakes_a_subscriber_who_polled() {
    let (service, ids) = service(100);
    let spec = Spec::new().keys(ids.iter().copied(), LatestValue);
    let mut latest = service.subscribe(spec).unwrap();
    let mut of_commits = 0;
    for round in 0..100 {
        let count = allocations(|| commit(&service, &ids, 100, 1));
        // The list of whom to wake.
        of_commits += if round < 10 { 0 } else { count };
        assert_eq!(latest.poll().unwrap().updates().len(), 100);
    }
    assert!(
        of_commits <= 90,
        "{of_commits} allocations in 90 commits that wake"
    );
}

#[test]
fn nor_does_a_commit_beside_a_subscriber_that_does_not_poll() {
    let (service, ids) = service(100);
    let spec = Spec::new().keys(ids.iter().copied(), LatestValue);
    let _stalled = service.subscribe(spec).unwrap();
    put_all(&service, &ids, 2);
    assert_eq!(allocations(|| put_all(&service, &ids, 100)), 0);
}

#[test]
fn nor_does_a_deep_history() {
    let (service, ids) = service(4);
    let spec = Spec::new().keys(ids.iter().copied(), WindowByCount::new(1_000));
    let _window = service.subscribe(spec).unwrap();
    put_all(&service, &ids, 10_000);
    assert_eq!(allocations(|| put_all(&service, &ids, 10_000)), 0);
}

#[test]
fn feeds_cost_less_than_one_allocation_in_100_updates() {
    for readers in [1, 4] {
        let (service, ids) = service(1_024);
        let feed = || service.feed(FeedSpec::all()).unwrap();
        let mut feeds: Vec<_> = (0..readers).map(|_| feed()).collect();
        let mut round = |count: i64| {
            for _ in 0..count {
                commit(&service, &ids, 1_024, 2);
                for feed in &mut feeds {
                    assert_eq!(black_box(feed.poll()).unwrap().len(), 2_048);
                }
            }
        };
        round(20);
        let rounds = 50;
        let count = allocations(|| round(rounds));
        assert!(
            count <= rounds as u64 * 20,
            "{count} in {rounds} times 2,048 updates with {readers} feeds"
        );
    }
}

#[test]
fn the_memory_that_is_charged_is_the_memory_that_is_there() {
    for depth in [1, 2, 10, 100, 1_000] {
        let before = LIVE_BYTES.get();
        let (service, ids) = service(64);
        let spec = Spec::new().keys(ids.iter().copied(), WindowByCount::new(depth));
        let subscription = service.subscribe(spec).unwrap();
        let empty = LIVE_BYTES.get() - before;
        let charged_empty = service.stats().bytes as isize;
        for rounds in [3, 10, 300, 3_000] {
            put_all(&service, &ids, rounds);
            let live = (LIVE_BYTES.get() - before - empty) as f64;
            let charged = (service.stats().bytes as isize - charged_empty) as f64;
            assert!(
                (0.8 * live - 500.0..=1.25 * live + 500.0).contains(&charged),
                "{charged} of {live} bytes after {rounds} at depth {depth}"
            );
        }
        drop(subscription);
    }
}

#[test]
fn lesson_a_stalled_subscriber_takes_no_memory_however_much_is_committed() {
    let (service, ids) = service(100);
    let latest = Spec::new().keys(ids.iter().copied(), LatestValue);
    let since = Spec::new().keys(ids.iter().copied(), SinceLast::new(10));
    let stalled = (
        service.subscribe(latest).unwrap(),
        service.subscribe(since).unwrap(),
    );
    put_all(&service, &ids, 50);
    let before = LIVE_BYTES.get();
    put_all(&service, &ids, 5_000);
    let grown = LIVE_BYTES.get() - before;
    assert!(grown <= 10_000, "{grown} bytes");
    drop(stalled);
}

#[test]
fn lesson_a_stalled_feed_takes_what_it_asked_for_also_beside_a_quick_one() {
    let (service, ids) = service(1);
    let spec = FeedSpec::all().updates_max(4_096);
    let mut stalled = service.feed(spec.clone()).unwrap();
    let mut quick = service.feed(spec).unwrap();
    let before = LIVE_BYTES.get();
    let mut peak = 0;
    for _ in 0..20_000 {
        put_all(&service, &ids, 1);
        drop(quick.poll().unwrap());
        peak = peak.max(LIVE_BYTES.get() - before);
    }
    // Every poll of the quick one ends a chunk. They take some hundred bytes each.
    assert!(peak < 4_096 * 500 + 500_000, "{peak} bytes");
    let batch = stalled.poll().unwrap();
    assert_eq!(batch.missed() + batch.len() as u64, 20_000);
    assert!(batch.len() >= 4_096);
}

#[test]
fn a_key_that_keeps_only_its_newest_number_takes_less_than_64_bytes_beside_its_text() {
    let keys = 200_000_u32;
    let names: Vec<Box<str>> = (0..keys)
        .map(|key| format!("plant/{key:07}").into())
        .collect();
    let text: usize = names.iter().map(|name| name.len()).sum();
    let before = LIVE_BYTES.get() - (size_of::<Box<str>>() * keys as usize + text) as isize;
    let service: DataService<Box<str>, f64> = DataService::new();
    let ids = service.register_all(names).unwrap();
    for id in &ids {
        service.put(*id, 1, 0.5).unwrap();
    }
    drop(ids);
    let live = (LIVE_BYTES.get() - before) as usize - text;
    let per_key = live as f64 / f64::from(keys);
    assert!(per_key < 64.0, "{per_key} bytes per key");
    assert_eq!(service.len(), keys as usize);
}
