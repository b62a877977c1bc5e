//! Clocks that leap: ages go by a monotonic clock, timestamps are only data.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod probe;

use std::time::Duration;

use flush_policy::FlushSpec;
use pipeline::{LaneSpec, Pipeline};
use probe::{Probe, account, at_once, lane, ms, of, sleep_ms};
use record::Priority::{Critical, Low, Normal};
use record::{Record, Timestamp, Value};

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test(start_paused = true)]
async fn law_4_the_clock_may_leap_an_hour_and_nothing_is_lost_or_stuck() {
    let probe = Probe::new();
    probe.takes(ms(100), Duration::ZERO);
    let short = at_once(Low).expires_after(Duration::from_secs(60));
    let normal = LaneSpec::new(Normal).flush(FlushSpec::new().size(1_000).age(ms(500)));
    let sink = probe.spec("sink").lanes([at_once(Critical), normal, short]);
    let pipeline = Pipeline::builder().sink(sink).start().unwrap();
    let sender = pipeline.sender();
    sleep_ms(1).await;
    for round in 0..5 {
        // A batch is under way, another is waiting for its age, and others for their turn.
        for class in [Critical, Normal, Low] {
            sender.send(of("D1", round, class)).unwrap();
        }
        sleep_ms(10).await;
        // As after a process was stopped and goes on.
        tokio::time::advance(HOUR).await;
        sleep_ms(1_000).await;
        assert_eq!(account(&pipeline).pending, 0, "round {round}");
    }
    let stats = account(&pipeline);
    assert_eq!(lane(&stats, Critical).totals.delivered, 5);
    assert_eq!(lane(&stats, Normal).totals.delivered, 5);
    let low = lane(&stats, Low).totals;
    assert_eq!(
        (low.delivered, low.dropped.expired),
        (0, 5),
        "it has waited for an hour"
    );
    assert_eq!(probe.numbers("normal"), [0, 1, 2, 3, 4]);
    // Retries do not burst after a leap either.
    probe.memory.go_down();
    sender.send(of("D1", 5, Critical)).unwrap();
    sleep_ms(10).await;
    let before = probe.memory.attempts().len();
    tokio::time::advance(HOUR).await;
    sleep_ms(1).await;
    let after = probe.memory.attempts().len();
    assert!(after - before <= 2, "{} attempts at once", after - before);
}

#[tokio::test(start_paused = true)]
async fn law_4_timestamps_that_jump_an_hour_either_way_are_only_data() {
    let probe = Probe::new();
    let short = at_once(Low).expires_after(Duration::from_secs(60));
    let sink = probe.spec("sink").lanes([at_once(Normal), short]);
    let pipeline = Pipeline::builder().sink(sink).start().unwrap();
    let sender = pipeline.sender();
    let hour_us = 3_600_000_000;
    let jumps = [0, hour_us, -hour_us, 0, 24 * hour_us, -24 * hour_us];
    let mut stamps = Vec::new();
    for (number, jump) in (0..).zip(jumps) {
        let stamp = Timestamp::from_micros(1_700_000_000_000_000 + jump).unwrap();
        for class in [Normal, Low] {
            let value = Value::I64(number);
            let mut record = Record::new("PLC01", "D1", value, stamp).unwrap();
            record.priority = Some(class);
            sender.send(record).unwrap();
        }
        stamps.push(stamp);
        sleep_ms(100).await;
        let stats = account(&pipeline);
        assert_eq!(
            (stats.pending, stats.dropped.total()),
            (0, 0),
            "neither late nor expired"
        );
    }
    let delivered = probe.memory.delivered().into_iter();
    let normal = delivered.filter(|(name, _, _)| name.as_str().ends_with("normal"));
    let normal: Vec<_> = normal.map(|(_, _, record)| record.timestamp).collect();
    assert_eq!(
        normal, stamps,
        "as they came, in the order in which they came"
    );
    assert!(account(&pipeline).latency_ms.max < 100.0);
}
