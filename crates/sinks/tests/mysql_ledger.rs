//! Rows and their watermark commit together in MariaDB: once, in order, whoever else writes.

#![cfg(feature = "mysql")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
mod mysql_server;

use std::time::Duration;

use common::{batch, malformed, row};
use mysql_async::prelude::Queryable;
use mysql_server::{Database, open};
use record::{Position, Value};
use sinks::{
    Batch, BatchId, BatchWriter, ErrorKind, MysqlInsert, MysqlWriter, RowOutcome, ScopeIndex,
    ScopeName,
};

const ROWS: &str = "tag_values";
const QUARANTINE: &str = "forebay_quarantine";

#[tokio::test]
async fn law_8_every_row_is_there_once_whatever_the_boundaries_of_batches() {
    for insert in [MysqlInsert::Bulk, MysqlInsert::Rows] {
        let Some(database) = Database::create().await else {
            return;
        };
        let writer: MysqlWriter = MysqlWriter::new(database.options().insert(insert));
        assert_eq!(open(&writer).await.watermark, Position::START);
        assert_eq!(
            writer.write(&batch(1, 1..=1_000)).await.unwrap().repeated(),
            0
        );
        assert_eq!(
            writer.write(&batch(1, 1..=1_000)).await.unwrap().repeated(),
            1_000
        );
        let receipt = writer.write(&batch(2, 900..=1_700)).await.unwrap();
        assert_eq!((receipt.delivered(), receipt.repeated()), (801, 101));
        writer.close().await.unwrap();
        let again: MysqlWriter = database.writer();
        assert_eq!(open(&again).await.watermark, Position::new(1_700));
        assert_eq!(
            again
                .write(&batch(3, 1_500..=1_800))
                .await
                .unwrap()
                .repeated(),
            201
        );
        let expected: Vec<u64> = (1..=1_800).collect();
        assert_eq!(database.positions(ROWS).await, expected);
    }
}

#[tokio::test]
async fn a_stale_writer_is_shut_out_also_after_it_has_connected_again() {
    let Some(database) = Database::create().await else {
        return;
    };
    let (old, new): (MysqlWriter, MysqlWriter) = (database.writer(), database.writer());
    open(&old).await;
    old.write(&batch(1, 1..=3)).await.unwrap();
    let scope = open(&new).await;
    assert_eq!((scope.watermark, scope.fence), (Position::new(3), 2));
    for _ in 0..2 {
        let error = old.write(&batch(2, 4..=6)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Fenced);
        assert_eq!(
            error.to_string(),
            "scope `plc/normal` was opened by another writer (fence 2, ours 1)"
        );
        kill_connections(&database).await;
    }
    new.write(&batch(3, 4..=5)).await.unwrap();
    assert_eq!(database.positions(ROWS).await, [1, 2, 3, 4, 5]);
}

/// Ends every connection to the database, as a proxy that is restarted would.
async fn kill_connections(database: &Database) {
    let mut conn = database.connect().await;
    let sql = "SELECT id FROM information_schema.PROCESSLIST
               WHERE DB = DATABASE() AND id <> CONNECTION_ID()";
    let ids: Vec<u64> = conn.query(sql).await.unwrap();
    for id in ids {
        // It may have ended by itself.
        let _ = conn.query_drop(format!("KILL {id}")).await;
    }
}

#[tokio::test]
async fn a_connection_that_was_lost_while_idle_costs_no_attempt() {
    let Some(database) = Database::create().await else {
        return;
    };
    let writer: MysqlWriter = database.writer();
    open(&writer).await;
    writer.write(&batch(1, 1..=3)).await.unwrap();
    kill_connections(&database).await;
    assert_eq!(writer.write(&batch(2, 3..=6)).await.unwrap().repeated(), 1);
    assert_eq!(database.positions(ROWS).await, [1, 2, 3, 4, 5, 6]);
}

#[tokio::test]
async fn law_9_poison_rows_cost_only_themselves_wherever_they_are() {
    let tables: [&[u64]; 5] = [&[1], &[300], &[600], &[7, 8, 300, 599], &[]];
    for insert in [MysqlInsert::Bulk, MysqlInsert::Rows] {
        for poisoned in tables {
            let Some(database) = Database::create().await else {
                return;
            };
            let writer: MysqlWriter = MysqlWriter::new(database.options().insert(insert));
            open(&writer).await;
            database
                .run("ALTER TABLE tag_values MODIFY value_text VARCHAR(5)")
                .await;
            let is_poisoned = |at| poisoned.contains(&at) || poisoned.is_empty();
            let rows = (1..=600).map(|at| {
                let text = if is_poisoned(at) { "too long" } else { "short" };
                row(at, Value::text(text).unwrap())
            });
            let batch = Batch::new(BatchId(1), rows.collect::<Vec<_>>());
            for attempt in 0..2 {
                let receipt = writer.write(&batch).await.unwrap();
                let reason = "Data too long for column 'value_text'";
                for at in 1..=600 {
                    let outcome = receipt.outcome(usize::try_from(at).unwrap() - 1);
                    let expected = if is_poisoned(at) {
                        RowOutcome::Quarantined(reason)
                    } else {
                        RowOutcome::Delivered
                    };
                    assert_eq!(outcome, expected, "{at} of {poisoned:?}, attempt {attempt}");
                }
            }
            let (bad, good): (Vec<u64>, Vec<u64>) = (1..=600).partition(|at| is_poisoned(*at));
            assert_eq!(database.positions(ROWS).await, good);
            assert_eq!(database.positions(QUARANTINE).await, bad);
        }
    }
}

