//! Committing numbers allocates nothing in the steady state, counted by the allocator.

#![cfg(not(loom))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(unsafe_code, reason = "an allocator is an unsafe trait")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use dataservice::{
    DataService, FeedSpec, KeyId, LatestValue, SinceLast, Spec, Subscription, WindowByCount,
};

/// Counts the allocations of each thread, so that tests may run side by side.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: everything is left to the system's allocator; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const KEYS: u32 = 100;

type Service = DataService<u32, f64>;

fn service() -> (Service, Vec<KeyId>) {
    let service = Service::new();
    let ids = service.register_all((0..KEYS).collect()).unwrap();
    (service, ids)
}

/// Commits 2,000 values of every kind of commit: one by one, and in transactions of 100.
fn commit(service: &Service, ids: &[KeyId]) {
    for n in 0..1_000 {
        service.put(ids[n % ids.len()], n as i64, 0.5).unwrap();
    }
    for first in (0..1_000).step_by(100) {
        let mut transaction = service.begin();
        for n in first..first + 100 {
            let id = ids[n * 7 % ids.len()];
            transaction.put(id, n as i64, n as f64).unwrap();
        }
        transaction.commit().unwrap();
    }
}

/// Commits for a while and then counts the allocations of commits, between calls of `meanwhile`
/// that do not count.
fn allocations(service: &Service, ids: &[KeyId], mut meanwhile: impl FnMut()) -> u64 {
    let mut counted = 0;
    for round in 0..60 {
        let before = ALLOCATIONS.get();
        commit(service, ids);
        if round >= 30 {
            counted += ALLOCATIONS.get() - before;
        }
        meanwhile();
    }
    counted
}

#[test]
fn a_commit_allocates_nothing_where_nobody_watches() {
    let (service, ids) = service();
    assert_eq!(allocations(&service, &ids, || {}), 0);
}

#[test]
fn a_commit_allocates_nothing_for_subscribers_that_never_poll() {
    let (service, ids) = service();
    let all = || ids.iter().copied();
    let _latest = service.subscribe(Spec::new().keys(all(), LatestValue));
    let _window = service.subscribe(Spec::new().keys(all(), WindowByCount::new(50)));
    let _every = service.subscribe(Spec::new().keys(all(), SinceLast::new(20)));
    assert_eq!(allocations(&service, &ids, || {}), 0);
}

#[test]
fn a_commit_allocates_nothing_for_values_beside_subscribers_that_poll() {
    let (service, ids) = service();
    let all = || ids.iter().copied();
    let spec = || Spec::new().keys(all(), SinceLast::new(20));
    let mut readers: Vec<Subscription<f64>> = vec![
        service.subscribe(spec()).unwrap(),
        service
            .subscribe(Spec::new().keys(all(), LatestValue))
            .unwrap(),
    ];
    let mut shown = 0;
    let counted = allocations(&service, &ids, || {
        for reader in &mut readers {
            shown += reader.poll().unwrap().updates().len();
        }
    });
    assert_eq!(shown, 60 * 2 * 100);
    // The list of whom to wake: one for the first commit after the polls, and none for values.
    assert!(counted <= 30, "{counted} allocations in 60,000 updates");
}

#[test]
fn a_commit_allocates_next_to_nothing_beside_feeds_that_keep_up() {
    let (service, ids) = service();
    let mut feeds = vec![
        service.feed(FeedSpec::all()).unwrap(),
        service
            .feed(FeedSpec::keys(ids[..50].iter().copied()))
            .unwrap(),
    ];
    let mut seen = 0;
    let counted = allocations(&service, &ids, || {
        for feed in &mut feeds {
            seen += feed.poll().unwrap().len();
        }
    });
    assert_eq!(seen, 60 * 2_000 * 3 / 2);
    // Places of updates are used again; the list of the commits in a chunk grows with them.
    assert!(
        counted <= 12 * 30,
        "{counted} allocations in 60,000 updates"
    );
}
