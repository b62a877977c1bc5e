//! What is posted: each row as it is, once, under a key that retries repeat, with a token that
//! nobody sees.

#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
#[path = "common/http.rs"]
mod http;

use std::io::Read;
use std::time::Instant;

use common::{SCOPE, batch, malformed, row};
use http::{Receiver, Reply, Request};
use record::{Position, Record, Value};
use sinks::{
    Batch, BatchId, BatchWriter, Entry, HttpFormat, HttpOptions, HttpWriter, IdempotencyKey,
    RowOutcome, ScopeName,
};

fn options(receiver: &Receiver) -> HttpOptions {
    HttpOptions::new(&receiver.url()).unwrap()
}

async fn opened(options: HttpOptions, scope: &str) -> HttpWriter {
    let writer = HttpWriter::new(options);
    let name = ScopeName::new(scope);
    let scope = writer.open_scope(SCOPE, &name).await.unwrap();
    assert_eq!(scope.watermark, Position::START);
    writer
}

fn key(request: &Request) -> String {
    request.header("idempotency-key").unwrap().to_owned()
}

#[tokio::test]
async fn rows_go_as_lines_or_as_an_array() {
    let receiver = Receiver::start(|_, _| Reply::status(204));
    for format in [HttpFormat::NdJson, HttpFormat::Array] {
        let writer = HttpWriter::<Record>::new(options(&receiver).format(format));
        let receipt = writer.write(&batch(1, 1..=3)).await.unwrap();
        assert_eq!((receipt.delivered(), receipt.repeated()), (3, 0));
    }
    let [lines, array] = receiver.requests().try_into().unwrap();
    assert_eq!(lines.header("content-type"), Some("application/x-ndjson"));
    assert_eq!(array.header("content-type"), Some("application/json"));
    assert!(lines.text().ends_with('\n'));
    let lines: Vec<serde_json::Value> = lines
        .text()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 3);
    let array: Vec<serde_json::Value> = serde_json::from_slice(&array.body).unwrap();
    assert_eq!(lines, array);
    assert_eq!(lines[2]["value"], 3);
    assert_eq!(lines[2]["tag"], "D100");
}

#[tokio::test]
async fn lesson_none_is_never_stored_as_zero_and_one_text_does_not_abort_the_rest() {
    let receiver = Receiver::start(|_, _| Reply::status(200));
    let writer = HttpWriter::new(options(&receiver));
    let rows = vec![
        row(1, Value::Null),
        row(2, Value::F64(f64::NAN)),
        row(3, Value::text("on\nfire").unwrap()),
        row(4, Value::F64(0.0)),
    ];
    writer.write(&Batch::new(BatchId(1), rows)).await.unwrap();
    let requests = receiver.requests();
    let values: Vec<serde_json::Value> = requests[0]
        .text()
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["value"].clone())
        .collect();
    let expected = serde_json::json!([null, null, "on\nfire", 0.0]);
    assert_eq!(serde_json::Value::from(values), expected);
}

