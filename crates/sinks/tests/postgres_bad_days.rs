//! PostgreSQL: killed servers, lost answers, dropped futures and locks lose nothing and double
//! nothing.

#![cfg(feature = "postgres")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
#[path = "common/postgres.rs"]
mod postgres;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::{SCOPE, batch};
use postgres::{ask, client, options, positions, server, writer};
use record::Position;
use sinks::{Batch, BatchWriter, ErrorKind, PostgresWriter, Receipt, ScopeName, WriteError};
use test_services::{Kind, Service};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

fn name() -> ScopeName {
    ScopeName::new("plc/normal")
}

/// Waits as long as the writer asks for, until it succeeds.
async fn until_written(writer: &PostgresWriter, batch: &Batch) -> Receipt {
    loop {
        match writer.write(batch).await {
            Ok(receipt) => return receipt,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Transient, "{error}");
                tokio::time::sleep(error.retry_after().unwrap_or_default()).await;
            }
        }
    }
}

/// A trigger that makes COPY last until the test lets go of an advisory lock.
const WAITING: &str = "CREATE FUNCTION wait_for_test() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN PERFORM pg_advisory_xact_lock_shared(77); RETURN NEW; END $$;
    CREATE TRIGGER waiting BEFORE INSERT ON TABLE_NAME
        FOR EACH ROW WHEN (NEW.position = 7) EXECUTE FUNCTION wait_for_test()";

/// Waits until a statement waits for the test's lock.
async fn until_waiting(client: &tokio_postgres::Client, table: &str) {
    let waiting = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE
         'COPY%{table}%'"
    );
    while ask(client, &waiting).await != ["1"] {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn law_8_a_server_killed_between_copy_and_commit_has_the_rows_once_afterwards() {
    let Some(mut service) = Service::start(Kind::Postgres) else {
        return;
    };
    let url = service.url();
    let writer = Arc::new(writer(&url, "killed"));
    writer.open_scope(SCOPE, &name()).await.unwrap();
    writer.write(&batch(1, 1..=5)).await.unwrap();
    let holder = client(&url).await;
    holder
        .batch_execute(&WAITING.replace("TABLE_NAME", "killed"))
        .await
        .unwrap();
    holder
        .batch_execute("BEGIN; SELECT pg_advisory_xact_lock(77)")
        .await
        .unwrap();
    let writing = tokio::spawn({
        let writer = Arc::clone(&writer);
        async move { writer.write(&batch(2, 1..=2000)).await }
    });
    until_waiting(&client(&url).await, "killed").await;
    service.kill();
    let error = writing.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Transient, "{error}");
    let error = writer.write(&batch(2, 1..=2000)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Transient, "{error}");
    assert!(error.retry_after().is_some());
    service.restart();
    let receipt = until_written(&writer, &batch(2, 1..=2000)).await;
    assert_eq!((receipt.repeated(), receipt.delivered()), (5, 2000));
    let client = client(&url).await;
    assert_eq!(positions(&client, "killed").await, Vec::from_iter(1..=2000));
}

/// What a proxy is told to do once.
#[derive(Default)]
struct Mischief {
    /// To swallow the answer to a COMMIT and to close.
    swallow: AtomicBool,
    /// To spoil a BEGIN, so that the server refuses it and goes on with the next statement.
    spoil: AtomicBool,
}

/// Passes bytes on until it is told otherwise.
async fn proxy(to: u16, mischief: Arc<Mischief>) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(("127.0.0.1", to)).await.unwrap();
            tokio::spawn(relay(client, server, Arc::clone(&mischief)));
        }
    });
    port
}

async fn relay(mut client: TcpStream, mut server: TcpStream, mischief: Arc<Mischief>) {
    let (mut up, mut down) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        tokio::select! {
            read = client.read(&mut up) => {
                let Ok(count @ 1..) = read else { return };
                let begin = up[..count].windows(5).position(|part| part == b"BEGIN");
                if let Some(at) = begin && mischief.spoil.swap(false, Ordering::SeqCst) {
                    up[at + 4] = b'M';
                }
                server.write_all(&up[..count]).await.unwrap();
                let is_commit = up[..count].windows(6).any(|part| part == b"COMMIT");
                if is_commit && mischief.swallow.swap(false, Ordering::SeqCst) {
                    // The server has answered, so it has committed; nobody hears of it.
                    let _ = server.read(&mut down).await;
                    return;
                }
            }
            read = server.read(&mut down) => {
                let Ok(count @ 1..) = read else { return };
                client.write_all(&down[..count]).await.unwrap();
            }
        }
    }
}

#[tokio::test]
async fn lesson_a_commit_whose_answer_was_lost_is_not_repeated() {
    let Some(url) = server() else { return };
    let port = url::Url::parse(&url).unwrap().port().unwrap();
    let mischief = Arc::new(Mischief::default());
    let through = proxy(port, Arc::clone(&mischief)).await;
    let writer = writer(
        &url.replace(&port.to_string(), &through.to_string()),
        "lost",
    );
    writer.open_scope(SCOPE, &name()).await.unwrap();
    writer.write(&batch(1, 1..=5)).await.unwrap();
    mischief.swallow.store(true, Ordering::SeqCst);
    let error = writer.write(&batch(2, 6..=20)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Transient, "{error}");
    let receipt = until_written(&writer, &batch(3, 1..=25)).await;
    assert_eq!((receipt.repeated(), receipt.delivered()), (20, 25));
    let client = client(&url).await;
    assert_eq!(positions(&client, "lost").await, Vec::from_iter(1..=25));
}

