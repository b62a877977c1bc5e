//! Bad days: sources that end or panic, sinks that hang or answer too late, tasks that panic,
//! and more scopes than anybody planned for.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod probe;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use flush_policy::FlushSpec;
use pipeline::{HealthStatus, LaneSpec, Pipeline, SinkSpec};
use probe::{Probe, account, assert_conserved, at_once, lane, lane_of, ms, number, of, sleep_ms};
use record::Priority::{Critical, Low, Normal};
use record::Record;
use sinks::{
    Batch, BatchWriter, BoxWriter, Fault, FaultWriter, MemoryWriter, OpenScope, Receipt,
    ScopeIndex, ScopeName, Timeout, WriteError,
};
use tokio::time::Instant;

fn now() -> std::time::Instant {
    Instant::now().into_std()
}

fn numbers(memory: &MemoryWriter) -> Vec<i64> {
    let delivered = memory.delivered();
    delivered
        .iter()
        .map(|(_, _, record)| number(record))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_source_that_ends_leaves_what_it_handed_over_and_is_seen() {
    let probe = Probe::new();
    let pipeline = Pipeline::builder()
        .sink(probe.spec("sink"))
        .start()
        .unwrap();
    let ends = pipeline.intake(&ScopeName::new("ends")).await.unwrap();
    let stays = pipeline.intake(&ScopeName::new("stays")).await.unwrap();
    assert_eq!(
        ends.push(now(), vec![Ok(of("D1", 1, None))])
            .unwrap()
            .accepted,
        1
    );
    ends.source_stopped("the input has ended");
    drop(ends);
    let health = pipeline.health();
    assert_ne!(health.status, HealthStatus::Healthy);
    let said = "a source has ended: ends: the input has ended";
    assert!(
        health.reasons.iter().any(|reason| reason.message == said),
        "{:?}",
        health.reasons
    );
    assert_eq!(
        stays
            .push(now(), vec![Ok(of("D1", 2, None))])
            .unwrap()
            .accepted,
        1
    );
    let report = pipeline.shutdown(None).await;
    assert_conserved(&report.stats);
    assert_eq!(
        (probe.numbers("ends"), probe.numbers("stays")),
        (vec![1], vec![2])
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn law_10_a_source_that_panics_takes_nobody_with_it() {
    let probe = Probe::new();
    let pipeline = Pipeline::builder()
        .sink(probe.spec("sink"))
        .start()
        .unwrap();
    let sender = pipeline.sender();
    sender.send(of("D1", 1, None)).unwrap();
    let panics = sender.clone();
    let source = std::thread::spawn(move || {
        panics.send(of("D1", 2, None)).unwrap();
        let broken = (3..10).map(|number| match number {
            5 => panic!("the device sent what nobody thinks of"),
            _ => of("D1", number, None),
        });
        panics.send_many(broken).map(drop)
    });
    assert!(
        tokio::task::spawn_blocking(|| source.join())
            .await
            .unwrap()
            .is_err()
    );
    // Another end of the same channel goes on.
    sender.send(of("D1", 11, None)).unwrap();
    let report = pipeline.shutdown(None).await;
    assert_conserved(&report.stats);
    assert_eq!(
        probe.numbers(""),
        [1, 2, 11],
        "what was handed over, and nothing in part"
    );
}

#[tokio::test(start_paused = true)]
async fn law_10_a_sink_that_hangs_for_ever_holds_up_nobody_and_its_rows_are_handed_back() {
    let (hung, well) = (FaultWriter::new(MemoryWriter::new()), Probe::new());
    hung.then(Fault::Hang);
    let pipeline = Pipeline::builder()
        .sink(SinkSpec::new("hung", BoxWriter::new(hung.clone())).lanes([at_once(Normal)]))
        .sink(well.spec("well"))
        .start()
        .unwrap();
    let sender = pipeline.sender();
    for number in 0..100 {
        sender.send(of("D1", number, None)).unwrap();
        sleep_ms(1_000).await;
        assert_eq!(
            account(&pipeline).routes[1].totals.pending,
            0,
            "the other has it already"
        );
    }
    let health = pipeline.health();
    assert!(!health.reasons.is_empty(), "somebody should hear of it");
    let asked = tokio::time::timeout(Duration::from_secs(5), pipeline.flush()).await;
    assert!(
        asked.is_err(),
        "a flush has no answer before the write has one"
    );
    let began = Instant::now();
    let report = pipeline.shutdown(Duration::from_secs(3)).await;
    assert!(
        began.elapsed() < Duration::from_secs(30),
        "{:?}",
        began.elapsed()
    );
    assert_conserved(&report.stats);
    assert_eq!(well.numbers(""), (0..100).collect::<Vec<_>>());
    let handed_back = report.sinks[0].undelivered.len() + hung.inner().delivered().len();
    assert_eq!(handed_back, 100, "each row is in the sink or handed back");
    assert_eq!(report.sinks[1].undelivered.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn law_8_a_sink_that_answers_after_its_timeout_has_nothing_twice() {
    let memory = MemoryWriter::new();
    let writer = Timeout::new(memory.clone(), Duration::from_secs(1));
    let lane_spec = LaneSpec::new(Normal).flush(FlushSpec::new().size(10).age(ms(50)));
    let sink = SinkSpec::new("sink", BoxWriter::new(writer)).lanes([lane_spec.batch_max(10)]);
    let pipeline = Pipeline::builder().sink(sink).start().unwrap();
    let sender = pipeline.sender();
    for _ in 0..3 {
        memory.answer_late(Duration::from_secs(60));
    }
    let _ = sender
        .send_many((0..100).map(|number| of("D1", number, None)))
        .unwrap();
    tokio::time::sleep(Duration::from_secs(600)).await;
    let stats = account(&pipeline);
    let lane = lane(&stats, Normal);
    assert_eq!(
        numbers(&memory),
        (0..100).collect::<Vec<_>>(),
        "each once, in order"
    );
    assert_eq!((stats.delivered, lane.retries), (100, 3));
    assert!(
        lane.repeated >= 10,
        "the ledger knew again what it had: {}",
        lane.repeated
    );
    let error = lane.last_error.unwrap();
    assert!(
        error.contains("within 1s; the outcome is unknown"),
        "{error}"
    );
}

/// A sink whose writes panic for as long as it is told, where a scope's name contains `low`.
#[derive(Clone)]
struct Panicking {
    probe: Probe,
    left: Arc<AtomicUsize>,
}

impl BatchWriter for Panicking {
    type Row = Record;

    fn name(&self) -> &str {
        "panicking"
    }

    async fn open_scope(&self, at: ScopeIndex, name: &ScopeName) -> Result<OpenScope, WriteError> {
        self.probe.open_scope(at, name).await
    }

    async fn write(&self, batch: &Batch) -> Result<Receipt, WriteError> {
        let is_low = batch.rows()[0].content.as_ref().unwrap().priority == Some(Low);
        let left = self.left.load(Ordering::SeqCst);
        if is_low && left > 0 {
            self.left.store(left - 1, Ordering::SeqCst);
            panic!("the driver of the sink has a fault");
        }
        self.probe.write(batch).await
    }

    async fn close(&self) -> Result<(), WriteError> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn law_10_a_task_that_panics_starts_again_and_the_other_lanes_do_not_notice() {
    let writer = Panicking {
        probe: Probe::new(),
        left: Arc::new(AtomicUsize::new(5)),
    };
    let sink = SinkSpec::new("sink", BoxWriter::new(writer.clone()));
    let sink = sink.lanes([at_once(Critical), at_once(Low)]);
    let pipeline = Pipeline::builder().sink(sink).start().unwrap();
    let mut heard = pipeline.notifications();
    let sender = pipeline.sender();
    sleep_ms(1).await;
    for number in 0..100 {
        let offered = Instant::now();
        sender.send(of("D1", number, Low)).unwrap();
        sender.send(of("D1", number, Critical)).unwrap();
        sleep_ms(100).await;
        let seen = writer.probe.seen();
        let critical = seen
            .iter()
            .rfind(|batch| batch.scope.ends_with("critical"))
            .unwrap();
        assert_eq!((critical.numbers[0], critical.at), (number, offered));
    }
    sleep_ms(60_000).await;
    let stats = account(&pipeline);
    assert_eq!(
        (lane(&stats, Low).restarts, lane(&stats, Critical).restarts),
        (5, 0)
    );
    assert_eq!(
        writer.probe.numbers("low"),
        (0..100).collect::<Vec<_>>(),
        "each once, in order"
    );
    assert_eq!((stats.delivered, stats.pending), (200, 0));
    let mut said = Vec::new();
    while let Ok(notification) = heard.try_recv() {
        said.push(notification.message);
    }
    let is_said = |part: &str| said.iter().any(|message| message.contains(part));
    assert!(
        is_said("panicked: the driver of the sink has a fault; it starts again"),
        "{said:?}"
    );
    assert!(is_said("the sink works again"), "{said:?}");
    assert_conserved(&pipeline.shutdown(None).await.stats);
}

#[tokio::test(start_paused = true)]
async fn a_thousand_sources_each_with_all_its_lanes_are_served_and_told_apart() {
    let probe = Probe::new();
    let pipeline = Pipeline::builder()
        .sink(probe.spec("sink"))
        .start()
        .unwrap();
    let mut intakes = Vec::new();
    for source in 0..1_000 {
        let name = ScopeName::new(format!("plc{source:04}"));
        intakes.push(pipeline.intake(&name).await.unwrap());
    }
    for round in 0..3 {
        for (source, intake) in (0..).zip(&intakes) {
            let rows = [Critical, Normal].map(|class| Ok(of("D1", source * 10 + round, class)));
            assert_eq!(intake.push(now(), rows.into()).unwrap().accepted, 2);
        }
        sleep_ms(1_000).await;
    }
    let report = pipeline.shutdown(Duration::from_secs(60)).await;
    assert_conserved(&report.stats);
    assert_eq!((report.stats.delivered, report.stats.pending), (6_000, 0));
    let mut scopes = std::collections::BTreeMap::<String, Vec<i64>>::new();
    for (name, _, record) in probe.memory.delivered() {
        scopes
            .entry(name.as_str().to_owned())
            .or_default()
            .push(number(&record));
    }
    assert_eq!(scopes.len(), 2_000);
    for (source, (_, numbers)) in scopes.iter().enumerate() {
        let first = i64::try_from(source / 2).unwrap() * 10;
        assert_eq!(numbers, &[first, first + 1, first + 2]);
    }
}

#[tokio::test(start_paused = true)]
async fn the_largest_lane_there_may_be_costs_nothing_before_it_is_used() {
    let probe = Probe::new();
    let lane_spec = at_once(Normal).buffer(pipeline::BufferOptions {
        max_size: 1 << 27,
        max_bytes: 1 << 40,
        ..pipeline::BufferOptions::default()
    });
    let pipeline = Pipeline::builder().sink(probe.spec("sink").lanes([lane_spec]));
    let pipeline = pipeline.start().unwrap();
    pipeline.sender().send(of("D1", 1, None)).unwrap();
    let report = pipeline.shutdown(None).await;
    assert_eq!(report.stats.delivered, 1);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_has_the_name_of_the_channel_does_not_keep_it_from_working() {
    let probe = Probe::new();
    let pipeline = Pipeline::builder().sink(probe.spec("sink").lanes([at_once(Normal)]));
    let pipeline = pipeline.start().unwrap();
    let intake = pipeline.intake(&ScopeName::new("channel")).await.unwrap();
    assert_eq!(
        intake
            .push(now(), vec![Ok(of("D1", 1, None))])
            .unwrap()
            .accepted,
        1
    );
    pipeline.sender().send(of("D1", 2, None)).unwrap();
    let report = pipeline.shutdown(None).await;
    assert_conserved(&report.stats);
    assert_eq!(report.stats.delivered, 2);
}

#[tokio::test(start_paused = true)]
async fn law_10_a_sink_that_is_lost_is_said_and_the_pipeline_goes_on_with_the_other() {
    let (lost, well) = (MemoryWriter::new(), Probe::new());
    let pipeline = Pipeline::builder()
        .sink(SinkSpec::new("lost", BoxWriter::new(lost.clone())).lanes([at_once(Normal)]))
        .sink(well.spec("well").lanes([at_once(Normal)]))
        .start()
        .unwrap();
    let intake = pipeline.intake(&ScopeName::new("plc")).await.unwrap();
    // Another process opens the scope, and shuts this one out.
    let other = lost.other_process();
    other
        .open_scope(ScopeIndex(0), &ScopeName::new("plc"))
        .await
        .unwrap();
    for number in 0..10 {
        let accepted = intake
            .push(now(), vec![Ok(of("D1", number, None))])
            .unwrap();
        assert_eq!(
            accepted.refused_partly,
            accepted.refused.len(),
            "the other always takes it"
        );
        sleep_ms(100).await;
    }
    let stopped = tokio::time::timeout(Duration::from_secs(60), pipeline.wait_stopped()).await;
    assert!(stopped.is_err(), "it has not stopped: one sink goes on");
    assert_eq!(pipeline.stopped(), None);
    let stats = account(&pipeline);
    assert!(
        stats.sinks[0]
            .lost
            .as_ref()
            .unwrap()
            .contains("another writer"),
        "{stats:?}"
    );
    assert_eq!(lane_of(&stats, 1, Normal).totals.delivered, 10);
    assert_ne!(pipeline.health().status, HealthStatus::Healthy);
    let report = pipeline.shutdown(None).await;
    assert_conserved(&report.stats);
    assert!(report.sinks[0].error.is_some() && report.sinks[1].error.is_none());
    assert_eq!(
        report.sinks[0].undelivered.len() as u64 + report.stats.refused,
        10
    );
}
