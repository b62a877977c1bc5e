//! A bad row costs itself alone, in few calls, through lost connections and dropped futures.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
#[path = "common/guards.rs"]
mod guards;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use common::{SCOPE, batch, malformed, row};
use guards::{down, files, kept, number, positions, refusing, scope};
use record::Value;
use sinks::quarantine::{self};
use sinks::{
    Batch, BatchId, BatchWriter, Bisect, Entry, ErrorKind, Fault, FaultWriter, FnWriter,
    MemoryWriter, Quarantine, Receipt, RowOutcome, WriteError,
};

#[tokio::test]
async fn lesson_one_bad_row_rejects_its_batch() {
    for bad in [&[][..], &[1], &[7], &[16], &[1, 2, 16], &[3, 9, 10]] {
        let sink = FaultWriter::new(MemoryWriter::new()).poisoned(|entry| {
            let position = number(entry);
            bad.contains(&position).then(|| format!("no {position}"))
        });
        let writer = Bisect::new(sink.clone());
        writer.open_scope(SCOPE, &scope()).await.unwrap();
        let receipt = writer.write(&batch(1, 1..=16)).await.unwrap();
        let expected: Vec<u64> = (1..=16)
            .filter(|position| !bad.contains(position))
            .collect();
        assert_eq!(
            positions(sink.inner()),
            expected,
            "in order, without {bad:?}"
        );
        let bad = bad.to_vec();
        let rejected: Vec<u64> = receipt
            .rejected()
            .iter()
            .map(|bad| bad.row as u64 + 1)
            .collect();
        assert_eq!(rejected, bad);
        for row in bad {
            let index = usize::try_from(row).unwrap() - 1;
            assert_eq!(
                receipt.outcome(index),
                RowOutcome::Rejected(&format!("no {row}"))
            );
        }
        assert_eq!(receipt.delivered(), expected.len());
    }
}

#[tokio::test]
async fn calls_are_bounded_and_a_named_row_spares_the_search() {
    let bad = [100, 101, 400];
    let poison = move |entry: &Entry| bad.contains(&number(entry)).then(|| "bad".to_owned());
    for (named, calls_max) in [(false, 1 + 2 * 3 * 9), (true, 1 + 2 * 3)] {
        let sink = FaultWriter::new(MemoryWriter::new());
        let sink = if named {
            sink.poisoned_by_name(poison)
        } else {
            sink.poisoned(poison)
        };
        let writer = Bisect::new(sink.clone());
        writer.open_scope(SCOPE, &scope()).await.unwrap();
        let receipt = writer.write(&batch(1, 1..=512)).await.unwrap();
        assert_eq!((receipt.delivered(), receipt.rejected().len()), (509, 3));
        let calls = sink.attempts().len();
        assert!(calls <= calls_max, "{calls} calls, at most {calls_max}");
        let expected: Vec<u64> = (1..=512).filter(|row| !bad.contains(row)).collect();
        assert_eq!(positions(sink.inner()), expected);
    }
}

#[tokio::test]
async fn lesson_rows_that_failed_in_part_are_neither_delivered_nor_backed_up() {
    // The sink keeps no ledger, so whatever is written twice stands there twice.
    let seen: Arc<Mutex<Vec<u64>>> = Arc::default();
    let calls = Arc::new(AtomicUsize::new(0));
    let sink = FnWriter::new("list", {
        let (seen, calls) = (Arc::clone(&seen), Arc::clone(&calls));
        move |batch: &Batch| {
            if calls.fetch_add(1, Ordering::Relaxed) == 3 {
                return Err(down());
            }
            if batch.rows().iter().any(|entry| number(entry) == 3) {
                return Err(WriteError::new(ErrorKind::Data, "no 3"));
            }
            seen.lock().unwrap().extend(batch.rows().iter().map(number));
            Ok(Receipt::delivered_all(batch.len()))
        }
    });
    let directory = tempfile::tempdir().unwrap();
    let files = files(directory.path());
    let writer = Quarantine::new(Bisect::new(sink), files.clone());
    let batch = batch(1, 1..=8);
    let error = writer.write(&batch).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Transient);
    let before = seen.lock().unwrap().clone();
    assert_eq!(before, [1, 2], "settled before the connection went");
    let receipt = writer.write(&batch).await.unwrap();
    assert_eq!((receipt.delivered(), receipt.quarantined().len()), (7, 1));
    assert_eq!(
        *seen.lock().unwrap(),
        [1, 2, 4, 5, 6, 7, 8],
        "nothing twice, in order"
    );
    assert_eq!(kept(&files), [3]);
}

