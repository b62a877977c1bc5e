//! How many keys a tracker takes, and how long they may be.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use trust::{ImportLimits, Outcome, TrustTracker, UpdateError};

fn small() -> TrustTracker<String> {
    let builder = TrustTracker::<String>::builder();
    builder.keys_max(3).key_bytes_max(8).build().unwrap()
}

#[test]
fn law_2_keys_beyond_the_limit_are_refused_and_known_ones_still_count() {
    let tracker = small();
    let batch = |keys: &[&str]| {
        let updates = keys.iter().map(|key| (*key, Outcome::Success, 1.0));
        tracker.batch_update(updates)
    };
    batch(&["a", "b", "a", "a", "b"]).unwrap();
    let error = batch(&["a", "c", "c", "d", "b"]).unwrap_err();
    assert!(matches!(error, UpdateError::Keys { limit: 3, .. }));
    assert_eq!((error.index(), error.key()), (3, "\"d\""));
    assert_eq!(tracker.len(), 2, "nothing of the batch was applied");
    assert_eq!(tracker.posterior("a").sample_size(), 3.0);
    tracker.update("c", Outcome::Success, 1.0).unwrap();
    let error = tracker.update("d", Outcome::Success, 1.0).unwrap_err();
    assert_eq!(
        error.to_string(),
        "key \"d\": it would be one more than `keys_max` of 3"
    );
    batch(&["a", "b", "c", "a", "b", "c"]).unwrap();
    tracker.remove("a").unwrap();
    tracker.update("d", Outcome::Success, 1.0).unwrap();
    assert!(tracker.update("a", Outcome::Success, 1.0).is_err());
}

#[test]
fn many_threads_together_keep_the_limit() {
    let builder = TrustTracker::<u64>::builder().keys_max(1_000);
    let tracker = builder.build().unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4u64 {
            let tracker = &tracker;
            scope.spawn(move || {
                for first in 0..400 {
                    let keys: Vec<u64> = (first * 4..first * 4 + 8)
                        .map(|key| key * 4 + thread)
                        .collect();
                    let _ =
                        tracker.batch_update(keys.iter().map(|key| (key, Outcome::Success, 1.0)));
                    let _ = tracker.update(&(first * 4 + thread), Outcome::Failure, 1.0);
                }
            });
        }
    });
    for key in 0..2_000_000 {
        let _ = tracker.update(&key, Outcome::Success, 1.0);
        if tracker.len() == 1_000 {
            break;
        }
    }
    assert_eq!(tracker.len(), 1_000, "all room is used, and no more");
    assert!(tracker.update(&u64::MAX, Outcome::Success, 1.0).is_err());
}

#[test]
fn a_key_that_is_too_long_is_refused_when_it_comes_and_not_when_it_is_loaded() {
    let tracker = small();
    tracker.update("12345678", Outcome::Success, 1.0).unwrap();
    let long = "x".repeat(5_000);
    let error = tracker.update(&long, Outcome::Success, 1.0).unwrap_err();
    let start = format!("\"{}…", "x".repeat(63));
    assert_eq!(
        error.to_string(),
        format!("key {start}: it has 5000 bytes, above `key_bytes_max` of 8")
    );
    let roomy = TrustTracker::<String>::builder().key_bytes_max(5_000);
    let roomy = roomy.build().unwrap();
    roomy.update(long.as_str(), Outcome::Success, 1.0).unwrap();
    let mut document = Vec::new();
    roomy.export(&mut document).unwrap();
    let limits = ImportLimits::default();
    assert_eq!(roomy.import(&document, Duration::ZERO, &limits).unwrap(), 1);
    let error = tracker.import(&document, Duration::ZERO, &limits);
    let error = error.unwrap_err().to_string();
    assert!(
        error.contains("5000 bytes, but must be at most 8"),
        "{error}"
    );
}

#[test]
fn what_a_load_replaced_makes_room_and_what_it_brought_takes_it() {
    let tracker = small();
    for key in ["a", "b", "c"] {
        tracker.update(key, Outcome::Success, 1.0).unwrap();
    }
    let one = small();
    one.update("d", Outcome::Success, 1.0).unwrap();
    let mut document = Vec::new();
    one.export(&mut document).unwrap();
    let limits = ImportLimits::default();
    tracker.import(&document, Duration::ZERO, &limits).unwrap();
    tracker.update("a", Outcome::Success, 1.0).unwrap();
    tracker.update("b", Outcome::Success, 1.0).unwrap();
    assert!(tracker.update("c", Outcome::Success, 1.0).is_err());
}
