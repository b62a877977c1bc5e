//! Histories between two moments, from memory and from the sink.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::stored::Stored;
use common::{Answer, Server};
use serde_json::{Value as Json, json};

async fn ask(stored: &Stored, query: &str) -> Answer {
    let path = format!("/api/history/PLC01/D1?{query}");
    stored.server.get(&path).await
}

fn times(answer: &Json) -> Vec<i64> {
    let points = answer["points"].as_array().unwrap().iter();
    points
        .map(|point| point["timestamp"].as_i64().unwrap())
        .collect()
}

fn origins(answer: &Json) -> (u64, u64) {
    let count = |name: &str| answer[name].as_u64().unwrap();
    (count("from_memory"), count("from_sink"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_is_joined_from_memory_and_sink_without_gap_and_without_doubles() {
    let stored = Stored::start().await;
    stored.put("D1", 1..=1000);
    stored.flush().await;
    // These are not delivered yet.
    stored.put("D1", 1001..=1050);
    let answer = ask(&stored, "from=0&count=5000").await.json();
    assert_eq!(times(&answer), (1..=1050).collect::<Vec<_>>());
    assert_eq!(origins(&answer), (100, 950));
    assert_eq!(answer["cut_off"], false);
    assert_eq!(
        answer["points"][0],
        json!({"timestamp": 1, "value": 1, "quality": "good"}),
        "the sink knows no priorities"
    );
    assert_eq!(answer["points"][1049]["priority"], "normal");
    for (query, first, last, from_memory, from_sink) in [
        ("from=940&until=960", 940, 959, 9, 11),
        ("from=10&until=20", 10, 19, 0, 10),
        // Memory begins at 951.
        ("from=951", 951, 1050, 100, 0),
        ("from=952", 952, 1050, 99, 0),
        ("from=1970-01-01T00:00:00.001Z", 1000, 1050, 51, 0),
        (
            "from=1040&until=1970-01-01T00:00:00.001048%2B00:00",
            1040,
            1047,
            8,
            0,
        ),
    ] {
        let answer = ask(&stored, query).await.json();
        assert_eq!(
            times(&answer),
            (first..=last).collect::<Vec<_>>(),
            "{query}"
        );
        assert_eq!(origins(&answer), (from_memory, from_sink), "{query}");
    }
    stored.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn values_of_one_moment_are_all_there_also_at_the_seam() {
    let stored = Stored::start().await;
    // Memory has the last two of five values at 10, and all after it.
    stored.put("D1", [1, 2, 10, 10, 10, 10, 10]);
    stored.put("D1", 11..=108);
    stored.flush().await;
    let answer = ask(&stored, "from=0").await.json();
    let expected: Vec<i64> = [1, 2].into_iter().chain([10; 5]).chain(11..=108).collect();
    assert_eq!(times(&answer), expected);
    assert_eq!(origins(&answer), (100, 5));
    stored.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn late_values_are_shown_once_at_their_moment_delivered_or_not() {
    let stored = Stored::start().await;
    stored.put("D1", (1..=300).map(|number| number * 10));
    stored.put("D1", [5, 1005, 2995]);
    stored.flush().await;
    stored.put("D1", [15, 2996]);
    let answer = ask(&stored, "from=0").await.json();
    let mut expected: Vec<i64> = (1..=300).map(|number| number * 10).collect();
    expected.extend([5, 15, 1005, 2995, 2996]);
    expected.sort_unstable();
    assert_eq!(times(&answer), expected);
    assert_eq!(origins(&answer), (100, 205));
    stored.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_that_is_too_long_is_cut_off_and_goes_on_from_there() {
    let stored = Stored::start().await;
    stored.put("D1", 1..=1000);
    stored.flush().await;
    let (mut seen, mut from) = (Vec::new(), 0);
    loop {
        let answer = ask(&stored, &format!("from={from}&count=333")).await.json();
        let page = times(&answer);
        from = page.last().unwrap() + 1;
        seen.extend(page);
        if answer["cut_off"] == false {
            break;
        }
    }
    assert_eq!(seen, (1..=1000).collect::<Vec<_>>());
    stored.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_is_thinned_out_over_both_parts() {
    let stored = Stored::start().await;
    stored.put("D1", 1..=1000);
    stored.flush().await;
    let answer = ask(&stored, "from=0&points=50").await.json();
    assert_eq!(
        json!([
            answer["downsampled"],
            answer["points_in"],
            answer["reduced_by_sink"]
        ]),
        json!([true, 1000, false])
    );
    let times = times(&answer);
    assert_eq!((times.len(), times[0], times[49]), (50, 1, 1000));
    assert_eq!(origins(&answer), (100, 900));
    let few = ask(&stored, "from=990&points=50").await.json();
    assert_eq!(
        json!([
            few["downsampled"],
            few["points_in"],
            few["points"][0]["quality"]
        ]),
        json!([false, 11, "good"])
    );
    stored.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn law_2_a_plot_of_very_many_values_is_made_from_what_the_sink_reduces_them_to() {
    let stored = Stored::start().await;
    let peak = 123_456;
    stored.put("D1", (1..=201_000).filter(|number| *number != peak));
    let intake = &stored.server.intake;
    let timestamp = record::Timestamp::from_micros(peak).unwrap();
    let record = record::Record::new("PLC01", "D1", record::Value::I64(9_000_000), timestamp);
    let now = std::time::Instant::now();
    let pushed = intake.push(now, vec![Ok(record.unwrap())]).unwrap();
    assert_eq!(pushed.accepted, 1);
    stored.put("D1", 201_001..=201_100);
    stored.flush().await;
    let answer = ask(&stored, "from=0&points=100").await.json();
    assert_eq!(
        json!([
            answer["downsampled"],
            answer["points_in"],
            answer["reduced_by_sink"]
        ]),
        json!([true, 201_100, true])
    );
    let times = times(&answer);
    assert!(times.is_sorted() && times.len() <= 100, "{times:?}");
    assert_eq!(times.last(), Some(&201_100));
    let values = answer["points"].as_array().unwrap().iter();
    let greatest = values.map(|point| point["value"].as_f64().unwrap());
    assert_eq!(
        greatest.fold(0.0, f64::max),
        9_000_000.0,
        "the peak is kept"
    );
    stored.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn law_10_a_sink_that_cannot_be_read_leaves_what_memory_has() {
    let stored = Stored::start().await;
    stored.put("D1", 1..=1000);
    stored.flush().await;
    stored.lose_the_file();
    for query in ["from=0", "from=0&points=200"] {
        let answer = ask(&stored, query).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let answer = answer.json();
        assert_eq!(times(&answer), (901..=1000).collect::<Vec<_>>());
        assert_eq!(origins(&answer), (100, 0));
        let warning = answer["warning"].as_str().unwrap();
        assert!(
            warning.starts_with("this is what memory has: cannot read"),
            "{warning}"
        );
    }
    let whole = ask(&stored, "from=950").await.json();
    assert!(
        whole["warning"].is_string(),
        "nobody knows whether memory is enough"
    );
    let nothing = ask(&stored, "from=1&until=100").await;
    assert_eq!((nothing.status, nothing.header("retry-after")), (503, "1"));
    let detail = nothing.json()["detail"].as_str().unwrap().to_owned();
    assert!(
        detail.starts_with("memory has nothing of this range, and cannot read"),
        "{detail}"
    );
    stored.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_only_the_sink_knows_is_answered_from_there() {
    let stored = Stored::start().await;
    stored.put("D1", 1..=10);
    stored.flush().await;
    let Stored { server, folder } = stored;
    server.stop().await;
    let stored = Stored::over(folder).await;
    assert_eq!(
        ask(&stored, "count=10").await.status,
        404,
        "memory does not know it"
    );
    let answer = ask(&stored, "from=0").await.json();
    assert_eq!(times(&answer), (1..=10).collect::<Vec<_>>());
    let none = stored.server.get("/api/history/PLC01/none?from=0").await;
    assert_eq!(none.status, 404);
    stored.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_sink_that_can_be_read_a_range_is_what_memory_has_of_it() {
    let server = Server::start().await;
    for micros in 1..=20 {
        server.put("D1", micros, micros);
    }
    let answer = server.get("/api/history/PLC01/D1?from=5&until=8").await;
    let answer = answer.json();
    assert_eq!(times(&answer), [5, 6, 7]);
    assert_eq!(
        (origins(&answer), &answer["warning"]),
        ((3, 0), &Json::Null)
    );
    assert_eq!(
        server.get("/api/history/PLC01/none?from=0").await.status,
        404
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ranges_that_make_no_sense_are_refused_by_the_name_of_what_is_wrong() {
    let server = Server::start().await;
    server.put("D1", 1.0, 1);
    for (query, detail) in [
        ("until=5", "`until` needs `from`"),
        (
            "from=5&until=5",
            "`until` is 1970-01-01T00:00:00.000005Z, expected a moment after `from`, \
             1970-01-01T00:00:00.000005Z",
        ),
        (
            "from=yesterday",
            "`from` is \"yesterday\", expected RFC 3339 (2024-05-01T12:00:00Z) or microseconds \
             since 1970, within the years -9999 to 9999",
        ),
        (
            "from=0&until=9999999999999999999",
            "`until` is \"9999999999999999999\", expected RFC 3339 (2024-05-01T12:00:00Z) or \
             microseconds since 1970, within the years -9999 to 9999",
        ),
        (
            "from=0&seconds=5",
            "with `from`, give `count` or `points` or neither, and no `seconds`",
        ),
        (
            "from=0&count=5&points=5",
            "with `from`, give `count` or `points` or neither, and no `seconds`",
        ),
        ("from=0&count=0", "`count` is 0, expected 1 to 100000"),
        (
            "from=0999-12-31T00:00:00Z",
            "`from` is 0999-12-31T00:00:00Z, expected 1000-01-01T00:00:00Z to \
             9999-12-30T22:00:00Z, which every database knows",
        ),
        ("from=0&points=1", "`points` is 1, expected 2 to 10000"),
    ] {
        let answer = server.get(&format!("/api/history/PLC01/D1?{query}")).await;
        assert_eq!(
            (answer.status, &answer.json()["detail"]),
            (400, &json!(detail)),
            "{query}"
        );
    }
    server.stop().await;
}
