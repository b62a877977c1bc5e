//! This machine as a source.

#![cfg(feature = "host")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use pipeline::source::{HostConfig, HostSource};
use record::{Name, Quality, Record, Timestamp, Value};

fn time() -> Timestamp {
    Timestamp::from_micros(1_714_564_800_000_000).unwrap()
}

fn by_tag(records: &[Record]) -> BTreeMap<&str, &Record> {
    let tags: BTreeMap<_, _> = records
        .iter()
        .map(|record| (record.tag.as_str(), record))
        .collect();
    assert_eq!(tags.len(), records.len(), "a tag occurs twice in one poll");
    tags
}

#[test]
fn the_first_poll_has_everything_and_null_where_a_difference_is_needed() {
    let mut host = HostSource::new(HostConfig::default());
    let records = host.poll(Instant::now(), time());
    let tags = by_tag(&records);
    for tag in ["cpu.total_pct", "cpu.core.0.pct", "process.top.1.cpu_pct"] {
        assert_eq!(tags[tag].value, Value::Null, "tag {tag}");
    }
    for tag in [
        "memory.used_bytes",
        "memory.total_bytes",
        "process.count",
        "uptime_s",
    ] {
        assert!(matches!(tags[tag].value, Value::I64(1..)), "tag {tag}");
    }
    assert!(matches!(tags["memory.used_pct"].value, Value::F64(pct) if pct > 0.0 && pct <= 100.0));
    assert!(matches!(tags["process.top.1.name"].value, Value::Text(_)));
    for record in &records {
        assert_eq!(
            record.value == Value::Null,
            record.quality == Quality::Bad,
            "{}",
            record.tag
        );
        assert_eq!(record.source.as_str(), "host");
        assert_eq!(record.timestamp, time());
        assert!(
            !record.tag.as_str().contains([' ', '/', '\\']),
            "{}",
            record.tag
        );
        let is_rate = record.tag.as_str().ends_with("_per_s");
        assert!(!is_rate || record.value == Value::Null, "{}", record.tag);
    }
}

#[test]
fn expensive_values_come_only_when_their_time_has_passed() {
    let config = HostConfig {
        source: Name::new("source", "here").unwrap(),
        slow_every: Duration::from_secs(3600),
        top: 2,
    };
    let mut host = HostSource::new(config);
    let start = Instant::now();
    let slow = |records: &[Record]| {
        let prefixes = ["disk.", "process.", "temperature.", "uptime_s"];
        let tags = records.iter().map(|record| record.tag.as_str().to_owned());
        tags.filter(|tag| prefixes.iter().any(|prefix| tag.starts_with(prefix)))
            .collect::<BTreeSet<_>>()
    };
    let first = slow(&host.poll(start, time()));
    assert!(first.contains("process.top.2.pid") && !first.contains("process.top.3.pid"));
    let next = host.poll(start + Duration::from_secs(3599), time());
    assert_eq!(slow(&next), BTreeSet::new());
    assert!(by_tag(&next).contains_key("load.1m"));
    let due = slow(&host.poll(start + Duration::from_secs(3600), time()));
    assert!(due.contains("process.count") && due.contains("uptime_s"));
}

#[test]
fn the_load_of_processors_is_known_once_there_are_two_samples() {
    let mut host = HostSource::new(HostConfig::default());
    let deadline = Instant::now() + Duration::from_secs(20);
    let _ = host.poll(Instant::now(), time());
    // The system counts in ticks of a real clock, so this test has to let it run.
    loop {
        let records = host.poll(Instant::now(), time());
        let tags = by_tag(&records);
        if let Value::F64(pct) = tags["cpu.total_pct"].value {
            assert!((0.0..=100.0).contains(&pct));
            assert!(matches!(tags["cpu.core.0.pct"].value, Value::F64(_)));
            break;
        }
        assert!(Instant::now() < deadline, "there was no second sample");
    }
}

#[test]
fn law_4_a_clock_that_stands_still_or_goes_back_gives_null_rates() {
    let mut host = HostSource::new(HostConfig {
        slow_every: Duration::ZERO,
        ..HostConfig::default()
    });
    let start = Instant::now() + Duration::from_secs(100);
    for now in [start, start, start - Duration::from_secs(50)] {
        for record in host.poll(now, time()) {
            if record.tag.as_str().ends_with("_per_s") {
                assert_eq!(record.value, Value::Null, "{}", record.tag);
            }
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn threads_are_not_counted_as_processes() {
    let listed = || {
        let names = std::fs::read_dir("/proc").unwrap().flatten();
        names
            .filter(|entry| entry.file_name().to_string_lossy().parse::<u32>().is_ok())
            .count() as i64
    };
    let before = listed();
    // These wait until the sender is dropped.
    let (sender, receiver) = std::sync::mpsc::channel::<()>();
    let receiver = std::sync::Mutex::new(receiver);
    std::thread::scope(|scope| {
        for _ in 0..100 {
            scope.spawn(|| receiver.lock().map(|receiver| receiver.recv()).is_ok());
        }
        let records = HostSource::new(HostConfig::default()).poll(Instant::now(), time());
        let Value::I64(count) = by_tag(&records)["process.count"].value else {
            panic!("processes could not be counted");
        };
        drop(sender);
        let most = before.max(listed()) + 50;
        assert!(
            count <= most,
            "{count} processes, of which {before} are in /proc"
        );
    });
}
