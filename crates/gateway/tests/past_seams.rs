//! What memory and the sink have between them, when clocks step back, older values come late, or
//! values come while somebody reads.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::stored::Stored;
use serde_json::{Value as Json, json};

async fn ask(stored: &Stored, query: &str) -> Json {
    let path = format!("/api/history/PLC01/D1?{query}");
    stored.server.get(&path).await.json()
}

fn times(answer: &Json) -> Vec<i64> {
    let points = answer["points"].as_array().unwrap().iter();
    points
        .map(|point| point["timestamp"].as_i64().unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn law_1_older_values_after_a_restart_hide_nothing_that_is_stored() {
    let stored = Stored::start().await;
    stored.put("D1", 1000..=2000);
    stored.flush().await;
    let Stored { server, folder } = stored;
    server.stop().await;
    let stored = Stored::over(folder).await;
    stored.put("D1", 10..=20);
    stored.flush().await;
    let all: Vec<i64> = (10..=20).chain(1000..=2000).collect();
    for from in [0, 12, 500, 1500] {
        let answer = ask(&stored, &format!("from={from}&count=5000")).await;
        let expected: Vec<i64> = all.iter().copied().filter(|time| *time >= from).collect();
        assert_eq!(times(&answer), expected, "from {from}");
    }
    let exported = stored.server.get("/api/export/PLC01/D1?from=500").await;
    assert_eq!(exported.text.lines().count(), 1 + 1001);
    stored.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn law_1_a_clock_that_steps_back_hides_nothing_that_is_stored() {
    let stored = Stored::start().await;
    stored.put("D1", 1000..=1200);
    stored.put("D1", 500..=620);
    stored.flush().await;
    let answer = ask(&stored, "from=0&count=5000").await;
    let all: Vec<i64> = (500..=620).chain(1000..=1200).collect();
    assert_eq!(times(&answer), all);
    assert_eq!(
        json!([answer["from_memory"], answer["from_sink"]]),
        json!([100, 222])
    );
    let plot = ask(&stored, "from=0&points=1000").await;
    assert_eq!(times(&plot), all);
    stored.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn law_1_a_plot_has_no_hole_where_values_come_meanwhile() {
    let stored = Arc::new(Stored::start().await);
    stored.put("D1", 1..=250_000);
    stored.flush().await;
    let is_over = Arc::new(AtomicBool::new(false));
    let pushing = {
        let (stored, is_over) = (Arc::clone(&stored), Arc::clone(&is_over));
        tokio::spawn(async move {
            let mut next = 250_001;
            while !is_over.load(Ordering::Relaxed) {
                stored.put("D1", next..next + 500);
                next += 500;
                stored.flush().await;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
    };
    tokio::time::sleep(Duration::from_millis(100)).await;
    let answer = ask(&stored, "from=0&points=1000").await;
    is_over.store(true, Ordering::Relaxed);
    pushing.await.unwrap();
    assert_eq!(answer["reduced_by_sink"], true);
    let times = times(&answer);
    let widest = times.windows(2).map(|pair| pair[1] - pair[0]).max();
    assert!(
        widest < Some(2_000),
        "{widest:?} is far more than two of 2,000 parts of {:?}",
        times.last()
    );
    let stored = Arc::into_inner(stored).unwrap();
    stored.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_never_lose_values_of_one_moment() {
    let stored = Stored::start().await;
    let moments: Vec<i64> = [1, 2, 3, 3, 4]
        .into_iter()
        .chain([5; 6])
        .chain([6, 7, 7, 7, 8])
        .collect();
    stored.put("D1", moments.clone());
    stored.flush().await;
    for count in 1..=6 {
        let (mut seen, mut from) = (Vec::new(), 0);
        loop {
            let answer = ask(&stored, &format!("from={from}&count={count}")).await;
            assert_eq!(answer["warning"], Json::Null);
            seen.extend(times(&answer));
            let Some(next) = answer["next"].as_i64() else {
                assert_eq!(answer["cut_off"], false);
                break;
            };
            assert_eq!((&answer["cut_off"], next > from), (&json!(true), true));
            from = next;
        }
        assert_eq!(seen, moments, "{count} per page");
    }
    stored.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn law_8_the_last_line_of_an_export_is_one_cell_whatever_the_key_is() {
    let stored = Stored::start().await;
    let line = |moment| {
        let source = "a,=cmd|'/c calc'!A1,";
        json!({"source": source, "tag": "t", "value": 1, "timestamp": moment})
    };
    let lines = format!("{}\n{}", line(1), line(2));
    let taken = stored.server.send("POST", "/api/ingest", lines, &[]).await;
    assert_eq!(taken.status, 200, "{taken:?}");
    let exported = stored.server.get("/api/export?match=*&limit=1").await;
    assert_eq!(
        exported.text.lines().last(),
        Some("\"# the row limit is reached; \"\"a,=cmd|'/c calc'!A1,/t\"\" goes on at 2\"")
    );
    stored.server.stop().await;
}
