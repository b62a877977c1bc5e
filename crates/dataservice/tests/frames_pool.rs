//! Frames are shared, stay as they are, and their memory is used again.

#![cfg(not(loom))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use dataservice::{
    DataService, Frame, FramePool, Requirement, Shape, ShapeError, Spec, WindowByCount,
};

fn shape(extents: &[usize]) -> Shape {
    Shape::new(extents).unwrap()
}

#[test]
fn a_frame_has_as_many_elements_as_its_shape() {
    let refused = ShapeError::Elements {
        elements: 3,
        expected: 4,
    };
    let pool = FramePool::new(1 << 20);
    assert_eq!(Frame::new(shape(&[2, 2]), vec![1; 3]).unwrap_err(), refused);
    assert_eq!(pool.copy(shape(&[2, 2]), &[1; 3]).unwrap_err(), refused);
    assert_eq!(pool.stats().allocated, 0);
    let frame = pool.copy(shape(&[2, 2]), &[1, 2, 3, 4]).unwrap();
    assert_eq!(frame, Frame::new(shape(&[2, 2]), vec![1, 2, 3, 4]).unwrap());
    assert_ne!(frame, Frame::new(shape(&[4]), vec![1, 2, 3, 4]).unwrap());
    assert_eq!(
        format!("{frame:?}"),
        "Frame { extents: [2, 2], elements: [1, 2, 3, 4] }"
    );
}

#[test]
fn the_last_clone_gives_the_memory_back_and_the_next_frame_lies_there() {
    let pool = FramePool::new(1 << 20);
    let first = pool.copy(shape(&[4]), &[1, 2, 3, 4]).unwrap();
    let address = first.as_slice().as_ptr();
    let clone = first.clone();
    assert!(Frame::ptr_eq(&first, &clone));
    drop(first);
    assert_eq!(pool.stats().spares, 0, "a clone holds it");
    let second = pool.copy(shape(&[4]), &[5, 6, 7, 8]).unwrap();
    assert_eq!(clone.as_slice(), [1, 2, 3, 4]);
    drop(clone);
    assert_eq!(pool.stats().spares, 1);
    let third = pool.copy(shape(&[2, 2]), &[9; 4]).unwrap();
    assert_eq!(third.as_slice().as_ptr(), address);
    assert_eq!(
        (third.as_slice(), second.as_slice()),
        (&[9; 4][..], &[5, 6, 7, 8][..])
    );
    assert_eq!(third.shape().extents(), [2, 2]);
}

#[test]
fn a_pool_never_holds_more_than_its_bound() {
    let one = Frame::new(shape(&[100]), vec![0_u8; 100]).unwrap();
    let bytes_max = 3 * (one.heap_bytes() + size_of::<usize>());
    let pool: FramePool<u8> = FramePool::new(bytes_max);
    let held: Vec<_> = (0..10)
        .map(|n| pool.copy(shape(&[100]), &[n; 100]).unwrap())
        .collect();
    drop(held);
    let stats = pool.stats();
    assert_eq!((stats.spares, stats.freed, stats.bytes), (3, 7, bytes_max));
    assert_eq!(stats.bytes_max, bytes_max);
    let none = FramePool::new(0);
    drop(none.copy(shape(&[1]), &[1]).unwrap());
    assert_eq!((none.stats().spares, none.stats().freed), (0, 1));
}

#[test]
fn spares_of_another_size_make_room() {
    let pool: FramePool<u8> = FramePool::new(4_000);
    let narrow = |n: u8| pool.copy(shape(&[100]), &[n; 100]).unwrap();
    drop((0..20).map(narrow).collect::<Vec<_>>());
    let full = pool.stats();
    assert!(full.spares > 10 && full.bytes > 3_500, "{full:?}");
    // They have too little room for this one, which finds a place once it is let go.
    drop(pool.copy(shape(&[1000]), &[1; 1000]).unwrap());
    assert_eq!(pool.stats().recycled, full.recycled);
    drop(pool.copy(shape(&[1000]), &[2; 1000]).unwrap());
    let stats = pool.stats();
    assert_eq!(stats.recycled, full.recycled + 1);
    assert!(stats.bytes <= 4_000);
    // One with far too much room is not spent on a small frame.
    drop(pool);
    let pool: FramePool<u8> = FramePool::new(4_000);
    drop(pool.copy(shape(&[1000]), &[1; 1000]).unwrap());
    let small = pool.copy(shape(&[100]), &[1; 100]).unwrap();
    assert!(small.heap_bytes() < 1_000);
    assert_eq!(pool.stats().recycled, 0);
}

