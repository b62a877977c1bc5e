//! A tracker of trust at the end of a coalescing route, and of an ingest.

#![cfg(feature = "trust")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use common::finish;
use forebay::{pipeline, record, sinks, trust};
use pipeline::{CoalesceAggregate, CoalesceSpec, Pipeline, RouteSpec, SinkSpec};
use record::{Record, Timestamp, Value};
use sinks::OpenOptions;
use trust::{ImportLimits, TrustTracker};

#[tokio::test]
async fn outcomes_that_a_route_merges_are_evidence_for_their_source() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trust.json");
    let url = format!("tracker://{}?per=source", path.display());
    let opened = sinks::open(&url, &OpenOptions::new(folder.path())).unwrap();
    let merged = CoalesceSpec::new(CoalesceAggregate::SuccessFailure);
    let merged = merged.key("{source}".parse().unwrap());
    let route = RouteSpec::to("trust")
        .name("trust")
        .tags("outcome.*".parse().unwrap());
    let pipeline = Pipeline::builder()
        .sink(SinkSpec::new("trust", opened.writer))
        .route(route.coalesce(merged))
        .start()
        .unwrap();
    let sender = pipeline.sender();
    for number in 0..100 {
        let source = ["rule 7", "rule 8"][number % 2];
        let value = match number % 10 {
            0 => Value::json(r#"{"success":false,"weight":0.5}"#).unwrap(),
            _ => Value::Bool(true),
        };
        let tag = ["outcome.hit", "outcome.late", "temperature"][number % 3];
        let record = Record::new(source, tag, value, Timestamp::default()).unwrap();
        sender.send(record).unwrap();
    }
    let report = pipeline.shutdown(Duration::from_secs(30)).await;
    assert!(report.error.is_none(), "{report:?}");

    let tracker = TrustTracker::<String>::new();
    let limits = ImportLimits::default();
    let keys = tracker.load(&path, Duration::ZERO, &limits).unwrap();
    assert_eq!(keys, 2, "the tag is no part of a key");
    let counted = |source: usize| {
        let outcomes = (0..100).filter(|number| number % 2 == source && number % 3 != 2);
        let (bad, good): (Vec<_>, Vec<_>) = outcomes.partition(|number| number % 10 == 0);
        (1.0 + good.len() as f64, 1.0 + 0.5 * bad.len() as f64)
    };
    for (index, source) in ["rule 7", "rule 8"].iter().enumerate() {
        let trust = tracker.posterior(*source);
        assert_eq!((trust.alpha(), trust.beta()), counted(index), "{source}");
    }
}

#[test]
fn a_file_that_is_ingested_into_a_tracker_counts_once_per_command() {
    let folder = tempfile::tempdir().unwrap();
    let values = ["true", "{\"success\":false,\"weight\":2.5}", "3.5"];
    let text: String = (1_700_000_000_000_000_u64..)
        .zip(values)
        .map(|(at, value)| {
            format!("{{\"timestamp\":{at},\"source\":\"P\",\"tag\":\"a\",\"value\":{value}}}\n")
        })
        .collect();
    std::fs::write(folder.path().join("a.ndjson"), text).unwrap();
    let path = folder.path().join("trust.json");
    for times in [1.0, 2.0] {
        let load = [
            "ingest",
            "a.ndjson",
            "--json",
            "--sink",
            "tracker:trust.json",
        ];
        let outcome = finish(&mut common::forebay(folder.path(), &load)).check(0, &[]);
        assert_eq!(outcome.counts(), [3, 2, 1, 0, 0]);
        let tracker = TrustTracker::<String>::new();
        tracker
            .load(&path, Duration::ZERO, &ImportLimits::default())
            .unwrap();
        let trust = tracker.posterior("P/a");
        assert_eq!(
            (trust.alpha(), trust.beta()),
            (1.0 + times, 1.0 + 2.5 * times)
        );
    }
    std::fs::write(&path, "{torn").unwrap();
    let load = ["ingest", "a.ndjson", "--sink", "tracker:trust.json"];
    let outcome = finish(&mut common::forebay(folder.path(), &load));
    outcome.check(1, &["cannot read the snapshot trust.json", "left as it is"]);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "{torn");
}
