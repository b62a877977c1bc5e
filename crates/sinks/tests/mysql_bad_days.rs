//! MariaDB that is killed, slow to come, or loses an answer: nothing lost, nothing twice.

#![cfg(feature = "mysql")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
mod mysql_server;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::{batch, row};
use mysql_server::{open, options, query};
use record::Value;
use sinks::{Batch, BatchId, BatchWriter, ErrorKind, MysqlWriter, Receipt, WriteError};
use test_services::{Kind, Service};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

async fn positions(url: &str) -> Vec<u64> {
    query(url, "SELECT position FROM tag_values ORDER BY position").await
}

/// Writes until it works, as a retry around the writer does.
async fn write_until_done(writer: &MysqlWriter, batch: &Batch) -> Receipt {
    loop {
        match writer.write(batch).await {
            Ok(receipt) => return receipt,
            Err(error) => wait_for(&error).await,
        }
    }
}

async fn wait_for(error: &WriteError) {
    assert_eq!(error.kind(), ErrorKind::Transient, "{error}");
    tokio::time::sleep(error.retry_after().unwrap_or(Duration::from_millis(1))).await;
}

#[tokio::test]
async fn law_8_a_server_that_is_killed_in_the_middle_of_batches_has_every_row_once() {
    let Some(mut server) = Service::start(Kind::MariaDb) else {
        return;
    };
    let url = server.url();
    let writer: Arc<MysqlWriter> = Arc::new(MysqlWriter::new(options(&url)));
    open(&*writer).await;
    let writing = {
        let writer = Arc::clone(&writer);
        tokio::spawn(async move {
            for id in 0..60_u64 {
                let batch = batch(id, id * 500 + 1..=id * 500 + 500);
                assert_eq!(write_until_done(&writer, &batch).await.delivered(), 500);
            }
        })
    };
    for round in 0..3_u64 {
        tokio::time::sleep(Duration::from_millis(40 + 23 * round)).await;
        server = tokio::task::spawn_blocking(move || {
            server.kill();
            server.restart();
            server
        })
        .await
        .unwrap();
    }
    writing.await.unwrap();
    let expected: Vec<u64> = (1..=30_000).collect();
    assert_eq!(positions(&url).await, expected);
}

#[tokio::test]
async fn lesson_a_failed_first_connect_is_not_final_and_no_batch_counts_as_written() {
    let Some(mut server) = Service::start(Kind::MariaDb) else {
        return;
    };
    server.stop();
    let url = server.url();
    let writer: MysqlWriter = MysqlWriter::new(options(&url));
    let error = writer.scopes("").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Transient);
    assert!(error.retry_after().is_some(), "{error}");
    server.restart();
    while let Err(error) = writer.scopes("").await {
        wait_for(&error).await;
    }
    open(&writer).await;
    writer.write(&batch(1, 1..=3)).await.unwrap();
    assert_eq!(positions(&url).await, [1, 2, 3]);
}

#[tokio::test]
async fn rows_above_the_packet_limit_are_quarantined_and_batches_above_it_are_split() {
    let limit = ["--max-allowed-packet=1M"];
    let Some(server) = Service::start_with(Kind::MariaDb, &limit) else {
        return;
    };
    let url = server.url();
    let writer: MysqlWriter = MysqlWriter::new(options(&url));
    open(&writer).await;
    let text = |bytes: usize| Value::text(&"x".repeat(bytes)).unwrap();
    let most = record::VALUE_BYTES_MAX;
    let rows = (1..=100).map(|at| row(at, text(most.min(50_000))));
    let large = Batch::new(BatchId(1), rows.collect::<Vec<_>>());
    assert_eq!(writer.write(&large).await.unwrap().delivered(), 100);
    assert_eq!(positions(&url).await.len(), 100);
    let named = sinks_row(101, 2 << 20);
    let notes: MysqlWriter<Note> = MysqlWriter::new(options(&url));
    open(&notes).await;
    let rows = vec![named, sinks_row(102, 10)];
    let receipt = notes.write(&Batch::new(BatchId(2), rows)).await.unwrap();
    assert_eq!((receipt.delivered(), receipt.quarantined().len()), (1, 1));
    let reason = &receipt.quarantined()[0].reason;
    assert!(reason.contains("max_allowed_packet"), "{reason}");
    let kept: Vec<String> = query(&url, "SELECT reason FROM forebay_quarantine").await;
    assert!(kept[0].contains("bytes are kept"), "{kept:?}");
}

struct Note {
    text: String,
}

sinks::row! {
    Note => "notes" {
        "text": Text = |note| note.text.as_str();
    }
}

fn sinks_row(position: u64, bytes: usize) -> sinks::Entry<Note> {
    let like = row(position, Value::Null);
    sinks::Entry {
        scope: like.scope,
        position: like.position,
        arrival: like.arrival,
        content: Ok(Note {
            text: "x".repeat(bytes),
        }),
    }
}

