//! The end of a pipeline: each row is handed back once, in time, whatever else is under way.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use flush_policy::FlushSpec;
use pipeline::{
    LaneSpec, Pipeline, PipelineBuilder, PipelineError, Plan, Report, RouteSpec, SinkSpec, WhenFull,
};
use record::{Priority, Record, Timestamp, Value};
use sinks::{Batch, BatchWriter, BoxWriter, MemoryWriter, Receipt, Refused, WriteError};
use tokio::time::Instant;

const HOUR: Duration = Duration::from_secs(3600);

fn record(number: i64) -> Record {
    Record::new("PLC01", "D100", Value::I64(number), Timestamp::default()).unwrap()
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn lane() -> LaneSpec {
    let one = FlushSpec::new().size(1).age(None);
    LaneSpec::new(Priority::Normal).flush(one).batch_max(1)
}

/// Takes so many batches, of which it refuses each row, and says nothing of later ones.
#[derive(Default)]
struct Hangs {
    refuses: usize,
    seen: AtomicUsize,
}

impl BatchWriter for Hangs {
    type Row = Record;

    fn name(&self) -> &str {
        "hangs"
    }

    async fn write(&self, batch: &Batch) -> Result<Receipt, WriteError> {
        if self.seen.fetch_add(1, Ordering::SeqCst) >= self.refuses {
            return std::future::pending().await;
        }
        let reason = || "too large".to_owned();
        let refused = (0..batch.len()).map(|row| Refused {
            row,
            reason: reason(),
        });
        Ok(Receipt::new(batch.len(), 0, refused.collect()))
    }
}

fn hangs(name: &str) -> SinkSpec {
    SinkSpec::new(name, BoxWriter::new(Hangs::default())).lanes([lane()])
}

fn numbers(report: &Report) -> Vec<i64> {
    let number = |row: &sinks::Entry| match &row.content {
        Ok(record) => match record.value {
            Value::I64(number) => number,
            ref other => panic!("not a whole number: {other:?}"),
        },
        Err(bad) => panic!("not a record: {bad:?}"),
    };
    let mut numbers: Vec<i64> = report.undelivered.iter().map(number).collect();
    numbers.sort_unstable();
    numbers
}

/// A pipeline whose sink hangs, with these records.
async fn stuck(count: i64) -> Pipeline {
    let pipeline = Pipeline::builder().sink(hangs("a")).start().unwrap();
    send(&pipeline, 0..count).await;
    pipeline
}

async fn send(pipeline: &Pipeline, numbers: std::ops::Range<i64>) {
    let sender = pipeline.sender();
    numbers.for_each(|number| sender.send(record(number)).unwrap());
    tokio::time::sleep(ms(20)).await;
}

fn tasks() -> usize {
    tokio::runtime::Handle::current()
        .metrics()
        .num_alive_tasks()
}

/// Until a condition holds that other threads bring about.
async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        tokio::time::sleep(ms(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn law_1_a_shutdown_hands_back_what_a_change_was_draining() {
    let pipeline = stuck(5).await;
    let delivered = MemoryWriter::new();
    let new = SinkSpec::new("a", BoxWriter::new(delivered.clone())).lanes([lane()]);
    let plan = Plan::new().sink(new);
    let changing = pipeline.clone();
    let change = tokio::spawn(async move { changing.reconfigure(plan, HOUR).await });
    until(|| pipeline.stats().routes.len() == 2).await;
    send(&pipeline, 5..8).await;
    let began = Instant::now();
    let report = pipeline.shutdown(ms(1_000)).await;
    assert!(
        began.elapsed() < Duration::from_secs(12),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(numbers(&report).len() as u64, report.stats.pending);
    let mut all = numbers(&report);
    all.extend((0..delivered.delivered().len()).map(|place| 5 + place as i64));
    all.sort_unstable();
    assert_eq!(all, (0..8).collect::<Vec<_>>());
    assert_eq!(report.stats.accepted, 8);
    let change = change.await.unwrap().unwrap();
    assert_eq!(change.undelivered.len(), 0, "they are in the report");
    let late = pipeline
        .reconfigure(Plan::new().sink(hangs("b")), HOUR)
        .await;
    assert!(matches!(late, Err(PipelineError::Ended)), "{late:?}");
}

#[test]
fn law_1_a_change_that_waits_for_a_source_opens_nothing_behind_a_shutdown() {
    let runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = { runtime }.worker_threads(2).enable_all().build().unwrap();
    let narrow = || lane().size(4).when_full(WhenFull::Block(HOUR));
    let (pipeline, sender) = runtime.block_on(async {
        let sink = hangs("a").lanes([narrow()]);
        let pipeline = Pipeline::builder().sink(sink).start().unwrap();
        (pipeline.clone(), pipeline.sender())
    });
    let source = {
        let sender = sender.clone();
        std::thread::spawn(move || {
            let taken = (0..10).filter(|number| sender.send(record(*number)).is_ok());
            taken.count()
        })
    };
    runtime.block_on(async {
        until(|| pipeline.stats().pending >= 4).await;
        let sink = MemoryWriter::new();
        let new = SinkSpec::new("a", BoxWriter::new(sink.clone())).lanes([narrow()]);
        let plan = Plan::new().sink(new);
        let changing = pipeline.clone();
        let change = tokio::spawn(async move { changing.reconfigure(plan, HOUR).await });
        tokio::time::sleep(ms(20)).await;
        let report = pipeline.shutdown(ms(10)).await;
        change.await.unwrap().unwrap();
        assert_eq!(report.undelivered.len() as u64, report.stats.pending);
        let late = sender.send(record(100));
        assert!(late.is_err(), "{late:?}");
        let taken = source.join().unwrap();
        assert_eq!(taken, report.undelivered.len() + sink.delivered().len());
    });
}

#[tokio::test(start_paused = true)]
async fn law_1_two_shutdowns_hand_each_row_back_once() {
    let pipeline = stuck(5).await;
    let (first, second) = tokio::join!(pipeline.shutdown(HOUR), pipeline.shutdown(ms(100)));
    let third = pipeline.shutdown(None).await;
    let mut all = [numbers(&first), numbers(&second), numbers(&third)].concat();
    all.sort_unstable();
    assert_eq!(all, (0..5).collect::<Vec<_>>());
    assert_eq!((first.stats.pending, third.sinks.len()), (5, 1));
}

#[tokio::test(start_paused = true)]
async fn law_1_a_shutdown_that_was_cancelled_loses_nothing() {
    for pause in [0, 50, 1_000, 20_000] {
        let pipeline = stuck(5).await;
        let cancelled = tokio::time::timeout(ms(pause), pipeline.shutdown(HOUR)).await;
        assert!(cancelled.is_err());
        let cancelled = tokio::time::timeout(ms(1_000), pipeline.shutdown(ms(100))).await;
        assert!(cancelled.is_err(), "the sink is asked for longer");
        let report = pipeline.shutdown(ms(100)).await;
        assert_eq!(numbers(&report), (0..5).collect::<Vec<_>>());
        assert_eq!(report.stats.pending, 5);
    }
}

#[tokio::test(start_paused = true)]
async fn sinks_that_hang_are_waited_for_all_at_once() {
    let names = ["a", "b", "c", "d"];
    let builder = names.into_iter().map(hangs);
    let builder = builder.fold(Pipeline::builder(), PipelineBuilder::sink);
    let pipeline = builder.start().unwrap();
    send(&pipeline, 0..1).await;
    let began = Instant::now();
    let report = pipeline.shutdown(ms(1_000)).await;
    assert!(began.elapsed() < ms(6_500), "{:?}", began.elapsed());
    assert_eq!((report.undelivered.len(), report.stats.pending), (4, 4));
    assert!(report.sinks.iter().all(|sink| sink.undelivered.len() == 1));
}

#[tokio::test(start_paused = true)]
async fn a_change_that_is_refused_leaves_no_task() {
    let memory = || BoxWriter::new(MemoryWriter::new());
    let pipeline = Pipeline::to(memory()).start().unwrap();
    tokio::time::sleep(ms(50)).await;
    let before = tasks();
    for _ in 0..10 {
        let impossible = LaneSpec::new(Priority::Low).flush(FlushSpec::new().size(0).age(None));
        let lanes = [LaneSpec::new(Priority::Critical), lane(), impossible];
        let plan = Plan::new().sink(SinkSpec::new("good", memory()).lanes([lane()]));
        let plan = plan.sink(SinkSpec::new("new", memory()).lanes(lanes));
        let refused = pipeline.reconfigure(plan, HOUR).await;
        assert!(refused.is_err(), "{refused:?}");
    }
    tokio::time::sleep(ms(100)).await;
    assert_eq!(tasks(), before);
}

#[cfg(feature = "alerts")]
#[tokio::test(start_paused = true)]
async fn a_start_that_alerts_forbid_leaves_no_task() {
    let before = tasks();
    let alert = || pipeline::AlertSpec::command("same", "true", Vec::<String>::new());
    let builder = Pipeline::builder()
        .sink(hangs("a"))
        .alert(alert())
        .alert(alert());
    assert!(builder.start().is_err());
    tokio::time::sleep(ms(100)).await;
    assert_eq!(tasks(), before);
}

#[tokio::test(start_paused = true)]
async fn a_drain_is_no_event_of_its_own() {
    let refuses = Hangs {
        refuses: 1,
        ..Hangs::default()
    };
    let sink = SinkSpec::new("a", BoxWriter::new(refuses)).concurrency(2);
    let pipeline = Pipeline::builder()
        .sink(sink.lanes([lane()]))
        .start()
        .unwrap();
    send(&pipeline, 0..1).await;
    tokio::time::sleep(ms(200_000)).await;
    send(&pipeline, 1..2).await;
    tokio::time::sleep(ms(400_000)).await;
    let codes = || {
        let health = pipeline.health();
        let codes = health.reasons.iter().map(|reason| reason.code);
        codes.filter(|code| *code == "quarantine_growing").count()
    };
    let recent = || pipeline.stats().recent.accepted;
    assert_eq!((pipeline.stats().quarantined, codes(), recent()), (1, 0, 0));
    let route = RouteSpec::to("a").lanes([lane().size(200)]);
    let plan = Plan::new().sink(SinkSpec::kept("a")).route(route);
    let changing = pipeline.clone();
    tokio::spawn(async move { changing.reconfigure(plan, HOUR).await });
    until(|| pipeline.stats().routes.len() == 2).await;
    assert!(pipeline.stats().routes[1].is_ending);
    for _ in 0..40 {
        tokio::time::sleep(ms(10_000)).await;
        assert_eq!((codes(), recent()), (0, 0));
    }
}
