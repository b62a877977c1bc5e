//! PostgreSQL: rows and watermark commit together, and one bad row costs one row.

#![cfg(feature = "postgres")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
#[path = "common/postgres.rs"]
mod postgres;

use common::{SCOPE, batch, malformed, row};
use postgres::{ask, client, options, positions, server, writer};
use record::{Position, Value};
use sinks::{
    Batch, BatchId, BatchWriter, Entry, ErrorKind, PostgresWriter, RowOutcome, ScopeIndex,
    ScopeName,
};

fn name() -> ScopeName {
    ScopeName::new("plc/normal")
}

#[tokio::test]
async fn law_8_overlapping_batches_write_only_what_lies_above_the_watermark() {
    let Some(url) = server() else { return };
    let (writer, client) = (writer(&url, "overlap"), client(&url).await);
    let opened = writer.open_scope(SCOPE, &name()).await.unwrap();
    assert_eq!((opened.watermark, opened.fence), (Position::START, 1));
    assert_eq!(writer.write(&batch(1, 1..=5)).await.unwrap().repeated(), 0);
    assert_eq!(writer.write(&batch(1, 1..=5)).await.unwrap().repeated(), 5);
    let receipt = writer.write(&batch(2, 3..=9)).await.unwrap();
    assert_eq!((receipt.repeated(), receipt.delivered()), (3, 7));
    let receipt = writer.write(&batch(3, 10..=3000)).await.unwrap();
    assert_eq!((receipt.repeated(), receipt.delivered()), (0, 2991));
    assert_eq!(
        positions(&client, "overlap").await,
        Vec::from_iter(1..=3000)
    );
    writer.close().await.unwrap();
    assert_eq!(
        writer.scopes("plc/").await.unwrap(),
        [(name(), Position::new(3000))]
    );
    let renamed = ScopeName::new("plc/other");
    writer.rename_scope(&name(), &renamed).await.unwrap();
    let opened = writer.open_scope(SCOPE, &renamed).await.unwrap();
    assert_eq!(opened.watermark, Position::new(3000));
    let batch = Batch::new(
        BatchId(4),
        vec![Entry {
            scope: ScopeIndex(9),
            ..row(1, Value::Null)
        }],
    );
    assert_eq!(
        writer.write(&batch).await.unwrap_err().kind(),
        ErrorKind::Fatal
    );
}

#[tokio::test]
async fn law_8_a_stale_writer_is_shut_out_and_does_no_harm() {
    let Some(url) = server() else { return };
    let (stale, fresh) = (writer(&url, "stale"), writer(&url, "stale"));
    stale.open_scope(SCOPE, &name()).await.unwrap();
    stale.write(&batch(1, 1..=2)).await.unwrap();
    assert_eq!(fresh.open_scope(SCOPE, &name()).await.unwrap().fence, 2);
    for _ in 0..2 {
        let error = stale.write(&batch(2, 3..=4)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Fenced);
        assert_eq!(
            error.to_string(),
            "scope `plc/normal` was opened by another writer (fence 2, ours 1)"
        );
        // A new connection does not help it.
        stale.close().await.unwrap();
    }
    fresh.write(&batch(1, 3..=3)).await.unwrap();
    assert_eq!(positions(&client(&url).await, "stale").await, [1, 2, 3]);
}

#[tokio::test]
async fn law_8_rows_of_several_scopes_advance_each_its_own_watermark() {
    let Some(url) = server() else { return };
    let writer = writer(&url, "scopes");
    let other = ScopeName::new("host/high");
    writer.open_scope(SCOPE, &name()).await.unwrap();
    writer.open_scope(ScopeIndex(1), &other).await.unwrap();
    let rows = vec![
        row(1, Value::I64(1)),
        Entry {
            scope: ScopeIndex(1),
            ..row(7, Value::I64(2))
        },
        row(2, Value::I64(3)),
    ];
    writer.write(&Batch::new(BatchId(1), rows)).await.unwrap();
    let found = writer.scopes("").await.unwrap();
    assert_eq!(
        found,
        [(name(), Position::new(2)), (other, Position::new(7))]
    );
}

/// Rows of which these are refused by the table.
fn with_bad(bad: &[u64], count: u64) -> Batch {
    let value = |position| if bad.contains(&position) { -1 } else { 1 };
    let rows: Vec<_> = (1..=count)
        .map(|at| row(at, Value::I64(value(at))))
        .collect();
    Batch::new(BatchId(1), rows)
}

