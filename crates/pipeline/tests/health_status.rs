//! The status over time, and the page that lists what takes points off.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod health_support;

use std::time::{Duration, Instant};

use health_support::{first, idle};
use pipeline::{
    DEDUCTIONS, HEALTH_HOLD, HEALTH_MARGIN, HealthStatus, HealthTracker, StatusTracker,
};
use proptest::prelude::*;

#[test]
fn the_tracker_tells_a_change_once_with_its_reasons() {
    let start = Instant::now();
    let at = |s| start + Duration::from_secs(s);
    let mut tracker = HealthTracker::new();
    let (mut bad, good) = (idle(), idle());
    first(&mut bad).failing_for_s = 60.0;
    let (health, change) = tracker.observe(at(0), &bad, None);
    let change = change.unwrap();
    assert_eq!(change.from, HealthStatus::Healthy);
    assert_eq!((change.to, change.score), (HealthStatus::Critical, 30));
    assert_eq!(change.reasons, health.reasons);
    assert_eq!(tracker.observe(at(0), &bad, None).1, None);
    // The score is back, the status follows.
    let (health, change) = tracker.observe(at(1), &good, None);
    assert_eq!((health.score, health.status), (100, HealthStatus::Critical));
    assert_eq!(change, None);
    assert_eq!(tracker.observe(at(10), &good, None).1, None);
    let (health, change) = tracker.observe(at(11), &good, None);
    assert_eq!(health.status, HealthStatus::Healthy);
    let change = change.unwrap();
    assert_eq!(
        (change.from, change.to),
        (HealthStatus::Critical, HealthStatus::Healthy)
    );
    assert_eq!(tracker.status(), HealthStatus::Healthy);
}

#[test]
fn a_score_just_above_a_limit_is_not_yet_better() {
    let start = Instant::now();
    let mut tracker = StatusTracker::new();
    assert!(tracker.observe(start, 69).is_some());
    for second in 1..100 {
        assert_eq!(
            tracker.observe(start + Duration::from_secs(second), 74),
            None
        );
    }
    assert_eq!(tracker.observe(start + Duration::from_secs(100), 75), None);
    let better = tracker.observe(start + Duration::from_secs(110), 75);
    assert_eq!(
        better,
        Some((HealthStatus::Degraded, HealthStatus::Healthy))
    );
}

#[test]
fn law_4_a_clock_that_jumps_back_is_clamped() {
    let start = Instant::now() + Duration::from_secs(1000);
    let mut tracker = StatusTracker::new();
    assert!(tracker.observe(start, 0).is_some());
    assert_eq!(tracker.observe(start - Duration::from_secs(500), 100), None);
    assert_eq!(tracker.observe(start + HEALTH_HOLD / 2, 100), None);
    assert!(tracker.observe(start + HEALTH_HOLD, 100).is_some());
}

/// Scores that stay for a while each.
fn scores() -> impl Strategy<Value = Vec<(u64, u8)>> {
    let step = (
        0_u64..15_000,
        prop_oneof![0_u8..=100, 35_u8..=45, 65_u8..=75],
    );
    prop::collection::vec(step, 1..200)
}

proptest! {
    #[test]
    fn no_more_than_three_changes_lie_within_the_hold(scores in scores()) {
        let mut now = Instant::now();
        let mut tracker = StatusTracker::new();
        let mut changes: Vec<Instant> = Vec::new();
        for (ms, score) in scores {
            now += Duration::from_millis(ms);
            if tracker.observe(now, score).is_some() {
                changes.push(now);
            }
            let recent = changes.iter().filter(|at| now - **at < HEALTH_HOLD);
            prop_assert!(recent.count() <= 3);
        }
    }

    #[test]
    fn a_status_is_never_better_than_its_score_and_follows_it_when_it_stays(scores in scores()) {
        let mut now = Instant::now();
        let mut tracker = StatusTracker::new();
        let mut status = HealthStatus::Healthy;
        let mut last = 100;
        for (ms, score) in scores {
            now += Duration::from_millis(ms);
            if let Some((from, to)) = tracker.observe(now, score) {
                prop_assert_eq!(from, status);
                prop_assert_ne!(from, to);
                status = to;
            }
            prop_assert_eq!(tracker.status(), status);
            prop_assert!(status >= HealthStatus::of(score));
            last = score;
        }
        // Two holds are enough from anywhere.
        for _ in 0..30 {
            now += Duration::from_secs(1);
            tracker.observe(now, last);
        }
        let reached = tracker.status();
        if HealthStatus::of(last.saturating_sub(HEALTH_MARGIN)) == HealthStatus::of(last) {
            prop_assert_eq!(reached, HealthStatus::of(last));
        }
    }

}

#[test]
fn the_page_lists_every_deduction_with_its_points_and_its_hint() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/health.md");
    let page = std::fs::read_to_string(page).unwrap();
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let flat = words(&page);
    let mut rows = 0;
    for it in DEDUCTIONS {
        let row = format!(
            "| `{}` | {} | {} | {} |",
            it.code, it.points, it.points_max, it.when
        );
        assert!(page.contains(&row), "the table lacks: {row}");
        rows += 1;
        let hint = format!("- `{}`: {}", it.code, it.hint);
        let also = format!("; or {}", it.hint);
        assert!(
            flat.contains(&words(&hint)) || flat.contains(&words(&also)),
            "the page lacks: {hint}"
        );
    }
    let listed = page
        .lines()
        .filter(|line| line.starts_with("| `") && line.matches('|').count() == 5);
    assert_eq!(
        listed.count(),
        rows,
        "the table has rows that nothing takes off"
    );
    let limit = |status: HealthStatus| format!("| {} to ", status.score_min());
    for status in HealthStatus::ALL {
        assert!(page.contains(&limit(status)), "{status}");
    }
    assert!(page.contains(&format!("{HEALTH_MARGIN} points")));
    assert!(page.contains(&format!("{} s", HEALTH_HOLD.as_secs())));
}
