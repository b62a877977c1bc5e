//! `GET /metrics`: the format, whose numbers they are, and that memory stays bounded.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use common::Server;
use common::exposition::Exposition;
use gateway::{Exporter, described};
use metrics::{Key, Label, Level, Metadata, Recorder, Unit};
use pipeline::{MetricKind, Telemetry};
use record::Priority;

const METADATA: Metadata<'static> = Metadata::new("test", Level::INFO, None);

#[tokio::test(flavor = "multi_thread")]
async fn every_family_has_the_help_and_type_of_its_description() {
    let server = Server::start().await;
    server.put("D1", 1.5, 1_000_000);
    server.order("/api/flush", "", &[]).await;
    let answer = server.get("/metrics").await;
    assert_eq!(
        answer.header("content-type"),
        "text/plain; version=0.0.4; charset=utf-8"
    );
    let read = Exposition::read(&answer.text);
    let kinds = |kind: MetricKind| match kind {
        MetricKind::Histogram => "summary",
        kind => kind.as_str(),
    };
    for (name, family) in &read.families {
        let described = described().find(|metric| metric.name == name).unwrap();
        assert_eq!(family.help, described.help, "{name}");
        assert_eq!(family.kind, kinds(described.kind), "{name}");
        for sample in &family.samples {
            let labels = sample.labels.keys().map(String::as_str);
            let mut known = described.labels.to_vec();
            known.push("quantile");
            assert!(
                labels.into_iter().all(|label| known.contains(&label)),
                "{sample:?}"
            );
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn law_1_every_answer_for_prometheus_balances_per_lane_also_under_load() {
    let server = Server::start().await;
    let intake = server.intake.clone();
    let load = tokio::task::spawn_blocking(move || {
        for number in 0..3000 {
            let record = record::Record::new("PLC01", "D1", number.into(), Default::default());
            let bad = Err(record::Malformed::new("bad", b"x"));
            let contents = vec![Ok(record.unwrap()), bad];
            let _ = intake.push(std::time::Instant::now(), contents).unwrap();
        }
    });
    for _ in 0..30 {
        let read = Exposition::read(&server.get("/metrics").await.text);
        let lanes: BTreeSet<_> = read.families["forebay_offered_total"]
            .samples
            .iter()
            .map(|sample| sample.labels.clone())
            .collect();
        assert!(!lanes.is_empty());
        for labels in lanes {
            let labels: Vec<_> = labels
                .iter()
                .map(|(k, v)| (k.as_str(), v.as_str()))
                .collect();
            let sum = |name: &str| read.sum(&format!("forebay_{name}"), &labels);
            assert_eq!(
                sum("offered_total"),
                sum("accepted_total") + sum("refused_total")
            );
            let settled = sum("delivered_total") + sum("dropped_total") + sum("quarantined_total");
            assert_eq!(
                sum("accepted_total"),
                settled + sum("pending"),
                "{labels:?}"
            );
        }
    }
    load.await.unwrap();
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_record_that_was_delivered_is_in_the_latencies_of_its_lane() {
    let server = Server::start().await;
    server.put_many("D1", 70);
    server.order("/api/flush", "", &[]).await;
    let read = Exposition::read(&server.get("/metrics").await.text);
    assert_eq!(read.sum("forebay_latency_seconds_count", &[]), 70.0);
    assert_eq!(read.sum("forebay_batch_rows_sum", &[]), 70.0);
    let batches = read.sum("forebay_batches_total", &[]);
    assert_eq!(read.sum("forebay_write_seconds_count", &[]), batches);
    assert!(read.sum("forebay_latency_seconds", &[("quantile", "1")]) > 0.0);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn law_10_gateways_in_one_process_do_not_mix_beside_an_application_with_its_own_recorder() {
    let _ = metrics::set_global_recorder(metrics::NoopRecorder);
    let (one, other) = (Server::start().await, Server::start().await);
    one.put_many("D1", 7);
    other.put_many("D1", 2);
    for (server, count) in [(&one, 7.0), (&other, 2.0), (&one, 7.0)] {
        let read = Exposition::read(&server.get("/metrics").await.text);
        assert_eq!(read.sum("forebay_accepted_total", &[]), count);
    }
    one.stop().await;
    other.stop().await;
}

#[test]
fn labels_and_help_are_escaped() {
    let exporter = Exporter::new();
    let strange = "a \\ b\nc \"d\" é {x=\"y\"},";
    exporter.describe_gauge("strange".into(), None, strange.into());
    let labels = vec![Label::new("text", strange), Label::new("empty", "")];
    let gauge = exporter.register_gauge(&Key::from_parts("strange", labels), &METADATA);
    for (value, text) in [
        (1.5, "1.5"),
        (f64::INFINITY, "+Inf"),
        (f64::NEG_INFINITY, "-Inf"),
        (f64::NAN, "NaN"),
        (1e300, &*1e300.to_string()),
    ] {
        gauge.set(value);
        let rendered = exporter.render();
        assert!(rendered.ends_with(&format!(" {text}\n")), "{rendered}");
        let read = Exposition::read(&rendered);
        let family = &read.families["strange"];
        assert_eq!(family.help, strange);
        assert_eq!(family.samples[0].labels["text"], strange);
    }
}

#[test]
fn the_same_labels_in_another_order_are_the_same_series() {
    let exporter = Exporter::new();
    let (a, b) = (Label::new("a", "1"), Label::new("b", "2"));
    for labels in [vec![a.clone(), b.clone()], vec![b, a]] {
        let key = Key::from_parts("seen_total", labels);
        exporter.register_counter(&key, &METADATA).increment(1);
    }
    assert_eq!(
        Exposition::read(&exporter.render()).sum("seen_total", &[]),
        2.0
    );
}

#[test]
fn what_would_break_the_format_is_refused_and_counted() {
    let exporter = Exporter::new();
    let counter = |name: &'static str, labels: Vec<Label>| {
        let key = Key::from_parts(name, labels);
        exporter.register_counter(&key, &METADATA).increment(1);
    };
    counter("fine_total", Vec::new());
    for name in ["", "1st", "with space", "with-dash", "é", "a{b"] {
        counter(name, Vec::new());
    }
    for label in ["", "quantile", "le", "__name__", "a:b", "a b"] {
        counter("fine_total", vec![Label::new(label, "x")]);
    }
    counter(
        "fine_total",
        vec![Label::new("a", "x"), Label::new("a", "y")],
    );
    // Another kind under the same name.
    exporter
        .register_gauge(&Key::from_name("fine_total"), &METADATA)
        .set(9.0);
    let read = Exposition::read(&exporter.render());
    assert_eq!(read.families.len(), 1);
    assert_eq!(read.sum("fine_total", &[]), 1.0);
    assert_eq!(exporter.refused(), 14);
}

#[test]
fn law_2_series_have_a_cap() {
    let exporter = Exporter::new();
    for number in 0..20_005 {
        let labels = vec![Label::new("number", number.to_string())];
        let key = Key::from_parts("many_total", labels);
        exporter.register_counter(&key, &METADATA).increment(1);
    }
    assert_eq!(exporter.refused(), 5);
    let kept = vec![Label::new("number", "7")];
    let again = Key::from_parts("many_total", kept);
    exporter.register_counter(&again, &METADATA).increment(1);
    let read = Exposition::read(&exporter.render());
    assert_eq!(read.families["many_total"].samples.len(), 20_000);
    assert_eq!(read.sum("many_total", &[("number", "7")]), 2.0);
}

#[test]
fn a_count_that_began_anew_is_shown_as_it_is() {
    let exporter = Exporter::new();
    let count = exporter.register_counter(&Key::from_name("seen_total"), &METADATA);
    for value in [7, 9, 2] {
        count.absolute(value);
        assert_eq!(
            Exposition::read(&exporter.render()).sum("seen_total", &[]),
            value as f64
        );
    }
}

#[test]
fn batches_become_summaries_per_lane() {
    let exporter = Exporter::new();
    let telemetry = Telemetry::new();
    let _attached = telemetry.attach(Arc::new(exporter.clone()));
    let critical = telemetry.lane(Some("alarms"), "archive", Priority::Critical);
    let low = telemetry.lane(None, "archive", Priority::Low);
    let ms = Duration::from_millis;
    critical.batch(100, ms(3), [(ms(40), 60), (ms(20), 39), (ms(10), 1)]);
    low.batch(5, ms(9), [(ms(400), 5)]);
    let read = Exposition::read(&exporter.render());
    let quantile = |lane: &str, quantile: &str| {
        let labels = [("lane", lane), ("quantile", quantile)];
        read.sum("forebay_latency_seconds", &labels)
    };
    let close = |is: f64, want: f64| assert!((is - want).abs() <= want * 0.02, "{is}, not {want}");
    close(quantile("critical", "0.5"), 0.04);
    close(quantile("critical", "1"), 0.04);
    close(quantile("low", "0.99"), 0.4);
    let lane = [("lane", "critical"), ("route", "alarms")];
    assert_eq!(read.sum("forebay_latency_seconds_count", &lane), 100.0);
    close(read.sum("forebay_latency_seconds_sum", &lane), 3.19);
    close(read.sum("forebay_write_seconds_sum", &lane), 0.003);
    assert_eq!(
        read.sum("forebay_batch_rows", &[("lane", "low"), ("quantile", "1")]),
        5.0
    );
}

#[tokio::test(start_paused = true)]
async fn quantiles_forget_after_five_minutes_and_counts_do_not() {
    let exporter = Exporter::new();
    exporter.describe_histogram("seen_seconds".into(), Some(Unit::Seconds), "Seen.".into());
    let seen = exporter.register_histogram(&Key::from_name("seen_seconds"), &METADATA);
    seen.record_many(0.25, 4);
    tokio::time::advance(Duration::from_secs(239)).await;
    let median = || {
        let read = Exposition::read(&exporter.render());
        assert_eq!(read.sum("seen_seconds_count", &[]), 4.0);
        read.sum("seen_seconds", &[("quantile", "0.5")])
    };
    assert!((median() - 0.25).abs() < 0.003);
    tokio::time::advance(Duration::from_secs(62)).await;
    assert!(median().is_nan());
}