#[tokio::test]
async fn what_is_malformed_is_refused_and_never_sent() {
    let receiver = Receiver::start(|_, _| Reply::body(200, r#"{"errors":[{"row":1}]}"#));
    let writer = HttpWriter::new(options(&receiver));
    let rows = vec![
        row(1, Value::I64(1)),
        malformed(2, "no JSON", b"{secret garbage"),
        row(3, Value::I64(3)),
        row(4, Value::I64(4)),
    ];
    let receipt = writer.write(&Batch::new(BatchId(1), rows)).await.unwrap();
    assert_eq!(receipt.outcome(1), RowOutcome::Rejected("no JSON"));
    // The receiver's row 1 is the third of the batch.
    assert_eq!(receipt.outcome(2), RowOutcome::Rejected("refused"));
    assert_eq!(receipt.delivered(), 2);
    assert!(!receiver.requests()[0].text().contains("garbage"));

    let rows = vec![malformed(5, "no JSON", b"?")];
    let receipt = writer.write(&Batch::new(BatchId(2), rows)).await.unwrap();
    assert_eq!((receipt.rows(), receipt.rejected().len()), (1, 1));
    assert_eq!(receiver.requests().len(), 1);
}

#[tokio::test]
async fn packed_bodies_unpack_to_the_same_rows_and_short_ones_are_not_packed() {
    let receiver = Receiver::start(|_, _| Reply::status(200));
    let packed = HttpWriter::<Record>::new(options(&receiver).gzip(6));
    let plain = HttpWriter::<Record>::new(options(&receiver));
    for rows in [100, 5_000] {
        packed.write(&batch(1, 1..=rows)).await.unwrap();
        plain.write(&batch(1, 1..=rows)).await.unwrap();
    }
    packed.write(&batch(2, 1..=1)).await.unwrap();
    let requests = receiver.requests();
    for pair in requests[..4].chunks(2) {
        assert_eq!(pair[0].header("content-encoding"), Some("gzip"));
        assert_eq!(pair[1].header("content-encoding"), None);
        let mut text = String::new();
        let mut decoder = flate2::read::GzDecoder::new(&pair[0].body[..]);
        decoder.read_to_string(&mut text).unwrap();
        assert_eq!(text, pair[1].text());
        assert!(pair[0].body.len() * 4 < pair[1].body.len());
        assert_eq!(key(&pair[0]), key(&pair[1]), "packing is no other content");
    }
    assert_eq!(requests[4].header("content-encoding"), None);
}

#[tokio::test]
async fn the_key_is_the_same_for_retries_and_for_another_run_and_no_other_batch_has_it() {
    let receiver = Receiver::start(|_, _| Reply::status(503));
    let writer = opened(options(&receiver), "host/normal").await;
    let rows = batch(1, 1..=3);
    for _ in 0..2 {
        writer.write(&rows).await.unwrap_err();
    }
    let again = opened(options(&receiver), "host/normal").await;
    again.write(&batch(77, 1..=3)).await.unwrap_err();
    let keys: Vec<String> = receiver.requests().iter().map(key).collect();
    assert_eq!(keys[0], keys[1], "a retry");
    assert_eq!(keys[0], keys[2], "the same rows of another run");

    writer.write(&rows.slice(0..2)).await.unwrap_err();
    writer.write(&batch(2, 4..=6)).await.unwrap_err();
    let changed = vec![
        row(1, Value::I64(1)),
        row(2, Value::I64(2)),
        row(3, Value::Null),
    ];
    writer
        .write(&Batch::new(BatchId(1), changed))
        .await
        .unwrap_err();
    let moved = vec![
        row(2, Value::I64(1)),
        row(3, Value::I64(2)),
        row(4, Value::I64(3)),
    ];
    writer
        .write(&Batch::new(BatchId(1), moved))
        .await
        .unwrap_err();
    let other = opened(options(&receiver), "host/critical").await;
    other.write(&rows).await.unwrap_err();
    let per_run = opened(options(&receiver).key(IdempotencyKey::Batch), "host/normal").await;
    per_run.write(&rows).await.unwrap_err();
    per_run.write(&batch(77, 1..=3)).await.unwrap_err();
    // Two sinks may be two paths, or tenants, of one receiver.
    for place in ["/other", "?tenant=7"] {
        let url = format!("{}{place}", receiver.url());
        let elsewhere = opened(HttpOptions::new(&url).unwrap(), "host/normal").await;
        elsewhere.write(&rows).await.unwrap_err();
    }
    let mut keys: Vec<String> = receiver.requests().iter().skip(2).map(key).collect();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), 10);
}

#[tokio::test]
async fn rows_of_a_scope_without_a_name_have_another_key_in_another_run() {
    let receiver = Receiver::start(|_, _| Reply::status(200));
    let writer = HttpWriter::<Record>::new(options(&receiver));
    for id in [1, 1, 2] {
        writer.write(&batch(id, 1..=3)).await.unwrap();
    }
    let keys: Vec<String> = receiver.requests().iter().map(key).collect();
    assert_eq!(keys[0], keys[1]);
    assert_ne!(keys[0], keys[2]);
}

#[tokio::test]
async fn the_query_goes_to_the_receiver_and_the_parameters_of_the_writer_do_not() {
    let receiver = Receiver::start(|_, _| Reply::status(200));
    let url = format!(
        "{}?tenant=7&timeout=x#format=array&headers=X-Site:north;%20X-Line:2",
        receiver.url()
    );
    let options = HttpOptions::from_url(&url::Url::parse(&url).unwrap()).unwrap();
    let writer = HttpWriter::<Record>::new(options);
    writer.write(&batch(1, 1..=1)).await.unwrap();
    let requests = receiver.requests();
    assert_eq!(requests[0].target, "/rows?tenant=7&timeout=x");
    assert_eq!(requests[0].header("x-site"), Some("north"));
    assert_eq!(requests[0].header("x-line"), Some("2"));
    assert!(requests[0].text().starts_with('['));
}

