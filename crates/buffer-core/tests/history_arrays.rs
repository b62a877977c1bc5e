//! Histories of arrays: one matrix per window, and generations that clear nothing.

#![cfg(not(loom))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use buffer_core::{ArrayHistory, Cursor, Shape, ShapeError};

fn shape(extents: &[usize]) -> Shape {
    Shape::new(extents).unwrap()
}

/// An array whose elements tell its number.
fn frame(shape: Shape, number: u64) -> Vec<u32> {
    vec![number as u32; shape.elements()]
}

fn append(history: &mut ArrayHistory<u32>, shape: Shape) -> u64 {
    let number = history.appended() + 1;
    let seq = history
        .append(shape, &frame(shape, number), number as i64 * 10)
        .unwrap();
    assert_eq!(seq.number(), number);
    number
}

/// Follows the cursor to the end: the numbers seen, in runs, and how many were missed.
fn follow(history: &ArrayHistory<u32>, mut cursor: Cursor) -> (Vec<Vec<u64>>, u64) {
    let (mut runs, mut missed) = (Vec::new(), 0);
    loop {
        let since = history.since(cursor);
        missed += since.missed;
        if since.window.is_empty() {
            return (runs, missed);
        }
        let numbers = since.window.iter().map(|row| u64::from(row[0])).collect();
        runs.push(numbers);
        cursor = since.next;
    }
}

#[test]
fn a_window_is_one_contiguous_matrix() {
    let mut history = ArrayHistory::new(4);
    let square = shape(&[2, 3]);
    for number in 0..50_u32 {
        let elements: Vec<u32> = (number * 6..number * 6 + 6).collect();
        history
            .append(square, &elements, i64::from(number))
            .unwrap();
        let window = history.window(3);
        let rows = (number as usize + 1).min(3);
        assert_eq!((window.rows(), window.shape()), (rows, square));
        let first = (number + 1 - rows as u32) * 6;
        assert_eq!(window.as_slice(), Vec::from_iter(first..number * 6 + 6));
        assert_eq!(window.row(rows - 1), Some(&elements[..]));
        assert_eq!(window.row(rows), None);
        assert_eq!(window.last(1).as_slice(), elements);
        assert_eq!(
            history.latest().range().start.number(),
            u64::from(number) + 1
        );
    }
    assert_eq!(history.len(), 4);
    assert_eq!(square.extents(), [2, 3]);
}

#[test]
fn a_change_of_shape_silently_clears_nothing() {
    let mut history = ArrayHistory::new(10);
    let (small, large) = (shape(&[2]), shape(&[3, 3]));
    for _ in 0..4 {
        append(&mut history, small);
    }
    let before = history.window(9).generation();
    for _ in 0..3 {
        append(&mut history, large);
    }
    assert!(history.window(9).generation() > before);
    assert_eq!(history.window(9).rows(), 3, "a window has one shape");
    assert_eq!(history.len(), 7);
    let (runs, missed) = follow(&history, Cursor::START);
    assert_eq!((runs, missed), (vec![vec![1, 2, 3, 4], vec![5, 6, 7]], 0));
    assert_eq!(
        history.since(Cursor::from_number(2)).window.generation(),
        before
    );
}

#[test]
fn what_leaves_an_older_generation_is_missed_exactly() {
    let mut history = ArrayHistory::new(5);
    let (small, large) = (shape(&[1]), shape(&[2]));
    for _ in 0..8 {
        append(&mut history, small);
    }
    for count in 1..=20_u64 {
        let newest = append(&mut history, large);
        let (runs, missed) = follow(&history, Cursor::from_number(3));
        let retained: Vec<u64> = (newest - 4..=newest).collect();
        assert_eq!(runs.concat(), retained, "{count} of the new shape");
        assert_eq!(missed, newest - 5 - 3);
    }
    assert_eq!(history.len(), 5);
}

#[test]
fn earlier_generations_have_a_cap_and_leave_whole() {
    let mut history = ArrayHistory::new(1000);
    for generation in 0..20_usize {
        for _ in 0..3 {
            append(&mut history, shape(&[generation + 1]));
        }
    }
    let kept = ArrayHistory::<u32>::GENERATIONS_MAX as u64 + 1;
    assert_eq!(history.len() as u64, kept * 3);
    let (runs, missed) = follow(&history, Cursor::START);
    assert_eq!((runs.len() as u64, missed), (kept, 60 - kept * 3));
    history.grow(2000);
    assert_eq!(history.len() as u64, kept * 3, "growth brings nothing back");
}

#[test]
fn a_generation_can_begin_without_another_shape() {
    let mut history = ArrayHistory::new(10);
    let square = shape(&[2, 2]);
    append(&mut history, square);
    history.begin_generation();
    append(&mut history, square);
    let (runs, _) = follow(&history, Cursor::START);
    assert_eq!(runs, [[1], [2]]);
    assert_eq!(history.latest().generation().number(), 1);
}

