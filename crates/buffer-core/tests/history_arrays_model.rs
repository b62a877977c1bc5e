//! A history of arrays against a plain vector of everything ever appended, with changes of shape.

#![cfg(not(loom))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::ops::Range;

use buffer_core::{ArrayHistory, Cursor, History, Matrix, MatrixSnapshot, Shape};
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Action {
    Append { count: u8, width: usize },
    Defer { count: u8, width: usize },
    Publish,
    BeginGeneration,
    Grow(usize),
    Shrink(usize),
    Clear,
    AddReader,
    DropReader,
    Hold,
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        6 => (1..40_u8, 1..4_usize).prop_map(|(count, width)| Action::Append { count, width }),
        3 => (1..10_u8, 1..4_usize).prop_map(|(count, width)| Action::Defer { count, width }),
        2 => Just(Action::Publish),
        1 => Just(Action::BeginGeneration),
        1 => (0..60_usize).prop_map(Action::Grow),
        1 => (0..60_usize).prop_map(Action::Shrink),
        1 => Just(Action::Clear),
        1 => Just(Action::AddReader),
        1 => Just(Action::DropReader),
        2 => Just(Action::Hold),
    ]
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Row {
    number: u64,
    width: usize,
    generation: u64,
}

#[derive(Default)]
struct Model {
    all: Vec<Row>,
    gone: usize,
    depth: usize,
    width: usize,
    generation: u64,
    /// The rows of each retained generation before the newest.
    older: Vec<Range<usize>>,
    /// Where the newest generation began.
    began: usize,
}

impl Model {
    fn begin(&mut self, width: usize) {
        self.width = width;
        let len = self.all.len();
        if len > 0 {
            self.generation += 1;
        }
        if len > self.began.max(self.gone) {
            self.older.push(self.began..len);
        }
        self.older.retain(|rows| rows.end > self.gone);
        if self.older.len() > ArrayHistory::<u64>::GENERATIONS_MAX {
            self.older.remove(0);
            self.gone = self.gone.max(self.older[0].start);
        }
        self.began = len;
    }

    fn evict_to(&mut self, len: usize) -> usize {
        let before = self.gone;
        self.gone = self.gone.max(self.all.len().saturating_sub(len));
        self.gone - before
    }

    /// Runs of one generation, from this row on.
    fn runs(&self, start: usize) -> Vec<Vec<Row>> {
        self.all[start.max(self.gone)..]
            .chunk_by(|a, b| a.generation == b.generation)
            .map(<[Row]>::to_vec)
            .collect()
    }
}

/// When the row of this number happens; some come late.
fn time(number: u64) -> i64 {
    let late = if number.is_multiple_of(17) { 45 } else { 0 };
    number as i64 * 10 - late
}

/// How many of the rows a span selects, by a history of single values that has their times.
fn within(matrix: Matrix<'_, u64>, span: i64) -> usize {
    let mut times = History::new(1_000);
    for time in matrix.times() {
        times.append((), *time);
    }
    times.within(span).len()
}

fn rows(matrix: Matrix<'_, u64>) -> Vec<Row> {
    let first = matrix.range().start.number();
    let times: Vec<i64> = (first..).take(matrix.rows()).map(time).collect();
    assert_eq!(matrix.times(), times, "a row has its own time");
    assert_eq!(matrix.rows(), matrix.iter().len());
    (first..)
        .zip(matrix.iter())
        .map(|(number, row)| {
            assert!(
                row.iter().all(|element| *element == number),
                "a row is its own"
            );
            Row {
                number,
                width: row.len(),
                generation: matrix.generation().number(),
            }
        })
        .collect()
}

fn follow(mut since: impl FnMut(Cursor) -> (Vec<Row>, u64, Cursor), start: u64) -> Vec<Vec<Row>> {
    let mut cursor = Cursor::from_number(start);
    let mut runs = Vec::new();
    loop {
        let (run, missed, next) = since(cursor);
        assert_eq!(cursor.number() + missed + run.len() as u64, next.number());
        if run.is_empty() {
            return runs;
        }
        runs.push(run);
        cursor = next;
    }
}

