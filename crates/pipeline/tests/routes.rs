//! Routes: which records go where, what plans are refused, and the channel into all of them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod probe;

use std::time::Duration;

use flush_policy::FlushSpec;
use pipeline::{
    BufferOptions, DropReason, InvalidPlan, LaneSpec, LiveData, Outcome, Pipeline, PipelineError,
    Plan, Refusal, RouteSpec, SendError, SinkSpec, WhenFull,
};
use probe::{Probe, account, assert_conserved, at_once, ms, number, of, sleep_ms};
use record::{Malformed, Priority, Record};
use sinks::{BoxWriter, FnWriter, MemoryWriter, Receipt, Refused, ScopeName};
use tokio::time::Instant;

const HOUR: Duration = Duration::from_secs(3600);

fn route(sink: &str, tags: &str) -> RouteSpec {
    RouteSpec::to(sink).tags(tags.parse().unwrap())
}

/// One lane, so that scopes have no name of a lane.
fn plain(probe: &Probe, name: &str) -> SinkSpec {
    probe.spec(name).lanes([at_once(Priority::Normal)])
}

fn now() -> std::time::Instant {
    Instant::now().into_std()
}

#[tokio::test(start_paused = true)]
async fn the_first_route_of_each_sink_that_matches_gets_a_record() {
    let (archive, alarms) = (Probe::new(), Probe::new());
    let sources = |sink: &str, glob: &str| RouteSpec::to(sink).sources(glob.parse().unwrap());
    let pipeline = Pipeline::builder()
        .sink(plain(&archive, "archive"))
        .sink(plain(&alarms, "alarms"))
        .route(route("archive", "temp?").name("temperatures"))
        .route(sources("archive", "PLC0*").name("plcs"))
        .route(route("alarms", "alarm.*"))
        .route(RouteSpec::to("archive"))
        .start()
        .unwrap();
    let sender = pipeline.sender();
    for (tag, value) in [("temp1", 1), ("temp10", 2), ("alarm.fire", 3), ("D1", 4)] {
        sender.send(of(tag, value, None)).unwrap();
    }
    let mut other = of("D1", 5, None);
    other.source = record::Name::new("source", "HOST").unwrap();
    sender.send(other).unwrap();
    let report = pipeline.shutdown(None).await;
    assert_conserved(&report.stats);
    // The names of scopes: the source, and the route if it has a name.
    let of_scope = |probe: &Probe, scope: &str| {
        let rows = probe.memory.delivered().into_iter();
        let rows = rows.filter(|(name, _, _)| name.as_str() == scope);
        rows.map(|(_, _, record)| number(&record))
            .collect::<Vec<_>>()
    };
    assert_eq!(of_scope(&archive, "channel/temperatures"), [1]);
    assert_eq!(of_scope(&archive, "channel/plcs"), [2, 3, 4]);
    assert_eq!(of_scope(&archive, "channel"), [5]);
    assert_eq!(of_scope(&alarms, "channel"), [3]);
    assert_eq!((report.stats.delivered, report.stats.unrouted), (6, 0));
    let shown: Vec<_> = report
        .stats
        .routes
        .iter()
        .map(|route| route.route.clone())
        .collect();
    assert_eq!(
        shown,
        [Some("temperatures".into()), Some("plcs".into()), None, None]
    );
}

#[tokio::test(start_paused = true)]
async fn scopes_are_named_by_source_route_and_lane() {
    let probe = Probe::new();
    let pipeline = Pipeline::builder()
        .sink(probe.spec("sink"))
        .route(route("sink", "alarm.*").name("alarms"))
        .route(
            RouteSpec::to("sink")
                .name("rest")
                .lanes([at_once(Priority::Low)]),
        )
        .start()
        .unwrap();
    let intake = pipeline.intake(&ScopeName::new("plc01")).await.unwrap();
    let rows = vec![
        Ok(of("alarm.fire", 1, Priority::Critical)),
        Ok(of("D1", 2, None)),
    ];
    assert_eq!(intake.push(now(), rows).unwrap().accepted, 2);
    pipeline.shutdown(None).await;
    let delivered = probe.memory.delivered();
    let mut scopes: Vec<_> = delivered.iter().map(|(name, _, _)| name.as_str()).collect();
    scopes.sort_unstable();
    assert_eq!(scopes, ["plc01/alarms/critical", "plc01/rest"]);
}

