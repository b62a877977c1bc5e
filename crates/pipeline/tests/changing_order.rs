//! The order of each key while routes change under constant pushing from threads.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod probe;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pipeline::{LaneSpec, Pipeline, Plan, RouteSpec, SinkSpec, WhenFull};
use probe::{Probe, assert_conserved, at_once, ms, push};
use record::Priority::Normal;
use sinks::ScopeName;

const MINUTE: Duration = Duration::from_secs(60);

/// Threads push without a pause, each with keys of its own, while the pipeline is changed again
/// and again; says how many rows each of them handed over.
async fn change_under_load(
    pipeline: &Pipeline,
    plans: impl Fn(usize) -> Plan,
    tags: [&'static str; 3],
) -> BTreeMap<&'static str, i64> {
    let done = Arc::new(AtomicBool::new(false));
    let mut threads = Vec::new();
    for (number, tag) in tags.into_iter().enumerate() {
        let name = ScopeName::new(format!("plc{number}"));
        let intake = pipeline.intake(&name).await.unwrap();
        let done = Arc::clone(&done);
        threads.push(std::thread::spawn(move || {
            let mut next = 0;
            while !done.load(Ordering::Relaxed) {
                let accepted = push(&intake, tag, next..next + 5);
                next += i64::try_from(accepted).unwrap();
            }
            (tag, next)
        }));
    }
    for change in 0..9 {
        tokio::time::sleep(ms(20)).await;
        let changed = pipeline.reconfigure(plans(change), MINUTE).await.unwrap();
        assert_eq!(changed.undelivered.len(), 0);
        assert_conserved(&pipeline.stats());
    }
    done.store(true, Ordering::Relaxed);
    let join = move || {
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    };
    tokio::task::spawn_blocking(join).await.unwrap()
}

fn patient(lane: LaneSpec) -> LaneSpec {
    lane.size(200)
        .when_full(WhenFull::Block(MINUTE))
        .batch_max(50)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn law_6_the_order_of_each_key_holds_across_changes_under_constant_pushing() {
    let probe = Probe::new();
    let lanes = |number: usize| [patient(at_once(Normal)).weight(1 + (number as u32 % 2))];
    let pipeline = Pipeline::builder()
        .sink(probe.spec("sink"))
        .route(RouteSpec::to("sink").lanes(lanes(1)))
        .start()
        .unwrap();
    let plans = |number: usize| {
        let route = RouteSpec::to("sink").lanes(lanes(number));
        Plan::new().sink(SinkSpec::kept("sink")).route(route)
    };
    let pushed = change_under_load(&pipeline, plans, ["a", "b", "c"]).await;
    let report = pipeline.shutdown(MINUTE).await;
    assert_conserved(&report.stats);
    for (tag, count) in pushed {
        assert!(
            probe.of_tag(tag).into_iter().eq(0..count),
            "{tag}: each once, in order"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn law_6_keys_that_move_between_routes_keep_their_order_though_a_route_stays_as_it_is() {
    let probe = Probe::new();
    let rest = || RouteSpec::to("sink").lanes([patient(at_once(Normal))]);
    let own = |tags: &str| rest().name("own").tags(tags.parse().unwrap());
    let pipeline = Pipeline::builder().sink(probe.spec("sink")).route(rest());
    let pipeline = pipeline.start().unwrap();
    let plans = |number: usize| {
        let plan = Plan::new().sink(SinkSpec::kept("sink"));
        match number % 3 {
            0 => plan.route(own("a*")).route(rest()),
            1 => plan.route(own("b*")).route(rest()),
            _ => plan.route(rest()),
        }
    };
    let pushed = change_under_load(&pipeline, plans, ["a1", "b1", "c1"]).await;
    let report = pipeline.shutdown(MINUTE).await;
    assert_conserved(&report.stats);
    for (tag, count) in pushed {
        let delivered = probe.of_tag(tag);
        assert!(
            delivered.into_iter().eq(0..count),
            "{tag}: each once, in order"
        );
    }
}
