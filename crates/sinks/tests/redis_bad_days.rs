//! Servers that are down, killed, full, frozen, or whose answers get lost: nothing lost, nothing
//! twice, and on again.

#![cfg(feature = "redis")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "common/certificates.rs"]
mod certificates;
mod common;
#[path = "common/proxy.rs"]
mod proxy;

use std::cell::RefCell;
use std::time::Duration;

use certificates::make_certificates;
use common::{SCOPE, batch};
use proxy::Proxy;
use record::{Position, Record};
use sinks::{
    Batch, BatchWriter, ErrorKind, Receipt, RedisOptions, RedisWriter, ScopeName, WriteError,
};
use test_services::{Kind, Service};

const STREAM: &str = "forebay:stream:plc/normal";

fn name() -> ScopeName {
    ScopeName::new("plc/normal")
}

fn connection(server: &Service) -> redis::Connection {
    redis::Client::open(server.url())
        .unwrap()
        .get_connection()
        .unwrap()
}

fn ids(server: &Service) -> Vec<u64> {
    let mut command = redis::cmd("XRANGE");
    command.arg(STREAM).arg("-").arg("+");
    let entries: Vec<(String, Vec<String>)> = command.query(&mut connection(server)).unwrap();
    let number = |id: &str| id.strip_suffix("-0").unwrap().parse().unwrap();
    entries.iter().map(|(id, _)| number(id)).collect()
}

/// Tries again for as long as the failure is one of the moment, after the pause it asks for.
async fn persist<T, F>(attempt: impl Fn() -> F) -> T
where
    F: Future<Output = Result<T, WriteError>>,
{
    let pause = Duration::from_millis(5);
    let attempts = async {
        loop {
            match attempt().await {
                Ok(done) => return done,
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Transient, "{error}");
                    tokio::time::sleep(error.retry_after().unwrap_or(pause)).await;
                }
            }
        }
    };
    let deadline = Duration::from_secs(60);
    tokio::time::timeout(deadline, attempts)
        .await
        .expect("it works in the end")
}

async fn write(writer: &RedisWriter, batch: &Batch) -> Receipt {
    persist(|| writer.write(batch)).await
}

/// Lets the other tasks have so many turns.
async fn turns(count: u64) {
    for _ in 0..count {
        tokio::task::yield_now().await;
    }
}

async fn opened(url: &str) -> RedisWriter {
    let writer = RedisWriter::new(RedisOptions::new(url).unwrap());
    let scope_name = name();
    persist(|| writer.open_scope(SCOPE, &scope_name)).await;
    writer
}

#[tokio::test]
async fn lesson_a_failed_first_connect_is_not_final() {
    let Some(mut server) = Service::start(Kind::Redis) else {
        return;
    };
    server.kill();
    let writer = RedisWriter::<Record>::new(RedisOptions::new(&server.url()).unwrap());
    // The clock stands still, so that the pause is not over however slow the machine is.
    tokio::time::pause();
    let error = writer.open_scope(SCOPE, &name()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Transient);
    assert!(
        error
            .to_string()
            .contains("cannot connect to redis://127.0.0.1"),
        "{error}"
    );
    // Within the pause nobody knocks again.
    assert!(error.retry_after().is_some());
    let early = writer.open_scope(SCOPE, &name()).await.unwrap_err();
    assert_eq!(early.to_string(), error.to_string());
    assert_eq!(early.retry_after(), error.retry_after());
    tokio::time::resume();
    server.restart();
    let scope_name = name();
    persist(|| writer.open_scope(SCOPE, &scope_name)).await;
    assert_eq!(write(&writer, &batch(1, 1..=3)).await.delivered(), 3);
    assert_eq!(ids(&server), [1, 2, 3]);
}

