//! A ledger in a file makes repetitions harmless for sinks that keep none, and rows end in exactly
//! one place whatever fails, in whatever order the layers stand.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use common::{SCOPE, batch, malformed, row};
use proptest::prelude::*;
use record::{Position, Value};
use sinks::quarantine;
use sinks::{
    Batch, BatchId, BatchWriter, Bisect, BoxWriter, Entry, ErrorKind, Fault, FaultChances,
    FaultWriter, FnWriter, Guarantee, Ledger, MemoryWriter, Quarantine, QuarantineFiles,
    QuarantineOptions, Receipt, Refused, RowOutcome, ScopeIndex, ScopeName, WriteError, row,
};

fn scope() -> ScopeName {
    ScopeName::new("host/normal")
}

fn lost() -> WriteError {
    WriteError::new(ErrorKind::Transient, "the answer was lost")
}

type Seen = Arc<Mutex<Vec<(u16, u64)>>>;

/// A sink without a ledger: what is written twice stands there twice.
fn list() -> (impl BatchWriter<Row = record::Record> + Clone, Seen) {
    let seen = Seen::default();
    let writer = FnWriter::new("list", {
        let seen = Arc::clone(&seen);
        move |batch: &Batch| {
            let rows = batch.rows().iter();
            let rows = rows.map(|row| (row.scope.0, row.position.number()));
            seen.lock().unwrap().extend(rows);
            Ok(Receipt::delivered_all(batch.len()))
        }
    });
    (BoxWriter::new(writer), seen)
}

#[tokio::test]
async fn lesson_a_commit_whose_answer_was_lost_is_repeated() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("list.ledger.json");
    let (sink, seen) = list();
    // The answer is lost on the way from the ledger to the caller.
    let writer = FaultWriter::new(Ledger::new(sink, &path));
    writer.open_scope(SCOPE, &scope()).await.unwrap();
    writer.then(Fault::After(lost()));
    let first = batch(1, 1..=3);
    assert_eq!(writer.write(&first).await, Err(lost()));
    let receipt = writer.write(&first).await.unwrap();
    assert_eq!((receipt.delivered(), receipt.repeated()), (3, 3));
    // Other boundaries make no difference.
    let receipt = writer.write(&batch(2, 2..=5)).await.unwrap();
    assert_eq!((receipt.delivered(), receipt.repeated()), (4, 2));
    assert_eq!(
        *seen.lock().unwrap(),
        [(0, 1), (0, 2), (0, 3), (0, 4), (0, 5)]
    );
}

#[tokio::test]
async fn a_watermark_outlives_the_process_and_a_torn_temporary_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("deeper/list.ledger.json");
    for run in 0..3 {
        let (sink, seen) = list();
        let writer = Ledger::new(sink, &path);
        assert_eq!(writer.guarantee(), Guarantee::AtLeastOnce);
        let opened = writer.open_scope(SCOPE, &scope()).await.unwrap();
        assert_eq!(opened.watermark, Position::new(run * 2));
        assert_eq!(opened.fence, run + 1);
        let receipt = writer.write(&batch(run, 1..=run * 2 + 2)).await.unwrap();
        assert_eq!(receipt.repeated() as u64, run * 2);
        assert_eq!(*seen.lock().unwrap(), [(0, run * 2 + 1), (0, run * 2 + 2)]);
        writer.close().await.unwrap();
        // A crash in the middle of the next save leaves this.
        std::fs::write(path.with_extension("json.tmp"), "{\"version\": 1, \"sco").unwrap();
    }
}