/// What is refused by this rule costs itself alone, wherever it stands.
async fn check(table: &str, rule: &str, reason: &str) {
    let Some(url) = server() else { return };
    let client = client(&url).await;
    let all: Vec<u64> = (1..=40).collect();
    for (index, bad) in [vec![17], vec![1], vec![40], vec![3, 4, 20, 39], all]
        .iter()
        .enumerate()
    {
        let table = format!("{table}_{index}");
        let writer = writer(&url, &table);
        writer.open_scope(SCOPE, &name()).await.unwrap();
        client
            .batch_execute(&rule.replace("TABLE_NAME", &table))
            .await
            .unwrap();
        for attempt in 0..2 {
            let receipt = writer.write(&with_bad(bad, 40)).await.unwrap();
            let refused = receipt.quarantined();
            let rows: Vec<u64> = refused.iter().map(|row| row.row as u64 + 1).collect();
            assert_eq!(&rows, bad, "{table}, attempt {attempt}");
            for refused in refused {
                assert!(refused.reason.contains(reason), "{}", refused.reason);
            }
        }
        let good: Vec<u64> = (1..=40)
            .filter(|position| !bad.contains(position))
            .collect();
        assert_eq!(positions(&client, &table).await, good, "{table}");
        let kept = format!("{table}_quarantine");
        assert_eq!(positions(&client, &kept).await, *bad, "{table}");
        // The next batch goes on.
        writer.write(&batch(2, 41..=42)).await.unwrap();
    }
}

#[tokio::test]
async fn law_9_rows_that_copy_names_cost_themselves_alone() {
    let rule = "ALTER TABLE TABLE_NAME ADD CHECK (value >= 0)";
    check("checked", rule, "(SQLSTATE 23514)").await;
}

#[tokio::test]
async fn law_9_rows_that_a_trigger_raises_about_behind_copy_are_found_by_halving() {
    let rule = "CREATE OR REPLACE FUNCTION no_negative() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN IF NEW.value < 0 THEN RAISE 'negative is not wanted'; END IF;
            RETURN NULL; END $$;
        CREATE TRIGGER after_row AFTER INSERT ON TABLE_NAME
            FOR EACH ROW EXECUTE FUNCTION no_negative()";
    check("raised", rule, "negative is not wanted").await;
}

#[tokio::test]
async fn law_9_rows_that_a_trigger_ignores_are_found() {
    let rule = "CREATE OR REPLACE FUNCTION drop_negative() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN IF NEW.value < 0 THEN RETURN NULL; END IF; RETURN NEW; END $$;
        CREATE TRIGGER before_row BEFORE INSERT ON TABLE_NAME
            FOR EACH ROW EXECUTE FUNCTION drop_negative()";
    check("ignored", rule, "a trigger ignored it").await;
}

#[tokio::test]
async fn law_9_rows_that_break_a_deferred_constraint_are_found() {
    let rule = "CREATE TABLE TABLE_NAME_allowed(value double precision PRIMARY KEY);
        INSERT INTO TABLE_NAME_allowed VALUES (1), (41), (42);
        ALTER TABLE TABLE_NAME ADD FOREIGN KEY (value) REFERENCES TABLE_NAME_allowed
            DEFERRABLE INITIALLY DEFERRED";
    check("deferred", rule, "(SQLSTATE 23503)").await;
}

#[tokio::test]
async fn lesson_one_bad_row_neither_rejects_nor_loses_its_batch() {
    let Some(url) = server() else { return };
    let (writer, client) = (writer(&url, "nul"), client(&url).await);
    writer.open_scope(SCOPE, &name()).await.unwrap();
    let rows = vec![
        row(1, Value::I64(1)),
        row(2, Value::text("a\0b").unwrap()),
        malformed(3, "line 3: a \0 in it", b"\xff\0"),
        row(4, Value::I64(4)),
    ];
    let batch = Batch::new(BatchId(1), rows);
    for _ in 0..2 {
        let receipt = writer.write(&batch).await.unwrap();
        let RowOutcome::Quarantined(reason) = receipt.outcome(1) else {
            panic!("not quarantined")
        };
        assert_eq!(
            reason,
            "column `value_text` has a NUL, which PostgreSQL keeps in no text"
        );
        assert_eq!(receipt.delivered(), 2);
    }
    assert_eq!(positions(&client, "nul").await, [1, 4]);
    let originals = "SELECT encode(original, 'hex') FROM nul_quarantine WHERE position = 3";
    assert_eq!(ask(&client, originals).await, ["ff00"]);
}

#[tokio::test]
async fn lesson_one_duplicate_key_drops_no_row_beside_it() {
    let Some(url) = server() else { return };
    let (writer, client) = (writer(&url, "twice"), client(&url).await);
    writer.open_scope(SCOPE, &name()).await.unwrap();
    client
        .batch_execute("CREATE UNIQUE INDEX ON twice (value)")
        .await
        .unwrap();
    let values = [1, 2, 1, 3];
    let rows: Vec<_> = (1..)
        .zip(values)
        .map(|(at, value)| row(at, Value::I64(value)))
        .collect();
    let receipt = writer.write(&Batch::new(BatchId(1), rows)).await.unwrap();
    assert_eq!(receipt.quarantined()[0].row, 2);
    assert_eq!(positions(&client, "twice").await, [1, 2, 4]);
}

