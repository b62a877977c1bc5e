//! What buffers and flush timers elsewhere got wrong, one test per lesson, on a whole pipeline.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
mod probe;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::{AGE, builder, intake, numbers, push, records};
use flush_policy::{AdaptiveSpec, FlushSpec, Reason};
use pipeline::{BufferOptions, LaneSpec, Pipeline, PipelineBuilder, Plan, SinkSpec, WhenFull};
use pipeline::{DropReason, Outcome};
use probe::{Probe, account, assert_conserved, ms, of, sleep_ms};
use record::{Priority, Record, Timestamp, Value};
use sinks::{BoxWriter, MemoryWriter, ScopeName};
use tokio::time::Instant;

const HOUR: Duration = Duration::from_secs(3600);

fn with_flush(probe: &Probe, flush: FlushSpec) -> PipelineBuilder {
    let lane = LaneSpec::new(Priority::Normal).flush(flush);
    Pipeline::builder().sink(probe.spec("sink").lanes([lane]))
}

#[tokio::test(start_paused = true)]
async fn lesson_an_idle_remainder_is_flushed_though_no_item_arrives_to_look_at_the_clock() {
    let sink = MemoryWriter::new();
    let pipeline = builder(&sink).start().unwrap();
    let intake = intake(&pipeline).await;
    push(&intake, records(0..107));
    sleep_ms(1).await;
    assert_eq!(
        sink.delivered().len(),
        100,
        "a batch by size, and seven are left"
    );
    tokio::time::sleep(AGE).await;
    assert_eq!(sink.delivered().len(), 107);
    tokio::time::sleep(HOUR).await;
    let stats = account(&pipeline);
    assert_eq!(stats.flushes.of(Reason::Age).delivered, 1);
    assert_eq!(
        stats.flushes.total().attempted(),
        2,
        "and nothing is flushed that is empty"
    );
}

#[tokio::test(start_paused = true)]
async fn lesson_the_first_item_after_a_quiet_hour_is_not_flushed_alone() {
    let probe = Probe::new();
    let interval = Duration::from_secs(5);
    let flush = FlushSpec::new().size(100).interval(interval);
    let pipeline = with_flush(&probe, flush).start().unwrap();
    let intake = intake(&pipeline).await;
    for round in 0..3 {
        let before = round * 5;
        push(&intake, records(before..before + 1));
        sleep_ms(1_000).await;
        assert_eq!(
            probe.seen().len() as i64,
            round,
            "the last flush is an hour old, and stale"
        );
        push(&intake, records(before + 1..before + 5));
        tokio::time::sleep(interval).await;
        let last = probe.seen().last().unwrap().numbers.clone();
        assert_eq!(last, (before..before + 5).collect::<Vec<_>>());
        tokio::time::sleep(HOUR).await;
    }
    assert_eq!(account(&pipeline).flushes.of(Reason::Interval).delivered, 3);
}

#[tokio::test(start_paused = true)]
async fn lesson_a_timer_outlives_its_failed_flush_and_counts_it_as_failed() {
    let sink = MemoryWriter::new();
    let pipeline = builder(&sink).start().unwrap();
    let intake = intake(&pipeline).await;
    sink.go_down();
    push(&intake, records(0..5));
    tokio::time::sleep(HOUR).await;
    let by_age = account(&pipeline).flushes.of(Reason::Age);
    assert_eq!(
        by_age.delivered, 0,
        "a flush that failed is not counted as one"
    );
    assert!(by_age.failed > 2, "{by_age:?}");
    sink.recover();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(numbers(&sink), [0, 1, 2, 3, 4]);
    // The timer runs on: what comes now is flushed by age as well.
    push(&intake, records(5..7));
    tokio::time::sleep(AGE * 2).await;
    assert_eq!(numbers(&sink).len(), 7);
    assert_eq!(account(&pipeline).flushes.of(Reason::Age).delivered, 2);
}

