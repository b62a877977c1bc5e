//! Snapshots: whole or not there, and nothing of one that is nonsense.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use trust::{Decay, ImportLimits, Interval, Outcome, SnapshotError, TrustTracker};

fn filled() -> TrustTracker<String> {
    let decay = Decay::half_life(Duration::from_secs(60));
    let builder = TrustTracker::<String>::builder().decay(decay).history(3);
    let tracker = builder.build().unwrap();
    for round in 0..5u32 {
        tracker.advance(Duration::from_secs(round.into()));
        for rule in 0..500 {
            let weight = 1.0 / f64::from(rule + round + 1);
            let outcome = Outcome::from(rule % 3 == 0);
            tracker
                .update(format!("rule \"{rule}\" ü").as_str(), outcome, weight)
                .unwrap();
        }
    }
    tracker
}

fn empty() -> TrustTracker<String> {
    let decay = Decay::half_life(Duration::from_secs(60));
    TrustTracker::<String>::builder()
        .decay(decay)
        .history(3)
        .build()
        .unwrap()
}

#[test]
fn a_snapshot_brings_back_every_bit() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("trust.json");
    let tracker = filled();
    assert_eq!(tracker.save(&path).unwrap(), 500);
    let restored = empty();
    assert_eq!(
        restored
            .load(&path, tracker.now(), &ImportLimits::default())
            .unwrap(),
        500
    );
    assert_eq!((restored.len(), restored.now()), (500, tracker.now()));
    for rule in 0..500 {
        let key = format!("rule \"{rule}\" ü");
        assert_eq!(restored.find(key.as_str()), tracker.find(key.as_str()));
        assert_eq!(
            restored.history(key.as_str()),
            tracker.history(key.as_str())
        );
    }
    let files = std::fs::read_dir(scratch.path()).unwrap();
    assert_eq!(files.count(), 1, "no temporary file is left");
}

#[test]
fn a_torn_file_is_refused_wherever_it_ends() {
    let mut whole = Vec::new();
    let small = TrustTracker::<String>::new();
    small.update("a", Outcome::Success, 1.0).unwrap();
    small.update("b", Outcome::Failure, 2.5).unwrap();
    small.export(&mut whole).unwrap();
    let tracker = TrustTracker::<String>::new();
    tracker.update("kept", Outcome::Success, 1.0).unwrap();
    let end = whole.trim_ascii_end().len();
    for length in 0..end {
        let error = tracker
            .import(&whole[..length], Duration::ZERO, &ImportLimits::default())
            .unwrap_err();
        assert!(
            matches!(error, SnapshotError::Malformed(_)),
            "{length}: {error}"
        );
    }
    assert_eq!(tracker.len(), 1, "the tracker is what it was");
    assert_eq!(
        tracker
            .import(&whole[..end], Duration::ZERO, &ImportLimits::default())
            .unwrap(),
        2
    );
    assert!(
        tracker.find("kept").is_none(),
        "a snapshot replaces everything"
    );
}

