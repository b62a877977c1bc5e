//! A pipeline that is changed while it runs: what goes on, what is drained first, and the order.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod probe;

use std::sync::atomic::Ordering;
use std::time::Duration;

use flush_policy::FlushSpec;
use pipeline::{LaneSpec, Pipeline, PipelineError, Plan, RouteSpec, SinkSpec};
use probe::{Probe, account, assert_conserved, at_once, ms, numbers_of, of, push, sleep_ms};
use record::Priority::{Low, Normal};
use sinks::ScopeName;
use tokio::time::Instant;

const HOUR: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);

/// A lane that flushes by this age alone.
fn aged(age: Duration) -> LaneSpec {
    LaneSpec::new(Normal).flush(FlushSpec::new().size(5_000).age(age))
}

fn route(sink: &str, tags: &str) -> RouteSpec {
    let route = RouteSpec::to(sink).tags(tags.parse().unwrap());
    route.lanes([at_once(Normal)])
}

#[tokio::test(start_paused = true)]
async fn a_route_that_stays_goes_on_with_the_batch_that_it_was_filling() {
    let (stays, changes) = (Probe::new(), Probe::new());
    let kept = || RouteSpec::to("stays").lanes([aged(Duration::from_secs(10))]);
    let changed = |age| RouteSpec::to("changes").lanes([aged(age)]);
    let pipeline = Pipeline::builder()
        .sink(stays.spec("stays"))
        .sink(changes.spec("changes"))
        .route(kept())
        .route(changed(Duration::from_secs(10)))
        .start()
        .unwrap();
    let intake = pipeline.intake(&ScopeName::new("plc")).await.unwrap();
    let began = Instant::now();
    push(&intake, "D1", 0..10);
    sleep_ms(4_000).await;
    let sinks = || {
        Plan::new()
            .sink(SinkSpec::kept("stays"))
            .sink(SinkSpec::kept("changes"))
    };
    let plan = sinks().route(kept()).route(changed(Duration::from_secs(3)));
    let change = pipeline.reconfigure(plan, MINUTE).await.unwrap();
    assert_eq!((change.kept, change.started, change.ended), (1, 1, 1));
    assert_eq!(changes.numbers("").len(), 10, "the changed one was drained");
    assert_eq!(stays.seen().len(), 0, "the other knows nothing of it");
    push(&intake, "D1", 10..20);
    sleep_ms(3_010).await;
    assert_eq!(
        changes.numbers(""),
        (0..20).collect::<Vec<_>>(),
        "the new age"
    );
    sleep_ms(3_000).await;
    let seen = stays.seen();
    assert_eq!(seen.len(), 1, "one batch of what came before and after");
    assert_eq!(seen[0].numbers, (0..20).collect::<Vec<_>>());
    assert!(seen[0].at - began <= Duration::from_secs(10) + ms(2));
    assert_eq!(
        (
            stays.closed.load(Ordering::SeqCst),
            account(&pipeline).pending
        ),
        (0, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn a_route_in_front_takes_its_keys_only_once_the_one_behind_has_delivered_them() {
    let probe = Probe::new();
    let rest = || RouteSpec::to("sink").lanes([aged(Duration::from_secs(30))]);
    let urgent = || route("sink", "a*").name("urgent");
    let other = || route("sink", "x*").name("other");
    let pipeline = Pipeline::builder()
        .sink(probe.spec("sink"))
        .route(other())
        .route(rest())
        .start()
        .unwrap();
    let intake = pipeline.intake(&ScopeName::new("plc")).await.unwrap();
    push(&intake, "a1", 0..5);
    let plan = Plan::new().sink(SinkSpec::kept("sink"));
    let plan = plan.route(other()).route(urgent()).route(rest());
    let change = pipeline.reconfigure(plan, MINUTE).await.unwrap();
    assert_eq!(
        (change.kept, change.ended),
        (1, 1),
        "the one with other keys is left alone"
    );
    push(&intake, "a1", 5..10);
    sleep_ms(1_000).await;
    assert_eq!(probe.of_tag("a1"), (0..10).collect::<Vec<_>>());
    // And back: the route that stays in the plan gets its keys again.
    probe.takes(Duration::from_secs(2), Duration::ZERO);
    push(&intake, "a1", 10..15);
    let plan = Plan::new()
        .sink(SinkSpec::kept("sink"))
        .route(other())
        .route(rest());
    pipeline.reconfigure(plan, MINUTE).await.unwrap();
    push(&intake, "a1", 15..20);
    pipeline.shutdown(HOUR).await;
    assert_eq!(probe.of_tag("a1"), (0..20).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_is_removed_is_drained_and_closed_once() {
    let (stays, goes) = (Probe::new(), Probe::new());
    let pipeline = Pipeline::builder()
        .sink(stays.spec("stays"))
        .sink(goes.spec("goes"));
    let pipeline = pipeline.start().unwrap();
    let intake = pipeline.intake(&ScopeName::new("plc")).await.unwrap();
    push(&intake, "D1", 0..10);
    let plan = Plan::new().sink(SinkSpec::kept("stays"));
    let change = pipeline.reconfigure(plan, MINUTE).await.unwrap();
    assert_eq!(
        (change.kept, change.ended, change.undelivered.len()),
        (1, 1, 0)
    );
    assert_eq!(goes.numbers("").len(), 10);
    assert_eq!(goes.closed.load(Ordering::SeqCst), 1);
    push(&intake, "D1", 10..20);
    let stats = account(&pipeline);
    assert_eq!((stats.sinks.len(), stats.routes.len()), (1, 1));
    let report = pipeline.shutdown(None).await;
    assert_conserved(&report.stats);
    assert_eq!((stays.numbers("").len(), goes.numbers("").len()), (20, 10));
    assert_eq!(
        report.stats.delivered, 30,
        "what the sink had is counted on"
    );
    assert_eq!(goes.closed.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_plan_that_is_impossible_changes_nothing() {
    let probe = Probe::new();
    let lanes = || [aged(Duration::from_secs(10))];
    let pipeline = Pipeline::builder().sink(probe.spec("sink").lanes(lanes()));
    let pipeline = pipeline.start().unwrap();
    let intake = pipeline.intake(&ScopeName::new("plc")).await.unwrap();
    push(&intake, "D1", 0..5);
    let impossible = [
        Plan::new(),
        Plan::new().sink(SinkSpec::kept("elsewhere")),
        Plan::new()
            .sink(SinkSpec::kept("sink"))
            .route(route("elsewhere", "*")),
        Plan::new()
            .sink(SinkSpec::kept("sink"))
            .route(route("sink", "a*").name("no/name")),
    ];
    for plan in impossible {
        let refused = pipeline.reconfigure(plan, MINUTE).await;
        assert!(
            matches!(refused, Err(PipelineError::Plan(_))),
            "{refused:?}"
        );
    }
    push(&intake, "D1", 5..10);
    sleep_ms(9_900).await;
    assert_eq!(probe.seen().len(), 0);
    sleep_ms(110).await;
    assert_eq!(
        probe.seen()[0].numbers,
        (0..10).collect::<Vec<_>>(),
        "one batch, as before"
    );
}

#[tokio::test(start_paused = true)]
async fn a_change_that_two_scopes_of_one_name_forbid_changes_nothing() {
    let probe = Probe::new();
    let rest = || RouteSpec::to("sink").lanes([at_once(Normal), at_once(Low)]);
    let pipeline = Pipeline::builder().sink(probe.spec("sink")).route(rest());
    let pipeline = pipeline.start().unwrap();
    let first = pipeline.intake(&ScopeName::new("a")).await.unwrap();
    let second = pipeline.intake(&ScopeName::new("b")).await.unwrap();
    probe.memory.go_down();
    push(&first, "D1", 0..5);
    push(&second, "D2", 0..5);
    // `a/low` is the name of this route's scope, and that of a lane of the other route.
    let clash = route("sink", "x*").name("low");
    for _ in 0..3 {
        let plan = Plan::new().sink(SinkSpec::kept("sink"));
        let plan = plan.route(rest().name("changed")).route(clash.clone());
        let plan = plan.route(rest());
        let refused = pipeline.reconfigure(plan, MINUTE).await.unwrap_err();
        assert!(
            matches!(refused, PipelineError::Plan(_)),
            "shadowed: {refused}"
        );
        let plan = Plan::new()
            .sink(SinkSpec::kept("sink"))
            .route(clash.clone())
            .route(rest());
        let refused = pipeline.reconfigure(plan, MINUTE).await.unwrap_err();
        assert_eq!(
            refused.to_string(),
            "the scope `a/low` has an intake already"
        );
        push(&first, "D1", 5..6);
    }
    probe.memory.recover();
    push(&first, "D1", 6..10);
    push(&second, "D2", 5..10);
    let again = pipeline
        .intake(&ScopeName::new("a"))
        .await
        .map(|_| ())
        .unwrap_err();
    assert!(
        matches!(again, PipelineError::ScopeOpen { .. }),
        "its names are still taken"
    );
    let report = pipeline.shutdown(MINUTE).await;
    assert_conserved(&report.stats);
    assert!(report.error.is_none(), "{:?}", report.error);
    assert_eq!(probe.of_tag("D1"), [0, 1, 2, 3, 4, 5, 5, 5, 6, 7, 8, 9]);
    assert_eq!(probe.of_tag("D2"), (0..10).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn law_1_what_a_sink_that_is_down_cannot_take_by_the_deadline_is_handed_back() {
    let (down, other) = (Probe::new(), Probe::new());
    let pipeline = Pipeline::builder()
        .sink(down.spec("sink"))
        .sink(other.spec("other"));
    let pipeline = pipeline.start().unwrap();
    let intake = pipeline.intake(&ScopeName::new("plc")).await.unwrap();
    push(&intake, "D1", 0..10);
    sleep_ms(1_000).await;
    down.memory.go_down();
    push(&intake, "D1", 10..30);
    let fresh = Probe::new();
    let began = Instant::now();
    let plan = Plan::new()
        .sink(fresh.spec("sink"))
        .sink(SinkSpec::kept("other"));
    let change = pipeline
        .reconfigure(plan, Duration::from_secs(7))
        .await
        .unwrap();
    let took = began.elapsed();
    assert!(
        took >= Duration::from_secs(7) && took < Duration::from_secs(9),
        "{took:?}"
    );
    assert_eq!(
        numbers_of(&change.undelivered),
        (10..30).collect::<Vec<_>>()
    );
    assert_eq!(
        (change.sinks[0].sink.as_str(), &change.sinks[0].undelivered),
        ("sink", &(0..20))
    );
    push(&intake, "D1", 30..40);
    let report = pipeline.shutdown(None).await;
    assert_conserved(&report.stats);
    assert_eq!(fresh.numbers(""), (30..40).collect::<Vec<_>>());
    assert_eq!(other.numbers(""), (0..40).collect::<Vec<_>>());
    assert_eq!(
        (report.stats.delivered, report.stats.quarantined),
        (10 + 10 + 40, 20)
    );
    assert_eq!(report.stats.accepted, 80);
}

#[tokio::test(start_paused = true)]
async fn intakes_and_senders_of_before_go_on_to_work_and_new_ones_find_the_new_routes() {
    let (first, second) = (Probe::new(), Probe::new());
    let pipeline = Pipeline::builder()
        .sink(first.spec("first"))
        .start()
        .unwrap();
    let intake = pipeline.intake(&ScopeName::new("plc")).await.unwrap();
    let sender = pipeline.sender();
    let plan = Plan::new()
        .sink(SinkSpec::kept("first"))
        .sink(second.spec("second"))
        .route(route("second", "*"))
        .route(route("first", "a*"));
    pipeline.reconfigure(plan, MINUTE).await.unwrap();
    push(&intake, "a1", 0..5);
    push(&intake, "b1", 5..10);
    sender.send(of("a1", 10, None)).unwrap();
    let outcome = pipeline.sender().send_tracked(of("b1", 11, None)).unwrap();
    let new = pipeline.intake(&ScopeName::new("new")).await.unwrap();
    push(&new, "a1", 12..13);
    let delivered = pipeline::Outcome::Delivered;
    assert_eq!(outcome.await, [("second".to_owned(), delivered)]);
    let report = pipeline.shutdown(None).await;
    assert_conserved(&report.stats);
    assert_eq!((first.numbers("").len(), second.numbers("").len()), (7, 13));
}

#[tokio::test(start_paused = true)]
async fn the_names_of_scopes_are_used_again_behind_their_watermarks() {
    let probe = Probe::new();
    let named = |age| RouteSpec::to("sink").name("data").lanes([aged(age)]);
    let pipeline = Pipeline::builder()
        .sink(probe.spec("sink"))
        .route(named(ms(10)))
        .start()
        .unwrap();
    let intake = pipeline.intake(&ScopeName::new("plc")).await.unwrap();
    for round in 0..5 {
        push(&intake, "D1", round * 10..round * 10 + 10);
        let plan = Plan::new().sink(SinkSpec::kept("sink"));
        let plan = plan.route(named(ms(20 + round.unsigned_abs())));
        pipeline.reconfigure(plan, MINUTE).await.unwrap();
    }
    push(&intake, "D1", 50..60);
    let report = pipeline.shutdown(None).await;
    assert_eq!(report.stats.sink.repeated, 0);
    let delivered = probe.memory.delivered();
    assert!(
        delivered
            .iter()
            .all(|(name, _, _)| name.as_str() == "plc/data")
    );
    let positions = delivered.iter().map(|(_, position, _)| position.number());
    assert!(positions.eq(1..=60), "one scope, one count");
    assert_eq!(probe.numbers(""), (0..60).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn two_changes_at_once_come_one_after_the_other_and_the_last_one_holds() {
    let probe = Probe::new();
    let plan = |age| {
        let route = RouteSpec::to("sink").lanes([aged(age)]);
        Plan::new().sink(SinkSpec::kept("sink")).route(route)
    };
    let pipeline = Pipeline::builder()
        .sink(probe.spec("sink"))
        .start()
        .unwrap();
    let intake = pipeline.intake(&ScopeName::new("plc")).await.unwrap();
    probe.takes(Duration::from_secs(2), Duration::ZERO);
    push(&intake, "D1", 0..10);
    sleep_ms(100).await;
    let first = pipeline.reconfigure(plan(Duration::from_secs(1)), MINUTE);
    let second = pipeline.reconfigure(plan(Duration::from_secs(3)), MINUTE);
    let pushing = async {
        for number in 10..20 {
            push(&intake, "D1", number..number + 1);
            sleep_ms(300).await;
        }
    };
    let (first, second, ()) = tokio::join!(first, second, pushing);
    assert_eq!((first.unwrap().ended, second.unwrap().ended), (1, 1));
    // One who stops waiting does not stop the change.
    push(&intake, "D1", 20..21);
    let dropped = tokio::time::timeout(ms(1), pipeline.reconfigure(plan(ms(500)), MINUTE)).await;
    assert!(dropped.is_err(), "draining takes longer");
    sleep_ms(10_000).await;
    push(&intake, "D1", 21..22);
    sleep_ms(2_510).await;
    assert_eq!(probe.numbers(""), (0..22).collect::<Vec<_>>());
    let age = account(&pipeline).routes[0].lanes[0].age_max_s.unwrap();
    assert!((age - 0.5).abs() < 1e-9, "{age}");
    assert_conserved(&pipeline.shutdown(None).await.stats);
}
