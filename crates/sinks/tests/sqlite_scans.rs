//! Scans of SQLite that find nothing end when nobody waits for them any more.

#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::num::NonZeroU32;
use std::time::Duration;

use record::{Record, Timestamp};
use sinks::{HistoryQuery, HistoryReader, SqliteOptions, SqliteWriter};

/// In the place of the table there are rows without end, none of them of a tag that is asked for.
const ENDLESS: &str = "
    CREATE VIEW tag_values AS
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)
    SELECT i AS rowid, 'PLC01' AS source, 'other' || i AS tag, i AS timestamp, i AS value,
           'good' AS quality FROM n";

fn query() -> HistoryQuery {
    HistoryQuery {
        source: "PLC01".into(),
        tag: "D1".into(),
        from: Timestamp::from_micros(0).unwrap(),
        until: Timestamp::from_micros(1_000_000).unwrap(),
        readings_max: 10,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scan_ends_when_nobody_waits_for_it_any_more() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f.sqlite");
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.execute_batch(ENDLESS).unwrap();
    let reader: SqliteWriter<Record> = SqliteWriter::lazy(SqliteOptions::new(&path)).unwrap();
    let at_once = Duration::from_millis(20);
    // All places are taken, by ranges and by buckets, and left again.
    let ranges: Vec<_> = (0..4).map(|_| reader.range(query())).collect();
    let parts = NonZeroU32::new(10).unwrap();
    let buckets: Vec<_> = (0..4).map(|_| reader.buckets(query(), parts)).collect();
    let refused = reader.range(query()).next().await.unwrap().unwrap_err();
    assert!(refused.to_string().contains("already"), "{refused}");
    drop((ranges, buckets));
    let place = async {
        // A range that runs says nothing, for there is nothing to find.
        while let Ok(Some(said)) = tokio::time::timeout(at_once, reader.range(query()).next()).await
        {
            let refused = said.unwrap_err().to_string();
            assert!(refused.contains("already"), "{refused}");
            tokio::time::sleep(at_once).await;
        }
    };
    let found = tokio::time::timeout(Duration::from_secs(60), place).await;
    assert!(found.is_ok(), "scans that nobody waits for go on");
}