#[tokio::test]
async fn lesson_one_duplicate_key_costs_no_row_beside_it() {
    for insert in [MysqlInsert::Bulk, MysqlInsert::Rows] {
        let Some(database) = Database::create().await else {
            return;
        };
        let writer: MysqlWriter = MysqlWriter::new(database.options().insert(insert));
        open(&writer).await;
        database
            .run(
                "ALTER TABLE tag_values ADD UNIQUE KEY once (value),
                 ADD CONSTRAINT small CHECK (value < 1000)",
            )
            .await;
        let values = [1, 2, 2, 3, 1, 4, 1_000, 5];
        let rows = (1..)
            .zip(values)
            .map(|(at, value)| row(at, Value::I64(value)));
        let batch = Batch::new(BatchId(1), rows.collect::<Vec<_>>());
        let receipt = writer.write(&batch).await.unwrap();
        let refused: Vec<_> = receipt
            .quarantined()
            .iter()
            .map(|refused| refused.row)
            .collect();
        assert_eq!(refused, [2, 4, 6]);
        let reason = &receipt.quarantined()[0].reason;
        assert!(reason.contains("Duplicate entry '2' for key"), "{reason}");
        assert_eq!(database.positions(ROWS).await, [1, 2, 4, 6, 8]);
    }
}

#[tokio::test]
async fn law_9_malformed_input_is_kept_with_its_reason_and_bytes() {
    let Some(database) = Database::create().await else {
        return;
    };
    let writer: MysqlWriter = database.writer();
    open(&writer).await;
    let rows = vec![
        row(1, Value::Null),
        malformed(2, "line 2: invalid UTF-8 at byte 0", b"\xff\xfe'\\"),
        row(3, Value::Null),
    ];
    let receipt = writer.write(&Batch::new(BatchId(1), rows)).await.unwrap();
    assert_eq!((receipt.delivered(), receipt.quarantined().len()), (2, 1));
    let kept: Vec<(u64, String, Vec<u8>)> = database
        .query("SELECT position, reason, original FROM forebay_quarantine")
        .await;
    let reason = "line 2: invalid UTF-8 at byte 0".to_owned();
    assert_eq!(kept, [(2, reason, b"\xff\xfe'\\".to_vec())]);
}

#[tokio::test]
async fn one_batch_advances_each_of_its_scopes_and_scopes_keep_their_marks_under_new_names() {
    let Some(database) = Database::create().await else {
        return;
    };
    let writer: MysqlWriter = database.writer();
    open(&writer).await;
    let other = ScopeIndex(1);
    // Names differ by their bytes alone.
    let name = ScopeName::new("PLC/normal ");
    writer.open_scope(other, &name).await.unwrap();
    let mut second = row(40, Value::Bool(true));
    second.scope = other;
    let rows = vec![row(7, Value::Null), second, row(8, Value::Null)];
    writer.write(&Batch::new(BatchId(1), rows)).await.unwrap();
    let seen = writer.scopes("").await.unwrap();
    let seen: Vec<_> = seen
        .iter()
        .map(|(name, mark)| (name.as_str(), mark.number()))
        .collect();
    assert_eq!(seen, [("plc/normal", 8), ("PLC/normal ", 40)]);
    writer
        .rename_scope(&name, &ScopeName::new("file:%' \\"))
        .await
        .unwrap();
    assert_eq!(
        writer.scopes("file:%'").await.unwrap()[0].1,
        Position::new(40)
    );
    let (renamed, taken) = (ScopeName::new("file:%' \\"), ScopeName::new("plc/normal"));
    let error = writer.rename_scope(&renamed, &taken).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fatal);
    let mut stray = row(9, Value::Null);
    stray.scope = ScopeIndex(9);
    let error = writer
        .write(&Batch::new(BatchId(2), vec![stray]))
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "scope 9 is not open");
    writer.write(&batch(3, 9..=10)).await.unwrap();
}

#[tokio::test]
async fn a_lock_of_somebody_else_is_transient_and_the_batch_goes_in_once_it_is_gone() {
    let Some(database) = Database::create().await else {
        return;
    };
    let writer: MysqlWriter = database.writer();
    open(&writer).await;
    let mut other = database.connect().await;
    other
        .query_drop("BEGIN; SELECT * FROM forebay_ledger FOR UPDATE")
        .await
        .unwrap();
    let error = writer.write(&batch(1, 1..=3)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Transient, "{error}");
    assert!(error.to_string().contains("lock_wait_timeout"), "{error}");
    other.query_drop("ROLLBACK").await.unwrap();
    assert_eq!(writer.write(&batch(1, 1..=3)).await.unwrap().repeated(), 0);
    assert_eq!(database.positions(ROWS).await, [1, 2, 3]);
}

#[tokio::test]
async fn a_write_that_is_dropped_at_any_moment_is_there_once_after_the_next() {
    let Some(database) = Database::create().await else {
        return;
    };
    let writer: MysqlWriter = database.writer();
    open(&writer).await;
    let mut expected = Vec::new();
    for round in 0..40_u64 {
        let first = round * 50 + 1;
        let batch = batch(round, first..first + 50);
        let patience = Duration::from_micros(round * 150);
        let cut = tokio::time::timeout(patience, writer.write(&batch)).await;
        if let Ok(receipt) = cut {
            receipt.unwrap();
        }
        let receipt = writer.write(&batch).await.unwrap();
        assert!(receipt.delivered() == 50, "round {round}");
        expected.extend(first..first + 50);
    }
    assert_eq!(database.positions(ROWS).await, expected);
}
