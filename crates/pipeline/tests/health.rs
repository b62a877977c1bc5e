//! The score: each deduction, and when it is made.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod health_support;

use std::time::{Duration, Instant};

use flush_policy::{Outcome, Reason};
use health_support::{first, found, idle, lane, route};
use pipeline::{
    DEDUCTIONS, DroppedStats, Health, HealthStatus, HealthTracker, LaneState, RecentStats, Stats,
};
use proptest::prelude::*;
use record::Priority;

/// Changes an idle account; expects these codes and points of that account alone.
#[track_caller]
fn check(change: impl FnOnce(&mut Stats), expected: &[(&str, u8)]) -> Health {
    let mut stats = idle();
    change(&mut stats);
    let health = Health::judge(&stats, None);
    check_sum(&health, expected);
    health
}

/// Expects these when the changed account follows an idle one.
#[track_caller]
fn check_after_idle(change: impl FnOnce(&mut Stats), expected: &[(&str, u8)]) -> Health {
    let start = Instant::now();
    let mut tracker = HealthTracker::new();
    let mut stats = idle();
    let (health, _) = tracker.observe(start, &stats, None);
    assert_eq!(found(&health), []);
    change(&mut stats);
    let alone = Health::judge(&stats, None);
    assert_eq!(found(&alone), [], "an account by itself does not show it");
    let (health, _) = tracker.observe(start + Duration::from_secs(1), &stats, None);
    check_sum(&health, expected);
    // What has not grown for a minute is over.
    let (later, _) = tracker.observe(start + Duration::from_secs(61), &stats, None);
    assert_eq!(found(&later), []);
    health
}

#[track_caller]
fn check_sum(health: &Health, expected: &[(&str, u8)]) {
    assert_eq!(found(health), expected);
    let points: u32 = expected.iter().map(|(_, points)| u32::from(*points)).sum();
    assert_eq!(u32::from(health.score), 100_u32.saturating_sub(points));
    for reason in &health.reasons {
        let known = DEDUCTIONS
            .iter()
            .any(|it| it.code == reason.code && it.hint == reason.hint);
        assert!(known, "{reason:?} is not in the table");
    }
}

#[test]
fn a_pipeline_with_nothing_to_do_has_all_points() {
    let health = check(|_| (), &[]);
    assert_eq!((health.score, health.status), (100, HealthStatus::Healthy));
}

#[test]
fn a_stopped_pipeline_has_no_points() {
    let health = Health::judge(&idle(), Some("the disk is gone"));
    assert_eq!(found(&health), [("stopped", 100)]);
    assert!(health.reasons[0].message.ends_with("the disk is gone"));
    assert_eq!((health.score, health.status), (0, HealthStatus::Critical));
}

#[test]
fn a_sink_is_failing_then_down_then_lost() {
    let fails = |seconds| {
        move |stats: &mut Stats| {
            first(stats).failing_for_s = seconds;
            first(stats).last_error = Some("disk full".to_owned());
            first(stats).state = LaneState::Retrying;
        }
    };
    let health = check(fails(0.1), &[("sink_failing", 40)]);
    let message = &health.reasons[0].message;
    assert_eq!(
        message,
        "the sink `archive` has failed for 0.1 s: disk full"
    );
    check(fails(9.9), &[("sink_failing", 40)]);
    let health = check(fails(10.0), &[("sink_failing", 70)]);
    assert_eq!(health.status, HealthStatus::Critical);
    let health = check(
        |stats| {
            fails(20.0)(stats);
            first(stats).state = LaneState::Ended;
            stats.sinks[0].lost = Some("retries are used up".to_owned());
        },
        &[("sink_lost", 70)],
    );
    let message = &health.reasons[0].message;
    assert!(message.contains("`archive`") && message.contains("retries are used up"));
}

#[test]
fn an_open_breaker_counts_more_when_nothing_else_says_so() {
    let health = check(
        |stats| stats.sinks[1].breaker = Some("open"),
        &[("breaker_open", 31)],
    );
    assert_eq!(health.status, HealthStatus::Degraded);
    assert!(health.reasons[0].hint.contains("close the breaker"));
    let fails = |stats: &mut Stats| {
        stats.sinks[0].breaker = Some("open");
        first(stats).failing_for_s = 1.0;
        first(stats).state = LaneState::Waiting;
    };
    check(fails, &[("sink_failing", 40), ("breaker_open", 10)]);
    check(|stats| stats.sinks[0].breaker = Some("half_open"), &[]);
    check(|stats| stats.sinks[0].breaker = Some("closed"), &[]);
}

#[test]
fn writes_that_succeed_only_when_repeated_are_seen() {
    let recent = |batches: u64, failures: u64| {
        move |stats: &mut Stats| {
            stats.recent = RecentStats {
                span_s: 300.0,
                batches,
                failures,
                success_rate_pct: batches as f64 * 100.0 / (batches + failures) as f64,
                ..RecentStats::default()
            }
        }
    };
    check(recent(8, 2), &[("sink_unsteady", 10)]);
    check(recent(90, 10), &[]);
    check(recent(1, 8), &[]);
    let fails = |stats: &mut Stats| {
        recent(8, 2)(stats);
        first(stats).failing_for_s = 1.0;
    };
    check(fails, &[("sink_failing", 40)]);
}

