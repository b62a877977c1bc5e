//! Alerts by command: what it is told, and that none of its processes outlives its time.

#![cfg(all(feature = "alerts", target_os = "linux"))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod alert_support;

use std::path::Path;
use std::time::{Duration, Instant};

use alert_support::{change, close, quick, until};
use pipeline::{AlertSpec, Alerts, HealthStatus};
use tempfile::TempDir;

use HealthStatus::Critical;

/// A shell script that is told of critical changes; `$1` is a directory of its own.
fn script(text: &str, directory: &TempDir) -> AlertSpec {
    let directory = directory.path().to_str().unwrap();
    AlertSpec::command("script", "sh", ["-c", text, "sh", directory])
        .timeout(Duration::from_secs(60))
        .retry(quick(0))
}

fn started(spec: AlertSpec) -> Alerts {
    let alerts = Alerts::start(vec![spec], "plant").unwrap();
    alerts.notify(&change(Critical));
    alerts
}

/// The state of a process as the kernel tells it, such as `S` or `Z`; `None` when it is gone.
fn state_of(process: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(") ")?;
    rest.chars().next()
}

/// Waits for the numbers of the processes that the script writes down.
async fn processes(directory: &Path) -> Vec<u32> {
    let began = Instant::now();
    loop {
        let text = std::fs::read_to_string(directory.join("processes")).unwrap_or_default();
        if text.ends_with('\n') {
            return text
                .split_whitespace()
                .map(|it| it.parse().unwrap())
                .collect();
        }
        assert!(
            began.elapsed() < Duration::from_secs(60),
            "it does not start"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Waits until none of them runs; what others have not waited for yet is theirs.
async fn all_gone(leader: u32, others: &[u32]) {
    let began = Instant::now();
    loop {
        let runs = others
            .iter()
            .any(|it| !matches!(state_of(*it), None | Some('Z')));
        if !runs && state_of(leader).is_none() {
            return;
        }
        assert!(
            began.elapsed() < Duration::from_secs(60),
            "{leader} {others:?}"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Starts a process in the background, writes down both, and never ends.
const HANGS: &str = "sleep 1000 & echo $$ $! > \"$1/new\"; mv \"$1/new\" \"$1/processes\"; wait";

#[tokio::test]
async fn a_command_reads_the_alert_and_finds_status_and_score_in_its_environment() {
    let directory = TempDir::new().unwrap();
    let text = "cat > \"$1/input\"; echo $FOREBAY_ALERT_STATUS $FOREBAY_ALERT_SCORE > \"$1/env\"";
    let alerts = started(script(text, &directory));
    close(&alerts).await;
    let stats = &alerts.stats()[0];
    assert_eq!((stats.sent, &stats.last_error), (1, &None));
    let input = std::fs::read(directory.path().join("input")).unwrap();
    let input: serde_json::Value = serde_json::from_slice(&input).unwrap();
    assert_eq!(
        (&input["to"], &input["score"]),
        (&"critical".into(), &30.into())
    );
    assert_eq!(input["reasons"][0]["hint"], "mend it");
    let env = std::fs::read_to_string(directory.path().join("env")).unwrap();
    assert_eq!(env, "critical 30\n");
}

#[tokio::test]
async fn a_command_need_not_read_and_may_print_more_than_is_kept() {
    let directory = TempDir::new().unwrap();
    let text = "i=0; while [ $i -lt 2000 ]; do echo \
                0123456789012345678901234567890123456789012345678901234567890123456789; \
                i=$((i+1)); done; echo at last >&2; exit 3";
    let alerts = started(script(text, &directory));
    close(&alerts).await;
    let stats = &alerts.stats()[0];
    assert_eq!((stats.sent, stats.failed), (0, 1));
    let error = stats.last_error.as_deref().unwrap();
    assert_eq!(
        error,
        "the command `sh` failed with exit status: 3: at last"
    );
}

#[tokio::test]
async fn a_command_that_fails_is_started_again() {
    let directory = TempDir::new().unwrap();
    let text = "[ -e \"$1/once\" ] || { touch \"$1/once\"; echo first; exit 1; }";
    let alerts = started(script(text, &directory).retry(quick(5)));
    let stats = until(&alerts, 0, |it| it.sent == 1).await;
    assert_eq!(stats.retries, 1);
    let error = stats.last_error.unwrap();
    assert_eq!(error, "the command `sh` failed with exit status: 1: first");
}

#[tokio::test]
async fn a_command_that_is_not_there_is_not_tried_again() {
    let spec = AlertSpec::command("page", "/no/such/program", Vec::<String>::new());
    let alerts = started(spec);
    let stats = until(&alerts, 0, |it| it.failed == 1).await;
    assert_eq!(stats.retries, 0);
    let error = stats.last_error.unwrap();
    assert!(
        error.starts_with("the command `/no/such/program` cannot be started: "),
        "{error}"
    );
}

#[tokio::test]
async fn a_command_that_hangs_is_killed_with_all_that_it_started() {
    let directory = TempDir::new().unwrap();
    let alerts = started(script(HANGS, &directory).timeout(Duration::from_secs(2)));
    let processes = processes(directory.path()).await;
    let stats = until(&alerts, 0, |it| it.failed == 1).await;
    let error = stats.last_error.unwrap();
    assert_eq!(
        error,
        "the command `sh` did not end within 2s and was killed"
    );
    assert_eq!(state_of(processes[0]), None, "no zombie stays");
    all_gone(processes[0], &processes[1..]).await;
}

#[tokio::test]
async fn no_command_outlives_the_alerts() {
    let directory = TempDir::new().unwrap();
    let alerts = started(script(HANGS, &directory));
    let seen = processes(directory.path()).await;
    assert!(matches!(state_of(seen[0]), Some('S' | 'R' | 'D')));
    alerts.close(Instant::now()).await;
    assert_eq!(alerts.stats()[0].failed, 1);
    all_gone(seen[0], &seen[1..]).await;

    let directory = TempDir::new().unwrap();
    let alerts = started(script(HANGS, &directory));
    let seen = processes(directory.path()).await;
    drop(alerts);
    all_gone(seen[0], &seen[1..]).await;
}

#[tokio::test]
async fn what_a_command_leaves_in_the_background_is_not_waited_for() {
    let directory = TempDir::new().unwrap();
    let text = "sleep 1000 & echo $! > \"$1/new\"; mv \"$1/new\" \"$1/processes\"";
    let alerts = started(script(text, &directory));
    let seen = processes(directory.path()).await;
    until(&alerts, 0, |it| it.sent == 1).await;
    assert!(matches!(state_of(seen[0]), Some('S' | 'R' | 'D')));
    let killed = std::process::Command::new("kill")
        .arg(seen[0].to_string())
        .status();
    assert!(killed.unwrap().success());
}