#[tokio::test(start_paused = true)]
async fn lesson_a_timer_that_is_started_while_the_old_one_still_runs_does_start() {
    let probe = Probe::new();
    let every = |age| FlushSpec::new().size(100).age(age);
    let lane = |age| LaneSpec::new(Priority::Normal).flush(every(age));
    let route = |age| pipeline::RouteSpec::to("sink").lanes([lane(age)]);
    let plan = |age| Plan::new().sink(SinkSpec::kept("sink")).route(route(age));
    let pipeline = Pipeline::builder()
        .sink(probe.spec("sink"))
        .route(route(AGE))
        .start()
        .unwrap();
    let intake = intake(&pipeline).await;
    // The old timer's last flush takes long.
    probe.takes(Duration::from_secs(3), Duration::ZERO);
    push(&intake, records(0..1));
    tokio::time::sleep(AGE * 2).await;
    for round in 1..4 {
        let age = AGE + ms(round);
        let changing = pipeline.reconfigure(plan(age), Duration::from_secs(60));
        let changed = changing.await.unwrap();
        assert_eq!((changed.started, changed.ended), (1, 1));
        let number = i64::try_from(round).unwrap();
        push(&intake, records(number..number + 1));
        tokio::time::sleep(Duration::from_secs(4)).await;
        assert_eq!(probe.numbers("").len() as u64, round + 1, "its timer runs");
    }
    // Stopped for good and started again over the same sink, it runs too.
    pipeline.shutdown(HOUR).await;
    let again = with_flush(&probe, every(AGE)).start().unwrap();
    push(&common::intake(&again).await, records(4..5));
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(probe.numbers(""), [0, 1, 2, 3, 4]);
}

#[tokio::test(start_paused = true)]
async fn lesson_the_age_is_that_of_the_first_item_so_a_trickle_postpones_nothing() {
    let probe = Probe::new();
    let flush = FlushSpec::new().size(1_000).age(AGE);
    let pipeline = with_flush(&probe, flush).start().unwrap();
    let intake = intake(&pipeline).await;
    let began = Instant::now();
    for number in 0..100 {
        push(&intake, records(number..number + 1));
        sleep_ms(100).await;
    }
    tokio::time::sleep(AGE).await;
    let seen = probe.seen();
    assert!(seen.len() >= 16, "{} batches", seen.len());
    assert!(
        seen[0].at - began <= AGE + ms(2),
        "{:?}",
        seen[0].at - began
    );
    let latency = account(&pipeline).latency_ms;
    assert!(latency.max <= 505.0, "{latency:?}");
}

#[tokio::test(start_paused = true)]
async fn lesson_a_correction_of_the_wall_clock_neither_hastens_nor_loses_a_flush() {
    let sink = MemoryWriter::new();
    let pipeline = builder(&sink).start().unwrap();
    let intake = intake(&pipeline).await;
    let hour_us = 3_600_000_000;
    let at = 1_700_000_000_000_000;
    for (round, jump) in [0, hour_us, -hour_us, 24 * hour_us].into_iter().enumerate() {
        let stamp = Timestamp::from_micros(at + jump).unwrap();
        let record = Record::new("PLC01", "D100", Value::I64(1), stamp).unwrap();
        push(&intake, vec![Ok(record)]);
        tokio::time::sleep(AGE - ms(2)).await;
        assert_eq!(sink.delivered().len(), round, "not early");
        sleep_ms(4).await;
        assert_eq!(sink.delivered().len(), round + 1, "and not never");
    }
}

