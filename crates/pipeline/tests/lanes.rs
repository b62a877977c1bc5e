//! Lanes: which one a record goes to, whose turn it is, whose memory gives way, what expires.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod probe;

use std::time::Duration;

use flush_policy::{AdaptiveSpec, FlushSpec};
use pipeline::{LaneSpec, LaneState, Pipeline, RouteSpec, Sender, WhenFull};
use probe::{Probe, account, assert_conserved, at_once, lane, ms, of, sleep_ms};
use record::Priority;
use record::Priority::{Critical, High, Low, Normal};
use sinks::ScopeName;
use tokio::time::Instant;

const HOUR: Duration = Duration::from_secs(3600);
const ALL: [Priority; 4] = [Critical, High, Normal, Low];

/// Every lane, flushing each record at once in batches of one.
fn singles() -> [LaneSpec; 4] {
    ALL.map(|class| at_once(class).batch_max(1))
}

fn send(sender: &Sender, class: Priority, numbers: std::ops::Range<i64>) {
    let records = numbers.map(|number| of("D1", number, class));
    let _ = sender.send_many(records).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_records_own_priority_decides_and_else_its_routes_and_else_normal() {
    let probe = Probe::new();
    let pipeline = Pipeline::builder()
        .sink(probe.spec("sink"))
        .route(
            RouteSpec::to("sink")
                .name("slow")
                .tags("s*".parse().unwrap())
                .priority(Low),
        )
        .route(RouteSpec::to("sink"))
        .start()
        .unwrap();
    let sender = pipeline.sender();
    sender.send(of("s1", 1, None)).unwrap();
    sender.send(of("s1", 2, Critical)).unwrap();
    sender.send(of("d1", 3, None)).unwrap();
    sender.send(of("d1", 4, High)).unwrap();
    let report = pipeline.shutdown(None).await;
    assert_conserved(&report.stats);
    assert_eq!(probe.numbers("channel/slow/low"), [1]);
    assert_eq!(probe.numbers("channel/slow/critical"), [2]);
    assert_eq!(probe.numbers("channel/normal"), [3]);
    assert_eq!(probe.numbers("channel/high"), [4]);
}

#[tokio::test(start_paused = true)]
async fn a_lane_that_is_missing_sends_its_records_to_the_next_less_urgent_one() {
    let table: [(&[Priority], [Priority; 4]); 4] = [
        (&[Normal], [Normal, Normal, Normal, Normal]),
        (&[Critical, Low], [Critical, Low, Low, Low]),
        (&[High, Normal], [High, High, Normal, Normal]),
        (&[Critical], [Critical, Critical, Critical, Critical]),
    ];
    for (lanes, expected) in table {
        let probe = Probe::new();
        let sink = probe
            .spec("sink")
            .lanes(lanes.iter().map(|class| at_once(*class)));
        let pipeline = Pipeline::builder().sink(sink).start().unwrap();
        let sender = pipeline.sender();
        for (class, goes_to) in ALL.into_iter().zip(expected) {
            let before = lane(&account(&pipeline), goes_to).totals.accepted;
            sender.send(of("D1", 1, class)).unwrap();
            let after = lane(&account(&pipeline), goes_to).totals.accepted;
            assert_eq!(after, before + 1, "{class:?} among {lanes:?}");
        }
        assert_eq!(pipeline.shutdown(None).await.stats.delivered, 4);
    }
}

#[tokio::test(start_paused = true)]
async fn critical_goes_at_once_and_every_lane_within_its_target() {
    let probe = Probe::new();
    let pipeline = Pipeline::builder()
        .sink(probe.spec("sink"))
        .start()
        .unwrap();
    let sender = pipeline.sender();
    sleep_ms(10).await;
    for round in 0..50 {
        let offered = Instant::now();
        for class in ALL {
            send(&sender, class, round..round + 1);
        }
        sleep_ms(2).await;
        let seen = probe.seen();
        let critical = seen
            .iter()
            .rfind(|batch| batch.scope.ends_with("critical"))
            .unwrap();
        assert_eq!(
            (critical.at, &critical.numbers[..]),
            (offered, &[round][..])
        );
        sleep_ms(398).await;
    }
    let stats = account(&pipeline);
    assert_eq!(stats.delivered, 200);
    for class in ALL {
        let lane = lane(&stats, class);
        assert_eq!(lane.totals.delivered, 50);
        let (latency, target) = (lane.latency_ms, lane.latency_target_ms);
        assert!(
            latency.p50 > 0.0 && latency.p50 <= latency.p99,
            "{latency:?}"
        );
        assert!(
            latency.p99 <= target,
            "{class:?}: {latency:?}, the target is {target} ms"
        );
    }
    assert!(lane(&stats, Critical).latency_ms.max <= 1.0);
}

#[tokio::test(start_paused = true)]
async fn saturated_lanes_get_turns_by_their_weights_and_the_lowest_is_not_starved() {
    let probe = Probe::new();
    probe.takes(ms(10), Duration::ZERO);
    let weights = [8, 4, 2, 1];
    let lanes = singles().into_iter().zip(weights);
    let lanes = lanes.map(|(lane, weight)| lane.weight(weight));
    let sink = probe.spec("sink").lanes(lanes);
    let pipeline = Pipeline::builder().sink(sink).start().unwrap();
    let sender = pipeline.sender();
    for class in ALL {
        send(&sender, class, 0..2_000);
    }
    // 1,500 writes, one after the other: 100 rounds of 15 turns.
    tokio::time::sleep(ms(15_000)).await;
    let stats = account(&pipeline);
    let turns = ALL.map(|class| lane(&stats, class).totals.delivered);
    for (turns, weight) in turns.into_iter().zip(weights) {
        let expected = 100 * u64::from(weight);
        assert!(
            turns.abs_diff(expected) <= expected / 20 + 3,
            "{turns} of {expected}"
        );
    }
    let low: Vec<_> = probe
        .seen()
        .into_iter()
        .filter(|b| b.scope.ends_with("low"))
        .collect();
    let longest = low
        .windows(2)
        .map(|pair| pair[1].at - pair[0].at)
        .max()
        .unwrap();
    assert!(
        longest <= ms(2 * 15 * 10),
        "low waits a round, and not for ever: {longest:?}"
    );
    assert_eq!(probe.in_flight_max(), 1, "one write at a time");
    assert_eq!(stats.sinks[0].in_flight, 1);
    assert_eq!(stats.sinks[0].waiting, 3);
}

#[tokio::test(start_paused = true)]
async fn a_write_that_is_reserved_stays_free_while_another_lane_hangs() {
    let probe = Probe::new();
    let mut lanes = singles();
    lanes[0] = lanes[0].clone().reserved(1);
    let sink = probe.spec("sink").lanes(lanes).concurrency(2);
    let pipeline = Pipeline::builder().sink(sink).start().unwrap();
    let sender = pipeline.sender();
    sleep_ms(1).await;
    probe.hang(Some("low"));
    send(&sender, Low, 0..10);
    sleep_ms(1).await;
    send(&sender, Normal, 0..10);
    for number in 0..100 {
        let offered = Instant::now();
        send(&sender, Critical, number..number + 1);
        sleep_ms(1_000).await;
        let last = probe.seen().last().unwrap().clone();
        assert_eq!(
            (last.at, last.scope.as_str()),
            (offered, "channel/critical")
        );
    }
    let stats = account(&pipeline);
    assert_eq!(lane(&stats, Critical).totals.delivered, 100);
    assert_eq!(lane(&stats, Low).totals.pending, 10);
    // The one write that is not reserved hangs, and normal waits for it.
    assert_eq!(lane(&stats, Normal).totals.pending, 10);
    assert_eq!(lane(&stats, Normal).state, LaneState::Waiting);
    let report = pipeline.shutdown(Duration::from_secs(1)).await;
    assert_conserved(&report.stats);
    assert_eq!(report.undelivered.len(), 20);
}

#[tokio::test(start_paused = true)]
async fn law_1_a_critical_burst_takes_room_from_the_lowest_lane_down_to_its_own_part() {
    let probe = Probe::new();
    probe.memory.go_down();
    let lanes = ALL.map(|class| LaneSpec::new(class).size(100).size_min(40));
    let lanes = lanes.map(|lane| match lane.priority() {
        Critical => lane.when_full(WhenFull::DropLowestPriority),
        _ => lane
            .when_full(WhenFull::Reject)
            .flush(FlushSpec::new().size(1_000).age(HOUR)),
    });
    let pipeline = Pipeline::builder().sink(probe.spec("sink").lanes(lanes));
    let pipeline = pipeline.start().unwrap();
    let sender = pipeline.sender();
    for class in [High, Normal, Low] {
        send(&sender, class, 0..100);
    }
    let mut heard = pipeline.notifications();
    for number in 0..150 {
        sender.send(of("D1", number, Critical)).unwrap();
        account(&pipeline);
    }
    let stats = account(&pipeline);
    let at = |class| lane(&stats, class);
    assert_eq!(at(Critical).totals.pending, 150, "nothing critical is lost");
    assert_eq!(at(Low).totals.dropped.lower_priority, 50);
    assert_eq!(
        (at(Normal).totals.pending, at(High).totals.pending),
        (100, 100)
    );
    assert_eq!(stats.dropped.lower_priority, stats.dropped.total());
    let whole: usize = ALL.iter().map(|class| at(*class).buffer.max_size).sum();
    assert_eq!(whole, 400, "the memory is what it was");
    // What low keeps is its own part; then normal gives way, and high last.
    send(&sender, Critical, 150..210);
    let stats = account(&pipeline);
    let sizes = [Low, Normal, High].map(|class| lane(&stats, class).buffer.max_size);
    assert_eq!(sizes[0], 40);
    assert!(
        sizes[1] < 100 && sizes[1] >= 40 && sizes[2] == 100,
        "{sizes:?}"
    );
    send(&sender, Critical, 210..1_000);
    let stats = account(&pipeline);
    for class in [Low, Normal, High] {
        assert_eq!(
            lane(&stats, class).totals.pending,
            40,
            "{class:?} keeps its part"
        );
    }
    let critical = lane(&stats, Critical).totals;
    assert_eq!((critical.pending, critical.dropped.drop_oldest), (280, 720));
    // The newest of the lower lanes are what is kept.
    probe.memory.recover();
    tokio::time::sleep(Duration::from_secs(90)).await;
    let stats = account(&pipeline);
    let sizes = ALL.map(|class| lane(&stats, class).buffer.max_size);
    assert_eq!(sizes, [100; 4], "the room has come back");
    let report = pipeline.shutdown(HOUR).await;
    assert_conserved(&report.stats);
    assert_eq!(probe.numbers("low"), (60..100).collect::<Vec<_>>());
    let said = heard.recv().await.unwrap().message;
    assert!(
        said.contains("records were dropped because the buffer is full"),
        "{said}"
    );
}

#[tokio::test(start_paused = true)]
async fn law_1_what_has_waited_for_too_long_is_dropped_and_counted_when_its_turn_comes() {
    let probe = Probe::new();
    let low = at_once(Low).expires_after(Duration::from_secs(60));
    let sink = probe.spec("sink").lanes([at_once(Normal), low]);
    let pipeline = Pipeline::builder().sink(sink).start().unwrap();
    let sender = pipeline.sender();
    sleep_ms(1).await;
    // One write at a time: while normal hangs, low waits.
    probe.takes(Duration::from_secs(100), Duration::ZERO);
    send(&sender, Normal, 0..1);
    sleep_ms(1).await;
    send(&sender, Low, 0..10);
    tokio::time::sleep(Duration::from_secs(50)).await;
    send(&sender, Low, 10..20);
    tokio::time::sleep(Duration::from_secs(49)).await;
    assert_eq!(
        lane(&account(&pipeline), Low).totals.pending,
        20,
        "nobody's turn has come"
    );
    probe.takes(Duration::ZERO, Duration::ZERO);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let totals = lane(&account(&pipeline), Low).totals;
    assert_eq!((totals.dropped.expired, totals.delivered), (10, 10));
    assert_eq!(probe.numbers("low"), (10..20).collect::<Vec<_>>());
    let stats = account(&pipeline);
    assert_eq!(
        lane(&stats, Normal).totals.delivered,
        1,
        "another lane knows no such bound"
    );
}

#[tokio::test(start_paused = true)]
async fn law_1_a_purge_drops_one_lane_and_leaves_what_is_under_way() {
    let probe = Probe::new();
    let pipeline = Pipeline::builder().sink(probe.spec("sink").lanes(singles()));
    let pipeline = pipeline.start().unwrap();
    let sender = pipeline.sender();
    sleep_ms(1).await;
    probe.takes(ms(100), Duration::ZERO);
    send(&sender, Low, 0..1);
    sleep_ms(1).await;
    send(&sender, Low, 1..100);
    send(&sender, High, 0..10);
    assert_eq!(pipeline.purge(Low), 99, "one is under way");
    let stats = account(&pipeline);
    assert_eq!(lane(&stats, Low).totals.dropped.purged, 99);
    assert_eq!(lane(&stats, Low).totals.pending, 1);
    assert_eq!(lane(&stats, High).totals.pending, 10);
    assert_eq!(pipeline.purge(Low), 0);
    assert_eq!(pipeline.purge(None), 10);
    send(&sender, Low, 100..102);
    let report = pipeline.shutdown(HOUR).await;
    assert_conserved(&report.stats);
    assert_eq!(probe.numbers("low"), [0, 100, 101]);
    assert_eq!(report.stats.dropped.purged, 109);
}

#[tokio::test(start_paused = true)]
async fn law_6_a_scope_has_one_batch_under_way_however_many_writes_a_sink_takes() {
    let probe = Probe::new();
    probe.takes(ms(10), Duration::ZERO);
    let lanes = singles().map(|lane| lane.weight(1));
    let sink = probe.spec("sink").lanes(lanes).concurrency(64);
    let pipeline = Pipeline::builder().sink(sink).start().unwrap();
    let sender = pipeline.sender();
    for class in ALL {
        send(&sender, class, 0..100);
    }
    let report = pipeline.shutdown(HOUR).await;
    assert_eq!(probe.doubled(), Vec::<String>::new());
    assert_eq!(
        probe.in_flight_max(),
        4,
        "the lanes are written side by side"
    );
    for class in ALL {
        assert_eq!(probe.numbers(class.as_str()), (0..100).collect::<Vec<_>>());
    }
    assert_conserved(&report.stats);
}

#[tokio::test(start_paused = true)]
async fn law_6_parallel_queues_write_scopes_side_by_side_and_each_in_order() {
    let probe = Probe::new();
    let lane = at_once(Normal).batch_max(5).parallel(8).size(8_000);
    let sink = probe.spec("sink").lanes([lane]).concurrency(8);
    let pipeline = Pipeline::builder().sink(sink).start().unwrap();
    let mut intakes = Vec::new();
    for source in 0..32 {
        let name = ScopeName::new(format!("plc{source:02}"));
        intakes.push(pipeline.intake(&name).await.unwrap());
    }
    probe.takes(ms(10), Duration::ZERO);
    for (source, intake) in intakes.iter().enumerate() {
        let first = source as i64 * 1_000;
        let rows = (first..first + 50).map(|number| Ok(of("D1", number, None)));
        let accepted = intake.push(Instant::now().into_std(), rows.collect());
        assert_eq!(accepted.unwrap().accepted, 50);
    }
    let began = Instant::now();
    let report = pipeline.shutdown(HOUR).await;
    assert_conserved(&report.stats);
    assert_eq!(report.stats.delivered, 32 * 50);
    for source in 0..32_i64 {
        let rows = probe.numbers(&format!("plc{source:02}"));
        assert_eq!(
            rows,
            (source * 1_000..source * 1_000 + 50).collect::<Vec<_>>()
        );
    }
    assert!(
        probe.in_flight_max() >= 6,
        "{} at once",
        probe.in_flight_max()
    );
    // One after the other they would take 3.2 s.
    assert!(began.elapsed() < ms(1_600), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_adaptive_size_is_live_in_the_stats_and_bounds_the_batches() {
    let probe = Probe::new();
    let adaptive = AdaptiveSpec::new().sizes(1, 50).base(50).wait(ms(50));
    let flush = FlushSpec::new().adaptive(adaptive.write_target(ms(50)));
    let lane_spec = LaneSpec::new(High).flush(flush).batch_max(50);
    let pipeline = Pipeline::builder().sink(probe.spec("sink").lanes([lane_spec]));
    let pipeline = pipeline.start().unwrap();
    let sender = pipeline.sender();
    let mut shown = vec![lane(&account(&pipeline), High).batch_size];
    assert_eq!(shown, [50]);
    probe.takes(Duration::ZERO, ms(5));
    for round in 0..40 {
        send(&sender, High, round * 50..round * 50 + 50);
        sleep_ms(50).await;
        let stats = account(&pipeline);
        let high = lane(&stats, High);
        if shown.last() != Some(&high.batch_size) {
            shown.push(high.batch_size);
        }
        assert!((1..=50).contains(&high.batch_size));
    }
    assert!(shown.len() > 2 && *shown.last().unwrap() <= 15, "{shown:?}");
    let last = probe.seen().last().unwrap().numbers.len();
    assert!(last <= 15, "the batches follow: {last}");
    let high = lane(&account(&pipeline), High);
    assert_eq!(high.batch_rows.max, 50);
    assert!(high.batch_rows.p50 < 50, "{:?}", high.batch_rows);
    assert!(high.write_ms.max >= 250.0);
}
