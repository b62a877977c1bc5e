//! Rows and watermark commit together: nothing lost, nothing twice.

#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{SCOPE, batch, malformed, row};
use record::{Position, Value};
use rusqlite::types::Value as Sql;
use sinks::{
    Batch, BatchId, BatchWriter, ErrorKind, RowOutcome, ScopeIndex, ScopeName, SqliteOptions,
    SqliteWriter,
};
use tempfile::TempDir;

fn open(folder: &TempDir) -> SqliteWriter {
    <SqliteWriter>::open(SqliteOptions::new(folder.path().join("forebay.sqlite"))).unwrap()
}

fn query<T: rusqlite::types::FromSql>(folder: &TempDir, sql: &str) -> Vec<T> {
    let connection = rusqlite::Connection::open(folder.path().join("forebay.sqlite")).unwrap();
    let mut statement = connection.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| row.get(0)).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

fn name() -> ScopeName {
    ScopeName::new("plc/normal")
}

#[tokio::test]
async fn law_8_overlapping_batches_write_only_what_lies_above_the_watermark() {
    let folder = tempfile::tempdir().unwrap();
    let writer = open(&folder);
    let opened = writer.open_scope(SCOPE, &name()).await.unwrap();
    assert_eq!(opened.watermark, Position::START);
    assert_eq!(writer.write(&batch(1, 1..=5)).await.unwrap().repeated(), 0);
    // The same batch after an unknown outcome, then one with other boundaries.
    assert_eq!(writer.write(&batch(1, 1..=5)).await.unwrap().repeated(), 5);
    let receipt = writer.write(&batch(2, 3..=9)).await.unwrap();
    assert_eq!((receipt.repeated(), receipt.delivered()), (3, 7));
    assert_eq!(
        query::<i64>(&folder, "SELECT position FROM tag_values"),
        Vec::from_iter(1..=9)
    );
    writer.close().await.unwrap();

    let again = open(&folder);
    assert_eq!(
        again.open_scope(SCOPE, &name()).await.unwrap().watermark,
        Position::new(9)
    );
}

#[tokio::test]
async fn law_8_a_stale_writer_is_shut_out_and_does_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    let (stale, fresh) = (open(&folder), open(&folder));
    stale.open_scope(SCOPE, &name()).await.unwrap();
    stale.write(&batch(1, 1..=2)).await.unwrap();
    let opened = fresh.open_scope(SCOPE, &name()).await.unwrap();
    assert_eq!(opened.fence, 2);
    let error = stale.write(&batch(2, 3..=4)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fenced);
    assert_eq!(
        error.to_string(),
        "scope `plc/normal` was opened by another writer (fence 2, ours 1)"
    );
    assert_eq!(error.outcome(0), RowOutcome::Retryable);
    fresh.write(&batch(1, 3..=3)).await.unwrap();
    assert_eq!(
        query::<i64>(&folder, "SELECT position FROM tag_values"),
        [1, 2, 3]
    );
}