#[test]
fn a_lane_that_ends_or_panics_is_seen() {
    check(
        |stats| first(stats).state = LaneState::Ended,
        &[("lane_ended", 70)],
    );
    let restarting = |stats: &mut Stats| first(stats).state = LaneState::Restarting;
    check(restarting, &[("lane_restarting", 40)]);
    let health = check_after_idle(|stats| first(stats).restarts = 1, &[("lane_restarted", 15)]);
    assert!(
        health.reasons[0]
            .message
            .contains("lane normal into `archive`")
    );
    let mut stats = idle();
    first(&mut stats).state = LaneState::Ended;
    let health = Health::judge(&stats, Some("shut down"));
    assert_eq!(found(&health), [("stopped", 100)]);
}

#[test]
fn each_source_that_stopped_counts_up_to_the_most() {
    let health = check(
        |stats| stats.stopped_sources = (0..3).map(|n| format!("source {n}")).collect(),
        &[
            ("source_stopped", 40),
            ("source_stopped", 40),
            ("source_stopped", 0),
        ],
    );
    assert_eq!(health.score, 20);
}

#[test]
fn a_full_buffer_is_named_with_its_lane() {
    let health = check(
        |stats| {
            stats.routes[1].route = Some("alarms".to_owned());
            let lane = &mut stats.routes[1].lanes[0];
            lane.high = true;
            lane.buffer.utilization_pct = 85.0;
        },
        &[("buffer_high", 25)],
    );
    let lane = "the buffer of the lane critical of the route `alarms` into `plant` is 85 % full \
                (10000 records)";
    assert_eq!(health.reasons[0].message, lane);
    assert_eq!(health.status, HealthStatus::Healthy);
    // The mark is the lane's own.
    check(|stats| first(stats).buffer.utilization_pct = 95.0, &[]);
    let mut stats = idle();
    stats.routes.pop();
    stats.sinks.pop();
    first(&mut stats).high = true;
    let health = Health::judge(&stats, None);
    assert_eq!(
        health.reasons[0].message,
        "the buffer is 0 % full (10000 records)"
    );
}

#[test]
fn losses_count_above_one_percent_of_what_a_lane_accepts() {
    let loses = |per_s| {
        move |stats: &mut Stats| {
            first(stats).updates_per_second = 1000.0;
            first(stats).buffer.overflow_per_s = per_s;
        }
    };
    check(loses(10.0), &[]);
    let health = check(loses(10.1), &[("overflow", 31)]);
    assert_eq!(health.status, HealthStatus::Degraded);
}

#[test]
fn records_that_were_lost_or_set_aside_count_for_a_minute() {
    let dropped = |change: fn(&mut DroppedStats)| {
        move |stats: &mut Stats| change(&mut first(stats).totals.dropped)
    };
    check_after_idle(dropped(|it| it.rejected = 1), &[("rejected", 15)]);
    check_after_idle(dropped(|it| it.expired = 1), &[("expired", 10)]);
    check_after_idle(dropped(|it| it.lower_priority = 1), &[("displaced", 10)]);
    check_after_idle(dropped(|it| it.purged = 1), &[]);
    let quarantine = |stats: &mut Stats| first(stats).totals.quarantined = 3;
    let health = check_after_idle(quarantine, &[("quarantine_growing", 5)]);
    assert!(
        health.reasons[0]
            .message
            .starts_with("3 records of the lane normal")
    );
    check_after_idle(|stats| stats.unrouted = 7, &[("unrouted", 5)]);
}

#[test]
fn a_counter_that_begins_anew_with_its_lane_does_not_hide_growth() {
    let start = Instant::now();
    let mut tracker = HealthTracker::new();
    let mut stats = idle();
    first(&mut stats).totals.quarantined = 100;
    let _ = tracker.observe(start, &stats, None);
    first(&mut stats).totals.quarantined = 2;
    let (health, _) = tracker.observe(start + Duration::from_secs(100), &stats, None);
    assert_eq!(found(&health), [("quarantine_growing", 5)]);
    // A lane that is gone is forgotten.
    stats.routes.remove(0);
    let (health, _) = tracker.observe(start + Duration::from_secs(101), &stats, None);
    assert_eq!(found(&health), []);
}

#[test]
fn a_p99_over_its_target_counts_while_the_lane_delivers() {
    let slow = |stats: &mut Stats| {
        first(stats).latency_ms.p99 = 100.1;
        first(stats).totals.delivered = 1;
    };
    let health = check_after_idle(slow, &[("latency_high", 10)]);
    assert!(health.reasons[0].message.ends_with("100 ms is the target"));
    check_after_idle(|stats| first(stats).totals.delivered = 1, &[]);
    check_after_idle(|stats| first(stats).latency_ms.p99 = 100.1, &[]);
}