#[test]
fn parameters_that_are_wrong_are_named_with_what_is_allowed() {
    let check = |url: &str, expected: &str| {
        let error = HttpOptions::from_url(&url::Url::parse(url).unwrap()).unwrap_err();
        assert!(error.to_string().contains(expected), "{url}: {error}");
        assert!(!error.to_string().contains("hunter2"), "{error}");
    };
    check(
        "http://h/#format=xml",
        "`format` is `xml`, expected ndjson or array",
    );
    check(
        "http://h/#gzip=10",
        "`gzip` is `10`, expected off or a level from 1 to 9",
    );
    check(
        "http://h/#timeout=0s",
        "`timeout` is `0s`, expected a duration",
    );
    check("http://h/#colour=red", "parameter `colour` is unknown");
    check("http://h/#bearer_env=A&bearer_file=b", "both given");
    check("http://h/#headers=hunter2", "expected `Name:value`");
    check(
        "http://h/#headers=Host:hunter2",
        "header `Host` is set by the writer itself",
    );
    check("http://me:hunter2@h/", "has credentials in it");
    check("ftp://h/", "the scheme is `ftp`, expected http or https");
}

#[tokio::test]
async fn the_token_is_sent_and_never_shown() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "hunter2\n").unwrap();
    // A receiver that repeats what it should not.
    let receiver = Receiver::start(|request, _| {
        let said = request.header("authorization").unwrap_or_default();
        Reply::body(401, &format!("{{\"error\":\"`{said}` is not known\"}}"))
    });
    let from_file = options(&receiver)
        .bearer_from_file(&file)
        .header("X-Api-Key", "hunter2")
        .unwrap();
    assert!(!format!("{from_file:?}").contains("hunter2"));
    let writer = HttpWriter::<Record>::new(from_file);
    assert!(!format!("{writer:?}").contains("hunter2"));
    let error = writer.write(&batch(1, 1..=1)).await.unwrap_err();
    assert!(
        error.to_string().contains("`Bearer ***` is not known"),
        "{error}"
    );
    let sent = receiver.requests()[0]
        .header("authorization")
        .map(str::to_owned);
    assert_eq!(sent.as_deref(), Some("Bearer hunter2"));

    // It is read anew for each request.
    std::fs::write(&file, "hunter3").unwrap();
    writer.write(&batch(1, 1..=1)).await.unwrap_err();
    let sent = receiver.requests()[1]
        .header("authorization")
        .map(str::to_owned);
    assert_eq!(sent.as_deref(), Some("Bearer hunter3"));

    let variable = "CARGO_MANIFEST_DIR";
    let writer = HttpWriter::<Record>::new(options(&receiver).bearer_from_env(variable));
    writer.write(&batch(1, 1..=1)).await.unwrap_err();
    let sent = receiver.requests()[2]
        .header("authorization")
        .map(str::to_owned);
    assert_eq!(
        sent,
        Some(format!("Bearer {}", std::env::var(variable).unwrap()))
    );

    let unset = options(&receiver).bearer_from_env("FOREBAY_TEST_UNSET");
    let error = HttpWriter::<Record>::new(unset)
        .write(&batch(1, 1..=1))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), sinks::ErrorKind::Fatal);
    assert!(
        error.to_string().contains("`FOREBAY_TEST_UNSET`"),
        "{error}"
    );
}

struct Order {
    id: i64,
    note: Option<String>,
    layout: String,
}

sinks::row! {
    Order => "orders" {
        "id": I64 = |order| order.id;
        "note": Text or null = |order| order.note.as_deref();
        "layout": Json = |order| sinks::Cell::Json(&order.layout);
    }
}

#[tokio::test]
async fn any_struct_is_posted() {
    let receiver = Receiver::start(|_, _| Reply::status(200));
    let writer = HttpWriter::<Order>::new(options(&receiver));
    let rows = vec![Entry {
        scope: SCOPE,
        position: Position::new(1),
        arrival: Instant::now(),
        content: Ok(Order {
            id: 7,
            note: None,
            // Written over several lines, as people do.
            layout: "{\n  \"x\": 1\r\n}".to_owned(),
        }),
    }];
    writer.write(&Batch::new(BatchId(1), rows)).await.unwrap();
    let requests = receiver.requests();
    assert_eq!(requests[0].text().lines().count(), 1);
    let order: serde_json::Value = serde_json::from_slice(&requests[0].body).unwrap();
    assert_eq!(
        order,
        serde_json::json!({"id": 7, "note": null, "layout": {"x": 1}})
    );
}
