//! PostgreSQL: tables made, altered or refused; any struct; settings; whoever may not connect.

#![cfg(feature = "postgres")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
#[path = "common/postgres.rs"]
mod postgres;

use std::process::Command;
use std::time::Instant;

use common::{SCOPE, batch};
use postgres::{ask, client, options, server, writer};
use record::{Position, Timestamp};
use sinks::{
    Batch, BatchId, BatchWriter, Entry, ErrorKind, PostgresOptions, PostgresWriter, ScopeName,
    WriteError, row,
};
use test_services::{Kind, Service};
use url::Url;

fn name() -> ScopeName {
    ScopeName::new("plc/normal")
}

async fn refused(options: PostgresOptions) -> WriteError {
    let writer: PostgresWriter = PostgresWriter::new(options);
    writer.open_scope(SCOPE, &name()).await.unwrap_err()
}

#[tokio::test]
async fn tables_are_created_with_a_small_index_on_time() {
    let Some(url) = server() else { return };
    let (writer, client) = (writer(&url, "made"), client(&url).await);
    writer.open_scope(SCOPE, &name()).await.unwrap();
    let indexes = "SELECT indexdef FROM pg_indexes WHERE tablename = 'made'";
    let brin = r#"CREATE INDEX made_timestamp_idx ON public.made USING brin ("timestamp")"#;
    assert_eq!(ask(&client, indexes).await, [brin]);
    assert_eq!(writer.warnings(), [] as [String; 0]);
}

#[tokio::test]
async fn two_writers_that_start_at_once_do_not_disturb_each_other() {
    let Some(url) = server() else { return };
    let writers: Vec<_> = (0..6).map(|_| writer(&url, "together")).collect();
    let (first, second) = (ScopeName::new("a"), ScopeName::new("b"));
    let opened = writers.iter().enumerate().map(|(index, writer)| {
        writer.open_scope(SCOPE, if index % 2 == 0 { &first } else { &second })
    });
    for opened in futures_util::future::join_all(opened).await {
        assert_eq!(opened.unwrap().watermark, Position::START);
    }
}

#[tokio::test]
async fn a_missing_column_that_may_be_null_is_added_and_anything_else_refused_by_name() {
    let Some(url) = server() else { return };
    let client = client(&url).await;
    writer(&url, "older")
        .open_scope(SCOPE, &name())
        .await
        .unwrap();
    client
        .batch_execute("ALTER TABLE older DROP COLUMN value_text")
        .await
        .unwrap();
    let again = writer(&url, "older");
    again.open_scope(SCOPE, &name()).await.unwrap();
    again.write(&batch(1, 1..=3)).await.unwrap();
    let alter = "ALTER TABLE older DROP COLUMN quality, ALTER source TYPE varchar(9),
                 ALTER timestamp TYPE text, ADD extra integer DEFAULT 1 NOT NULL,
                 ADD wanted integer, ADD forced integer NOT NULL DEFAULT 0;
                 ALTER TABLE older ALTER forced DROP DEFAULT";
    client.batch_execute(alter).await.unwrap();
    let error = refused(options(&url, "older", "")).await;
    assert_eq!(error.kind(), ErrorKind::Fatal);
    let port = Url::parse(&url).unwrap().port().unwrap();
    assert_eq!(
        error.to_string().replace(&port.to_string(), "PORT"),
        "cannot use postgres://127.0.0.1:PORT/postgres: table `older` cannot take these rows: \
         column `timestamp` is text, expected timestamp with time zone; column `quality` (text) \
         is missing; column `forced` must have a value, and none is written; alter the table, or \
         name another one by `table` or `prefix`"
    );
    // A table that is changed under a writer does not send good rows into the quarantine.
    let error = again.write(&batch(2, 4..=6)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fatal, "{error}");
}