#[tokio::test]
async fn a_plan_that_is_impossible_is_refused_with_the_name_the_value_and_the_limit() {
    let sink = |name: &str| SinkSpec::new(name, BoxWriter::new(MemoryWriter::new()));
    let with_lanes = |lanes: Vec<LaneSpec>| Plan::new().sink(sink("db").lanes(lanes));
    let normal = || LaneSpec::new(Priority::Normal);
    let buffer = |max_size, max_bytes| BufferOptions {
        max_size,
        max_bytes,
        ..BufferOptions::default()
    };
    let of_normal = "of the lane `normal` of the sink `db`";
    let table = [
        (Plan::new(), "there is no sink".to_owned()),
        (
            Plan::new().sink(sink("db")).sink(sink("db")),
            "two sinks have the name `db`".to_owned(),
        ),
        (
            Plan::new().sink(sink("d b")),
            "the name `d b` of a sink is not allowed, \
             expected 1 to 64 letters, digits, `-`, `_` and `.`"
                .to_owned(),
        ),
        (
            Plan::new()
                .sink(sink("db"))
                .sink(sink("file"))
                .route(route("bd", "*").name("all")),
            "the route `all` into `bd` has no sink of that name; the sinks are `db`, `file`"
                .to_owned(),
        ),
        (
            Plan::new()
                .sink(sink("db"))
                .route(route("db", "a*").name("a"))
                .route(route("db", "ab?").name("b")),
            "the route `b` into `db` gets nothing: `a` into `db` before it takes all that it \
             matches"
                .to_owned(),
        ),
        (
            Plan::new()
                .sink(sink("db"))
                .route(route("db", "a"))
                .route(route("db", "b")),
            "two routes into `db` have the name ``".to_owned(),
        ),
        (
            with_lanes(vec![normal().size(0)]),
            format!("max_size {of_normal} is 0, expected 1 to 134217728"),
        ),
        (
            with_lanes(vec![normal().buffer(buffer(1 << 28, 1))]),
            format!("max_size {of_normal} is 268435456, expected 1 to 134217728"),
        ),
        (
            with_lanes(vec![normal().buffer(buffer(1, 0))]),
            format!("max_bytes {of_normal} is 0, expected 1 to 1099511627776"),
        ),
        (
            with_lanes(vec![]),
            "the number of lanes of the sink `db` is 0, expected 1 to 4".to_owned(),
        ),
        (
            with_lanes(vec![normal(), normal()]),
            "two lanes of the sink `db` have the name `normal`".to_owned(),
        ),
        (
            with_lanes(vec![normal().weight(0)]),
            format!("weight {of_normal} is 0, expected 1 to 1000"),
        ),
        (
            with_lanes(vec![normal().reserved(1)]),
            "the sum of `reserved` of the sink `db` is 1, expected less than its concurrency of 1"
                .to_owned(),
        ),
        (
            with_lanes(vec![normal().expires_after(Duration::ZERO)]),
            format!("expires_after {of_normal} is 0 s, expected more than that"),
        ),
        (
            Plan::new().sink(SinkSpec::kept("db")),
            "the sink `db` is to be kept, but none of that name runs".to_owned(),
        ),
    ];
    for (plan, expected) in table {
        let refused = Pipeline::builder()
            .plan(plan)
            .start()
            .map(|_| ())
            .unwrap_err();
        assert!(matches!(refused, PipelineError::Plan(_)), "{refused:?}");
        assert_eq!(refused.to_string(), expected);
    }
}

#[tokio::test]
async fn routes_that_overlap_are_told_and_the_first_gets_what_both_match() {
    let probe = Probe::new();
    let plan = Plan::new()
        .sink(plain(&probe, "db"))
        .route(route("db", "alarm.*").name("alarms"))
        .route(route("db", "*.fire").name("fires"))
        .route(route("db", "D?").name("data"));
    assert_eq!(plan.check(), Ok::<(), InvalidPlan>(()));
    assert_eq!(
        plan.overlaps(),
        [("`alarms` into `db`".into(), "`fires` into `db`".into())]
    );
    let pipeline = Pipeline::builder().plan(plan).start().unwrap();
    pipeline.sender().send(of("alarm.fire", 1, None)).unwrap();
    pipeline.shutdown(None).await;
    assert_eq!(probe.memory.delivered()[0].0.as_str(), "channel/alarms");
}