#[tokio::test]
async fn law_9_one_bad_row_costs_one_row() {
    let folder = tempfile::tempdir().unwrap();
    let writer = open(&folder);
    writer.open_scope(SCOPE, &name()).await.unwrap();
    let connection = rusqlite::Connection::open(folder.path().join("forebay.sqlite")).unwrap();
    connection
        .execute_batch(
            "CREATE TRIGGER no_13 BEFORE INSERT ON tag_values WHEN NEW.value = 13
             BEGIN SELECT RAISE(ABORT, 'thirteen is not wanted'); END",
        )
        .unwrap();
    let rows = vec![
        row(11, Value::I64(11)),
        row(12, Value::I64(13)),
        malformed(13, "line 13: field `tag` is missing", b"{\"source\":\"x\"}"),
        malformed(14, "line 14: invalid UTF-8 at byte 0", b"\xff\xfe"),
        row(15, Value::I64(15)),
    ];
    let batch = Batch::new(BatchId(1), rows);
    for attempt in 0..2 {
        let receipt = writer.write(&batch).await.unwrap();
        assert_eq!(receipt.delivered(), 2, "attempt {attempt}");
        assert_eq!(receipt.outcome(0), RowOutcome::Delivered);
        assert_eq!(
            receipt.outcome(1),
            RowOutcome::Quarantined("thirteen is not wanted")
        );
        assert_eq!(receipt.quarantined().len(), 3, "attempt {attempt}");
    }
    assert_eq!(
        query::<i64>(&folder, "SELECT position FROM tag_values"),
        [11, 15]
    );
    assert_eq!(
        query::<i64>(&folder, "SELECT position FROM quarantine"),
        [12, 13, 14]
    );
    assert_eq!(
        query::<Sql>(&folder, "SELECT original FROM quarantine"),
        [
            Sql::Text(
                r#"{"timestamp":12,"source":"PLC01","tag":"D100","value":13,"quality":"good"}"#
                    .into()
            ),
            Sql::Text(r#"{"source":"x"}"#.into()),
            Sql::Blob(vec![0xff, 0xfe]),
        ]
    );
}

#[tokio::test]
async fn law_9_no_trigger_or_index_makes_a_bad_row_cost_more_than_itself() {
    let trigger = |time: &str, action: &str| {
        format!(
            "CREATE TRIGGER t {time} INSERT ON tag_values WHEN NEW.value = 13
             BEGIN SELECT RAISE({action}); END"
        )
    };
    let table = [
        (trigger("BEFORE", "ABORT, 'no'"), Value::I64(13), "no"),
        (trigger("AFTER", "FAIL, 'no'"), Value::I64(13), "no"),
        (trigger("BEFORE", "ROLLBACK, 'no'"), Value::I64(13), "no"),
        (trigger("AFTER", "ROLLBACK, 'no'"), Value::I64(13), "no"),
        (
            trigger("BEFORE", "IGNORE"),
            Value::I64(13),
            "the database took no row: a trigger ignored it",
        ),
        (
            "CREATE INDEX i ON tag_values(json_extract(value, '$[0]'))".to_owned(),
            Value::text("no JSON").unwrap(),
            "malformed JSON",
        ),
    ];
    for (sql, bad, reason) in table {
        let folder = tempfile::tempdir().unwrap();
        let writer = open(&folder);
        writer.open_scope(SCOPE, &name()).await.unwrap();
        let connection = rusqlite::Connection::open(folder.path().join("forebay.sqlite")).unwrap();
        connection.execute_batch(&sql).unwrap();
        let good = || Value::json("[1]").unwrap();
        let rows = [good(), bad.clone(), good(), bad, good()];
        let rows = (1..)
            .zip(rows)
            .map(|(position, value)| row(position, value));
        let batch = Batch::new(BatchId(1), rows.collect::<Vec<_>>());
        let receipt = writer.write(&batch).await.unwrap();
        assert_eq!(receipt.delivered(), 3, "{sql}");
        assert_eq!(receipt.outcome(1), RowOutcome::Quarantined(reason), "{sql}");
        assert_eq!(
            query::<i64>(&folder, "SELECT position FROM tag_values"),
            [1, 3, 5],
            "{sql}"
        );
        assert_eq!(
            query::<i64>(&folder, "SELECT position FROM quarantine"),
            [2, 4],
            "{sql}"
        );
    }
}

#[tokio::test]
async fn law_9_a_table_that_was_changed_is_not_taken_for_bad_rows() {
    let table = [
        (
            "ALTER TABLE tag_values RENAME COLUMN quality TO grade",
            false,
        ),
        ("ALTER TABLE tag_values RENAME TO readings", false),
        ("DROP TABLE tag_values", false),
        ("ALTER TABLE tag_values ADD COLUMN note TEXT", true),
        (
            "ALTER TABLE tag_values ADD COLUMN note TEXT NOT NULL DEFAULT ''",
            true,
        ),
    ];
    for (sql, goes_on) in table {
        let folder = tempfile::tempdir().unwrap();
        let writer = open(&folder);
        writer.open_scope(SCOPE, &name()).await.unwrap();
        writer.write(&batch(1, 1..=3)).await.unwrap();
        let connection = rusqlite::Connection::open(folder.path().join("forebay.sqlite")).unwrap();
        connection.execute_batch(sql).unwrap();
        match writer.write(&batch(2, 4..=6)).await {
            Ok(receipt) => assert!(goes_on && receipt.delivered() == 3, "{sql}: {receipt:?}"),
            Err(error) => {
                assert!(!goes_on, "{sql}: {error}");
                assert_eq!(error.kind(), ErrorKind::Fatal, "{sql}: {error}");
            }
        }
        assert_eq!(
            query::<i64>(&folder, "SELECT count(*) FROM quarantine"),
            [0],
            "{sql}"
        );
        let opened = <SqliteWriter>::open(SqliteOptions::new(folder.path().join("forebay.sqlite")));
        let creates_anew = sql.contains("DROP") || sql.contains("RENAME TO");
        assert_eq!(opened.is_ok(), goes_on || creates_anew, "{sql}: {opened:?}");
    }
}

#[tokio::test]
async fn every_value_keeps_its_type_in_the_table() {
    let folder = tempfile::tempdir().unwrap();
    let writer = open(&folder);
    writer.open_scope(SCOPE, &name()).await.unwrap();
    let values = [
        Value::Null,
        Value::Bool(true),
        Value::I64(7),
        Value::F64(1.0),
        Value::text("007").unwrap(),
        Value::json("[1]").unwrap(),
    ];
    let rows = (1..)
        .zip(values)
        .map(|(position, value)| row(position, value))
        .collect::<Vec<_>>();
    writer.write(&Batch::new(BatchId(1), rows)).await.unwrap();
    assert_eq!(
        query::<String>(
            &folder,
            "SELECT typeof(value) || ' ' || quote(value) FROM tag_values"
        ),
        [
            "null NULL",
            "integer 1",
            "integer 7",
            "real 1.0",
            "text '007'",
            "text '[1]'"
        ]
    );
    assert_eq!(
        query::<String>(&folder, "SELECT quality FROM tag_values LIMIT 1"),
        ["bad"]
    );
}

#[tokio::test]
async fn one_batch_advances_each_of_its_scopes() {
    let folder = tempfile::tempdir().unwrap();
    let writer = open(&folder);
    let other = ScopeIndex(1);
    writer.open_scope(SCOPE, &name()).await.unwrap();
    writer
        .open_scope(other, &ScopeName::new("http/normal"))
        .await
        .unwrap();
    let mut second = row(40, Value::Bool(true));
    second.scope = other;
    let rows = vec![row(7, Value::Null), second, row(8, Value::Null)];
    writer.write(&Batch::new(BatchId(1), rows)).await.unwrap();
    let scopes = writer.scopes("").await.unwrap();
    let seen: Vec<_> = scopes
        .iter()
        .map(|(name, mark)| (name.as_str(), mark.number()))
        .collect();
    assert_eq!(seen, [("plc/normal", 8), ("http/normal", 40)]);
    writer
        .rename_scope(&name(), &ScopeName::new("plc/high"))
        .await
        .unwrap();
    assert_eq!(writer.scopes("plc/h").await.unwrap()[0].1, Position::new(8));
    let unknown = Batch::new(
        BatchId(2),
        vec![{
            let mut stray = row(1, Value::Null);
            stray.scope = ScopeIndex(9);
            stray
        }],
    );
    assert_eq!(
        writer.write(&unknown).await.unwrap_err().to_string(),
        "scope 9 is not open"
    );
}

#[tokio::test]
async fn law_8_a_ledger_that_went_back_is_noticed_before_rows_are_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let writer = open(&folder);
    writer.open_scope(SCOPE, &name()).await.unwrap();
    writer.write(&batch(1, 1..=9)).await.unwrap();
    // As a backup would that is played back into the file.
    let connection = rusqlite::Connection::open(folder.path().join("forebay.sqlite")).unwrap();
    connection
        .execute_batch("UPDATE ledger SET position = 5; DELETE FROM tag_values WHERE position > 5")
        .unwrap();
    let error = writer.write(&batch(2, 10..=12)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fatal);
    assert!(
        error.to_string().contains("went back from position 9 to 5"),
        "{error}"
    );
    // Whoever opens the scope again is told where to go on.
    let opened = writer.open_scope(SCOPE, &name()).await.unwrap();
    assert_eq!(opened.watermark, Position::new(5));
    assert_eq!(writer.write(&batch(3, 6..=12)).await.unwrap().repeated(), 0);
}
