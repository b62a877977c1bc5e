//! A running pipeline tells the recorder that the application has installed.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "the recorder is shared with another test")]

mod recorder;

use std::time::Duration;

use pipeline::{Pipeline, RouteSpec, SinkSpec};
use record::{Record, Timestamp, Value};
use recorder::Heard;
use sinks::{BoxWriter, MemoryWriter, ScopeName};

#[tokio::test(start_paused = true)]
async fn the_installed_recorder_hears_every_second_and_with_every_batch() {
    let heard = Heard::default();
    metrics::set_global_recorder(heard.clone())
        .map_err(|_| "one")
        .unwrap();
    let pipeline = Pipeline::builder()
        .sink(SinkSpec::new(
            "archive",
            BoxWriter::new(MemoryWriter::new()),
        ))
        .route(RouteSpec::to("archive").name("all"))
        .start()
        .unwrap();
    let intake = pipeline.intake(&ScopeName::new("plc")).await.unwrap();
    let records = (1..=30).map(|number| {
        let timestamp = Timestamp::from_micros(number).unwrap();
        Ok(Record::new("PLC01", "D1", Value::I64(number), timestamp).unwrap())
    });
    let arrival = tokio::time::Instant::now().into_std();
    let accepted = intake.push(arrival, records.collect()).unwrap();
    assert_eq!(accepted.accepted, 30);
    assert_eq!(pipeline.flush().await.unwrap(), 30);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let lane = "{lane=normal,route=all,sink=archive}";
    assert_eq!(heard.value(&format!("forebay_accepted_total{lane}")), 30.0);
    assert_eq!(heard.value(&format!("forebay_delivered_total{lane}")), 30.0);
    assert_eq!(heard.value(&format!("forebay_pending{lane}")), 0.0);
    assert_eq!(heard.value("forebay_health_score"), 100.0);
    let rows = heard.distribution(&format!("forebay_batch_rows{lane}"));
    assert_eq!(rows, [(30.0, 1)]);
    let latencies = heard.distribution(&format!("forebay_latency_seconds{lane}"));
    assert_eq!(latencies.len(), 1, "{latencies:?}");
    assert_eq!(latencies[0].1, 30);
    pipeline.shutdown(None).await;
}
