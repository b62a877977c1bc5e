//! Histories thinned out to what a plot can show, by REST and by WebSocket.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::Server;
use common::socket::connect;
use record::{Quality, Record, Timestamp, Value};
use serde_json::{Value as Json, json};

/// A hundred readings, a second apart, with one that sticks out.
fn put_curve(server: &Server, tag: &str) {
    for second in 0..100 {
        let value = if second == 43 { 9.0 } else { 1.0 };
        server.put(tag, value, second * 1_000_000);
    }
}

fn times(points: &Json) -> Vec<i64> {
    let points = points.as_array().unwrap();
    points
        .iter()
        .map(|point| point["timestamp"].as_i64().unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_is_thinned_out_to_so_many_points_that_keep_its_extremes() {
    let server = Server::start().await;
    put_curve(&server, "D1");
    for (query, points_in, first) in [
        ("points=10", 100, 0),
        ("points=10&count=60", 60, 40_000_000),
        ("points=10&seconds=60", 60, 40_000_000),
    ] {
        let answer = server.get(&format!("/api/history/PLC01/D1?{query}")).await;
        let answer = answer.json();
        assert_eq!(
            (&answer["downsampled"], &answer["points_in"]),
            (&json!(true), &json!(points_in)),
            "{query}"
        );
        let times = times(&answer["points"]);
        assert_eq!(times.len(), 10, "{query}");
        assert_eq!((times[0], times[9]), (first, 99_000_000), "{query}");
        let peak = json!({"timestamp": 43_000_000, "value": 9.0});
        assert!(
            answer["points"].as_array().unwrap().contains(&peak),
            "{answer}"
        );
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_that_is_short_enough_is_given_whole_with_its_qualities() {
    let server = Server::start().await;
    put_curve(&server, "D1");
    let answer = server.get("/api/history/PLC01/D1?points=100").await.json();
    assert_eq!(
        (&answer["downsampled"], &answer["points_in"]),
        (&json!(false), &json!(100))
    );
    assert_eq!(times(&answer["points"]).len(), 100);
    assert_eq!(answer["points"][0]["quality"], "good");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn values_without_a_number_are_no_curve_and_the_last_are_given_as_they_are() {
    let server = Server::start().await;
    for second in 0..20 {
        server.put("name", Value::text(&format!("n{second}")).unwrap(), second);
    }
    let answer = server.get("/api/history/PLC01/name?points=3").await.json();
    assert_eq!(
        (&answer["downsampled"], &answer["points_in"]),
        (&json!(false), &json!(20))
    );
    assert_eq!(times(&answer["points"]), [17, 18, 19]);
    assert_eq!(answer["points"][2]["value"], "n19");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn readings_of_bad_quality_and_null_are_gaps_in_a_curve() {
    let server = Server::start().await;
    for second in 0..100 {
        let value = if second < 30 {
            Value::Null
        } else {
            Value::I64(5)
        };
        let timestamp = Timestamp::from_micros(second).unwrap();
        let mut record = Record::new("PLC01", "D1", value, timestamp).unwrap();
        if second >= 70 {
            record.quality = Quality::Bad;
        }
        let now = std::time::Instant::now();
        let pushed = server.intake.push(now, vec![Ok(record)]).unwrap();
        assert_eq!(pushed.accepted, 1);
    }
    let answer = server.get("/api/history/PLC01/D1?points=10").await.json();
    for point in answer["points"].as_array().unwrap() {
        let at = point["timestamp"].as_i64().unwrap();
        assert_eq!(point["value"].is_null(), !(30..70).contains(&at), "{point}");
    }
    assert!(answer["points"][0]["value"].is_null(), "{answer}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn points_out_of_range_are_refused_by_name() {
    let server = Server::start().await;
    put_curve(&server, "D1");
    for points in ["0", "1", "10001"] {
        let path = format!("/api/history/PLC01/D1?points={points}");
        let answer = server.get(&path).await;
        let message = format!("`points` is {points}, expected 2 to 10000");
        assert_eq!(
            (answer.status, &answer.json()["detail"]),
            (400, &json!(message))
        );
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_gets_curves_of_no_more_points_than_it_asked_for() {
    let server = Server::start().await;
    put_curve(&server, "D1");
    let mut client = connect(&server, None).await.unwrap();
    for range in [json!({}), json!({"seconds": 60}), json!({"count": 60})] {
        let mut extract = json!({"kind": "downsampled", "points": 10});
        extract
            .as_object_mut()
            .unwrap()
            .extend(range.as_object().unwrap().clone());
        client
            .say(json!({"type": "subscribe", "id": "p", "keys": ["*/D1"], "extract": extract}))
            .await;
        let snapshot = client.hear(&["snapshot"]).await;
        assert_eq!(snapshot["changes"], json!([]));
        let plot = &snapshot["plots"][0];
        let points_in = if range == json!({}) { 100 } else { 60 };
        assert_eq!(
            (&plot["source"], &plot["tag"], &plot["points_in"]),
            (&json!("PLC01"), &json!("D1"), &json!(points_in))
        );
        let times = plot["timestamps"].as_array().unwrap();
        assert_eq!(
            (times.len(), plot["values"].as_array().unwrap().len()),
            (10, 10)
        );
        let peak = times.iter().position(|time| *time == 43_000_000).unwrap();
        assert_eq!(plot["values"][peak], 9.0);
    }
    server.put("D1", 7.0, 100_000_000);
    let update = client.hear(&["update"]).await;
    let plot = &update["plots"][0];
    assert_eq!(
        (&plot["timestamps"][9], &plot["values"][9]),
        (&json!(100_000_000), &json!(7.0))
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn law_2_curves_of_more_values_than_one_frame_may_read_are_refused() {
    let server = Server::start().await;
    for tag in 0..3 {
        server.put(&format!("D{tag}"), 1.0, 1);
    }
    let mut client = connect(&server, None).await.unwrap();
    let extract = json!({"kind": "downsampled", "points": 2, "count": 100_000});
    client
        .say(json!({"type": "subscribe", "id": "p", "keys": ["*"], "extract": extract}))
        .await;
    let error = client.hear(&["error", "snapshot"]).await;
    assert_eq!(
        (&error["code"], &error["message"]),
        (
            &json!("bad_extract"),
            &json!("3 keys match, and with this `extract` a subscription may have 2")
        )
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn law_2_curves_by_time_count_as_deep_as_their_histories_may_be() {
    let server = Server::start().await;
    for tag in 0..21 {
        server.put(&format!("D{tag}"), 1.0, 1);
    }
    let mut client = connect(&server, None).await.unwrap();
    // A service that is not told otherwise keeps 10,000 values for a span.
    let extract = json!({"kind": "downsampled", "points": 2, "seconds": 60});
    let mut subscribe = json!({"type": "subscribe", "id": "p", "keys": ["*"], "extract": extract});
    client.say(subscribe.clone()).await;
    let error = client.hear(&["error", "snapshot"]).await;
    assert_eq!(
        (&error["code"], &error["message"]),
        (
            &json!("bad_extract"),
            &json!(
                "the 21 keys that match may have 210000 values in this range, and the points of \
                a subscription are chosen from 200000 at most"
            )
        )
    );
    subscribe["keys"] = json!(["*/D?", "*/D1?"]);
    client.say(subscribe).await;
    let snapshot = client.hear(&["error", "snapshot"]).await;
    assert_eq!(snapshot["plots"].as_array().unwrap().len(), 20);
    server.stop().await;
}
