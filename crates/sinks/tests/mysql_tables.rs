//! What MariaDB is refused for, and what is made of its tables.

#![cfg(feature = "mysql")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
mod mysql_server;

use std::time::Duration;

use common::{SCOPE, batch, row};
use mysql_server::{Database, open};
use record::{Record, Value};
use sinks::{
    Batch, BatchId, BatchWriter, ErrorKind, MysqlInsert, MysqlOptions, MysqlWriter, ScopeIndex,
    row as row_of,
};

const QUARANTINE: &str = "forebay_quarantine";

#[tokio::test]
async fn a_missing_column_that_may_be_null_is_added_and_anything_else_is_refused_by_its_name() {
    let Some(database) = Database::create().await else {
        return;
    };
    open(&database.writer::<Record>()).await;
    database
        .run("ALTER TABLE tag_values DROP COLUMN value_text")
        .await;
    let writer: MysqlWriter = database.writer();
    open(&writer).await;
    let text = Value::text("there again").unwrap();
    writer
        .write(&Batch::new(BatchId(1), vec![row(1, text)]))
        .await
        .unwrap();
    let texts: Vec<String> = database.query("SELECT value_text FROM tag_values").await;
    assert_eq!(texts, ["there again"]);
    database
        .run(
            "ALTER TABLE tag_values DROP COLUMN quality, MODIFY `timestamp` DATETIME NOT NULL,
             MODIFY value INT NULL, ADD COLUMN shift INT NOT NULL",
        )
        .await;
    let error = database.writer::<Record>().scopes("").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fatal);
    let said = error.to_string();
    for part in [
        "table `tag_values`",
        "column `timestamp` is DATETIME, expected DATETIME(6)",
        "column `value` is INT, expected DOUBLE",
        "column `quality` (MEDIUMTEXT) is missing",
        "column `shift` must have a value, and none is written",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[tokio::test]
async fn a_table_without_transactions_is_refused() {
    let Some(database) = Database::create().await else {
        return;
    };
    open(&database.writer::<Record>()).await;
    database.run("ALTER TABLE tag_values ENGINE=MyISAM").await;
    let error = database.writer::<Record>().scopes("").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fatal);
    assert!(
        error
            .to_string()
            .contains("is kept by MyISAM, which has no transactions"),
        "{error}"
    );
}

#[tokio::test]
async fn law_9_a_table_that_was_changed_is_not_taken_for_bad_rows() {
    let Some(database) = Database::create().await else {
        return;
    };
    let writer: MysqlWriter = database.writer();
    open(&writer).await;
    writer.write(&batch(1, 1..=3)).await.unwrap();
    database
        .run("ALTER TABLE tag_values RENAME COLUMN quality TO grade")
        .await;
    for _ in 0..2 {
        let error = writer.write(&batch(2, 4..=6)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Fatal, "{error}");
    }
    database
        .run("ALTER TABLE tag_values RENAME COLUMN grade TO quality")
        .await;
    tokio::time::sleep(Duration::from_millis(150)).await;
    assert_eq!(writer.write(&batch(2, 4..=6)).await.unwrap().delivered(), 3);
    assert!(database.positions(QUARANTINE).await.is_empty());
}

#[tokio::test]
async fn a_wrong_password_or_database_is_fatal_and_the_password_is_shown_nowhere() {
    let Some(database) = Database::create().await else {
        return;
    };
    database
        .run("CREATE USER plant@'%' IDENTIFIED BY 'right'")
        .await;
    let wrong = database.url.replace("root@", "plant:hunter2@");
    let options = mysql_server::options(&wrong);
    let shown = format!("{options} {options:?}");
    let writer: MysqlWriter = MysqlWriter::new(options);
    let error = writer.scopes("").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fatal);
    assert!(
        error
            .to_string()
            .contains("check the user and the password"),
        "{error}"
    );
    assert!(!format!("{error} {error:?} {shown} {writer:?}").contains("hunter2"));
    let missing: MysqlWriter = MysqlWriter::new(
        MysqlOptions::from_url(&database.url.replace("/test_", "/missing_").parse().unwrap())
            .unwrap(),
    );
    let error = missing.scopes("").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fatal);
    assert!(
        error.to_string().contains("create the database first"),
        "{error}"
    );
    assert!(error.retry_after().is_some());
}

#[test]
fn a_url_says_what_it_means_or_is_refused_by_what_is_wrong() {
    let refused = [
        ("http://host/db", "scheme `http`"),
        ("mysql://host/", "names no database"),
        ("mysql://host/db?colour=red", "`colour` is unknown"),
        ("mysql://host/db?table=Rows", "table=`Rows`"),
        ("mysql://host/db?prefix=1", "prefix=`1`"),
        ("mysql://host/db?tls=maybe", "parameter `tls`"),
        ("mysql://host/db?tls=off&ca=/etc/ca.pem", "parameter `ca`"),
        (
            "mysql://host/db?lock_wait_timeout=10ms",
            "parameter `lock_wait_timeout`",
        ),
        ("mysql://host/db?insert=load", "parameter `insert`"),
    ];
    for (url, expected) in refused {
        let error = MysqlOptions::from_url(&url.parse().unwrap())
            .unwrap_err()
            .to_string();
        assert!(error.contains(expected), "{url}: {error}");
    }
    let url = "mariadb://a%40b:p%2Fw@db:3307/x?table=rows&prefix=f_&tls=on&insert=rows\
               &connect_timeout=2s&lock_wait_timeout=3s";
    let options = MysqlOptions::from_url(&url.parse().unwrap()).unwrap();
    let expected = MysqlOptions::new("db", "x")
        .port(3307)
        .account("a@b", Some("p/w".into()))
        .table("rows")
        .unwrap()
        .prefix("f_")
        .unwrap()
        .insert(MysqlInsert::Rows)
        .connect_timeout(Duration::from_secs(2))
        .lock_wait_timeout(Duration::from_secs(3));
    assert_eq!(options, expected);
    let writer: MysqlWriter = MysqlWriter::new(options);
    assert!(writer.schema()[1].starts_with("CREATE TABLE IF NOT EXISTS `f_ledger` ("));
    assert_eq!(SCOPE, ScopeIndex(0));
}

struct Page;

row_of! {
    Page => "old_ledger" {
        "number": I64 = |_page| 1;
    }
}

#[tokio::test]
async fn rows_are_never_put_into_the_table_of_the_ledger() {
    let url = "mariadb://plant@127.0.0.1:1/x?prefix=old_";
    let options = MysqlOptions::from_url(&url.parse().unwrap()).unwrap();
    let writer: MysqlWriter<Page> = MysqlWriter::new(options);
    let error = writer.scopes("").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fatal);
    assert!(error.to_string().contains("table=`old_ledger`"), "{error}");
}