#[tokio::test]
async fn law_8_a_begin_that_fails_commits_no_watermark_without_its_rows() {
    let Some(url) = server() else { return };
    let port = url::Url::parse(&url).unwrap().port().unwrap();
    let mischief = Arc::new(Mischief::default());
    let through = proxy(port, Arc::clone(&mischief)).await;
    let writer = writer(
        &url.replace(&port.to_string(), &through.to_string()),
        "unbegun",
    );
    writer.open_scope(SCOPE, &name()).await.unwrap();
    let (client, good) = (client(&url).await, batch(1, 1..=5));
    writer.write(&good).await.unwrap();
    // One write on a guess, and one with care.
    for rows in [batch(2, 6..=9), batch(3, 8..=12)] {
        mischief.spoil.store(true, Ordering::SeqCst);
        let error = writer.write(&rows).await.unwrap_err();
        assert!(error.to_string().contains("BEGIM"), "{error}");
        let last = positions(&client, "unbegun").await.pop().unwrap();
        let settled = writer.scopes("").await.unwrap();
        assert_eq!(settled, [(name(), Position::new(last))]);
        until_written(&writer, &rows).await;
    }
    assert_eq!(positions(&client, "unbegun").await, Vec::from_iter(1..=12));
}

#[tokio::test]
async fn law_8_a_ledger_that_went_back_is_noticed_and_nothing_is_left_out() {
    let Some(url) = server() else { return };
    let (writer, client) = (writer(&url, "restored"), client(&url).await);
    writer.open_scope(SCOPE, &name()).await.unwrap();
    writer.write(&batch(1, 1..=5)).await.unwrap();
    client
        .batch_execute(
            "DELETE FROM restored WHERE position > 3; UPDATE restored_ledger SET position = 3",
        )
        .await
        .unwrap();
    for _ in 0..2 {
        let error = writer.write(&batch(2, 6..=9)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Fatal);
        assert!(
            error
                .to_string()
                .starts_with("the ledger of scope `plc/normal` went back from position 5 to 3: "),
            "{error}"
        );
        // Nor by a new connection.
        writer.close().await.unwrap();
    }
    let opened = writer.open_scope(SCOPE, &name()).await.unwrap();
    assert_eq!(opened.watermark, Position::new(3));
    writer.write(&batch(3, 4..=9)).await.unwrap();
    assert_eq!(positions(&client, "restored").await, Vec::from_iter(1..=9));
}

#[tokio::test]
async fn lesson_a_write_that_is_dropped_midway_neither_loses_nor_doubles_its_rows() {
    let Some(url) = server() else { return };
    let writer = writer(&url, "dropped");
    writer.open_scope(SCOPE, &name()).await.unwrap();
    // However far each of them came.
    for step in 0..60_u64 {
        let rows = batch(step, 500 * step + 1..=500 * (step + 1));
        let patience = Duration::from_micros(step * 100);
        let _ = tokio::time::timeout(patience, writer.write(&rows)).await;
        assert_eq!(until_written(&writer, &rows).await.delivered(), 500);
    }
    let found = positions(&client(&url).await, "dropped").await;
    assert_eq!(found, Vec::from_iter(1..=30_000));
}

#[tokio::test]
async fn a_write_that_still_runs_on_the_server_is_waited_for_and_not_doubled() {
    let Some(url) = server() else { return };
    let writer = PostgresWriter::new(options(&url, "running", "&lock_timeout=100ms"));
    writer.open_scope(SCOPE, &name()).await.unwrap();
    let (holder, observer) = (client(&url).await, client(&url).await);
    let lock = "BEGIN; SELECT 1 FROM running_ledger FOR UPDATE";
    holder.batch_execute(lock).await.unwrap();
    for _ in 0..3 {
        let refused: WriteError = writer.write(&batch(1, 1..=3)).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Transient, "{refused}");
        tokio::time::sleep(refused.retry_after().unwrap_or_default()).await;
    }
    assert_eq!(positions(&observer, "running").await, [] as [u64; 0]);
    holder.batch_execute("ROLLBACK").await.unwrap();
    let receipt = until_written(&writer, &batch(1, 1..=3)).await;
    assert_eq!(receipt.repeated(), 0);
    assert_eq!(positions(&observer, "running").await, [1, 2, 3]);
}

#[tokio::test]
async fn lesson_a_first_connect_that_fails_is_not_final() {
    let Some(mut service) = Service::start(Kind::Postgres) else {
        return;
    };
    let url = service.url();
    service.stop();
    let writer = writer(&url, "late");
    let error = writer.open_scope(SCOPE, &name()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Transient, "{error}");
    assert!(
        error
            .to_string()
            .starts_with("cannot connect to postgres://127.0.0.1:"),
        "{error}"
    );
    service.restart();
    while let Err(error) = writer.open_scope(SCOPE, &name()).await {
        assert_eq!(error.kind(), ErrorKind::Transient, "{error}");
        tokio::time::sleep(error.retry_after().unwrap_or_default()).await;
    }
    assert_eq!(writer.write(&batch(1, 1..=3)).await.unwrap().delivered(), 3);
}
