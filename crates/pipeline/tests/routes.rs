//! Routes: which records go where, what plans are refused, and the channel into all of them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod probe;

use std::time::Duration;

use pipeline::{
    BufferOptions, InvalidPlan, LaneSpec, LiveData, Pipeline, PipelineError, Plan, RouteSpec,
    SinkSpec, WhenFull,
};
use probe::{Probe, account, assert_conserved, at_once, number, of, sleep_ms};
use record::{Malformed, Priority, Record};
use sinks::{BoxWriter, MemoryWriter, ScopeName};
use tokio::time::Instant;

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
