//! Many threads, and foreign code that comes back.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::cell::Cell;
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicBool, Ordering};

use proptest::prelude::*;
use trust::{Outcome, TrustTracker};

#[test]
fn no_update_is_lost_between_threads() {
    const ROUNDS: u32 = 200;
    let tracker = TrustTracker::<String>::new();
    let keys: Vec<String> = (0..300).map(|key| format!("rule {key}")).collect();
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut last = 0.0;
            while !ended.load(Ordering::Relaxed) {
                let trust = tracker.posterior("rule 0");
                assert!(trust.strength() >= last, "evidence never shrinks here");
                last = trust.strength();
            }
        });
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let (tracker, keys) = (&tracker, &keys);
                scope.spawn(move || {
                    for _ in 0..ROUNDS {
                        let outcome = Outcome::from(writer % 2 == 0);
                        let batch = keys.iter().map(|key| (key.as_str(), outcome, 1.0));
                        tracker.batch_update(batch).unwrap();
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.join().unwrap();
        }
        ended.store(true, Ordering::Relaxed);
        reader.join().unwrap();
    });
    assert_eq!(tracker.len(), 300);
    let expected = 1.0 + 2.0 * f64::from(ROUNDS);
    for trust in tracker.posteriors(keys.iter().map(String::as_str)) {
        assert_eq!((trust.alpha(), trust.beta()), (expected, expected));
    }
}

thread_local! {
    static TRACKER: Cell<Option<&'static TrustTracker<Foreign>>> = const { Cell::new(None) };
}

/// A key whose hash, clone and drop call the tracker, which would wait for itself under a lock.
#[derive(PartialEq, Eq, Debug)]
struct Foreign(u32);

fn call_back() {
    if let Some(tracker) = TRACKER.take() {
        tracker.advance(std::time::Duration::ZERO);
        TRACKER.set(Some(tracker));
    }
}

impl Hash for Foreign {
    fn hash<H: Hasher>(&self, state: &mut H) {
        call_back();
        self.0.hash(state);
    }
}

impl Clone for Foreign {
    fn clone(&self) -> Self {
        call_back();
        Self(self.0)
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        call_back();
    }
}

#[test]
fn lesson_hash_clone_and_drop_of_keys_run_under_no_lock() {
    let tracker: &'static TrustTracker<Foreign> = Box::leak(Box::default());
    TRACKER.set(Some(tracker));
    let keys: Vec<Foreign> = (0..500).map(Foreign).collect();
    let batch = || {
        let once = keys
            .iter()
            .chain(&keys)
            .map(|key| (key, Outcome::Success, 1.0));
        once.inspect(|_| call_back())
    };
    tracker.batch_update(batch()).unwrap();
    tracker.batch_update(batch()).unwrap();
    assert_eq!(tracker.posteriors(keys.iter())[7].alpha(), 5.0);
    assert_eq!(tracker.remove(&keys[3]).unwrap().alpha(), 5.0);
    assert_eq!(tracker.len(), 499);
    TRACKER.set(None);
}

proptest! {
    #[test]
    fn batches_are_worth_what_a_plain_map_says(
        batches in prop::collection::vec(
            prop::collection::vec((0u8..40, any::<bool>(), 0u8..20), 0..60),
            0..12,
        ),
    ) {
        let tracker = TrustTracker::<u8>::new();
        let mut model = std::collections::BTreeMap::new();
        for batch in &batches {
            let updates = batch.iter().map(|(key, is_success, weight)| {
                (key, Outcome::from(*is_success), f64::from(*weight))
            });
            tracker.batch_update(updates).unwrap();
            for (key, is_success, weight) in batch {
                let sums: &mut (f64, f64) = model.entry(*key).or_insert((1.0, 1.0));
                let side = if *is_success { &mut sums.0 } else { &mut sums.1 };
                *side += f64::from(*weight);
            }
        }
        prop_assert_eq!(tracker.len(), model.len());
        for (key, sums) in model {
            let trust = tracker.find(&key).unwrap();
            prop_assert_eq!((trust.alpha(), trust.beta()), sums);
        }
    }
}