#[tokio::test]
async fn a_dropped_write_goes_on_where_it_was() {
    let sink = refusing(&[2]);
    let writer = Bisect::new(sink.clone());
    writer.open_scope(SCOPE, &scope()).await.unwrap();
    for fault in [Fault::None, Fault::None, Fault::None, Fault::HangAfter] {
        sink.then(fault);
    }
    let batch = batch(1, 1..=4);
    {
        // The whole, [1, 2], [1] and [2] are answered; the next hangs with its rows written.
        sink.then(Fault::Hang);
        let write = writer.write(&batch);
        let gone = futures_util::FutureExt::now_or_never(write);
        assert!(gone.is_none());
    }
    sink.release();
    let again = tokio::spawn({
        let sink = sink.clone();
        async move {
            tokio::task::yield_now().await;
            sink.release();
        }
    });
    let receipt = writer.write(&batch).await.unwrap();
    again.await.unwrap();
    assert_eq!((receipt.delivered(), receipt.rejected().len()), (3, 1));
    assert_eq!(positions(sink.inner()), [1, 3, 4]);
}

#[tokio::test]
async fn malformed_input_never_reaches_the_sink() {
    let sink = FaultWriter::new(MemoryWriter::new());
    let directory = tempfile::tempdir().unwrap();
    let files = files(directory.path());
    let writer = Quarantine::new(Bisect::new(sink.clone()), files.clone());
    writer.open_scope(SCOPE, &scope()).await.unwrap();
    let rows = vec![
        malformed(1, "line 1: no", b"{"),
        row(2, Value::I64(2)),
        malformed(3, "line 3: no", &[0xff, 0x00]),
        row(4, Value::I64(4)),
    ];
    let receipt = writer.write(&Batch::new(BatchId(1), rows)).await.unwrap();
    assert_eq!(receipt.outcome(0), RowOutcome::Quarantined("line 1: no"));
    assert_eq!(receipt.outcome(2), RowOutcome::Quarantined("line 3: no"));
    assert_eq!(positions(sink.inner()), [2, 4]);
    assert!(sink.inner().quarantined().is_empty());
    assert_eq!(
        sink.attempts(),
        [(BatchId(1), 2)],
        "one call for what is sound"
    );
    // The reader gives back what came in.
    let path = &files.paths().unwrap()[0];
    let rows: Vec<_> = quarantine::read(path)
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(rows[0].scope, scope());
    assert_eq!(rows[0].content.as_ref().unwrap_err().original(), b"{");
    assert_eq!(
        rows[1].content.as_ref().unwrap_err().original(),
        [0xff, 0x00]
    );
    assert_eq!(rows[1].reason, "line 3: no");
}

#[tokio::test]
async fn a_sink_that_refuses_everything_does_not_drain_the_stream() {
    let sink = FaultWriter::new(MemoryWriter::new());
    let sink = sink.poisoned(|_| Some("no such column".to_owned()));
    let writer = Bisect::new(sink.clone()).rejects_in_a_row_max(5);
    writer.open_scope(SCOPE, &scope()).await.unwrap();
    let receipt = writer.write(&batch(1, 1..=4)).await.unwrap();
    assert_eq!(
        receipt.rejected().len(),
        4,
        "a batch of which every row is refused"
    );
    let second = batch(2, 5..=8);
    let error = writer.write(&second).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fatal);
    assert!(error.to_string().contains("5 rows in a row"), "{error}");
    // Once the table is mended, what was not rejected is delivered.
    let sink = sink.poisoned(|_| None);
    let receipt = writer.write(&second).await.unwrap();
    assert_eq!((receipt.delivered(), receipt.rejected().len()), (3, 1));
    assert_eq!(positions(sink.inner()), [6, 7, 8]);
}

#[tokio::test]
async fn lesson_one_duplicate_key_drops_no_row_beside_it() {
    // A table with a unique key, which refuses a batch whole.
    let table: Arc<Mutex<Vec<i64>>> = Arc::new(Mutex::new(vec![3]));
    let sink = FnWriter::new("table", {
        let table = Arc::clone(&table);
        move |batch: &Batch| {
            let mut table = table.lock().unwrap();
            let mut after = table.clone();
            for entry in batch.rows() {
                let Value::I64(key) = entry.content.as_ref().unwrap().value else {
                    panic!()
                };
                if after.contains(&key) {
                    return Err(WriteError::new(
                        ErrorKind::Data,
                        format!("duplicate key {key}"),
                    ));
                }
                after.push(key);
            }
            *table = after;
            Ok(Receipt::delivered_all(batch.len()))
        }
    });
    let rows = vec![
        row(1, Value::I64(1)),
        row(2, Value::I64(3)),
        row(3, Value::I64(1)),
        row(4, Value::I64(4)),
    ];
    let receipt = Bisect::new(sink)
        .write(&Batch::new(BatchId(1), rows))
        .await
        .unwrap();
    assert_eq!(*table.lock().unwrap(), [3, 1, 4]);
    assert_eq!(receipt.outcome(1), RowOutcome::Rejected("duplicate key 3"));
    assert_eq!(receipt.outcome(2), RowOutcome::Rejected("duplicate key 1"));
    assert_eq!(receipt.delivered(), 2);
}