#[tokio::test]
async fn a_ledger_that_cannot_be_read_stops_everything() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.json");
    for (contents, expected) in [
        ("{\"version\": 2, \"scopes\": {}}", "version 2, expected 1"),
        ("{\"version\": 1", "cannot be read"),
        ("", "cannot be read"),
    ] {
        std::fs::write(&path, contents).unwrap();
        let error = Ledger::new(list().0, &path)
            .open_scope(SCOPE, &scope())
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Fatal);
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[tokio::test]
async fn two_writers_cannot_share_a_ledger() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.json");
    let first = Ledger::new(list().0, &path);
    first.open_scope(SCOPE, &scope()).await.unwrap();
    let second = Ledger::new(list().0, &path);
    let error = second.open_scope(SCOPE, &scope()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fatal);
    assert!(
        error.to_string().contains("ledger.json.lock is locked"),
        "{error}"
    );
    drop(first);
    // A first failure is not final.
    second.open_scope(SCOPE, &scope()).await.unwrap();
}

#[tokio::test]
async fn scopes_are_fenced_listed_and_renamed() {
    let directory = tempfile::tempdir().unwrap();
    let (sink, seen) = list();
    let writer = Ledger::new(sink, directory.path().join("ledger.json"));
    assert_eq!(
        writer.write(&batch(1, 1..=1)).await.unwrap_err().kind(),
        ErrorKind::Fatal
    );
    writer.open_scope(SCOPE, &scope()).await.unwrap();
    writer.write(&batch(1, 1..=4)).await.unwrap();
    let other = ScopeName::new("other");
    writer.rename_scope(&scope(), &other).await.unwrap();
    assert_eq!(
        writer.scopes("o").await.unwrap(),
        [(other.clone(), Position::new(4))]
    );
    writer.write(&batch(2, 4..=5)).await.unwrap();
    assert_eq!(
        seen.lock().unwrap().len(),
        5,
        "an open scope goes on under its new name"
    );
    writer.open_scope(ScopeIndex(1), &scope()).await.unwrap();
    let error = writer.rename_scope(&scope(), &other).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fatal);
    // Opened under another index, the scope is closed to the first.
    writer.open_scope(ScopeIndex(2), &other).await.unwrap();
    let error = writer.write(&batch(3, 6..=6)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fenced);
}

#[tokio::test]
async fn receipts_speak_of_the_rows_as_they_came() {
    let directory = tempfile::tempdir().unwrap();
    let sink = FnWriter::new("picky", |batch: &Batch| {
        let sevens = batch.rows().iter().enumerate();
        let sevens = sevens.filter(|(_, row)| row.position.number() == 7);
        let rejected = sevens.map(|(row, _)| Refused {
            row,
            reason: "seven".into(),
        });
        Ok(Receipt::delivered_all(batch.len()).with_rejected(rejected.collect()))
    });
    let faults = FaultWriter::new(sink);
    let writer = Ledger::new(faults.clone(), directory.path().join("ledger.json"));
    for index in 0..2 {
        let name = ScopeName::new(format!("scope {index}"));
        writer.open_scope(ScopeIndex(index), &name).await.unwrap();
    }
    let of = |scope: u16, at: u64| Entry {
        scope: ScopeIndex(scope),
        ..row(at, Value::Null)
    };
    let first = Batch::new(BatchId(1), vec![of(0, 1), of(0, 2)]);
    writer.write(&first).await.unwrap();
    let rows = vec![of(0, 2), of(1, 1), of(0, 1), of(0, 7), of(1, 7)];
    let second = Batch::new(BatchId(2), rows);
    faults.then(Fault::Before(
        WriteError::new(ErrorKind::Data, "which?").at_row(1),
    ));
    let error = writer.write(&second).await.unwrap_err();
    assert_eq!(error.row(), Some(3), "of the batch as it came");
    let receipt = writer.write(&second).await.unwrap();
    assert_eq!((receipt.repeated(), receipt.delivered()), (2, 3));
    assert_eq!(receipt.outcome(3), RowOutcome::Rejected("seven"));
    assert_eq!(receipt.outcome(4), RowOutcome::Rejected("seven"));
    // When that receipt was lost, the next says the same of each row.
    let again = writer.write(&second).await.unwrap();
    assert_eq!(again.repeated(), 5);
    assert_eq!(again.rejected(), receipt.rejected());
}