#[tokio::test(start_paused = true)]
async fn lesson_a_promised_wait_is_never_lengthened_and_a_short_one_has_no_floor() {
    let probe = Probe::new();
    let wait = ms(50);
    let adaptive = AdaptiveSpec::new().sizes(1, 64).base(8).wait(wait);
    let flush = FlushSpec::new().adaptive(adaptive.write_target(ms(20)));
    let pipeline = with_flush(&probe, flush).start().unwrap();
    let intake_of = intake(&pipeline).await;
    for round in 0..40_u64 {
        // Slow and quick by turns, so that the size moves all the time.
        probe.takes(ms(if round % 8 < 4 { 200 } else { 1 }), Duration::ZERO);
        let offered = Instant::now();
        push(&intake_of, records(0..1));
        sleep_ms(400).await;
        let waited = probe.seen().last().unwrap().at - offered;
        assert!(waited <= wait + ms(2), "round {round}: {waited:?}");
    }
    assert_eq!(probe.seen().len(), 40);
    let short = Probe::new();
    let flush = FlushSpec::new().size(1_000).age(ms(1));
    let pipeline = with_flush(&short, flush).start().unwrap();
    push(&intake(&pipeline).await, records(0..1));
    sleep_ms(3).await;
    assert_eq!(
        short.seen().len(),
        1,
        "a wait of one millisecond is one millisecond"
    );
}

#[tokio::test(start_paused = true)]
async fn lesson_a_maximum_size_is_kept_and_not_only_shown() {
    let probe = Probe::new();
    probe.memory.go_down();
    let lane = LaneSpec::new(Priority::Normal).size(100).batch_max(30);
    let lane = lane.flush(FlushSpec::new().size(50).age(AGE));
    let pipeline = Pipeline::builder().sink(probe.spec("sink").lanes([lane]));
    let pipeline = pipeline.start().unwrap();
    let intake = intake(&pipeline).await;
    for number in 0..1_000 {
        push(&intake, records(number..number + 1));
        if number % 7 > 0 {
            continue;
        }
        let buffer = account(&pipeline).buffer;
        assert!(
            buffer.current_size <= 100 && buffer.utilization_pct <= 100.0,
            "{buffer:?}"
        );
        if number % 70 == 0 {
            sleep_ms(10).await;
        }
    }
    assert!(account(&pipeline).dropped.drop_oldest >= 900);
    probe.memory.recover();
    pipeline.shutdown(HOUR).await;
    let longest = probe.seen().iter().map(|batch| batch.numbers.len()).max();
    assert_eq!(longest, Some(30), "and so is that of a batch");
}

/// Counts log lines; a subscriber that keeps none.
struct Lines(Arc<AtomicUsize>);

