//! Every interleaving of a commit with a subscriber that waits: no wake is lost. Run with
//! `cargo xtask loom`.

#![cfg(loom)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod exploring;

use std::sync::Arc;
use std::time::Duration;

use dataservice::{DataService, LatestValue, SinceLast, Spec};
use exploring::{Parker, explore};
use loom::thread;

#[test]
fn a_commit_beside_a_poll_loses_no_wake_and_no_update() {
    explore(|| {
        let service: DataService<u8, i64> = DataService::new();
        let key = service.register(1).unwrap();
        let mut every = service
            .subscribe(Spec::new().key(key, SinceLast::new(4)))
            .unwrap();
        let writer = thread::spawn({
            let service = service.clone();
            move || {
                service.put(key, 1, 1).unwrap();
                service.put(key, 2, 2).unwrap();
            }
        });
        let parker = Arc::new(Parker::default());
        let mut seen = Vec::new();
        while seen.len() < 2 {
            parker.until(|context| every.poll_changed(context));
            if let Some(snapshot) = every.poll() {
                let update = snapshot.update(key).unwrap();
                assert_eq!(update.missed(), 0);
                seen.extend_from_slice(update.values());
            }
        }
        assert_eq!(seen, [1, 2]);
        writer.join().unwrap();
    });
}

#[test]
fn a_blocking_wait_beside_a_commit_returns() {
    explore(|| {
        let service: DataService<u8, i64> = DataService::new();
        let key = service.register(1).unwrap();
        let mut latest = service
            .subscribe(Spec::new().key(key, LatestValue))
            .unwrap();
        let writer = thread::spawn({
            let service = service.clone();
            move || service.put(key, 1, 1).unwrap()
        });
        // Timed waits never fire in the model: a lost wake would be a deadlock.
        assert!(latest.wait(Duration::from_secs(1)));
        assert!(latest.poll().is_some());
        writer.join().unwrap();
    });
}
