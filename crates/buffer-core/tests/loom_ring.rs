//! One race per model. Run with `cargo xtask loom`.

#![cfg(loom)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use buffer_core::{LeaseError, OverflowPolicy, Pushed, Ring};
use std::time::Duration;

const FOREVER: Duration = Duration::from_secs(3600);

#[test]
fn push_against_lease_and_close() {
    loom::model(|| {
        let ring = Ring::builder(2)
            .policy(OverflowPolicy::Reject)
            .build()
            .unwrap();
        let producer = {
            let ring = ring.clone();
            loom::thread::spawn(move || {
                let stored = u64::from(ring.push(1).is_stored());
                stored + u64::from(ring.push(2).is_stored())
            })
        };
        let closer = {
            let ring = ring.clone();
            loom::thread::spawn(move || ring.close())
        };
        let mut seen = 0;
        loop {
            match ring.lease_timeout(2, FOREVER) {
                Ok(lease) => {
                    seen += lease.len() as u64;
                    lease.ack();
                }
                Err(LeaseError::Closed | LeaseError::Empty) => break,
            }
        }
        closer.join().unwrap();
        let stored = producer.join().unwrap();
        // What was stored after the last look is still there.
        assert_eq!(seen + ring.len() as u64, stored);
    });
}

#[test]
fn a_dropped_lease_against_a_blocked_push() {
    loom::model(|| {
        let ring = Ring::builder(1)
            .policy(OverflowPolicy::Block(FOREVER))
            .build()
            .unwrap();
        assert_eq!(ring.push(1), Pushed::Stored);
        let producer = {
            let ring = ring.clone();
            loom::thread::spawn(move || ring.push(2).is_stored())
        };
        drop(ring.lease(1));
        let mut seen = Vec::new();
        while seen.len() < 2 {
            let lease = ring.lease_timeout(1, FOREVER).unwrap();
            seen.extend_from_slice(&lease);
            lease.ack();
        }
        assert!(producer.join().unwrap());
        assert_eq!(seen, [1, 2]);
    });
}

#[test]
fn resize_against_push() {
    loom::model(|| {
        let ring = Ring::new(2).unwrap();
        assert_eq!(ring.push(1), Pushed::Stored);
        let producer = {
            let ring = ring.clone();
            loom::thread::spawn(move || {
                let _ = ring.push(2);
            })
        };
        let evicted = ring.resize(1).unwrap().len() as u64;
        producer.join().unwrap();
        let stats = ring.stats();
        assert_eq!(stats.dropped.resized, evicted);
        assert_eq!(stats.total_added, 2);
        assert_eq!(
            stats.total_added,
            stats.dropped.total() + stats.current_size as u64
        );
        assert!(stats.current_size <= 1);
    });
}