impl tracing::Subscriber for Lines {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        if event.metadata().target().starts_with("pipeline") {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

#[tokio::test(start_paused = true)]
async fn lesson_a_full_buffer_costs_a_line_per_second_and_not_one_per_put() {
    let lines = Arc::new(AtomicUsize::new(0));
    let _here = tracing::subscriber::set_default(Lines(Arc::clone(&lines)));
    let sink = MemoryWriter::new();
    let options = BufferOptions {
        max_size: 100,
        ..BufferOptions::default()
    };
    let pipeline = builder(&sink)
        .buffer(options)
        .flush(100, HOUR)
        .start()
        .unwrap();
    let intake = intake(&pipeline).await;
    sink.go_down();
    for number in 0..20_000 {
        push(&intake, records(number..number + 1));
        if number % 2_000 == 1_999 {
            sleep_ms(1_000).await;
        }
    }
    let stats = account(&pipeline);
    assert!(
        stats.dropped.total() > 19_000,
        "{:?} {}",
        stats.dropped,
        stats.refused
    );
    let written = lines.load(Ordering::Relaxed);
    // Ten seconds: a line for each of them, the watermark, the sink, and its attempts.
    assert!(
        (10..=40).contains(&written),
        "{written} lines for 20,000 puts"
    );
}

#[tokio::test(start_paused = true)]
async fn lesson_an_eviction_is_no_delivery_in_any_count() {
    let sink = MemoryWriter::new();
    sink.go_down();
    let options = BufferOptions {
        max_size: 10,
        ..BufferOptions::default()
    };
    let pipeline = builder(&sink).buffer(options).start().unwrap();
    let sender = pipeline.sender();
    let first = sender.send_tracked(of("D1", 0, None)).unwrap();
    let more = sender.send_many((1..=10).map(|number| of("D1", number, None)));
    assert_eq!(more.unwrap().dropped, 1);
    let dropped = Outcome::Dropped(DropReason::DropOldest);
    assert_eq!(first.await, [("sink".to_owned(), dropped)]);
    let stats = account(&pipeline);
    assert_eq!(
        (stats.delivered, stats.dropped.drop_oldest, stats.pending),
        (0, 1, 10)
    );
    assert_eq!(
        (stats.buffer.total_acked, stats.flushes.total().delivered),
        (0, 0)
    );
    assert_eq!(stats.recent.delivered, 0);
    sink.recover();
    let report = pipeline.shutdown(HOUR).await;
    assert_eq!(
        (report.stats.delivered, report.stats.dropped.total()),
        (10, 1)
    );
    assert_eq!(sink.delivered().len(), 10);
}

#[tokio::test(start_paused = true)]
async fn lesson_what_is_put_before_or_after_its_time_is_kept_or_refused_and_never_lost_unsaid() {
    let sink = MemoryWriter::new();
    let pipeline = builder(&sink).start().unwrap();
    let sender = pipeline.sender();
    // No task of the pipeline has run yet, and its scope is not open.
    sender.send(of("D1", 1, None)).unwrap();
    assert_eq!(account(&pipeline).pending, 1);
    let report = pipeline.shutdown(None).await;
    assert_eq!((report.stats.delivered, numbers(&sink)), (1, vec![1]));
    let late = sender.send(of("D1", 2, None)).unwrap_err();
    assert!(!late.is_taken_partly);
    let stats = account(&pipeline);
    assert_eq!(
        (stats.accepted, stats.refused, sink.delivered().len()),
        (1, 1, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn lesson_a_shutdown_drains_and_a_last_flush_that_fails_drops_nothing_behind_it() {
    let (good, bad) = (MemoryWriter::new(), MemoryWriter::new());
    let lanes = || LaneSpec::all().map(|lane| lane.flush(FlushSpec::new().size(10).age(HOUR)));
    let spec = |name: &str, sink: &MemoryWriter| {
        SinkSpec::new(name, BoxWriter::new(sink.clone())).lanes(lanes())
    };
    let pipeline = Pipeline::builder()
        .sink(spec("bad", &bad))
        .sink(spec("good", &good));
    let pipeline = pipeline.start().unwrap();
    let intake = pipeline.intake(&ScopeName::new("plc")).await.unwrap();
    let classes = [
        Priority::Low,
        Priority::Normal,
        Priority::High,
        Priority::Critical,
    ];
    for number in 0..95 {
        let class = classes[usize::try_from(number).unwrap() % 4];
        push(&intake, vec![Ok(of("D1", number, class))]);
    }
    bad.go_down();
    for _ in 0..7 {
        good.fail_before_write();
    }
    let report = pipeline.shutdown(Duration::from_secs(60)).await;
    assert_conserved(&report.stats);
    assert_eq!(
        good.delivered().len(),
        95,
        "every failed flush was tried again"
    );
    let left = &report.sinks[0].undelivered;
    assert_eq!(
        left.len() + bad.delivered().len(),
        95,
        "and the rest is handed back"
    );
    assert_eq!(report.sinks[1].undelivered.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn lesson_a_put_that_cannot_be_kept_is_refused_and_says_so() {
    let sink = MemoryWriter::new();
    sink.go_down();
    for policy in [WhenFull::Reject, WhenFull::Block(Duration::from_millis(5))] {
        let options = BufferOptions {
            max_size: 3,
            policy,
            ..BufferOptions::default()
        };
        let pipeline = builder(&sink).buffer(options).start().unwrap();
        let sender = pipeline.sender();
        let sent = (0..5).map(|number| sender.send(of("D1", number, None)).is_ok());
        assert_eq!(sent.collect::<Vec<_>>(), [true, true, true, false, false]);
        let stats = account(&pipeline);
        assert_eq!((stats.accepted, stats.refused, stats.pending), (3, 2, 3));
        let report = pipeline.shutdown(Duration::from_secs(1)).await;
        assert_eq!(report.undelivered.len(), 3);
    }
}