#[tokio::test]
async fn whoever_may_not_connect_is_told_why_without_the_password() {
    let Some(url) = server() else { return };
    let unknown = url
        .replace("/postgres", "/nowhere")
        .replace("nowhere://", "postgres://");
    let unknown = unknown.replace("forebay@", "forebay:hunter2@");
    let error = refused(PostgresOptions::from_url(&Url::parse(&unknown).unwrap()).unwrap()).await;
    assert_eq!(error.kind(), ErrorKind::Fatal);
    assert!(error.to_string().contains("create the database"), "{error}");
    let stranger = Url::parse(&url.replace("forebay@", "stranger:hunter2@")).unwrap();
    let options = PostgresOptions::from_url(&stranger).unwrap();
    assert!(!format!("{options:?}").contains("hunter2"));
    let error = refused(options).await;
    assert_eq!(error.kind(), ErrorKind::Fatal);
    assert!(error.to_string().contains("stranger"), "{error}");
    assert!(!error.to_string().contains("hunter2"), "{error}");
}

#[test]
fn a_url_says_everything_and_what_it_says_wrongly_is_named() {
    let table = [
        (
            "postgres://me@db/plant?tabel=x",
            "parameter `tabel` is unknown",
        ),
        ("postgres://me@db/plant?table=X", "table=`X`"),
        ("postgres://me@db/plant?prefix=1", "prefix=`1`"),
        ("postgres://me@db/plant?upsert=a,B", "upsert=`B`"),
        ("postgres://me@db/plant?sslmode=maybe", "sslmode"),
        (
            "postgres://me@db/plant?sslmode=require&sslrootcert=x",
            "verify-full",
        ),
        ("postgres://me@db/plant?lock_timeout=0s", "lock_timeout"),
        (
            "postgres://me@db/plant?synchronous_commit=yes",
            "synchronous_commit",
        ),
        ("postgres://me@db/", "the database is missing"),
        ("postgres://db/plant", "the user is missing"),
        ("mysql://me@db/plant", "expected postgres"),
    ];
    for (url, expected) in table {
        let error = PostgresOptions::from_url(&Url::parse(url).unwrap()).unwrap_err();
        assert!(error.to_string().contains(expected), "{url}: {error}");
    }
    let all = "postgresql://m%40e:p%2B%26@[::1]:7/plant?table=t&prefix=p_&upsert=source,tag\
               &sslmode=verify-full&sslrootcert=ca.pem&connect_timeout=1s&statement_timeout=2s\
               &lock_timeout=3s&synchronous_commit=off";
    let options = PostgresOptions::from_url(&Url::parse(all).unwrap()).unwrap();
    insta::assert_snapshot!("postgres_options", format!("{options:#?}"));
}

struct Order {
    id: i64,
    paid: bool,
    price: f64,
    note: Option<String>,
    raw: Vec<u8>,
    at: Timestamp,
}

row! {
    Order => "orders" {
        "id": I64 = |order| order.id;
        "paid": Bool = |order| order.paid;
        "price": F64 = |order| order.price;
        "note": Text or null = |order| order.note.as_deref();
        "raw": Bytes = |order| order.raw.as_slice();
        "at": Timestamp = |order| order.at;
    }
}

#[tokio::test]
async fn any_struct_is_written() {
    let Some(url) = server() else { return };
    let url = Url::parse(&format!("{url}?prefix=orders_")).unwrap();
    let writer = PostgresWriter::<Order>::new(PostgresOptions::from_url(&url).unwrap());
    writer.open_scope(SCOPE, &name()).await.unwrap();
    let order = |id, note: Option<&str>| Entry {
        scope: SCOPE,
        position: Position::new(id),
        arrival: Instant::now(),
        content: Ok(Order {
            id: id.cast_signed(),
            paid: id == 1,
            price: if id == 1 { 2.5 } else { f64::NAN },
            note: note.map(str::to_owned),
            raw: vec![0, 255],
            at: Timestamp::from_micros(-1).unwrap(),
        }),
    };
    let rows = vec![order(1, Some("fragile")), order(2, None)];
    writer.write(&Batch::new(BatchId(1), rows)).await.unwrap();
    let client = client(&server().unwrap()).await;
    let all = "SELECT (id, paid, price, note, raw, at AT TIME ZONE 'UTC')::text FROM orders";
    assert_eq!(
        ask(&client, all).await,
        [
            r#"(1,t,2.5,fragile,"\\x00ff","1969-12-31 23:59:59.999999")"#,
            r#"(2,f,NaN,,"\\x00ff","1969-12-31 23:59:59.999999")"#
        ]
    );
}

