//! Races between a commit and a subscriber, one per model.
//!
//! Run with `RUSTFLAGS="--cfg loom" cargo test -p dataservice --test loom_wake --release`.

#![cfg(loom)]
#![allow(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use dataservice::{DataService, LatestValue, SinceLast, Spec, Subscription};
use loom::sync::{Condvar, Mutex};
use loom::thread;

/// Parks the model's thread until it is woken; a wake that is lost is a deadlock, which loom finds.
#[derive(Default)]
struct Parker {
    woken: Mutex<bool>,
    changed: Condvar,
}

impl Wake for Parker {
    fn wake(self: Arc<Self>) {
        *self.woken.lock().unwrap() = true;
        self.changed.notify_all();
    }
}

impl Parker {
    fn until_changed<V: Clone>(self: &Arc<Self>, subscription: &Subscription<V>) {
        let waker = Waker::from(Arc::clone(self));
        let mut context = Context::from_waker(&waker);
        while subscription.poll_changed(&mut context) == Poll::Pending {
            let mut woken = self.woken.lock().unwrap();
            while !*woken {
                woken = self.changed.wait(woken).unwrap();
            }
            *woken = false;
        }
    }
}

fn model(check: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(check);
}

#[test]
fn a_commit_beside_a_poll_loses_no_wake_and_no_update() {
    model(|| {
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
            parker.until_changed(&every);
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
fn a_commit_beside_a_snapshot_is_seen_whole_or_not_at_all() {
    model(|| {
        let service: DataService<u8, i64> = DataService::new();
        let keys = [service.register(1).unwrap(), service.register(2).unwrap()];
        let mut reader = service
            .subscribe(Spec::new().keys(keys, LatestValue))
            .unwrap();
        let writer = thread::spawn({
            let service = service.clone();
            move || {
                let mut transaction = service.begin();
                transaction.put(keys[0], 1, 1).unwrap();
                transaction.put(keys[1], 1, -1).unwrap();
                transaction.commit().unwrap();
            }
        });
        let seen = reader.snapshot();
        let sum: i64 = seen
            .updates()
            .iter()
            .flat_map(|update| update.values())
            .sum();
        assert_eq!(sum, 0);
        writer.join().unwrap();
        assert_eq!(reader.poll().is_some(), seen.commit_seq().number() == 0);
    });
}

#[test]
fn a_blocking_wait_beside_a_commit_returns() {
    model(|| {
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

#[test]
fn unsubscribing_beside_a_commit_is_harmless() {
    model(|| {
        let service: DataService<u8, i64> = DataService::new();
        let key = service.register(1).unwrap();
        let leaver = service
            .subscribe(Spec::new().key(key, LatestValue))
            .unwrap();
        let mut stayer = service
            .subscribe(Spec::new().key(key, LatestValue))
            .unwrap();
        let writer = thread::spawn({
            let service = service.clone();
            move || service.put(key, 1, 1).unwrap()
        });
        drop(leaver);
        writer.join().unwrap();
        assert!(stayer.poll().is_some());
    });
}