#[test]
fn nonsense_is_refused_by_key_field_value_and_limit() {
    let check = |entries: &str, keys: u64, expected: &str| {
        let document = format!(
            r#"{{"format":"forebay trust","version":1,"prior":[1,1],
                "entries":[{entries}],"now_us":100,"keys":{keys}}}"#
        );
        let tracker = TrustTracker::<String>::new();
        let limits = ImportLimits {
            keys_max: 2,
            key_bytes_max: 8,
            ..ImportLimits::default()
        };
        let error = tracker
            .import(document.as_bytes(), Duration::ZERO, &limits)
            .unwrap_err()
            .to_string();
        assert!(error.contains(expected), "{error}");
        assert!(tracker.is_empty());
    };
    let entry = |key: &str, alpha: &str, beta: &str, at_us: &str| {
        format!(r#"{{"key":"{key}","alpha":{alpha},"beta":{beta},"at_us":{at_us}}}"#)
    };
    let good = entry("a", "1", "1", "5");
    check(
        &entry("a", "0", "1", "5"),
        1,
        "key `a`: `alpha` is 0.0, but must be from 1e-9 to 1e15",
    );
    check(&entry("a", "1", "-3", "5"), 1, "key `a`: `beta` is -3.0");
    check(
        &entry("a", "1e15", "1e15", "5"),
        1,
        "key `a`: `alpha + beta` is 2000000000000000.0",
    );
    check(
        &entry("a", "1", "1", "101"),
        1,
        "key `a`: `at_us` is 101, but must be from 0 to 100",
    );
    check(&entry("a", "1e999", "1", "5"), 1, "not a whole snapshot");
    check(
        &entry("123456789", "1", "1", "5"),
        1,
        "`key` is 9 bytes, but must be at most 8 bytes",
    );
    check(
        &format!("{good},{good}"),
        2,
        "key `a`: `key` is a, but must be there once",
    );
    check(
        &format!("{good},{good},{good}"),
        3,
        "`keys` is 3, above the limit of 2",
    );
    check(&good, 2, "`keys` is `2`, but this program reads `1`");
    let history = good.replace('}', r#","history":[[6,1,1]]}"#);
    check(&history, 1, "`at_us` is 5, but must be from 6 to 100");
}

#[test]
fn other_formats_versions_priors_and_sizes_are_refused() {
    let mut document = Vec::new();
    filled().export(&mut document).unwrap();
    let text = String::from_utf8(document).unwrap();
    let check = |document: &str, tracker: &TrustTracker<String>, expected: &str| {
        let limits = ImportLimits {
            bytes_max: 200_000,
            ..ImportLimits::default()
        };
        let error = tracker
            .import(document.as_bytes(), Duration::ZERO, &limits)
            .unwrap_err()
            .to_string();
        assert!(error.contains(expected), "{error}");
    };
    check(
        &text.replace("forebay trust", "other"),
        &empty(),
        "`format` is `other`",
    );
    let newer = r#"{"format":"forebay trust","version":2,"quite":"different"}"#;
    check(
        newer,
        &empty(),
        "`version` is `2`, but this program reads `1`",
    );
    let other = TrustTracker::<String>::builder()
        .prior(0.5, 0.5)
        .build()
        .unwrap();
    check(
        &text,
        &other,
        "the snapshot's prior is (1, 1), the tracker's (0.5, 0.5)",
    );
    check(
        &" ".repeat(200_001),
        &empty(),
        "`bytes` is 200001, above the limit of 200000",
    );
}

#[test]
fn a_failed_save_leaves_the_old_snapshot_and_no_temporary_file() {
    let scratch = tempfile::tempdir().unwrap();
    // A directory cannot be replaced by a file.
    let path = scratch.path().join("taken");
    std::fs::create_dir(&path).unwrap();
    let error = filled().save(&path).unwrap_err();
    assert!(error.to_string().starts_with("cannot rename to"), "{error}");
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 1);
    let error = empty()
        .load(
            &scratch.path().join("none"),
            Duration::ZERO,
            &ImportLimits::default(),
        )
        .unwrap_err();
    assert!(error.to_string().starts_with("cannot read"), "{error}");
}

#[test]
fn evidence_of_one_side_that_decays_for_ages_can_be_read_and_saved() {
    let hour = Duration::from_secs(3_600);
    let builder = TrustTracker::<String>::builder().decay(Decay::half_life(hour));
    let tracker = builder.build().unwrap();
    for round in 0..3_000 {
        tracker.advance(hour * round);
        tracker.update("right", Outcome::Success, 10.0).unwrap();
        tracker.update("wrong", Outcome::Failure, 10.0).unwrap();
        // At the largest strength, what is cut to it must not vanish either.
        tracker.update("huge", Outcome::Success, 1e12).unwrap();
    }
    for (key, mean) in [("right", 1.0), ("wrong", 0.0), ("huge", 1.0)] {
        let trust = tracker.posterior(key);
        assert!(trust.alpha() >= 1e-9 && trust.beta() >= 1e-9, "{trust:?}");
        assert!((trust.mean() - mean).abs() < 1e-6, "{trust:?}");
        for interval in [Interval::Quantile, Interval::Normal] {
            let range = trust.interval(interval, 0.95).unwrap();
            assert!((0.0..=range.upper).contains(&range.lower), "{range:?}");
            assert!((range.upper - mean).abs() < 1e-5, "{range:?}");
        }
    }
    let mut document = Vec::new();
    tracker.export(&mut document).unwrap();
    let restored = TrustTracker::<String>::new();
    let limits = ImportLimits::default();
    assert_eq!(
        restored.import(&document, Duration::ZERO, &limits).unwrap(),
        3
    );
}