#[test]
fn an_old_record_counts_only_where_flushing_is_late() {
    let oldest = |bound: f64, age: f64| {
        move |stats: &mut Stats| {
            first(stats).age_max_s = Some(bound);
            first(stats).buffer.oldest_age_s = age;
            first(stats).write_ms.p99 = 500.0;
        }
    };
    check(oldest(0.5, 2.0), &[]);
    check(oldest(0.5, 2.01), &[("flush_late", 10)]);
    check(oldest(10.0, 9.0), &[]);
    check(oldest(10.0, 9.01), &[("flush_due", 2)]);
    check(oldest(300.0, 301.4), &[("flush_due", 2)]);
    check(oldest(300.0, 301.6), &[("flush_late", 10)]);
    check(|stats| first(stats).buffer.oldest_age_s = 0.49, &[]);
    let no_bound = |stats: &mut Stats| {
        oldest(0.5, 1000.0)(stats);
        first(stats).age_max_s = None;
    };
    check(no_bound, &[]);
    // While it fails, that is the reason, and not the flushing.
    let fails = |stats: &mut Stats| {
        oldest(0.5, 60.0)(stats);
        first(stats).failing_for_s = 1.0;
        first(stats).state = LaneState::Retrying;
    };
    check(fails, &[("sink_failing", 40)]);
    let waits = |stats: &mut Stats| {
        oldest(0.5, 60.0)(stats);
        stats.sinks[0].breaker = Some("open");
    };
    check(waits, &[("breaker_open", 31)]);
}

#[test]
fn flushes_by_timer_count_only_while_the_sink_is_busy_with_them() {
    let flushed = |by_timer: u32, by_size: u32, write_ms: f64| {
        move |stats: &mut Stats| {
            let lane = first(stats);
            lane.write_ms.p50 = write_ms;
            for _ in 0..by_timer {
                lane.flushes.record(Reason::Age, Outcome::Delivered);
            }
            for _ in 0..by_size {
                lane.flushes.record(Reason::Size, Outcome::Delivered);
            }
        }
    };
    // A second went by in which so many writes took so long.
    let few_large = flushed(19, 0, 50.0);
    let health = check_after_idle(flushed(20, 0, 26.0), &[("timer_flushes", 5)]);
    assert!(
        health.reasons[0]
            .message
            .contains("writing takes 52 % of the time")
    );
    check_after_idle(flushed(20, 0, 25.0), &[]);
    check_after_idle(flushed(20, 5, 30.0), &[]);
    check_after_idle(flushed(21, 5, 30.0), &[("timer_flushes", 5)]);
    check_after_idle(few_large, &[]);
}

#[test]
fn reasons_stay_few_and_take_the_most_off_together() {
    let health = check(
        |stats| {
            let mut full = lane(Priority::Normal);
            full.high = true;
            stats.routes = (0..40)
                .map(|_| route("archive", vec![full.clone()]))
                .collect();
        },
        &[
            ("buffer_high", 25),
            ("buffer_high", 25),
            ("buffer_high", 0),
            ("buffer_high", 0),
            ("buffer_high", 0),
            ("buffer_high", 0),
            ("buffer_high", 0),
            ("buffer_high", 0),
            ("buffer_high", 0),
            ("buffer_high", 0),
        ],
    );
    assert!(health.reasons[9].message.ends_with("(and 30 more)"));
}

proptest! {
    #[test]
    fn the_score_is_what_the_reasons_leave(
        failing in prop::collection::vec(0.0_f64..20.0, 2),
        high in prop::collection::vec(any::<bool>(), 2),
        lost in prop::collection::vec(0.0_f64..100.0, 2),
        stopped_sources in 0_usize..5,
    ) {
        let mut stats = idle();
        for (index, route) in stats.routes.iter_mut().enumerate() {
            let lane = &mut route.lanes[0];
            lane.failing_for_s = failing[index];
            lane.high = high[index];
            lane.buffer.overflow_per_s = lost[index];
            lane.updates_per_second = 1000.0;
        }
        stats.stopped_sources = vec!["ended".to_owned(); stopped_sources];
        let health = Health::judge(&stats, None);
        let points: u32 = health.reasons.iter().map(|it| u32::from(it.points)).sum();
        prop_assert_eq!(u32::from(health.score), 100_u32.saturating_sub(points));
        prop_assert_eq!(health.status, HealthStatus::of(health.score));
        for deduction in DEDUCTIONS {
            let of_code = health.reasons.iter().filter(|it| it.code == deduction.code);
            let points: u32 = of_code.map(|it| u32::from(it.points)).sum();
            let most = DEDUCTIONS.iter().filter(|it| it.code == deduction.code);
            let most = most.map(|it| u32::from(it.points_max)).max().unwrap();
            prop_assert!(points <= most);
        }
        prop_assert!(health.reasons.is_sorted_by(|a, b| a.points >= b.points));
    }
}