#[tokio::test(start_paused = true)]
async fn what_no_route_matches_is_shown_and_counted_and_what_is_no_record_is_quarantined_once() {
    let (first, second) = (Probe::new(), Probe::new());
    let live = LiveData::new();
    let pipeline = Pipeline::builder()
        .sink(plain(&first, "first"))
        .sink(plain(&second, "second"))
        .route(route("first", "a*"))
        .route(route("second", "ab*"))
        .live(live.clone())
        .start()
        .unwrap();
    let intake = pipeline.intake(&ScopeName::new("plc")).await.unwrap();
    let malformed = Err(Malformed::new("line 3: rubbish", b"rubbish"));
    let rows = vec![Ok(of("ab", 1, None)), Ok(of("zz", 2, None)), malformed];
    let accepted = intake.push(now(), rows).unwrap();
    assert_eq!(
        (accepted.accepted, accepted.refusal),
        (3, None),
        "nobody refused anything"
    );
    assert_eq!(live.keys_len(), 2, "the one that has no route is shown");
    let report = pipeline.shutdown(None).await;
    assert_conserved(&report.stats);
    assert_eq!((report.stats.unrouted, report.stats.quarantined), (1, 1));
    assert_eq!((report.stats.delivered, report.stats.accepted), (2, 3));
    assert_eq!(first.memory.quarantined().len(), 1, "by the first route");
    assert_eq!(second.memory.quarantined().len(), 0);
}

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
        .sink(plain(&probe, "all"))
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

#[tokio::test(start_paused = true)]
async fn what_one_of_two_routes_refuses_is_said_by_index_and_shown_all_the_same() {
    let (full, roomy) = (Probe::new(), Probe::new());
    full.memory.go_down();
    let small = LaneSpec::new(Priority::Normal)
        .size(2)
        .when_full(WhenFull::Reject);
    let live = LiveData::new();
    let pipeline = Pipeline::builder()
        .sink(full.spec("full").lanes([small]))
        .sink(plain(&roomy, "roomy"))
        .route(route("full", "a*"))
        .route(route("roomy", "*"))
        .live(live.clone())
        .start()
        .unwrap();
    let intake = pipeline.intake(&ScopeName::new("plc")).await.unwrap();
    let tags = ["b", "a1", "a2", "a3", "b", "a4"];
    let rows = tags
        .iter()
        .zip(0..)
        .map(|(tag, value)| Ok(of(tag, value, None)));
    let accepted = intake.push(now(), rows.collect()).unwrap();
    assert_eq!(
        (accepted.accepted, accepted.refused, accepted.refused_partly),
        (4, vec![3, 5], 2)
    );
    assert_eq!(live.keys_len(), 5, "one of the sinks has them");
    let record: Record = of("a5", 6, None);
    let refused = pipeline.sender().send(record).unwrap_err();
    assert!(refused.is_taken_partly);
    full.memory.recover();
    let report = pipeline.shutdown(None).await;
    assert_conserved(&report.stats);
    assert_eq!(roomy.numbers("").len(), 7);
    assert_eq!(full.numbers(""), [1, 2]);
    assert_eq!(report.stats.refused, 3);
}

#[tokio::test(start_paused = true)]
async fn law_10_a_dead_sink_does_not_delay_another() {
    let (dead, alive, hung) = (Probe::new(), Probe::new(), Probe::new());
    let pipeline = Pipeline::builder()
        .sink(dead.spec("dead"))
        .sink(alive.spec("alive"))
        .sink(hung.spec("hung"))
        .start()
        .unwrap();
    let sender = pipeline.sender();
    dead.memory.go_down();
    hung.hang(Some(""));
    sleep_ms(10).await;
    for value in 0..200 {
        sender.send(of("D1", value, Priority::Critical)).unwrap();
        sender.send(of("D2", value, None)).unwrap();
        sleep_ms(100).await;
    }
    let stats = account(&pipeline);
    let totals: Vec<_> = stats
        .routes
        .iter()
        .map(|route| route.totals.delivered)
        .collect();
    assert_eq!(totals, [0, 400, 0]);
    let lanes = &stats.routes[1].lanes;
    assert!(
        lanes
            .iter()
            .all(|lane| lane.latency_ms.p99 <= lane.latency_target_ms),
        "{lanes:?}"
    );
    dead.memory.recover();
    let report = pipeline.shutdown(Duration::from_secs(30)).await;
    assert_conserved(&report.stats);
    assert_eq!(dead.numbers("").len(), 400);
    let left: Vec<_> = report
        .sinks
        .iter()
        .map(|sink| sink.undelivered.len())
        .collect();
    assert_eq!(left, [0, 0, 400]);
}
