//! What a merger does with its lease, its caps and those who wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use buffer_core::Refusal;
use record::{Malformed, Position, Value};
use sinks::{Entry, ScopeIndex};

use super::{entry, is_balanced, merger, offer, push, record};
use crate::merge::store::{MergePolicy, Merger};
use crate::merge::{CoalesceAggregate, CoalesceSpec};

/// A waker that counts.
#[derive(Default)]
struct Counter(AtomicUsize);

impl Wake for Counter {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn capped(keys_max: usize, updates_max: usize) -> Merger {
    let spec = CoalesceSpec::new(CoalesceAggregate::Sum)
        .keys_max(keys_max)
        .updates_max(updates_max);
    Merger::new(&spec).unwrap()
}

/// Rows of these tags, at the positions from `first` on.
fn rows(first: u64, tags: &[&str]) -> Vec<Entry> {
    let now = Instant::now();
    let numbered = tags.iter().zip(first..);
    numbered
        .map(|(tag, position)| entry(0, position, now, record("plc", tag, 0, 1.0)))
        .collect()
}

fn sums(rows: &[Entry]) -> Vec<(u64, String, Value)> {
    let row = |row: &Entry| {
        let record = row.content.as_ref().unwrap();
        let tag = record.tag.as_str().to_owned();
        (row.position.number(), tag, record.value.clone())
    };
    rows.iter().map(row).collect()
}

#[test]
fn a_lease_takes_everything_sorted_by_position_and_one_at_a_time() {
    let merger = merger(CoalesceAggregate::Sum);
    assert!(merger.lease().is_none());
    push(&merger, rows(1, &["a", "b", "a", "c"]));
    assert_eq!((merger.load().updates, merger.load().keys), (4, 3));
    let lease = merger.lease().unwrap();
    let found = sums(&lease.rows());
    let expected = [(2, "b", 1.0), (3, "a", 2.0), (4, "c", 1.0)];
    assert_eq!(
        found,
        expected.map(|(at, tag, sum)| (at, tag.to_owned(), Value::F64(sum)))
    );
    let updates: Vec<u64> = (0..4).map(|row| lease.updates_of(row)).collect();
    assert_eq!((lease.updates(), updates), (4, vec![1, 2, 1, 0]));
    assert_eq!(lease.oldest(), Some(lease.rows()[0].arrival));
    push(&merger, rows(5, &["a"]));
    assert!(merger.lease().is_none(), "one is on loan");
    assert_eq!((merger.load().updates, merger.load().keys), (1, 1));
    is_balanced(&merger);
    lease.ack();
    is_balanced(&merger);
    assert_eq!(merger.stats().acked, 4);
    merger.lease().unwrap().ack();
    assert!(merger.is_empty());
    assert_eq!(merger.stats().keys, 0);
}

#[test]
fn rows_of_different_scopes_never_merge() {
    let merger = merger(CoalesceAggregate::Sum);
    let now = Instant::now();
    let row = |scope, position| entry(scope, position, now, record("plc", "a", 0, 1.0));
    push(&merger, vec![row(0, 1), row(1, 1), row(0, 2)]);
    let lease = merger.lease().unwrap();
    let found: Vec<_> = lease
        .rows()
        .iter()
        .map(|row| (row.scope.0, row.position.number()))
        .collect();
    assert_eq!(found, [(1, 1), (0, 2)]);
}

#[test]
fn a_lease_that_is_dropped_merges_with_what_has_come_since() {
    for aggregate in [
        CoalesceAggregate::Last,
        CoalesceAggregate::First,
        CoalesceAggregate::Append,
    ] {
        let merger = merger(aggregate);
        let now = Instant::now();
        let row = |position: u64| {
            let at = now + Duration::from_secs(position);
            entry(0, position, at, record("plc", "a", 0, position as i64))
        };
        push(&merger, vec![row(1), row(2)]);
        let lease = merger.lease().unwrap();
        push(&merger, vec![row(3)]);
        drop(lease);
        is_balanced(&merger);
        assert_eq!((merger.load().updates, merger.load().keys), (3, 1));
        assert_eq!(merger.load().oldest, Some(row(1).arrival));
        push(&merger, vec![row(4)]);
        let lease = merger.lease().unwrap();
        let found = lease.rows()[0].clone();
        assert_eq!(lease.rows().len(), 1);
        assert_eq!(
            (found.position, found.arrival),
            (Position::new(4), row(1).arrival)
        );
        let expected = match aggregate {
            CoalesceAggregate::Last => Value::I64(4),
            CoalesceAggregate::First => Value::I64(1),
            _ => Value::json(r#"{"values":[1,2,3,4],"dropped":0}"#).unwrap(),
        };
        assert_eq!(found.content.unwrap().value, expected, "{aggregate}");
    }
}

#[test]
fn a_batch_that_may_have_been_written_comes_back_as_it_was() {
    let merger = merger(CoalesceAggregate::Sum);
    push(&merger, rows(1, &["a", "b"]));
    let lease = merger.lease().unwrap();
    lease.mark_sent();
    let sent = lease.rows().to_vec();
    push(&merger, rows(3, &["a"]));
    drop(lease);
    is_balanced(&merger);
    assert_eq!((merger.load().updates, merger.load().keys), (3, 2));
    assert_eq!(merger.load().oldest, Some(sent[0].arrival));
    for _ in 0..2 {
        // However often it fails.
        let lease = merger.lease().unwrap();
        assert_eq!(lease.rows().to_vec(), sent);
        drop(lease);
    }
    merger.lease().unwrap().ack();
    let lease = merger.lease().unwrap();
    assert_eq!(sums(&lease.rows()), [(3, "a".to_owned(), Value::F64(1.0))]);
    lease.ack();
    assert!(merger.is_empty());
    is_balanced(&merger);
}

#[test]
fn updates_come_back_only_when_nobody_reads_the_rows_any_more() {
    let merger = merger(CoalesceAggregate::Sum);
    push(&merger, rows(1, &["a"]));
    let lease = merger.lease().unwrap();
    let held = lease.rows();
    drop(lease);
    assert_eq!(merger.stats().leased_updates, 1);
    assert!(merger.lease().is_none());
    drop(held);
    assert_eq!(merger.stats().leased_updates, 0);
    let lease = merger.lease().unwrap();
    let held = lease.rows();
    lease.ack();
    assert_eq!(merger.stats().acked, 1);
    assert_eq!(held.len(), 1);
    drop(held);
    is_balanced(&merger);
    assert!(merger.is_empty());
}

#[test]
fn what_is_malformed_travels_by_itself_at_its_position() {
    let merger = merger(CoalesceAggregate::Sum);
    let mut offered = rows(1, &["a", "a", "a", "a"]);
    offered[1].content = Err(Malformed::new("line 2: no JSON", b"{x"));
    offered[2].content.as_mut().unwrap().value = Value::text("seven").unwrap();
    let original = offered[2].original();
    push(&merger, offered);
    let lease = merger.lease().unwrap();
    let rows = lease.rows();
    assert_eq!(rows.len(), 3);
    let malformed = rows[0].content.as_ref().unwrap_err();
    assert_eq!(
        (rows[0].position.number(), malformed.original()),
        (2, &b"{x"[..])
    );
    let malformed = rows[1].content.as_ref().unwrap_err();
    assert_eq!(
        (rows[1].position.number(), malformed.original()),
        (3, &original[..])
    );
    assert_eq!(sums(&rows[2..]), [(4, "a".to_owned(), Value::F64(2.0))]);
    assert_eq!((lease.updates_of(0), lease.updates_of(2)), (1, 2));
    drop(rows);
    // Failed and restored, they are what they were.
    drop(lease);
    let lease = merger.lease().unwrap();
    assert_eq!(
        lease.rows()[0].content.as_ref().unwrap_err().reason(),
        "line 2: no JSON"
    );
    lease.ack();
    is_balanced(&merger);
    assert!(merger.is_empty());
}

#[test]
fn a_full_merger_accepts_from_the_front_and_hands_the_rest_back_whole() {
    let merger = capped(2, 100);
    let mut offered = rows(1, &["a", "b", "a", "c", "a"]);
    let refused = offered[3..].to_vec();
    let pushed = offer(&merger, &mut offered);
    assert_eq!((pushed.accepted, pushed.refusal), (3, Some(Refusal::Full)));
    assert_eq!(offered, refused);
    // Known keys still fit, also while they are on loan.
    let lease = merger.lease().unwrap();
    push(&merger, rows(4, &["a"]));
    assert_eq!(
        offer(&merger, &mut rows(5, &["c"])).refusal,
        Some(Refusal::Full)
    );
    lease.ack();
    push(&merger, rows(5, &["c"]));
    is_balanced(&merger);

    let merger = capped(10, 2);
    let mut offered = rows(1, &["a", "a", "a"]);
    assert_eq!(offer(&merger, &mut offered).accepted, 2);
    let lease = merger.lease().unwrap();
    assert_eq!(offer(&merger, &mut offered).refusal, Some(Refusal::Full));
    drop(lease);
    assert_eq!(offer(&merger, &mut offered).accepted, 0);
    merger.lease().unwrap().ack();
    assert_eq!(offer(&merger, &mut offered).accepted, 1);
    is_balanced(&merger);
}

#[test]
fn all_or_none_takes_nothing_where_not_all_fit() {
    let merger = capped(3, 5);
    let all = |rows: &mut Vec<Entry>| merger.try_push_all(rows, &|_| false);
    let mut offered = rows(1, &["a", "b"]);
    assert_eq!(all(&mut offered), Ok(()));
    assert!(offered.is_empty());
    for (tags, expected) in [
        (&["a", "c", "d"][..], Refusal::Full),
        (&["a", "a", "a", "a"][..], Refusal::Full),
        (&["c", "d", "e", "f"][..], Refusal::TooHeavy),
        (&["a", "a", "a", "a", "a", "a"][..], Refusal::TooHeavy),
    ] {
        let mut offered = rows(3, tags);
        let before = (offered.clone(), merger.stats());
        assert_eq!(all(&mut offered), Err(expected), "{tags:?}");
        let stats = merger.stats();
        assert_eq!((offered, stats.accepted, stats.keys), (before.0, 2, 2));
        assert_eq!(stats.refused, before.1.refused + tags.len() as u64);
        is_balanced(&merger);
    }
    // Rows without a key take a place each.
    let mut offered = rows(3, &["c", "d"]);
    offered[1].content = Err(Malformed::new("bad", b""));
    assert_eq!(all(&mut offered), Err(Refusal::Full));
    assert_eq!(all(&mut offered.split_off(1)), Ok(()));
    assert_eq!(merger.stats().keys, 3);
    merger.close();
    assert_eq!(all(&mut rows(9, &["a"])), Err(Refusal::Closed));
    is_balanced(&merger);
}

#[test]
fn a_push_that_blocks_goes_on_when_there_is_room_and_gives_up_in_time() {
    let merger = capped(1, 100);
    push(&merger, rows(1, &["a"]));
    let mut offered = rows(2, &["b"]);
    let policy = MergePolicy::Block(Duration::from_millis(1));
    let pushed = merger.push_many(&mut offered, policy, &|_| false);
    assert_eq!(
        (pushed.accepted, pushed.refusal),
        (0, Some(Refusal::TimedOut))
    );
    let policy = MergePolicy::Block(Duration::MAX);
    std::thread::scope(|scope| {
        let pushing = scope.spawn(|| merger.push_many(&mut offered, policy, &|_| false));
        merger.lease().unwrap().ack();
        assert_eq!(pushing.join().unwrap().accepted, 1);
    });
    let mut offered = rows(3, &["c"]);
    std::thread::scope(|scope| {
        let pushing = scope.spawn(|| merger.push_many(&mut offered, policy, &|_| false));
        merger.close();
        assert_eq!(pushing.join().unwrap().refusal, Some(Refusal::Closed));
    });
    assert!(merger.is_closed());
    assert_eq!(offered.len(), 1);
    is_balanced(&merger);
}

#[test]
fn a_waiting_task_is_woken_when_enough_waits_when_it_is_full_and_at_the_end() {
    let counter = Arc::new(Counter::default());
    let waker = Waker::from(Arc::clone(&counter));
    let mut context = Context::from_waker(&waker);
    let woken = || counter.0.swap(0, Ordering::SeqCst);
    let merger = capped(2, 100);
    let mut poll = |updates| merger.poll_queued(&mut context, updates);
    assert_eq!((poll(1), poll(1)), (Poll::Pending, Poll::Pending));
    push(&merger, rows(1, &["a"]));
    assert_eq!(woken(), 1, "one demand, one wake-up");
    assert_eq!((poll(1), poll(3)), (Poll::Ready(()), Poll::Pending));
    push(&merger, rows(2, &["a"]));
    assert_eq!(woken(), 0);
    push(&merger, rows(3, &["a"]));
    assert_eq!(woken(), 1);
    // Somebody wants room.
    assert_eq!(poll(50), Poll::Pending);
    let mut offered = rows(4, &["b", "c"]);
    assert_eq!(offer(&merger, &mut offered).accepted, 1);
    assert_eq!((woken(), poll(50)), (1, Poll::Ready(())));
    let lease = merger.lease().unwrap();
    assert_eq!(poll(50), Poll::Pending);
    drop(lease);
    assert_eq!(woken(), 0);
    merger.close();
    assert_eq!((woken(), poll(50)), (1, Poll::Ready(())));
    // No demand is above what there is room for.
    let merger = capped(2, 3);
    assert_eq!(merger.poll_queued(&mut context, 50), Poll::Pending);
    push(&merger, rows(1, &["a", "a", "a"]));
    assert_eq!(woken(), 1);
}

#[test]
fn a_push_that_waits_for_room_wakes_whoever_can_make_some() {
    let counter = Arc::new(Counter::default());
    let waker = Waker::from(Arc::clone(&counter));
    let mut context = Context::from_waker(&waker);
    let merger = capped(1, 100);
    push(&merger, rows(1, &["a"]));
    assert_eq!(merger.poll_queued(&mut context, 50), Poll::Pending);
    let mut offered = rows(2, &["b"]);
    let policy = MergePolicy::Block(Duration::from_secs(10));
    std::thread::scope(|scope| {
        let pushing = scope.spawn(|| merger.push_many(&mut offered, policy, &|_| false));
        while counter.0.load(Ordering::SeqCst) == 0 && !pushing.is_finished() {
            std::thread::yield_now();
        }
        merger.lease().unwrap().ack();
        assert_eq!(pushing.join().unwrap().refusal, None, "nobody was woken");
    });
}

#[test]
fn at_most_64_tasks_wait_and_the_one_too_many_asks_again() {
    let merger = merger(CoalesceAggregate::Sum);
    let counters: Vec<Arc<Counter>> = (0..65).map(|_| Arc::default()).collect();
    for counter in &counters {
        let waker = Waker::from(Arc::clone(counter));
        let mut context = Context::from_waker(&waker);
        assert_eq!(merger.poll_queued(&mut context, 1), Poll::Pending);
    }
    let woken = || {
        counters
            .iter()
            .map(|counter| counter.0.load(Ordering::SeqCst))
            .sum::<usize>()
    };
    assert_eq!((counters[0].0.load(Ordering::SeqCst), woken()), (1, 1));
    push(&merger, rows(1, &["a"]));
    assert_eq!(woken(), 65);
}

#[test]
fn a_purge_throws_away_what_waits_and_says_who_waited_for_it() {
    let merger = merger(CoalesceAggregate::Sum);
    let is_odd = |row: &Entry| row.position.number() % 2 == 1;
    let pushed = |rows: &mut Vec<Entry>| merger.push_many(rows, MergePolicy::Reject, &is_odd);
    assert_eq!(pushed(&mut rows(1, &["a", "a", "a", "b"])).accepted, 4);
    let lease = merger.lease().unwrap();
    assert_eq!(lease.tracked(0), [Position::new(1), Position::new(3)]);
    assert!(lease.tracked(1).is_empty() && lease.tracked(9).is_empty());
    assert_eq!(pushed(&mut rows(5, &["a", "c", "c"])).accepted, 3);
    let drained = merger.drain();
    let position = |number| (ScopeIndex(0), Position::new(number));
    assert_eq!(
        (drained.updates, drained.tracked),
        (3, vec![position(5), position(7)])
    );
    is_balanced(&merger);
    let stats = merger.stats();
    assert_eq!((stats.purged, stats.leased_updates, stats.keys), (3, 4, 2));
    assert_eq!(merger.load().oldest, None);
    // What came back and was merged still says who waits.
    drop(lease);
    assert_eq!(pushed(&mut rows(8, &["a", "a"])).accepted, 2);
    let lease = merger.lease().unwrap();
    assert_eq!(lease.tracked(1).len(), 3);
    let place = |number| (1, ScopeIndex(0), Position::new(number));
    assert_eq!(lease.tracked_in(), [1, 3, 9].map(place));
    assert_eq!(lease.to_vec(), lease.rows().to_vec());
    // What was sent and came back goes, too.
    lease.mark_sent();
    drop(lease);
    assert_eq!(merger.drain().updates, 6);
    is_balanced(&merger);
    assert!(merger.is_empty());
    assert_eq!(merger.drain().updates, 0);
}