#[tokio::test]
async fn settings_that_endanger_a_commit_are_named() {
    let arguments = ["-c", "fsync=off", "-c", "synchronous_commit=off"];
    let Some(service) = Service::start_with(Kind::Postgres, &arguments) else {
        return;
    };
    let writer = writer(&service.url(), "unsafe_rows");
    writer.open_scope(SCOPE, &name()).await.unwrap();
    let warnings = writer.warnings();
    assert!(warnings[0].contains("`fsync` is off"), "{warnings:?}");
    assert!(
        warnings[1].contains("`synchronous_commit` is off"),
        "{warnings:?}"
    );
    assert_eq!(warnings.len(), 2);
}

/// Runs openssl in the folder.
fn openssl(folder: &std::path::Path, arguments: &str) {
    let output = Command::new("openssl")
        .args(arguments.split_whitespace())
        .current_dir(folder)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {arguments}: {said}");
}

#[tokio::test]
async fn a_server_has_to_prove_who_it_is_where_that_is_asked_for() {
    let Some(mut service) = Service::start(Kind::Postgres) else {
        return;
    };
    if Command::new("openssl").arg("version").output().is_err() {
        eprintln!("SKIPPED: openssl is not installed");
        return;
    }
    let data = service.folder().join("data");
    let roots = tempfile::tempdir().unwrap();
    openssl(
        roots.path(),
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 \
         -subj /CN=root -keyout root.key -out root.pem",
    );
    openssl(
        roots.path(),
        "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=server \
         -keyout server.key -out server.csr",
    );
    std::fs::write(roots.path().join("names"), "subjectAltName=IP:127.0.0.1\n").unwrap();
    openssl(
        roots.path(),
        "x509 -req -in server.csr -CA root.pem -CAkey root.key -CAcreateserial -days 2 \
         -extfile names -out server.crt",
    );
    let plain = |mode: &str| options(&service.url(), "secured", mode);
    let error = refused(plain("&sslmode=require")).await;
    assert_eq!(error.kind(), ErrorKind::Fatal);
    assert!(error.to_string().contains("TLS"), "{error}");
    let client = client(&service.url()).await;
    for file in ["server.crt", "server.key"] {
        // The server reads its key only when it owns it, and so writes it itself.
        let text = std::fs::read_to_string(roots.path().join(file)).unwrap();
        let path = data.join(file);
        let copy = format!("COPY (SELECT 1 WHERE false) TO '{}'", path.display());
        client.batch_execute(&copy).await.unwrap();
        std::fs::write(&path, text).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&path, mode).unwrap();
    }
    client
        .batch_execute("ALTER SYSTEM SET ssl = on")
        .await
        .unwrap();
    service.stop();
    service.restart();
    let url = service.url();
    let root = roots.path().join("root.pem").display().to_string();
    let good = [
        "&sslmode=prefer".to_owned(),
        "&sslmode=require".to_owned(),
        format!("&sslrootcert={root}"),
    ];
    for more in good {
        let writer: PostgresWriter = PostgresWriter::new(options(&url, "secured", &more));
        writer.open_scope(SCOPE, &name()).await.unwrap();
    }
    let error = refused(options(&url, "secured", "&sslmode=verify-full")).await;
    assert_eq!(error.kind(), ErrorKind::Fatal, "{error}");
    assert!(error.to_string().contains("certificate"), "{error}");
    let error = refused(options(&url, "secured", "&sslrootcert=nowhere.pem")).await;
    assert!(
        error.to_string().contains("sslrootcert=`nowhere.pem`"),
        "{error}"
    );
}