#[tokio::test]
async fn killed_and_restarted_it_has_everything_that_was_acknowledged_once_and_in_order() {
    let Some(mut server) = Service::start(Kind::Redis) else {
        return;
    };
    let url = format!("{}?chunk=20", server.url());
    let mut writer = opened(&url).await;
    let scope_name = name();
    let mut random = fastrand::Rng::with_seed(7);
    for round in 0..8 {
        let first = 1 + round * 100;
        let rows = batch(round, first..first + 100);
        // Killed after some of the chunks have arrived, or none, or all.
        let wait = Duration::from_micros(random.u64(0..3_000));
        let killed = async {
            tokio::time::sleep(wait).await;
            server.kill();
        };
        let (outcome, ()) = tokio::join!(writer.write(&rows), killed);
        server.restart();
        if let Err(error) = outcome {
            assert_eq!(error.kind(), ErrorKind::Transient, "{error}");
            if random.bool() {
                // The writer goes down with it, and another one takes over.
                writer = RedisWriter::new(RedisOptions::new(&url).unwrap());
                let scope = persist(|| writer.open_scope(SCOPE, &scope_name)).await;
                assert!(scope.watermark.number() < first + 100);
            }
        }
        assert_eq!(write(&writer, &rows).await.delivered(), 100);
        assert_eq!(ids(&server), (1..first + 100).collect::<Vec<_>>());
    }
    assert!(writer.warnings().is_empty(), "{:?}", writer.warnings());
}

#[tokio::test]
async fn lesson_a_commit_whose_answer_was_lost_is_not_repeated() {
    let Some(server) = Service::start(Kind::Redis) else {
        return;
    };
    let proxy = Proxy::start(server.port());
    let writer = opened(&format!("redis://127.0.0.1:{}/?chunk=10", proxy.port())).await;
    for round in 0..5 {
        let first = 1 + round * 30;
        let rows = batch(round, first..first + 30);
        proxy.lose_an_answer();
        let error = writer.write(&rows).await.unwrap_err();
        assert_eq!((error.kind(), proxy.to_lose()), (ErrorKind::Transient, 0));
        // A part of it, as a layer that splits would send, and another cut of another run.
        assert!(write(&writer, &rows.slice(0..20)).await.repeated() > 0);
        let receipt = write(&writer, &batch(100 + round, first..first + 20)).await;
        assert!(receipt.repeated() > 0, "{receipt:?}");
        assert_eq!(write(&writer, &rows).await.delivered(), 30);
    }
    assert_eq!(ids(&server), (1..=150).collect::<Vec<_>>());
    let scope = writer.open_scope(SCOPE, &name()).await.unwrap();
    assert_eq!(scope.watermark, Position::new(150));
}

#[tokio::test]
async fn a_rename_whose_answer_was_lost_is_found_out_by_the_next_write() {
    let Some(server) = Service::start(Kind::Redis) else {
        return;
    };
    let proxy = Proxy::start(server.port());
    let writer = opened(&format!("redis://127.0.0.1:{}/", proxy.port())).await;
    writer.write(&batch(1, 1..=2)).await.unwrap();
    let other = ScopeName::new("line/normal");
    proxy.lose_an_answer();
    let error = writer.rename_scope(&name(), &other).await.unwrap_err();
    assert_eq!((error.kind(), proxy.to_lose()), (ErrorKind::Transient, 0));
    assert_eq!(write(&writer, &batch(2, 2..=4)).await.repeated(), 1);
    let known = writer.scopes("").await.unwrap();
    assert_eq!(known, [(other, Position::new(4))]);
}

#[tokio::test]
async fn memory_that_is_used_up_is_transient_and_rows_go_in_once_some_is_free() {
    let limits = ["--maxmemory", "2mb", "--maxmemory-policy", "noeviction"];
    let Some(server) = Service::start_with(Kind::Redis, &limits) else {
        return;
    };
    let writer = opened(&server.url()).await;
    let connection = RefCell::new(connection(&server));
    let fill = "x".repeat(10_000);
    let mut count = 0;
    while redis::cmd("RPUSH")
        .arg("filler")
        .arg(&fill)
        .exec(&mut connection.borrow_mut())
        .is_ok()
    {
        count += 1;
        assert!(count < 1_000, "there is a limit");
    }
    let rows = batch(1, 1..=50);
    let error = writer.write(&rows).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Transient, "{error}");
    assert!(error.to_string().contains("raise `maxmemory`"), "{error}");
    // Each attempt is a command on the same connection, not another login.
    let logins = || {
        let mut info = redis::cmd("INFO");
        let info: String = info
            .arg("stats")
            .query(&mut connection.borrow_mut())
            .unwrap();
        let line = info
            .lines()
            .find(|line| line.starts_with("total_connections"));
        line.unwrap().to_owned()
    };
    let before = logins();
    for _ in 0..3 {
        writer.write(&rows).await.unwrap_err();
    }
    assert_eq!(logins(), before);
    redis::cmd("DEL")
        .arg("filler")
        .exec(&mut connection.borrow_mut())
        .unwrap();
    assert_eq!(write(&writer, &rows).await.repeated(), 0);
    assert_eq!(ids(&server), (1..=50).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_server_that_hangs_is_left_after_the_timeout_and_what_it_does_later_is_known() {
    let Some(server) = Service::start(Kind::Redis) else {
        return;
    };
    let writer = opened(&format!(
        "{}?timeout=100ms&connect_timeout=100ms",
        server.url()
    ))
    .await;
    server.pause();
    let rows = batch(1, 1..=3);
    let error = writer.write(&rows).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Transient);
    assert!(
        error.to_string().contains("no answer within 100ms"),
        "{error}"
    );
    server.resume();
    assert_eq!(write(&writer, &rows).await.delivered(), 3);
    assert_eq!(ids(&server), [1, 2, 3]);
}

