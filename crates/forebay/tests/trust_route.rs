//! A coalescing route that ends in a tracker of trust.

#![cfg(feature = "trust")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

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
    let route = RouteSpec::to("trust").name("trust").tags("outcome.*");
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
        sender.send(record).await.unwrap();
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
