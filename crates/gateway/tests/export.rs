//! Exports: what they say, how they end, and what they take.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use common::stored::Stored;
use common::{Answer, Server};
use serde_json::{Value as Json, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async fn export(stored: &Stored, path_and_query: &str) -> Answer {
    let path = format!("/api/export{path_and_query}");
    stored.server.get(&path).await
}

fn lines(answer: &Answer) -> Vec<Json> {
    let lines = answer.text.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Asks for an export, and reads nothing of it yet.
async fn begin(stored: &Stored, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(stored.server.address).await.unwrap();
    let head = format!(
        "GET /api/export/{path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n",
        stored.server.address
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut status = [0; 12];
    stream.read_exact(&mut status).await.unwrap();
    assert_eq!(&status, b"HTTP/1.1 200");
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_is_exported_as_csv_and_as_ndjson_from_memory_and_sink() {
    let stored = Stored::start().await;
    stored.put("D1", 1..=500);
    stored.flush().await;
    stored.put("D1", 501..=510);
    let csv = export(&stored, "/PLC01/D1?from=2").await;
    assert_eq!(csv.status, 200);
    assert_eq!(
        csv.header("content-type"),
        "text/csv; charset=utf-8; header=present"
    );
    assert!(csv.header("content-disposition").starts_with("attachment"));
    let rows: Vec<&str> = csv.text.split_terminator("\r\n").collect();
    assert_eq!(
        rows[..2],
        ["timestamp,source,tag,value,quality", "2,PLC01,D1,2,good"]
    );
    assert_eq!((rows.len(), rows[509]), (510, "510,PLC01,D1,510,good"));
    let ndjson = export(&stored, "/PLC01/D1?format=ndjson&from=400&until=412").await;
    assert_eq!(ndjson.header("content-type"), "application/x-ndjson");
    let rows = lines(&ndjson);
    assert_eq!(rows.len(), 12);
    assert_eq!(
        rows[0],
        json!({"timestamp": 400, "source": "PLC01", "tag": "D1", "value": 400, "quality": "good"})
    );
    assert_eq!(
        (&rows[11]["timestamp"], &rows[11]["priority"]),
        (&json!(411), &json!("normal"))
    );
    stored.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_exported_can_be_handed_in_again() {
    let stored = Stored::start().await;
    stored.put("D1", 1..=20);
    let exported = export(&stored, "/PLC01/D1?format=ndjson").await.text;
    let answer = stored
        .server
        .send("POST", "/api/ingest", exported, &[])
        .await;
    assert_eq!(
        (answer.status, &answer.json()["accepted"]),
        (200, &json!(20))
    );
    stored.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_keys_of_a_pattern_come_one_after_the_other() {
    let stored = Stored::start().await;
    stored.put("cpu.1", 1..=150);
    stored.put("memory", 1..=150);
    stored.put("cpu.2", 1..=3);
    stored.flush().await;
    let rows = lines(&export(&stored, "?match=*/cpu.*&format=ndjson").await);
    let tags: Vec<&str> = rows
        .iter()
        .map(|row| row["tag"].as_str().unwrap())
        .collect();
    let expected: Vec<&str> = [["cpu.1"; 150].as_slice(), &["cpu.2"; 3]].concat();
    assert_eq!(tags, expected);
    let none = export(&stored, "?match=none/*").await;
    assert_eq!(
        (none.status, none.text.as_str()),
        (200, "timestamp,source,tag,value,quality\r\n")
    );
    let none = export(&stored, "?match=none/*&format=ndjson").await;
    assert_eq!((none.status, none.text.as_str()), (200, ""));
    stored.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_limit_that_is_reached_is_told_behind_the_last_row() {
    let stored = Stored::start().await;
    stored.put("D1", 1..=300);
    stored.flush().await;
    let whole = export(&stored, "/PLC01/D1?limit=300").await.text;
    assert_eq!(
        whole.split_terminator("\r\n").count(),
        301,
        "nothing is behind the last row"
    );
    let csv = export(&stored, "/PLC01/D1?limit=150").await.text;
    let rows: Vec<&str> = csv.split_terminator("\r\n").collect();
    assert_eq!(rows.len(), 152);
    assert_eq!(
        rows[151],
        "\"# the row limit is reached; \"\"PLC01/D1\"\" goes on at 151\""
    );
    let ndjson = export(&stored, "/PLC01/D1?limit=250&format=ndjson").await;
    assert_eq!(
        lines(&ndjson)[250],
        json!({"cut_off": true, "source": "PLC01", "tag": "D1", "from": 251})
    );
    stored.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn law_2_exports_have_few_places_and_a_client_that_goes_away_leaves_its_own() {
    let stored = Stored::start().await;
    stored.put("D1", 1..=400_000);
    stored.flush().await;
    let mut readers = Vec::new();
    for _ in 0..4 {
        readers.push(begin(&stored, "PLC01/D1").await);
    }
    let refused = export(&stored, "/PLC01/D1").await;
    assert_eq!((refused.status, refused.header("retry-after")), (503, "5"));
    assert_eq!(refused.json()["detail"], "4 exports are running; try again");
    drop(readers);
    let begun = std::time::Instant::now();
    while export(&stored, "/PLC01/D1?limit=1").await.status != 200 {
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "a place is left again"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    stored.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_reads_slowly_gets_everything() {
    let stored = Stored::start().await;
    stored.put("D1", 1..=100_000);
    stored.flush().await;
    let mut reader = begin(&stored, "PLC01/D1?format=ndjson").await;
    let (mut text, mut piece) = (Vec::new(), vec![0; 200_000]);
    loop {
        let count = reader.read(&mut piece).await.unwrap();
        if count == 0 {
            break;
        }
        text.extend_from_slice(&piece[..count]);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let text = String::from_utf8_lossy(&text);
    assert_eq!(text.matches("\"source\":\"PLC01\"").count(), 100_000);
    assert!(
        text.ends_with("0\r\n\r\n"),
        "the last chunk says that it is whole"
    );
    stored.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_cannot_be_read_is_no_short_export() {
    let stored = Stored::start().await;
    stored.put("D1", 1..=1000);
    stored.flush().await;
    stored.lose_the_file();
    let answer = export(&stored, "/PLC01/D1").await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, "1"));
    let newest = export(&stored, "/PLC01/D1?from=950").await;
    assert_eq!(newest.status, 503, "nobody knows whether memory is enough");
    stored.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn exports_that_make_no_sense_are_refused() {
    let server = Server::start().await;
    server.put("D1", 1.0, 1);
    for (path, status) in [
        ("/PLC01/none", 404),
        ("/PLC01/D1?limit=0", 400),
        ("/PLC01/D1?limit=100000001", 400),
        ("/PLC01/D1?format=arrow", 400),
        ("/PLC01/D1?from=5&until=5", 400),
        ("/PLC01/D1?count=5", 400),
        ("", 400),
        ("?match=%5Bx", 400),
        ("/PLC01/D1", 200),
    ] {
        let answer = server.get(&format!("/api/export{path}")).await;
        assert_eq!(answer.status, status, "{path}: {answer:?}");
        if status != 200 {
            assert_eq!(answer.header("content-type"), "application/problem+json");
        }
    }
    server.stop().await;
}