#[test]
fn fill_writes_in_place_and_a_panic_loses_no_memory() {
    let pool = FramePool::new(1 << 20);
    let ramp = |elements: &mut [u16]| {
        assert_eq!(elements.len(), 6);
        for (at, element) in (0..).zip(elements) {
            *element = at;
        }
    };
    let frame = pool.fill(shape(&[2, 3]), ramp);
    assert_eq!(frame.as_slice(), [0, 1, 2, 3, 4, 5]);
    let address = frame.as_slice().as_ptr();
    drop(frame);
    let panicking = || pool.fill(shape(&[4]), |_| panic!("the camera is gone"));
    assert!(catch_unwind(AssertUnwindSafe(panicking)).is_err());
    assert_eq!(pool.stats().spares, 1);
    let frame = pool.fill(shape(&[6]), ramp);
    assert_eq!(frame.as_slice().as_ptr(), address);
    assert_eq!(frame.as_slice(), [0, 1, 2, 3, 4, 5]);
}

#[test]
fn frames_outlive_their_pool() {
    let pool = FramePool::new(1 << 20);
    let frame = pool.copy(shape(&[2]), &[1, 2]).unwrap();
    drop(pool.copy(shape(&[2]), &[3, 4]).unwrap());
    drop(pool);
    let clone = frame.clone();
    drop(frame);
    assert_eq!(clone.as_slice(), [1, 2]);
}

#[test]
fn what_a_reader_holds_stays_intact_while_the_pool_goes_on() {
    let pool = FramePool::new(1 << 20);
    let service: DataService<&str, Frame<u64>> = DataService::new();
    let camera = service.register("camera").unwrap();
    let window = WindowByCount::new(4);
    let mut reader = service.subscribe(Spec::new().key(camera, window)).unwrap();
    let mut held = Vec::new();
    for n in 0..100_u64 {
        let frame = pool.copy(shape(&[8]), &[n; 8]).unwrap();
        service.put(camera, n.cast_signed(), frame).unwrap();
        let seen = reader.poll().unwrap();
        if n % 10 == 9 {
            held.push((n, seen));
        }
    }
    for (n, seen) in &held {
        let values = seen.update(camera).unwrap().values().to_vec();
        assert_eq!(values.len(), 4);
        for (frame, expected) in values.iter().zip(n - 3..) {
            assert_eq!(frame.as_slice(), [expected; 8]);
        }
    }
    let stats = pool.stats();
    // Ten times four are held; besides, the history and one that is on its way.
    assert!(stats.allocated <= 50, "{stats:?}");
    assert_eq!(stats.allocated + stats.recycled, 100);
}

#[test]
fn clones_dropped_by_many_threads_come_back_without_loss() {
    const ROUNDS: u64 = 500;
    let pool = FramePool::new(1 << 20);
    for round in 0..ROUNDS {
        let frame = pool.copy(shape(&[16]), &[round; 16]).unwrap();
        thread::scope(|scope| {
            for _ in 0..3 {
                let clone = frame.clone();
                scope.spawn(move || assert_eq!(clone.as_slice(), [round; 16]));
            }
            drop(frame);
        });
    }
    let stats = pool.stats();
    assert_eq!((stats.allocated, stats.recycled), (1, ROUNDS - 1));
    assert_eq!(stats.spares, 1);
}

#[test]
fn a_history_full_of_frames_runs_on_recycled_memory() {
    let pool = FramePool::new(1 << 20);
    let service = DataService::builder().depth_default(10).build().unwrap();
    let camera = service.register("camera").unwrap();
    for n in 0..1_000_u32 {
        let frame = pool.copy(shape(&[32]), &[n; 32]).unwrap();
        service.put(camera, i64::from(n), frame).unwrap();
    }
    let view = service.read(camera, Requirement::Count(10)).unwrap();
    let firsts: Vec<u32> = view
        .values()
        .iter()
        .map(|frame| frame.as_slice()[0])
        .collect();
    assert_eq!(firsts, (990..1_000).collect::<Vec<_>>());
    let stats = pool.stats();
    assert!(stats.allocated < 50, "{stats:?}");
}