#[tokio::test]
async fn a_setting_that_does_not_survive_a_power_cut_is_named() {
    let off = ["--innodb-flush-log-at-trx-commit=2"];
    let Some(server) = Service::start_with(Kind::MariaDb, &off) else {
        return;
    };
    let writer: MysqlWriter = MysqlWriter::new(options(&server.url()));
    assert!(writer.warnings().is_empty());
    open(&writer).await;
    let warnings = writer.warnings();
    assert_eq!(warnings.len(), 1);
    assert!(
        warnings[0].starts_with("innodb_flush_log_at_trx_commit is 2, not 1"),
        "{warnings:?}"
    );
}

/// What stands between the writer and the server.
struct Proxy {
    port: u16,
    /// Forward the next commit, and close instead of giving its answer back.
    loses_answer: Arc<AtomicBool>,
    /// Answer the next query by asking for a local file.
    asks_for_file: Arc<AtomicBool>,
    was_told: Arc<AtomicBool>,
}

impl Proxy {
    async fn start(server: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let proxy = Self {
            port: listener.local_addr().unwrap().port(),
            loses_answer: Arc::default(),
            asks_for_file: Arc::default(),
            was_told: Arc::default(),
        };
        let (loses, asks) = (proxy.loses_answer.clone(), proxy.asks_for_file.clone());
        let told = proxy.was_told.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
                tokio::spawn(relay(
                    client,
                    server,
                    loses.clone(),
                    asks.clone(),
                    told.clone(),
                ));
            }
        });
        proxy
    }
}

async fn relay(
    mut client: TcpStream,
    mut server: TcpStream,
    loses: Arc<AtomicBool>,
    asks: Arc<AtomicBool>,
    told: Arc<AtomicBool>,
) {
    let (mut up, mut down) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        tokio::select! {
            count = client.read(&mut up) => {
                let Ok(count @ 1..) = count else { return };
                let ends = up[..count].ends_with(b"COMMIT");
                if ends && asks.swap(false, Ordering::Relaxed) {
                    let name = b"\xfb/etc/hostname";
                    let mut packet = vec![u8::try_from(name.len()).unwrap(), 0, 0, 1];
                    packet.extend_from_slice(name);
                    let _ = client.write_all(&packet).await;
                    let answer = client.read(&mut up).await;
                    told.store(answer.is_ok_and(|count| count > 0), Ordering::Relaxed);
                    return;
                }
                if server.write_all(&up[..count]).await.is_err() {
                    return;
                }
                if ends && loses.swap(false, Ordering::Relaxed) {
                    // The answer is there, so it is committed; and it goes nowhere.
                    let _ = server.read(&mut down).await;
                    return;
                }
            }
            count = server.read(&mut down) => {
                let Ok(count @ 1..) = count else { return };
                if client.write_all(&down[..count]).await.is_err() {
                    return;
                }
            }
        }
    }
}

#[tokio::test]
async fn lesson_a_commit_whose_answer_is_lost_is_not_repeated() {
    let Some(server) = Service::start(Kind::MariaDb) else {
        return;
    };
    let url = server.url();
    let proxy = Proxy::start(server.port()).await;
    let through = url.replace(&server.port().to_string(), &proxy.port.to_string());
    let writer: MysqlWriter = MysqlWriter::new(options(&through));
    open(&writer).await;
    for id in 0..5_u64 {
        let batch = batch(id, id * 10 + 1..=id * 10 + 10);
        proxy.loses_answer.store(true, Ordering::Relaxed);
        let error = writer.write(&batch).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Transient, "{error}");
        let receipt = writer.write(&batch).await.unwrap();
        assert_eq!((receipt.delivered(), receipt.repeated()), (10, 10), "{id}");
    }
    let expected: Vec<u64> = (1..=50).collect();
    assert_eq!(positions(&url).await, expected);
}

#[tokio::test]
async fn a_server_that_asks_for_a_local_file_gets_nothing() {
    let Some(server) = Service::start(Kind::MariaDb) else {
        return;
    };
    let proxy = Proxy::start(server.port()).await;
    let url = server.url();
    let through = url.replace(&server.port().to_string(), &proxy.port.to_string());
    let writer: MysqlWriter = MysqlWriter::new(options(&through));
    open(&writer).await;
    proxy.asks_for_file.store(true, Ordering::Relaxed);
    let error = writer.write(&batch(1, 1..=3)).await.unwrap_err();
    assert!(error.to_string().contains("LOCAL INFILE"), "{error}");
    assert!(!proxy.was_told.load(Ordering::Relaxed));
    assert_eq!(writer.write(&batch(1, 1..=3)).await.unwrap().repeated(), 0);
    assert_eq!(positions(&url).await, [1, 2, 3]);
}
