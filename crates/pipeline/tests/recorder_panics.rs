//! A recorder of metrics that panics costs neither the pulse of a pipeline nor the answers of those
//! who wait for their records.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::{assert_balanced, record};
use metrics::{
    Counter, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
    SharedString, Unit,
};
use pipeline::{Level, Outcome, Pipeline};
use sinks::{BoxWriter, MemoryWriter};

/// One whose handles panic as often as each of the numbers says.
#[derive(Clone, Default)]
struct Panics {
    gauges: Arc<Calls>,
    histograms: Arc<Calls>,
}

#[derive(Default)]
struct Calls {
    to_panic: AtomicUsize,
    good: AtomicUsize,
}

impl Calls {
    fn call(&self) {
        let left = self
            .to_panic
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(1)
            });
        assert!(left.is_err(), "the recorder is broken");
        self.good.fetch_add(1, Ordering::Relaxed);
    }
}

impl GaugeFn for Calls {
    fn increment(&self, _: f64) {
        self.call();
    }

    fn decrement(&self, _: f64) {
        self.call();
    }

    fn set(&self, _: f64) {
        self.call();
    }
}

impl HistogramFn for Calls {
    fn record(&self, _: f64) {
        self.call();
    }
}

impl Recorder for Panics {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::noop()
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(Arc::clone(&self.gauges))
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(Arc::clone(&self.histograms))
    }
}

#[tokio::test(start_paused = true)]
async fn a_recorder_that_panics_ends_neither_the_pulse_nor_leaves_a_sender_without_an_answer() {
    let recorder = Panics::default();
    recorder.gauges.to_panic.store(3, Ordering::Relaxed);
    metrics::set_global_recorder(recorder.clone())
        .map_err(|_| "one")
        .unwrap();
    let pipeline = Pipeline::to(BoxWriter::new(MemoryWriter::new()))
        .flush(1, common::AGE)
        .start()
        .unwrap();
    let mut notifications = pipeline.notifications();
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(recorder.gauges.to_panic.load(Ordering::Relaxed), 0);
    assert!(
        recorder.gauges.good.load(Ordering::Relaxed) > 0,
        "it goes on"
    );
    for _ in 0..3 {
        let said = notifications.try_recv().unwrap();
        assert_eq!(said.level, Level::Error);
        assert!(
            said.message
                .contains("the monitor has panicked: the recorder is broken"),
            "{}",
            said.message
        );
    }
    assert!(notifications.try_recv().is_err());

    recorder.histograms.to_panic.store(1, Ordering::Relaxed);
    let sender = pipeline.sender();
    let tracked = sender.send_tracked(record("D1", 1).unwrap()).unwrap();
    let outcomes = tokio::time::timeout(Duration::from_secs(5), tracked).await;
    let outcomes: Vec<Outcome> = outcomes
        .unwrap()
        .into_iter()
        .map(|(_, told)| told)
        .collect();
    assert_eq!(outcomes, [Outcome::Delivered]);
    assert_eq!(recorder.histograms.to_panic.load(Ordering::Relaxed), 0);
    sender.send(record("D1", 2).unwrap()).unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let stats = pipeline.stats();
    assert_eq!(stats.delivered, 2);
    assert_balanced(&stats);
}
