//! Every interleaving of commits and trims with the cursors of feeds: each feed sees every update
//! once, in order, whatever its neighbours have read. Run with `cargo xtask loom`.

#![cfg(loom)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod exploring;

use std::sync::Arc;

use dataservice::{DataService, Feed, FeedSpec};
use exploring::{Parker, explore};
use loom::thread;

fn read(feed: &mut Feed<i64>, seen: &mut Vec<i64>) {
    if let Some(batch) = feed.poll() {
        assert_eq!(batch.missed(), 0);
        seen.extend(batch.iter().map(|update| update.value));
    }
}

#[test]
fn trimming_the_log_against_the_cursor_of_a_slower_feed() {
    explore(|| {
        let service: DataService<u8, i64> = DataService::new();
        let id = service.register(1).unwrap();
        let mut quick = service.feed(FeedSpec::all()).unwrap();
        let mut slow = service.feed(FeedSpec::all()).unwrap();
        service.put(id, 1, 1).unwrap();
        // Its polls seal what is there, and trim what both have read.
        let reading = thread::spawn(move || {
            let mut seen = Vec::new();
            read(&mut quick, &mut seen);
            read(&mut quick, &mut seen);
            (quick, seen)
        });
        let mut seen = Vec::new();
        service.put(id, 2, 2).unwrap();
        read(&mut slow, &mut seen);
        let (mut quick, mut others) = reading.join().unwrap();
        read(&mut quick, &mut others);
        assert_eq!(seen, [1, 2]);
        assert_eq!(others, [1, 2]);
        let stats = service.stats();
        assert_eq!(stats.log_updates, 0, "what all have read is gone");
    });
}

#[test]
fn a_commit_against_a_feed_that_waits_loses_no_wake_and_no_update() {
    explore(|| {
        let service: DataService<u8, i64> = DataService::new();
        let id = service.register(1).unwrap();
        let mut feed = service.feed(FeedSpec::all()).unwrap();
        let writer = thread::spawn({
            let service = service.clone();
            move || {
                service.put(id, 1, 1).unwrap();
                service.put(id, 2, 2).unwrap();
            }
        });
        let parker = Arc::new(Parker::default());
        let mut seen = Vec::new();
        while seen.len() < 2 {
            parker.until(|context| feed.poll_changed(context));
            read(&mut feed, &mut seen);
        }
        assert_eq!(seen, [1, 2]);
        writer.join().unwrap();
    });
}

#[test]
fn a_feed_that_leaves_against_a_commit_and_its_neighbour() {
    explore(|| {
        let service: DataService<u8, i64> = DataService::new();
        let id = service.register(1).unwrap();
        let leaver = service.feed(FeedSpec::all()).unwrap();
        let mut stayer = service.feed(FeedSpec::keys([id])).unwrap();
        let writer = thread::spawn({
            let service = service.clone();
            move || service.put(id, 1, 1).unwrap()
        });
        drop(leaver);
        writer.join().unwrap();
        let mut seen = Vec::new();
        read(&mut stayer, &mut seen);
        assert_eq!(seen, [1]);
    });
}