#[tokio::test]
async fn a_dropped_write_is_neither_lost_nor_repeated() {
    let Some(server) = Service::start(Kind::Redis) else {
        return;
    };
    let writer = opened(&server.url()).await;
    for round in 0..20 {
        let first = 1 + round * 10;
        let rows = batch(round, first..first + 10);
        server.pause();
        // As far as it gets before the answer; in half of the rounds the bytes leave as well.
        tokio::select! {
            biased;
            _ = writer.write(&rows) => panic!("nobody answers"),
            () = turns(1 + round % 2 * 5) => {}
        }
        server.resume();
        assert_eq!(write(&writer, &rows).await.delivered(), 10);
    }
    assert_eq!(ids(&server), (1..=200).collect::<Vec<_>>());
}

#[tokio::test]
async fn settings_that_endanger_rows_are_named_and_lost_rows_are_told() {
    let unsafe_settings = ["--appendonly", "no", "--maxmemory-policy", "allkeys-lru"];
    let Some(mut server) = Service::start_with(Kind::Redis, &unsafe_settings) else {
        return;
    };
    let writer = opened(&server.url()).await;
    let warnings = writer.warnings();
    assert!(warnings[0].contains("`appendonly no`"), "{warnings:?}");
    assert!(
        warnings[1].contains("`maxmemory-policy allkeys-lru`"),
        "{warnings:?}"
    );
    assert_eq!(warnings.len(), 2, "{warnings:?}");

    // A snapshot, rows that it does not have, and a crash.
    writer.write(&batch(1, 1..=5)).await.unwrap();
    redis::cmd("SAVE").exec(&mut connection(&server)).unwrap();
    writer.write(&batch(2, 6..=9)).await.unwrap();
    server.kill();
    server.restart();
    write(&writer, &batch(3, 10..=12)).await;
    assert_eq!(ids(&server), [1, 2, 3, 4, 5, 10, 11, 12]);
    let warnings = writer.warnings();
    let told = warnings
        .iter()
        .any(|line| line.contains("positions 6 to 9"));
    assert!(told, "{warnings:?}");
}

#[tokio::test]
async fn tls_is_trusted_by_the_given_ca_and_by_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    if !make_certificates(folder.path()) {
        return;
    }
    let path = |file: &str| folder.path().join(file).display().to_string();
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port().to_string()
    };
    let (cert, key) = (path("cert.pem"), path("key.pem"));
    let tls = [
        "--tls-port",
        &port,
        "--tls-cert-file",
        &cert,
        "--tls-key-file",
        &key,
    ];
    let options = [
        &tls[..],
        &["--tls-ca-cert-file", &cert, "--tls-auth-clients", "no"],
    ]
    .concat();
    let Some(server) = Service::start_with(Kind::Redis, &options) else {
        return;
    };
    let writer = opened(&format!("rediss://127.0.0.1:{port}/?ca={}", path("ca.pem"))).await;
    assert_eq!(writer.write(&batch(1, 1..=2)).await.unwrap().delivered(), 2);
    assert_eq!(ids(&server), [1, 2]);

    let url = format!("rediss://127.0.0.1:{port}/");
    let distrusting = RedisWriter::<Record>::new(RedisOptions::new(&url).unwrap());
    let error = distrusting.open_scope(SCOPE, &name()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fatal, "{error}");
    assert!(error.to_string().contains("certificate"), "{error}");
}
