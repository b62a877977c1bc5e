//! What the data service makes of readings, and what becomes of keys that nothing comes for.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{builder, intake, push, record};
use dataservice::{
    Aggregated, Downsampled, Extract, KeyId, Measure, Rate, Requirement, Spec, Subscription,
};
use pipeline::{LiveData, Reading};
use record::{Key, Priority, Quality, Value};
use sinks::MemoryWriter;

fn key(tag: &str) -> Key {
    let contents = record(tag, 0);
    contents.unwrap().key()
}

fn reading(value: impl Into<Value>) -> Reading {
    Reading {
        value: value.into(),
        quality: Quality::Good,
        priority: Priority::Normal,
    }
}

fn shown(mut subscription: Subscription<Reading>) -> Extract<Reading> {
    let snapshot = subscription.poll().unwrap();
    let update = snapshot.into_updates().pop().unwrap();
    update.into_extract().unwrap()
}

/// 0, 10, 20, … a second apart, in which one is bad, one is text and one is null.
fn live_data() -> (LiveData, KeyId) {
    let live = LiveData::builder().depth_default(100).build().unwrap();
    let id = live.register(key("D1")).unwrap();
    let mut values: Vec<Reading> = (0..10_i64).map(|number| reading(10 * number)).collect();
    values[3].quality = Quality::Bad;
    values[5] = reading(Value::text("seven").unwrap());
    values[7] = reading(Value::Null);
    let values = (0..).zip(values);
    live.put_many(
        id,
        values.map(|(second, value)| (second * 1_000_000, value)),
    )
    .unwrap();
    (live, id)
}

#[test]
fn readings_are_summed_up_and_those_without_a_usable_number_are_passed_over() {
    let (live, id) = live_data();
    let spec = Spec::new().key(id, Aggregated::by_count(10));
    let Extract::Summary(summary) = shown(live.subscribe(spec).unwrap()) else {
        panic!("no summary");
    };
    assert_eq!((summary.count(), summary.nan_count()), (7, 3));
    assert_eq!(summary.mean(), Some(300.0 / 7.0));
    let spec = Spec::new().key(id, Rate::by_count(10));
    let Extract::Rate(rate) = shown(live.subscribe(spec).unwrap()) else {
        panic!("no rate");
    };
    assert_eq!(rate.per_s(), Some(10.0));
}

#[test]
fn readings_without_a_usable_number_are_gaps_in_a_plot() {
    let (live, id) = live_data();
    let plot = Downsampled::new(Requirement::Count(10), 10);
    let Extract::Plot(points) = shown(live.subscribe(Spec::new().key(id, plot)).unwrap()) else {
        panic!("no plot");
    };
    let gaps: Vec<usize> = (0..10).filter(|at| points.values()[*at].is_nan()).collect();
    assert_eq!(gaps, [3, 5, 7]);
    assert_eq!(points.values()[9], 90.0);
}

#[test]
fn truth_values_are_one_and_zero_and_uncertain_readings_count() {
    assert_eq!(reading(Value::Bool(true)).measure(), Some(1.0));
    assert_eq!(reading(Value::Bool(false)).measure(), Some(0.0));
    let mut uncertain = reading(2.5);
    uncertain.quality = Quality::Uncertain;
    assert_eq!(uncertain.measure(), Some(2.5));
}

#[test]
fn long_texts_weigh_and_a_full_memory_keeps_the_newest_of_them() {
    let live = LiveData::builder()
        .depth_default(1_000)
        .memory_max(1 << 20)
        .weigh(Reading::heap_bytes)
        .build()
        .unwrap();
    let id = live.register(key("log")).unwrap();
    let text = |number: i64| format!("{number} {}", "x".repeat(10_000));
    for number in 0..1_000 {
        let value = Value::text(&text(number)).unwrap();
        assert!(reading(value.clone()).heap_bytes() >= 10_000);
        live.put(id, number, reading(value)).unwrap();
        assert!(live.stats().bytes <= 1 << 20);
    }
    let newest = live.get(&key("log")).unwrap();
    assert_eq!(newest.value, Value::text(&text(999)).unwrap());
}

/// What the program would log.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn idle_keys_lose_their_values_and_the_log_names_them() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let live = LiveData::builder()
        .idle_after(Some(Duration::from_secs(20)))
        .build()
        .unwrap();
    let pipeline = builder(&MemoryWriter::new())
        .live(live.clone())
        .start()
        .unwrap();
    let intake = intake(&pipeline).await;
    push(&intake, vec![record("D1", 1), record("D2", 2)]);
    for _ in 0..40 {
        push(&intake, vec![record("D2", 2)]);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(live.stats().expired, 1);
    assert!(!live.contains(&key("D1")) && live.contains(&key("D2")));
    let said = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let line = said.lines().find(|line| line.contains("idle keys"));
    assert!(line.unwrap().contains("PLC01/D1"), "{said}");
    assert!(!said.contains("PLC01/D2"), "{said}");
    pipeline.shutdown(None).await;
}