#[tokio::test]
async fn law_9_a_connection_error_is_never_taken_for_a_data_error() {
    let sink = FaultWriter::new(MemoryWriter::new());
    sink.then(Fault::Before(down().at_row(2)));
    let writer = Bisect::new(sink.clone());
    writer.open_scope(SCOPE, &scope()).await.unwrap();
    let error = writer.write(&batch(1, 1..=4)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Transient);
    assert_eq!(sink.attempts().len(), 1);
}

#[tokio::test]
async fn law_10_a_closure_that_panics_is_a_failed_write() {
    let writer = FnWriter::new("fragile", |batch: &Batch| {
        assert!(batch.len() < 3, "three are too many");
        Ok(Receipt::delivered_all(batch.len()))
    });
    let error = writer.write(&batch(1, 1..=3)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fatal);
    assert_eq!(
        error.to_string(),
        "sink `fragile` panicked: three are too many"
    );
    assert_eq!(writer.write(&batch(2, 1..=2)).await.unwrap().delivered(), 2);
    let later = sinks::AsyncFnWriter::new("later", async |_: Batch| panic!("never"));
    let error = later.write(&batch(1, 1..=1)).await.unwrap_err();
    assert_eq!(error.to_string(), "sink `later` panicked: never");
}

#[tokio::test]
async fn rows_that_a_sink_refuses_one_by_one_count_too() {
    let sink = FnWriter::new("closed", |batch: &Batch| {
        let refused = (0..batch.len()).map(|row| sinks::Refused {
            row,
            reason: "no such column".to_owned(),
        });
        Ok(Receipt::delivered_all(batch.len()).with_rejected(refused.collect()))
    });
    let writer = Bisect::new(sink).rejects_in_a_row_max(5);
    for id in 1..=2 {
        let receipt = writer.write(&batch(id, [id, id + 10, id + 20])).await;
        assert_eq!(receipt.unwrap().rejected().len(), 3);
    }
    let third = batch(3, 30..=33);
    let error = writer.write(&third).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fatal);
    assert!(error.to_string().contains("no such column"), "{error}");
    assert_eq!(writer.handle().rejects_in_a_row(), 6);
    writer.handle().reset();
    assert_eq!(writer.write(&third).await.unwrap().rejected().len(), 4);
}

#[tokio::test]
async fn two_callers_of_one_batch_lose_none_of_its_rows() {
    for seed in 0..64 {
        let sink = FnWriter::new("picky", |batch: &Batch| {
            match batch.rows().iter().any(|row| number(row).is_multiple_of(3)) {
                true => Err(WriteError::new(ErrorKind::Data, "divisible")),
                false => Ok(Receipt::delivered_all(batch.len())),
            }
        });
        let seen: Arc<Mutex<Vec<u64>>> = Arc::default();
        let slow = sinks::AsyncFnWriter::new("slow", {
            let (sink, seen) = (Arc::new(sink), Arc::clone(&seen));
            let random = Arc::new(Mutex::new(fastrand::Rng::with_seed(seed)));
            move |batch: Batch| {
                let (sink, seen) = (Arc::clone(&sink), Arc::clone(&seen));
                let turns = random.lock().unwrap().usize(0..4);
                async move {
                    for _ in 0..turns {
                        tokio::task::yield_now().await;
                    }
                    let receipt = sink.write(&batch).await?;
                    seen.lock().unwrap().extend(batch.rows().iter().map(number));
                    Ok(receipt)
                }
            }
        });
        let writer = Bisect::new(slow);
        let batch = batch(1, 1..=16);
        let both = tokio::join!(writer.write(&batch), writer.write(&batch));
        assert!(both.0.is_ok() || both.1.is_ok());
        let seen = seen.lock().unwrap();
        let missing: Vec<u64> = (1..=16)
            .filter(|row| *row % 3 != 0 && !seen.contains(row))
            .collect();
        assert!(missing.is_empty(), "{missing:?} with seed {seed}");
    }
}