#[test]
fn a_strength_that_is_cut_again_and_again_leaves_both_parameters() {
    let tracker = TrustTracker::<String>::new();
    for _ in 0..1_000 {
        let batch = [("huge", Outcome::Success, 1e12); 1_000];
        tracker.batch_update(batch).unwrap();
    }
    let trust = tracker.posterior("huge");
    assert!(trust.beta() >= 1e-9 && trust.alpha() <= 1e15, "{trust:?}");
    let mut document = Vec::new();
    tracker.export(&mut document).unwrap();
    tracker
        .import(&document, Duration::ZERO, &ImportLimits::default())
        .unwrap();
}

#[test]
fn decay_goes_on_after_a_load_whatever_the_new_clock_says() {
    let half_life = Duration::from_secs(60);
    let fresh = || {
        let builder = TrustTracker::<String>::builder().history(4);
        builder.decay(Decay::half_life(half_life)).build().unwrap()
    };
    let old = fresh();
    old.advance(Duration::from_secs(1_000_000));
    old.update("a", Outcome::Success, 98.0).unwrap();
    let mut document = Vec::new();
    old.export(&mut document).unwrap();
    // The new process runs for a second, or has run for longer than the old one.
    for now in [1, 5_000_000].map(Duration::from_secs) {
        let new = fresh();
        new.advance(now);
        new.import(&document, now, &ImportLimits::default())
            .unwrap();
        assert_eq!((new.now(), new.posterior("a").strength()), (now, 100.0));
        new.advance(now + half_life);
        assert_eq!(new.posterior("a").strength(), 50.0);
        new.update("a", Outcome::Success, 10.0).unwrap();
        assert_eq!(new.history("a")[1].at, now + half_life);
        // And again, by the next process.
        let mut document = Vec::new();
        new.export(&mut document).unwrap();
        let next = fresh();
        next.import(&document, Duration::ZERO, &ImportLimits::default())
            .unwrap();
        next.advance(half_life);
        assert_eq!(next.posterior("a").strength(), 30.0);
    }
}

#[test]
fn two_threads_that_save_leave_a_whole_snapshot_and_nothing_else() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("trust.json");
    let tracker = filled();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| tracker.save(&path).unwrap());
        }
    });
    let limits = ImportLimits::default();
    assert_eq!(empty().load(&path, Duration::ZERO, &limits).unwrap(), 500);
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 1);
}

#[test]
fn temporary_files_of_processes_that_died_are_removed_and_no_others() {
    let scratch = tempfile::tempdir().unwrap();
    let make = |name: &str, age_s: u64| {
        let file = std::fs::File::create(scratch.path().join(name)).unwrap();
        let written = std::time::SystemTime::now() - Duration::from_secs(age_s);
        file.set_modified(written).unwrap();
    };
    make("trust.json.0123456789abcdef.tmp", 7_200);
    make("trust.json.fedcba9876543210.tmp", 60);
    make("trust.json.of-somebody-else.tmp", 7_200);
    make("other.json.0123456789abcdef.tmp", 7_200);
    filled().save(&scratch.path().join("trust.json")).unwrap();
    let files = std::fs::read_dir(scratch.path()).unwrap();
    let mut names: Vec<_> = files.map(|file| file.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(
        names,
        [
            "other.json.0123456789abcdef.tmp",
            "trust.json",
            "trust.json.fedcba9876543210.tmp",
            "trust.json.of-somebody-else.tmp",
        ]
    );
}
