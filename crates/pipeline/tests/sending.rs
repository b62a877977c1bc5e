//! The channel into a pipeline, for threads and tasks, and what becomes of rows that are tracked.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod probe;

use std::time::Duration;

use flush_policy::FlushSpec;
use pipeline::{DropReason, LaneSpec, Outcome, Pipeline, Refusal, SendError, SinkSpec, WhenFull};
use probe::{Probe, account, assert_conserved, at_once, ms, number, of, sleep_ms};
use record::Priority;
use sinks::{BoxWriter, FnWriter, Receipt, Refused};
use tokio::time::Instant;

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn law_6_a_sender_serves_threads_and_tasks_and_keeps_the_order_of_each() {
    let probe = Probe::new();
    let flush = FlushSpec::new().size(50).age(ms(5));
    let lane = LaneSpec::new(Priority::Normal).flush(flush).batch_max(50);
    let lane = lane
        .size(200)
        .when_full(WhenFull::Block(Duration::from_secs(60)));
    let pipeline = Pipeline::builder().sink(probe.spec("sink").lanes([lane]));
    let pipeline = pipeline.start().unwrap();
    let sender = pipeline.sender();
    let threads: Vec<_> = (0..3)
        .map(|thread| {
            let sender = sender.clone();
            std::thread::spawn(move || {
                for value in 0..500 {
                    sender
                        .send(of(&format!("thread{thread}"), value, None))
                        .unwrap();
                }
            })
        })
        .collect();
    let tasks: Vec<_> = (0..3)
        .map(|task| {
            let sender = sender.clone();
            tokio::spawn(async move {
                for value in 0..500 {
                    sender
                        .send_async(of(&format!("task{task}"), value, None))
                        .await
                        .unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    for thread in threads {
        tokio::task::spawn_blocking(|| thread.join().unwrap())
            .await
            .unwrap();
    }
    let report = pipeline.shutdown(Duration::from_secs(60)).await;
    assert_conserved(&report.stats);
    assert_eq!((report.stats.delivered, report.stats.refused), (3_000, 0));
    for who in ["thread0", "thread1", "thread2", "task0", "task1", "task2"] {
        let rows = probe
            .memory
            .delivered()
            .into_iter()
            .map(|(_, _, record)| record);
        let own: Vec<i64> = rows
            .filter(|r| r.tag.as_str() == who)
            .map(|r| number(&r))
            .collect();
        assert_eq!(own, (0..500).collect::<Vec<_>>(), "{who}");
    }
}

fn blocking(timeout: Duration) -> LaneSpec {
    let lane = LaneSpec::new(Priority::Normal).size(3);
    lane.when_full(WhenFull::Block(timeout))
        .flush(FlushSpec::new().size(1))
}

#[tokio::test(start_paused = true)]
async fn a_task_waits_for_room_without_holding_up_its_thread_and_no_longer_than_its_policy() {
    let probe = Probe::new();
    let sink = probe
        .spec("sink")
        .lanes([blocking(Duration::from_secs(10))]);
    let pipeline = Pipeline::builder().sink(sink).start().unwrap();
    let sender = pipeline.sender();
    probe.memory.go_down();
    for value in 0..3 {
        sender.send_async(of("D1", value, None)).await.unwrap();
    }
    let began = Instant::now();
    let refused: SendError = sender.send_async(of("D1", 3, None)).await.unwrap_err();
    assert_eq!(refused.error, Refusal::Full.into());
    let waited = began.elapsed();
    assert!(
        waited >= Duration::from_secs(10) && waited < Duration::from_secs(11),
        "{waited:?}"
    );
    let (waits, value) = (sender.clone(), of("D1", 4, None));
    let waiting = tokio::spawn(async move { waits.send_async(value).await });
    sleep_ms(1_000).await;
    assert!(!waiting.is_finished());
    probe.memory.recover();
    waiting.await.unwrap().unwrap();
    let report = pipeline.shutdown(None).await;
    assert_conserved(&report.stats);
    assert_eq!(probe.numbers(""), [0, 1, 2, 4]);
    assert_eq!(report.stats.refused, 1);
}

/// A thread waits for room in a pipeline whose only thread must not wait for that thread.
#[test]
fn a_task_that_sends_while_a_thread_waits_for_room_does_not_stop_the_runtime() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let probe = Probe::new();
        let sink = probe
            .spec("sink")
            .lanes([blocking(Duration::from_secs(300))]);
        let pipeline = Pipeline::builder().sink(sink).start().unwrap();
        let sender = pipeline.sender();
        probe.memory.go_down();
        for value in 0..3 {
            sender.send_async(of("D1", value, None)).await.unwrap();
        }
        let from_thread = sender.clone();
        let thread = std::thread::spawn(move || from_thread.send(of("D1", 3, None)));
        // The thread waits in its push before the task comes.
        tokio::time::sleep(ms(100)).await;
        let waits = sender.clone();
        let task = tokio::spawn(async move { waits.send_async(of("D1", 4, None)).await });
        tokio::time::sleep(ms(100)).await;
        probe.memory.recover();
        let sent = tokio::time::timeout(Duration::from_secs(60), task).await;
        sent.expect("the runtime goes on").unwrap().unwrap();
        thread.join().unwrap().unwrap();
        let report = pipeline.shutdown(Duration::from_secs(60)).await;
        assert_eq!(report.stats.delivered, 5);
    });
}

async fn only(outcome: impl Future<Output = Vec<(String, Outcome)>>) -> Outcome {
    let mut outcomes = outcome.await;
    assert_eq!(outcomes.len(), 1, "{outcomes:?}");
    outcomes.remove(0).1
}

#[tokio::test(start_paused = true)]
async fn a_tracked_row_says_that_it_is_delivered_or_rejected_and_by_which_sink() {
    let picky = FnWriter::new("picky", |batch: &sinks::Batch| {
        let bad = batch.rows().iter().enumerate();
        let bad = bad.filter(|(_, row)| row.content.as_ref().is_ok_and(|r| number(r) < 0));
        let refused = bad.map(|(row, _)| Refused {
            row,
            reason: "it is negative".to_owned(),
        });
        Ok(Receipt::delivered_all(batch.len()).with_rejected(refused.collect()))
    });
    let probe = Probe::new();
    let pipeline = Pipeline::builder()
        .sink(SinkSpec::new("picky", BoxWriter::new(picky)))
        .sink(probe.spec("all").lanes([at_once(Priority::Normal)]))
        .start()
        .unwrap();
    let sender = pipeline.sender();
    let good = sender.send_tracked(of("D1", 1, None)).unwrap();
    let bad = sender.send_tracked(of("D1", -1, None)).unwrap();
    // Dropping it changes nothing for the row.
    drop(sender.send_tracked(of("D1", 2, None)).unwrap());
    let sorted = |mut outcomes: Vec<(String, Outcome)>| {
        outcomes.sort_by(|a, b| a.0.cmp(&b.0));
        outcomes
    };
    let delivered = ("all".to_owned(), Outcome::Delivered);
    let picky = |outcome| ("picky".to_owned(), outcome);
    assert_eq!(
        sorted(good.await),
        [delivered.clone(), picky(Outcome::Delivered)]
    );
    let rejected = Outcome::Rejected("it is negative".to_owned());
    assert_eq!(sorted(bad.await), [delivered, picky(rejected)]);
    let report = pipeline.shutdown(None).await;
    assert_conserved(&report.stats);
    assert_eq!(
        (report.stats.delivered, report.stats.dropped.rejected),
        (5, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn a_tracked_row_says_why_it_was_dropped() {
    let table = [
        (WhenFull::DropOldest, DropReason::DropOldest),
        (WhenFull::DropNewest, DropReason::DropNewest),
    ];
    for (policy, reason) in table {
        let probe = Probe::new();
        let lane = LaneSpec::new(Priority::Normal).size(1).when_full(policy);
        let lane = lane.flush(FlushSpec::new().size(10).age(HOUR));
        let sink = probe.spec("sink").lanes([lane]);
        let pipeline = Pipeline::builder().sink(sink).start().unwrap();
        let sender = pipeline.sender();
        let first = sender.send_tracked(of("D1", 1, None)).unwrap();
        let second = sender.send_tracked(of("D1", 2, None)).unwrap();
        let lost = match policy {
            WhenFull::DropOldest => first,
            _ => second,
        };
        assert_eq!(only(lost).await, Outcome::Dropped(reason));
        account(&pipeline);
    }
    let probe = Probe::new();
    let old = LaneSpec::new(Priority::Low)
        .expires_after(Duration::from_secs(5))
        .size(2);
    let old = old.flush(FlushSpec::new().size(10).age(Duration::from_secs(10)));
    let urgent = at_once(Priority::Critical)
        .size(1)
        .when_full(WhenFull::DropLowestPriority);
    let sink = probe.spec("sink").lanes([old.size_min(1), urgent]);
    let pipeline = Pipeline::builder().sink(sink).start().unwrap();
    let sender = pipeline.sender();
    sleep_ms(1).await;
    let purged = sender.send_tracked(of("D1", 1, Priority::Low)).unwrap();
    assert_eq!(pipeline.purge(None), 1);
    assert_eq!(only(purged).await, Outcome::Dropped(DropReason::Purged));
    let expired = sender.send_tracked(of("D1", 2, Priority::Low)).unwrap();
    assert_eq!(only(expired).await, Outcome::Dropped(DropReason::Expired));
    probe.memory.go_down();
    let lower = sender.send_tracked(of("D1", 3, Priority::Low)).unwrap();
    let kept = sender.send_tracked(of("D1", 4, Priority::Low)).unwrap();
    for value in 5..7 {
        sender.send(of("D1", value, Priority::Critical)).unwrap();
    }
    assert_eq!(
        only(lower).await,
        Outcome::Dropped(DropReason::LowerPriority)
    );
    let report = pipeline.shutdown(Duration::from_secs(1)).await;
    assert_eq!(only(kept).await, Outcome::Undelivered);
    assert_conserved(&report.stats);
    let dropped = report.stats.dropped;
    assert_eq!(
        (dropped.purged, dropped.expired, dropped.lower_priority),
        (1, 1, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn a_row_that_is_refused_leaves_its_position_to_the_next_and_no_trace() {
    let probe = Probe::new();
    let lane = LaneSpec::new(Priority::Normal)
        .size(2)
        .when_full(WhenFull::Reject);
    let lane = lane.flush(FlushSpec::new().size(1));
    let pipeline = Pipeline::builder().sink(probe.spec("sink").lanes([lane]));
    let pipeline = pipeline.start().unwrap();
    let sender = pipeline.sender();
    probe.memory.go_down();
    let kept: Vec<_> = (0..2)
        .map(|value| sender.send_tracked(of("D1", value, None)).unwrap())
        .collect();
    for value in 2..10 {
        let refused = sender.send_tracked(of("D1", value, None)).unwrap_err();
        assert_eq!(
            (refused.error, refused.is_taken_partly),
            (Refusal::Full.into(), false)
        );
    }
    probe.memory.recover();
    sleep_ms(60_000).await;
    for outcome in kept {
        assert_eq!(only(outcome).await, Outcome::Delivered);
    }
    let next = sender.send_tracked(of("D1", 10, None)).unwrap();
    assert_eq!(
        only(next).await,
        Outcome::Delivered,
        "and not what the refused ones would be"
    );
    let report = pipeline.shutdown(None).await;
    assert_conserved(&report.stats);
    assert_eq!((report.stats.refused, report.stats.delivered), (8, 3));
    let delivered = probe.memory.delivered();
    let positions: Vec<u64> = delivered.iter().map(|(_, at, _)| at.number()).collect();
    assert_eq!(positions, [1, 2, 3]);
}