fn append(
    history: &mut ArrayHistory<u64>,
    model: &mut Model,
    (count, width): (u8, usize),
    deferred: bool,
) -> Result<(), TestCaseError> {
    let shape = Shape::new(&[width]).unwrap();
    for _ in 0..count {
        if model.width != width {
            model.begin(width);
        }
        let number = model.all.len() as u64 + 1;
        let elements = vec![number; width];
        let seq = if deferred {
            history
                .append_deferred(shape, &elements, time(number))
                .unwrap()
        } else {
            history.append(shape, &elements, time(number)).unwrap()
        };
        prop_assert_eq!(seq.number(), number);
        model.all.push(Row {
            number,
            width,
            generation: model.generation,
        });
        model.evict_to(model.depth);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn generations_follow_each_other_and_nothing_is_lost_unsaid(
        depth in 0..30_usize,
        actions in prop::collection::vec(action(), 1..60),
    ) {
        let mut history = ArrayHistory::new(depth);
        let mut model = Model { depth, ..Model::default() };
        let mut reader = None;
        let mut held: Vec<(MatrixSnapshot<u64>, Vec<Row>)> = Vec::new();
        for action in actions {
            match action {
                Action::Append { count, width } => {
                    append(&mut history, &mut model, (count, width), false)?;
                }
                Action::Defer { count, width } => {
                    append(&mut history, &mut model, (count, width), true)?;
                }
                Action::Publish => history.publish(),
                Action::BeginGeneration => {
                    history.begin_generation();
                    model.begin(model.width);
                }
                Action::Grow(depth) => {
                    history.grow(depth);
                    model.depth = model.depth.max(depth);
                }
                Action::Shrink(depth) => {
                    let mut evicted = 0;
                    if depth < model.depth {
                        model.depth = depth;
                        evicted = model.evict_to(depth);
                    }
                    prop_assert_eq!(history.shrink(depth), evicted);
                }
                Action::Clear => prop_assert_eq!(history.clear(), model.evict_to(0)),
                Action::AddReader => reader = Some(history.reader()),
                Action::DropReader => reader = None,
                Action::Hold => {
                    if let Some(reader) = &reader {
                        let snapshot = reader.window(20);
                        let expected = rows(snapshot.matrix());
                        held.push((snapshot, expected));
                    }
                }
            }
            prop_assert_eq!(history.len(), model.all.len() - model.gone);
            let mine = |cursor| {
                let since = history.since(cursor);
                (rows(since.window), since.missed, since.next)
            };
            prop_assert_eq!(follow(mine, 0), model.runs(0));
            let middle = model.all.len() / 2;
            prop_assert_eq!(follow(mine, middle as u64), model.runs(middle));
            let all = history.window(usize::MAX);
            for span in [0, 25, 100] {
                let expected = all.last(within(all, span));
                prop_assert_eq!(history.within(span), expected);
            }
            if let Some(reader) = &reader {
                let published = usize::try_from(reader.published()).unwrap();
                let theirs = follow(
                    |cursor| {
                        let since = reader.since(cursor);
                        (rows(since.window.matrix()), since.missed, since.next)
                    },
                    0,
                );
                let all = reader.window(usize::MAX);
                let longest = rows(all.matrix());
                // A generation that has nothing to show yet has an empty window.
                prop_assert!(longest.is_empty() || theirs.last() == Some(&longest));
                let expected = all.matrix().last(within(all.matrix(), 40));
                let seen = reader.within(40);
                prop_assert_eq!(seen.matrix(), expected);
                let theirs = theirs.concat();
                // Nothing is hidden that the owner retains, also while a batch is open.
                prop_assert!(theirs.len() <= model.depth);
                prop_assert!(published - theirs.len() <= model.gone.min(published));
                let start = published - theirs.len();
                prop_assert_eq!(&theirs[..], &model.all[start..published]);
                if published == model.all.len() {
                    prop_assert_eq!(start, model.gone);
                    let window = reader.window(9);
                    prop_assert_eq!(window.matrix(), history.window(9));
                }
            }
            for (snapshot, expected) in &held {
                prop_assert_eq!(&rows(snapshot.matrix()), expected);
            }
        }
    }
}
