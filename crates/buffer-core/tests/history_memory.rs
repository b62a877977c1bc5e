//! How much memory histories take, and where it goes when they do not need it any more.

#![cfg(not(loom))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use buffer_core::{ArrayHistory, Cursor, History, Pool, Room, Shape};

/// What two segments, a board, and a history that has them take without a value.
const HEADERS: usize = 1_500;

fn filled(depth: usize, count: i64) -> History<i64> {
    let mut history = History::new(depth);
    for value in 1..=count {
        history.append(value, value * 10);
    }
    history
}

#[test]
fn memory_is_bounded_by_the_room_twice_and_shrinks_on_request() {
    let mut history = filled(1000, 5000);
    let room = 2500 * 16;
    assert_eq!(history.bytes().retained, 1000 * 16);
    assert!(history.bytes().allocated <= room + HEADERS);
    let reader = history.reader();
    for value in 0..20_000 {
        history.append(value, 0);
        assert!(history.bytes().allocated <= 2 * room + HEADERS);
    }
    drop(history.shrink(10));
    assert!(
        history.bytes().allocated <= 25 * 16 + HEADERS,
        "{:?}",
        history.bytes()
    );
    assert_eq!(reader.window(2).values(), [19_998, 19_999]);
}

#[test]
fn a_slow_reader_takes_no_memory_and_learns_what_it_missed() {
    let mut history = filled(10, 10);
    let readers: Vec<_> = (0..1000).map(|_| history.reader()).collect();
    for value in 11..=10_000 {
        history.append(value, 0);
    }
    assert!(history.bytes().allocated <= 2 * 25 * 16 + HEADERS);
    for reader in readers {
        let since = reader.since(Cursor::from_number(10));
        assert_eq!((since.missed, since.window.len()), (9_980, 10));
    }
}

#[test]
fn a_pool_is_shared_bounded_and_used_on_turnover_growth_and_shrink() {
    let segment = 250 * 16;
    let pool: Pool<i64> = Pool::new(3 * segment);
    let mut histories: Vec<_> = (0..8).map(|_| History::new(100).with_pool(&pool)).collect();
    for history in &mut histories {
        for value in 0..1000 {
            history.append(value, value);
        }
        assert!(pool.bytes() <= pool.bytes_max());
    }
    assert!(pool.spares() > 0, "outgrown segments are kept");
    let before = pool.bytes();
    drop(histories.pop());
    assert!(pool.bytes() > before);
    histories.clear();
    assert!(pool.bytes() <= 3 * segment && pool.bytes() + segment > 3 * segment);

    // The last snapshot of a segment gives it back, on whatever thread that is.
    let pool: Pool<String> = Pool::new(1 << 20);
    let mut history = History::with_room(2, Room::new(5, 2.5).unwrap()).with_pool(&pool);
    let reader = history.reader();
    for _ in 0..5 {
        history.append("text".to_owned(), 0);
    }
    let held = reader.window(2);
    drop(history.append("text".to_owned(), 0));
    assert_eq!(pool.spares(), 0);
    std::thread::spawn(move || drop(held)).join().unwrap();
    assert_eq!(pool.spares(), 1);
}

#[test]
fn histories_of_a_pool_do_not_allocate_more_than_they_need() {
    let pool: Pool<f64> = Pool::new(1 << 20);
    let mut long = History::new(1000).with_pool(&pool);
    for value in 0..5000 {
        long.append(f64::from(value), 0);
    }
    drop(long);
    let mut short = History::new(10).with_pool(&pool);
    for value in 0..100 {
        short.append(f64::from(value), 0);
    }
    assert!(
        short.bytes().allocated <= 2 * 25 * 16 + HEADERS,
        "a spare that is far too large stays"
    );
}

#[test]
fn a_wide_spare_does_not_go_to_a_narrow_history() {
    let (wide, narrow) = (Shape::new(&[10_000]).unwrap(), Shape::new(&[1]).unwrap());
    let pool: Pool<f64> = Pool::new(1 << 24);
    let mut images = ArrayHistory::new(10).with_pool(&pool);
    images.append(wide, &[0.0; 10_000], 0).unwrap();
    drop(images);
    assert!(pool.bytes() >= 16 * 80_000, "{pool:?}");
    let mut numbers = ArrayHistory::new(10).with_pool(&pool);
    numbers.append(narrow, &[0.0], 0).unwrap();
    numbers.begin_generation();
    let allocated = numbers.bytes().allocated;
    assert!(allocated <= 4_000, "{allocated} for a few numbers");
}

#[test]
fn a_pool_without_room_keeps_nothing() {
    let pool: Pool<f64> = Pool::new(0);
    let shape = Shape::new(&[1]).unwrap();
    for _ in 0..100 {
        let mut history = ArrayHistory::new(3).with_pool(&pool);
        history.append(shape, &[1.0], 0).unwrap();
        let _ = history.shrink(0);
        history.grow(3);
        let _ = history.clear();
        let mut empty = History::new(0).with_pool(&pool);
        let _reader = empty.reader();
    }
    assert_eq!((pool.spares(), pool.bytes()), (0, 0));
}