#[tokio::test]
async fn an_upsert_keeps_the_last_row_of_each_key() {
    let Some(url) = server() else { return };
    let client = client(&url).await;
    let options = options(&url, "latest", "&upsert=source,tag");
    let writer: PostgresWriter = PostgresWriter::new(options);
    writer.open_scope(SCOPE, &name()).await.unwrap();
    client
        .batch_execute("ALTER TABLE latest ADD CHECK (value <> 13)")
        .await
        .unwrap();
    writer.write(&batch(1, 1..=5)).await.unwrap();
    assert_eq!(ask(&client, "SELECT value FROM latest").await, ["5"]);
    writer.write(&batch(2, 4..=9)).await.unwrap();
    assert_eq!(ask(&client, "SELECT value FROM latest").await, ["9"]);
    let receipt = writer.write(&batch(3, 10..=13)).await.unwrap();
    assert_eq!(receipt.quarantined().len(), 1);
    assert_eq!(ask(&client, "SELECT value FROM latest").await, ["12"]);
}

#[tokio::test]
async fn lesson_a_missing_partition_drains_no_rows_into_the_quarantine() {
    let Some(url) = server() else { return };
    let (writer, client) = (writer(&url, "parted"), client(&url).await);
    writer.open_scope(SCOPE, &name()).await.unwrap();
    let parted = "ALTER TABLE parted RENAME TO parted_before;
        CREATE TABLE parted (LIKE parted_before) PARTITION BY RANGE (timestamp)";
    client.batch_execute(parted).await.unwrap();
    writer.close().await.unwrap();
    let error = writer.write(&batch(1, 1..=5)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fatal, "{error}");
    assert!(
        error.to_string().contains("create the partition"),
        "{error}"
    );
    let part = "CREATE TABLE parted_rest PARTITION OF parted DEFAULT";
    client.batch_execute(part).await.unwrap();
    assert_eq!(writer.write(&batch(1, 1..=5)).await.unwrap().delivered(), 5);
    let kept = ask(&client, "SELECT count(*) FROM parted_quarantine").await;
    assert_eq!(kept, ["0"]);
}

#[tokio::test]
async fn a_table_that_a_crash_would_empty_is_warned_of_and_a_taken_name_is_named() {
    let Some(url) = server() else { return };
    let (writer, client) = (writer(&url, "unlogged"), client(&url).await);
    writer.open_scope(SCOPE, &name()).await.unwrap();
    let other = ScopeName::new("plc/other");
    writer.open_scope(ScopeIndex(1), &other).await.unwrap();
    let error = writer.rename_scope(&name(), &other).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fatal);
    assert!(error.to_string().contains("`plc/other` already"), "{error}");
    let unlogged = "ALTER TABLE unlogged SET UNLOGGED";
    client.batch_execute(unlogged).await.unwrap();
    writer.close().await.unwrap();
    writer.scopes("").await.unwrap();
    let warnings = writer.warnings().join("; ");
    assert!(
        warnings.contains("table `unlogged` is not logged"),
        "{warnings}"
    );
}

#[tokio::test]
async fn lesson_null_is_stored_as_null_and_no_kind_of_value_is_changed() {
    let Some(url) = server() else { return };
    let (writer, client) = (writer(&url, "kinds"), client(&url).await);
    writer.open_scope(SCOPE, &name()).await.unwrap();
    let values = [
        Value::Null,
        Value::Bool(true),
        Value::I64((1 << 53) + 1),
        Value::F64(0.1),
        Value::text("007").unwrap(),
        Value::json("[1]").unwrap(),
    ];
    let rows: Vec<_> = (1..)
        .zip(values)
        .map(|(at, value)| row(at, value))
        .collect();
    writer.write(&Batch::new(BatchId(1), rows)).await.unwrap();
    let all = "SELECT concat_ws(' ', value_kind, value::text, value_text, timestamp AT TIME ZONE
               'UTC') FROM kinds ORDER BY position";
    assert_eq!(
        ask(&client, all).await,
        [
            "null 1970-01-01 00:00:00.000001",
            "bool 1 1970-01-01 00:00:00.000002",
            "int 9.007199254740992e+15 9007199254740993 1970-01-01 00:00:00.000003",
            "float 0.1 1970-01-01 00:00:00.000004",
            "text 007 1970-01-01 00:00:00.000005",
            "json [1] 1970-01-01 00:00:00.000006",
        ]
    );
}