#[test]
fn readers_see_generations_and_lose_none_before_they_moved_on() {
    let mut history = ArrayHistory::new(6);
    let reader = history.reader();
    let mut cursor = Cursor::START;
    let mut seen = Vec::new();
    let mut held = Vec::new();
    for number in 1..=90_u64 {
        append(&mut history, shape(&[1 + (number as usize / 9) % 3]));
        if number % 2 == 0 {
            loop {
                let since = reader.since(cursor);
                assert_eq!(since.missed, 0);
                let matrix = since.window.matrix();
                assert_eq!(
                    matrix.as_slice().len(),
                    matrix.rows() * matrix.shape().elements()
                );
                seen.extend(matrix.iter().map(|row| u64::from(row[0])));
                cursor = since.next;
                if since.window.is_empty() {
                    break;
                }
                held.push((number, since.window.clone()));
            }
        }
        assert_eq!(reader.latest().matrix(), history.latest());
        assert_eq!(reader.window(4).matrix(), history.window(4));
        assert_eq!(reader.within(25).matrix(), history.within(25));
    }
    assert_eq!(seen, Vec::from_iter(1..=90));
    drop(history);
    for (number, snapshot) in held {
        let matrix = snapshot.matrix();
        assert!(
            matrix
                .row(snapshot.rows() - 1)
                .unwrap()
                .iter()
                .all(|e| u64::from(*e) <= number)
        );
    }
}

#[test]
fn a_deferred_array_is_shown_by_publish_or_by_another_shape() {
    let mut history = ArrayHistory::new(5);
    let reader = history.reader();
    let (one, two) = (shape(&[1]), shape(&[2]));
    history.append_deferred(one, &[1], 0).unwrap();
    assert!(reader.latest().is_empty());
    history.append_deferred(two, &[2, 2], 0).unwrap();
    assert_eq!(reader.since(Cursor::START).window.rows(), 1);
    assert_eq!(reader.published(), 1);
    history.publish();
    assert_eq!(reader.latest().matrix().as_slice(), [2, 2]);
}

#[test]
fn depth_zero_counts_arrays_and_keeps_none() {
    let mut history = ArrayHistory::new(0);
    let reader = history.reader();
    let one = shape(&[1]);
    append(&mut history, one);
    append(&mut history, shape(&[2]));
    assert!(history.is_empty() && reader.latest().is_empty());
    assert_eq!(follow(&history, Cursor::START), (vec![], 2));
    assert_eq!(reader.since(Cursor::START).missed, 2);
    history.grow(2);
    for _ in 0..5 {
        append(&mut history, one);
    }
    assert_eq!(follow(&history, Cursor::START), (vec![vec![6, 7]], 5));
    assert_eq!(history.shrink(0), 2);
    append(&mut history, one);
    history.grow(3);
    append(&mut history, one);
    assert_eq!(follow(&history, Cursor::from_number(6)), (vec![vec![9]], 2));
    assert_eq!(reader.latest().matrix(), history.latest());
}

#[test]
fn shrink_and_clear_say_how_many_arrays_left() {
    for with_reader in ["no", "a"] {
        let mut history = ArrayHistory::new(10);
        let reader = (with_reader == "a").then(|| history.reader());
        for _ in 0..6 {
            append(&mut history, shape(&[1]));
        }
        for _ in 0..6 {
            append(&mut history, shape(&[100]));
        }
        assert_eq!(history.bytes().retained, 4 * (4 + 8) + 6 * (400 + 8));
        assert!(history.bytes().allocated >= history.bytes().retained);
        assert_eq!(history.shrink(3), 7, "{with_reader} reader");
        assert_eq!(follow(&history, Cursor::START), (vec![vec![10, 11, 12]], 9));
        assert_eq!(history.clear(), 3);
        assert_eq!(follow(&history, Cursor::START), (vec![], 12));
        assert_eq!(append(&mut history, shape(&[100])), 13);
        if let Some(reader) = reader {
            assert_eq!(reader.window(9).matrix(), history.window(9));
        }
    }
}

#[test]
fn arrays_and_shapes_that_cannot_be_are_refused() {
    let mut history = ArrayHistory::new(3);
    let wrong = history
        .append(shape(&[2, 2]), &[1_u8, 2, 3], 0)
        .unwrap_err();
    assert_eq!(wrong.to_string(), "array has 3 elements, its shape needs 4");
    assert_eq!(history.appended(), 0);
    assert_eq!(Shape::new(&[3, 0]), Err(ShapeError::Empty { dimension: 1 }));
    assert_eq!(Shape::new(&[usize::MAX, 2]), Err(ShapeError::TooLarge));
    let five = Shape::new(&[1; 5]).unwrap_err();
    assert_eq!(five.to_string(), "shape has 5 dimensions, allowed are 4");
    assert_eq!(Shape::new(&[]).unwrap(), Shape::SCALAR);
}