#[tokio::test]
async fn scopes_that_settle_together_share_saves_and_lose_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.json");
    let writer = Arc::new(Ledger::new(list().0, &path));
    let mut tasks = Vec::new();
    for index in 0..16 {
        let name = ScopeName::new(format!("scope {index}"));
        writer.open_scope(ScopeIndex(index), &name).await.unwrap();
    }
    for index in 0..16 {
        let writer = Arc::clone(&writer);
        tasks.push(tokio::spawn(async move {
            for at in 1..=5 {
                let entry = Entry {
                    scope: ScopeIndex(index),
                    ..row(at, Value::Null)
                };
                let id = BatchId(u64::from(index) * 100 + at);
                writer.write(&Batch::new(id, vec![entry])).await.unwrap();
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    drop(writer);
    let reopened = Ledger::new(list().0, &path);
    let scopes = reopened.scopes("scope").await.unwrap();
    assert_eq!(scopes.len(), 16);
    assert!(
        scopes
            .iter()
            .all(|(_, position)| *position == Position::new(5))
    );
}

#[derive(Clone)]
struct Order {
    id: i64,
}

row! { Order => "orders" { "id": I64 = |order| order.id; } }

#[tokio::test]
async fn any_row_passes_through_every_layer() {
    let directory = tempfile::tempdir().unwrap();
    let memory: MemoryWriter<Order> = MemoryWriter::of_rows();
    let sink = FaultWriter::new(memory.clone()).poisoned_by_name(|entry: &Entry<Order>| {
        entry
            .content
            .as_ref()
            .is_ok_and(|order| order.id == 2)
            .then(|| "no 2".to_owned())
    });
    let files = QuarantineFiles::new(QuarantineOptions::new(directory.path()));
    let guarded = Quarantine::new(Bisect::new(sink), files.clone());
    let writer = Ledger::new(guarded, directory.path().join("ledger.json"));
    writer.open_scope(SCOPE, &scope()).await.unwrap();
    let rows: Vec<Entry<Order>> = (1..=3)
        .map(|id| Entry {
            scope: SCOPE,
            position: Position::new(id),
            arrival: std::time::Instant::now(),
            content: Ok(Order {
                id: i64::try_from(id).unwrap(),
            }),
        })
        .collect();
    let receipt = writer.write(&Batch::new(BatchId(1), rows)).await.unwrap();
    assert_eq!((receipt.delivered(), receipt.quarantined().len()), (2, 1));
    assert_eq!(memory.delivered().len(), 2);
    let row = quarantine::read(&files.paths().unwrap()[0])
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    assert_eq!(row.content.unwrap_err().original(), br#"{"id":2}"#);
}

/// The orders of layers that make sense around a sink with a ledger of its own.
#[derive(Clone, Copy, Debug)]
enum Arrangement {
    QuarantineBisect,
    LedgerQuarantineBisect,
    QuarantineBisectLedger,
    BisectWithQuarantine,
    AnswersLostOutside,
}

fn stack(
    order: Arrangement,
    sink: FaultWriter<MemoryWriter>,
    files: QuarantineFiles,
    ledger: &std::path::Path,
    outside: (u64, FaultChances),
) -> BoxWriter {
    match order {
        Arrangement::QuarantineBisect => BoxWriter::new(Quarantine::new(Bisect::new(sink), files)),
        Arrangement::LedgerQuarantineBisect => {
            let guarded = Quarantine::new(Bisect::new(sink), files);
            BoxWriter::new(Ledger::new(guarded, ledger))
        }
        Arrangement::QuarantineBisectLedger => {
            let sink = Bisect::new(Ledger::new(sink, ledger));
            BoxWriter::new(Quarantine::new(sink, files))
        }
        Arrangement::BisectWithQuarantine => {
            BoxWriter::new(Bisect::new(sink).with_quarantine(files))
        }
        Arrangement::AnswersLostOutside => {
            let guarded = Quarantine::new(Bisect::new(sink), files);
            BoxWriter::new(FaultWriter::new(guarded).at_random(outside.0, outside.1))
        }
    }
}

fn order() -> impl Strategy<Value = Arrangement> {
    prop_oneof![
        Just(Arrangement::QuarantineBisect),
        Just(Arrangement::LedgerQuarantineBisect),
        Just(Arrangement::QuarantineBisectLedger),
        Just(Arrangement::BisectWithQuarantine),
        Just(Arrangement::AnswersLostOutside),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Random faults, random bad rows, random batches; each is offered until it is settled. The
    /// model is the list of rows, parted by who is bad.
    #[test]
    fn law_1_every_row_ends_in_exactly_one_place(
        order in order(),
        seed in any::<u64>(),
        named in any::<bool>(),
        sizes in prop::collection::vec(1_usize..20, 1..8),
        kinds in prop::collection::vec(0_u8..10, 160),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(run(order, seed, named, &sizes, &kinds));
    }
}

async fn run(order: Arrangement, seed: u64, named: bool, sizes: &[usize], kinds: &[u8]) {
    let directory = tempfile::tempdir().unwrap();
    let files = QuarantineFiles::new(QuarantineOptions::new(directory.path()));
    let total: usize = sizes.iter().sum();
    let bad: BTreeSet<u64> = positions_of(kinds, total, 0);
    let malformed_at: BTreeSet<u64> = positions_of(kinds, total, 1);
    let poison = {
        let bad = bad.clone();
        move |entry: &Entry| {
            bad.contains(&entry.position.number())
                .then(|| "bad".to_owned())
        }
    };
    let sink = FaultWriter::new(MemoryWriter::new()).at_random(seed, FaultChances::default());
    let sink = if named {
        sink.poisoned_by_name(poison)
    } else {
        sink.poisoned(poison)
    };
    let ledger = directory.path().join("ledger.json");
    let outside = (seed ^ 1, FaultChances::default());
    let writer = stack(order, sink.clone(), files.clone(), &ledger, outside);
    writer.open_scope(SCOPE, &scope()).await.unwrap();
    let mut next = 1;
    for (id, size) in (1..).zip(sizes) {
        let rows: Vec<Entry> = (next..next + *size as u64)
            .map(|at| match malformed_at.contains(&at) {
                true => malformed(at, "malformed", &at.to_le_bytes()),
                false => row(at, Value::I64(i64::try_from(at).unwrap())),
            })
            .collect();
        next += *size as u64;
        let batch = Batch::new(BatchId(id), rows);
        let mut receipt = None;
        for _ in 0..10_000 {
            match writer.write(&batch).await {
                Ok(written) => {
                    receipt = Some(written);
                    break;
                }
                Err(error) => assert_eq!(error.kind(), ErrorKind::Transient, "{error}"),
            }
        }
        let receipt = receipt.unwrap();
        for (index, entry) in batch.rows().iter().enumerate() {
            let position = entry.position.number();
            let is_good = !bad.contains(&position) && !malformed_at.contains(&position);
            let outcome = receipt.outcome(index);
            match is_good {
                true => assert_eq!(outcome, RowOutcome::Delivered),
                false => assert!(matches!(outcome, RowOutcome::Quarantined(_)), "{outcome:?}"),
            }
        }
    }
    let all = 1..=total as u64;
    let (refused, good): (Vec<u64>, Vec<u64>) =
        all.partition(|at| bad.contains(at) || malformed_at.contains(at));
    let delivered = sink.inner().delivered();
    let delivered: Vec<u64> = delivered.iter().map(|(_, at, _)| at.number()).collect();
    assert_eq!(delivered, good, "in order, none twice");
    let paths = files.paths().unwrap();
    let rows = paths
        .iter()
        .flat_map(|path| quarantine::read(path).unwrap());
    let mut kept: Vec<u64> = rows.map(|row| row.unwrap().position.number()).collect();
    kept.sort_unstable();
    assert_eq!(kept, refused, "none twice");
}

fn positions_of(kinds: &[u8], total: usize, wanted: u8) -> BTreeSet<u64> {
    let kinds = kinds.iter().take(total).zip(1..);
    kinds
        .filter(|(kind, _)| **kind == wanted)
        .map(|(_, at)| at)
        .collect()
}
