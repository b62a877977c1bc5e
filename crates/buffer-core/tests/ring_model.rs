//! The ring against a naive model, step by step.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::VecDeque;

use buffer_core::{Lease, OverflowPolicy, Pushed, Ring};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Action {
    Push,
    PushMany(usize),
    Lease(usize),
    Ack(usize),
    DropLease(usize),
    DropInPanic(usize),
    Drain,
    Resize(usize),
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let action = prop_oneof![
        4 => Just(Action::Push),
        3 => (1..6_usize).prop_map(Action::PushMany),
        4 => (1..5_usize).prop_map(Action::Lease),
        3 => any::<usize>().prop_map(Action::Ack),
        3 => any::<usize>().prop_map(Action::DropLease),
        1 => any::<usize>().prop_map(Action::DropInPanic),
        1 => Just(Action::Drain),
        1 => (1..9_usize).prop_map(Action::Resize),
    ];
    proptest::collection::vec(action, 0..80)
}

/// Everything a plain queue would know: what waits, what is on loan, what became of the rest.
#[derive(Default)]
struct Model {
    queued: VecDeque<u64>,
    leased: Vec<Vec<u64>>,
    acked: u64,
    lost: Vec<u64>,
    refused: u64,
}

impl Model {
    fn size(&self) -> usize {
        self.queued.len() + self.leased.iter().map(Vec::len).sum::<usize>()
    }

    fn give_back(&mut self, items: Vec<u64>) {
        self.queued.extend(items);
        self.queued.make_contiguous().sort_unstable();
    }

    fn push(&mut self, number: u64, capacity: usize, policy: OverflowPolicy) {
        if self.size() < capacity {
            self.queued.push_back(number);
            return;
        }
        match policy {
            OverflowPolicy::Reject => self.refused += 1,
            OverflowPolicy::DropOldest if self.size() - self.queued.len() < capacity => {
                while self.size() >= capacity {
                    self.lost.extend(self.queued.pop_front());
                }
                self.queued.push_back(number);
            }
            _ => self.lost.push(number),
        }
    }
}

fn check(policy: OverflowPolicy, actions: Vec<Action>) {
    let mut capacity = 6;
    let ring = Ring::builder(capacity).policy(policy).build().unwrap();
    let mut leases: Vec<Lease<u64>> = Vec::new();
    let mut model = Model::default();
    let mut lost: Vec<u64> = Vec::new();
    let mut next = 0;
    for action in actions {
        match action {
            Action::Push => {
                next += 1;
                match ring.push(next) {
                    Pushed::Stored | Pushed::Refused(..) => {}
                    Pushed::Displaced { first, rest } => {
                        lost.push(first);
                        lost.extend(rest);
                    }
                    Pushed::Dropped(item) => lost.push(item),
                }
                model.push(next, capacity, policy);
            }
            Action::PushMany(count) => {
                let mut items: Vec<u64> = (next + 1..=next + count as u64).collect();
                next += count as u64;
                for number in &items {
                    model.push(*number, capacity, policy);
                }
                let outcome = ring.push_many(&mut items);
                assert_eq!(outcome.accepted + items.len(), count);
                lost.extend(outcome.displaced);
                lost.extend(outcome.dropped);
            }
            Action::Lease(max) => {
                if let Some(lease) = ring.lease(max) {
                    let expected: Vec<u64> = model.queued.drain(..lease.len()).collect();
                    assert_eq!(&lease[..], expected);
                    assert!(lease.len() <= max);
                    model.leased.push(expected);
                    leases.push(lease);
                } else {
                    assert!(model.queued.is_empty());
                }
            }
            Action::Ack(which) if !leases.is_empty() => {
                let which = which % leases.len();
                leases.remove(which).ack();
                model.acked += model.leased.remove(which).len() as u64;
            }
            Action::DropLease(which) if !leases.is_empty() => {
                let which = which % leases.len();
                drop(leases.remove(which));
                let items = model.leased.remove(which);
                model.give_back(items);
            }
            Action::DropInPanic(which) if !leases.is_empty() => {
                let which = which % leases.len();
                let lease = leases.remove(which);
                let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
                    let _held = lease;
                    std::panic::resume_unwind(Box::new("a consumer that fails"));
                }));
                assert!(outcome.is_err());
                let items = model.leased.remove(which);
                model.give_back(items);
            }
            Action::Drain => {
                let mut all = Vec::new();
                ring.drain_into(&mut all);
                assert_eq!(all, model.queued.drain(..).collect::<Vec<_>>());
                model.acked += all.len() as u64;
            }
            Action::Resize(items) => {
                capacity = items;
                lost.extend(ring.resize(items).unwrap());
                while model.size() > items {
                    let Some(item) = model.queued.pop_front() else {
                        break;
                    };
                    model.lost.push(item);
                }
            }
            Action::Ack(_) | Action::DropLease(_) | Action::DropInPanic(_) => {}
        }
        let stats = ring.stats();
        assert_eq!(
            ring.peek(usize::MAX),
            model.queued.iter().copied().collect::<Vec<_>>()
        );
        assert_eq!(lost, model.lost, "what fell out was handed back, in order");
        assert_eq!(stats.total_offered, next);
        assert_eq!(stats.total_offered, stats.total_added + stats.total_refused);
        assert_eq!(stats.total_refused, model.refused);
        assert_eq!(stats.total_acked, model.acked);
        assert_eq!(stats.dropped.total(), model.lost.len() as u64);
        assert_eq!(stats.current_size, stats.queued + stats.leased);
        assert_eq!(
            stats.total_added,
            stats.total_acked + stats.dropped.total() + stats.current_size as u64
        );
    }
}

proptest! {
    #[test]
    fn law_1_the_account_holds_after_every_step(
        policy in prop_oneof![
            Just(OverflowPolicy::DropOldest),
            Just(OverflowPolicy::DropNewest),
            Just(OverflowPolicy::Reject),
        ],
        actions in actions(),
    ) {
        check(policy, actions);
    }
}
