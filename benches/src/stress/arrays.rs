//! Histories of arrays: a writer whose arrays change their shape, beside readers that follow it.
//!
//! Every element of array number n is n, whatever its shape, so a row that is torn or belongs to
//! another generation shows.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use buffer_core::{ArrayHistory, ArrayReader, Cursor, Matrix, Shape};

use crate::ledger::Report;

/// What the threads of a round share.
#[derive(Default)]
struct Round {
    over: AtomicBool,
    /// Set when everything is published that ever will be.
    written: AtomicBool,
}

/// One history of arrays from its start to the last look.
pub(crate) fn round(seed: u64) -> Result<Report> {
    let mut random = fastrand::Rng::with_seed(seed);
    let depth = random.usize(1..200);
    let round = &Round::default();
    let history = ArrayHistory::new(depth);
    play(round, history, &mut random).with_context(|| format!("history of {depth} arrays"))
}

fn play(
    round: &Round,
    mut history: ArrayHistory<u64>,
    random: &mut fastrand::Rng,
) -> Result<Report> {
    let length = Duration::from_millis(random.u64(20..80));
    let readers: Vec<_> = (0..random.usize(1..=2)).map(|_| history.reader()).collect();
    let (written, read) = thread::scope(|scope| {
        let readers: Vec<_> = readers
            .into_iter()
            .map(|reader| (reader, random.fork()))
            .map(|(reader, random)| scope.spawn(move || read(round, &reader, random)))
            .collect();
        let random = random.fork();
        let writer = scope.spawn(move || write(round, history, random));
        thread::sleep(length);
        round.over.store(true, Ordering::Relaxed);
        let written = writer.join();
        round.written.store(true, Ordering::Release);
        let read: Vec<_> = readers
            .into_iter()
            .map(thread::ScopedJoinHandle::join)
            .collect();
        (written, read)
    });
    const PANICKED: &str = "a thread panicked";
    let mut report = written.map_err(|_| anyhow::anyhow!(PANICKED))??;
    for read in read {
        report.add(&read.map_err(|_| anyhow::anyhow!(PANICKED))??);
    }
    Ok(report)
}

fn write(
    round: &Round,
    mut history: ArrayHistory<u64>,
    mut random: fastrand::Rng,
) -> Result<Report> {
    let (mut appended, mut generations) = (0_u64, 0_u64);
    let mut shape = Shape::new(&[3])?;
    while !round.over.load(Ordering::Relaxed) {
        match random.u8(0..100) {
            0..90 => {
                let width: usize = shape.extents().iter().product();
                for _ in 0..random.u8(1..30) {
                    appended += 1;
                    let elements = vec![appended; width];
                    let seq = history.append_deferred(shape, &elements, appended as i64)?;
                    ensure!(seq.number() == appended, "numbers are not dense");
                }
                history.publish();
            }
            90..94 => {
                shape = Shape::new(&[random.usize(1..5), random.usize(1..9)])?;
                generations += 1;
            }
            94..96 => {
                history.begin_generation();
                generations += 1;
            }
            96 => history.grow(random.usize(1..400)),
            97 => {
                history.shrink(random.usize(1..400));
            }
            _ => thread::yield_now(),
        }
        check_rows(&history.window(20))?;
    }
    history.publish();
    let mut report = Report::default();
    report.count("arrays appended", appended);
    report.count("changes of shape or meaning", generations);
    Ok(report)
}

/// Follows a cursor and looks at the newest until everything was written.
fn read(round: &Round, reader: &ArrayReader<u64>, mut random: fastrand::Rng) -> Result<Report> {
    let (mut cursor, mut brought, mut missed, mut looks) = (Cursor::START, 0, 0, 0);
    loop {
        let is_last = round.written.load(Ordering::Acquire);
        if random.bool() || is_last {
            loop {
                let since = reader.since(cursor);
                let matrix = since.window.matrix();
                check_rows(&matrix)?;
                let expected = cursor.number() + since.missed + matrix.rows() as u64;
                ensure!(since.next.number() == expected, "a cursor lost its place");
                brought += matrix.rows() as u64;
                missed += since.missed;
                // One generation at a time, so the last look may take several.
                let is_there = since.next == cursor;
                cursor = since.next;
                if is_there || !is_last {
                    break;
                }
            }
        } else {
            check_rows(&reader.window(random.usize(0..50)).matrix())?;
            looks += 1;
        }
        if is_last {
            ensure!(
                brought + missed == reader.published() && cursor.number() == reader.published(),
                "of {} arrays, a cursor brought {brought} and missed {missed}",
                reader.published()
            );
            let mut report = Report::default();
            report.count("arrays brought by a cursor", brought);
            report.count("arrays missed by a cursor", missed);
            report.count("looks at the newest arrays", looks);
            return Ok(report);
        }
    }
}

/// Whether each row has the shape of its matrix and holds its own number alone.
fn check_rows(matrix: &Matrix<'_, u64>) -> Result<()> {
    let width: usize = matrix.shape().extents().iter().product();
    let range = matrix.range();
    ensure!(
        range.end.number() - range.start.number() == matrix.rows() as u64,
        "a matrix of {range:?} has {} rows",
        matrix.rows()
    );
    for ((row, time), number) in matrix
        .iter()
        .zip(matrix.times())
        .zip(range.start.number()..)
    {
        ensure!(
            row.len() == width
                && row.iter().all(|element| *element == number)
                && *time == number as i64,
            "array {number} of time {time} is {row:?}"
        );
    }
    Ok(())
}
