//! The ring against a naive model, step by step.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, VecDeque};

use buffer_core::{Lease, Order, OverflowPolicy, Producer, Pushed, PushedMany, Ring};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Action {
    /// By a producer's own handle, or with the shared push.
    Push(Option<usize>),
    TryPush(Option<usize>),
    PushMany(Option<usize>, usize),
    Lease(usize),
    Ack(usize),
    DropLease(usize),
    DropInPanic(usize),
    Drain,
    Resize(usize),
    /// A handle ends, and another takes its place.
    Replace(usize),
    Look,
    Close,
}

const HANDLES: usize = 3;

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let who = || prop_oneof![1 => Just(None), 3 => (0..HANDLES).prop_map(Some)];
    let action = prop_oneof![
        40 => who().prop_map(Action::Push),
        10 => who().prop_map(Action::TryPush),
        30 => (who(), 1..6_usize).prop_map(|(who, count)| Action::PushMany(who, count)),
        40 => (1..5_usize).prop_map(Action::Lease),
        30 => any::<usize>().prop_map(Action::Ack),
        30 => any::<usize>().prop_map(Action::DropLease),
        10 => any::<usize>().prop_map(Action::DropInPanic),
        10 => Just(Action::Drain),
        10 => (1..9_usize).prop_map(Action::Resize),
        10 => (0..HANDLES).prop_map(Action::Replace),
        10 => Just(Action::Look),
        1 => Just(Action::Close),
    ];
    proptest::collection::vec(action, 0..120)
}

/// An item: who pushed it, and its place among all items ever pushed.
type Item = (Option<usize>, u64);

/// A ring under test, and everything a list would know about it.
struct Trial {
    ring: Ring<Item>,
    order: Order,
    policy: OverflowPolicy,
    handles: Vec<Producer<Item>>,
    /// How many handles there ever were, so that each names its items by itself.
    names: Vec<usize>,
    capacity: usize,
    closed: bool,
    next: u64,
    queued: Vec<Item>,
    leases: Vec<Lease<Item>>,
    acked: u64,
    lost: u64,
    refused: u64,
}

impl Trial {
    fn new(order: Order, policy: OverflowPolicy) -> Self {
        let capacity = 6;
        let ring = Ring::builder(capacity)
            .order(order)
            .policy(policy)
            .build()
            .unwrap();
        Self {
            order,
            policy,
            handles: (0..HANDLES).map(|_| ring.producer()).collect(),
            names: (0..HANDLES).collect(),
            ring,
            capacity,
            closed: false,
            next: 0,
            queued: Vec::new(),
            leases: Vec::new(),
            acked: 0,
            lost: 0,
            refused: 0,
        }
    }

    fn leased(&self) -> usize {
        self.leases.iter().map(|lease| lease.len()).sum()
    }

    fn size(&self) -> usize {
        self.queued.len() + self.leased()
    }

    fn item(&mut self, who: Option<usize>) -> Item {
        self.next += 1;
        (who.map(|who| self.names[who]), self.next)
    }

    /// An item is stored now; what fell out for it was, by the policy, rightly displaced. That can
    /// be more than one, if the ring was made smaller while items were on loan.
    fn stored(&mut self, item: Item, displaced: &mut impl Iterator<Item = Item>) {
        assert!(!self.closed);
        while self.size() >= self.capacity {
            assert_eq!(self.policy, OverflowPolicy::DropOldest);
            let old = displaced.next().expect("stored though there was no room");
            self.displace(old);
        }
        self.queued.push(item);
    }

    /// An item fell out: the oldest, or with stripes nearly the oldest.
    fn displace(&mut self, old: Item) {
        let index = match self.order {
            Order::Global => 0,
            _ => self.queued.iter().position(|item| *item == old).unwrap(),
        };
        assert_eq!(self.queued.remove(index), old);
        self.lost += 1;
    }

    fn not_stored(&self) {
        assert!(
            self.closed || self.size() >= self.capacity,
            "room is not withheld"
        );
    }

    fn push(&mut self, who: Option<usize>) {
        let item = self.item(who);
        let outcome = match who {
            Some(who) => self.handles[who].push(item),
            None => self.ring.push(item),
        };
        match outcome {
            Pushed::Stored => self.stored(item, &mut std::iter::empty()),
            Pushed::Displaced { first, rest } => {
                let mut displaced = std::iter::once(first).chain(rest);
                self.stored(item, &mut displaced);
                assert_eq!(displaced.next(), None, "dropped though there was room");
            }
            Pushed::Dropped(dropped) => {
                assert_eq!(dropped, item);
                self.not_stored();
                let leased = self.leased();
                let all_leased = leased >= self.capacity;
                assert!(self.policy == OverflowPolicy::DropNewest || all_leased);
                self.lost += 1;
            }
            Pushed::Refused(_, refused) => {
                assert_eq!(refused, item);
                assert!(self.closed || self.policy == OverflowPolicy::Reject);
                self.not_stored();
                self.refused += 1;
            }
        }
    }

    fn try_push(&mut self, who: Option<usize>) {
        let item = self.item(who);
        let outcome = match who {
            Some(who) => self.handles[who].try_push(item),
            None => self.ring.try_push(item),
        };
        match outcome {
            Ok(()) => self.stored(item, &mut std::iter::empty()),
            Err((_, refused)) => {
                assert_eq!(refused, item);
                self.not_stored();
                self.refused += 1;
            }
        }
    }

    fn push_many(&mut self, who: Option<usize>, count: usize) {
        let offered: Vec<Item> = (0..count).map(|_| self.item(who)).collect();
        let mut items = offered.clone();
        let PushedMany {
            accepted,
            displaced,
            dropped,
            refusal,
        } = match who {
            Some(who) => self.handles[who].push_many(&mut items),
            None => self.ring.push_many(&mut items),
        };
        let refused = count - accepted;
        assert_eq!(items.len(), displaced + dropped + refused);
        assert_eq!(refused > 0, refusal.is_some());
        assert_eq!(items[displaced + dropped..], offered[accepted..]);
        let lost_at_once = &items[displaced..displaced + dropped];
        let mut fell_out = items[..displaced].iter().copied();
        for item in &offered[..accepted] {
            if lost_at_once.contains(item) {
                self.not_stored();
                self.lost += 1;
            } else {
                self.stored(*item, &mut fell_out);
            }
        }
        assert_eq!(fell_out.next(), None, "dropped though there was room");
        if refused > 0 {
            self.not_stored();
        }
        self.refused += refused as u64;
    }

    /// What comes out is next in the order.
    fn take_out(&mut self, items: &[Item]) {
        for item in items {
            let index = match self.order {
                Order::Global => 0,
                _ => {
                    let same = |other: &Item| other.0 == item.0;
                    self.queued.iter().position(same).unwrap()
                }
            };
            assert_eq!(self.queued.remove(index), *item);
        }
    }

    fn put_back(&mut self, items: Vec<Item>) {
        self.queued.extend(items);
        self.queued.sort_unstable_by_key(|item| item.1);
    }

    fn apply(&mut self, action: &Action) {
        match *action {
            Action::Push(who) => self.push(who),
            Action::TryPush(who) => self.try_push(who),
            Action::PushMany(who, count) => self.push_many(who, count),
            Action::Lease(max) => match self.ring.lease(max) {
                Some(lease) => {
                    assert!(lease.len() <= max);
                    self.take_out(&lease);
                    self.leases.push(lease);
                }
                None => assert!(self.queued.is_empty()),
            },
            Action::Ack(which) if !self.leases.is_empty() => {
                let lease = self.leases.remove(which % self.leases.len());
                self.acked += lease.len() as u64;
                lease.ack();
            }
            Action::DropLease(which) if !self.leases.is_empty() => {
                let lease = self.leases.remove(which % self.leases.len());
                let items = lease.to_vec();
                drop(lease);
                self.put_back(items);
            }
            Action::DropInPanic(which) if !self.leases.is_empty() => {
                let lease = self.leases.remove(which % self.leases.len());
                let items = lease.to_vec();
                let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
                    let _held = lease;
                    std::panic::resume_unwind(Box::new("a consumer that fails"));
                }));
                assert!(outcome.is_err());
                self.put_back(items);
            }
            Action::Drain => {
                let mut all = Vec::new();
                assert_eq!(self.ring.drain_into(&mut all), all.len());
                self.take_out(&all);
                assert!(self.queued.is_empty());
                self.acked += all.len() as u64;
            }
            Action::Resize(items) => {
                self.capacity = items;
                for old in self.ring.resize(items).unwrap() {
                    assert!(self.size() > items);
                    self.displace(old);
                }
                assert!(self.size() <= items || self.queued.is_empty());
            }
            Action::Replace(which) => {
                self.handles[which] = self.ring.producer();
                self.names[which] = self.names.iter().max().unwrap() + 1;
            }
            Action::Look => self.look(),
            Action::Close => {
                self.ring.close();
                self.closed = true;
            }
            Action::Ack(_) | Action::DropLease(_) | Action::DropInPanic(_) => {}
        }
    }

    /// Everything that can be seen agrees with the list.
    fn look(&self) {
        let seen = self.ring.peek(usize::MAX);
        assert_eq!(by_producer(&seen), by_producer(&self.queued));
        if self.order == Order::Global {
            assert_eq!(seen, self.queued);
        }
        let stats = self.ring.stats();
        assert_eq!(stats.current_size, self.size());
        assert_eq!(self.ring.len(), self.size());
        assert_eq!(stats.queued, self.queued.len());
        assert_eq!(stats.leased, self.leased());
        assert_eq!(stats.total_offered, self.next);
        assert_eq!(stats.total_offered, stats.total_added + stats.total_refused);
        assert_eq!(stats.total_refused, self.refused);
        assert_eq!(stats.total_acked, self.acked);
        assert_eq!(stats.dropped.total(), self.lost);
        assert_eq!(
            stats.total_added,
            stats.total_acked + stats.dropped.total() + stats.current_size as u64
        );
    }
}

fn by_producer(items: &[Item]) -> BTreeMap<Option<usize>, VecDeque<u64>> {
    let mut by_producer: BTreeMap<_, VecDeque<_>> = BTreeMap::new();
    for (who, number) in items {
        by_producer.entry(*who).or_default().push_back(*number);
    }
    by_producer
}

fn policies() -> impl Strategy<Value = OverflowPolicy> {
    prop_oneof![
        Just(OverflowPolicy::DropOldest),
        Just(OverflowPolicy::DropNewest),
        Just(OverflowPolicy::Reject),
    ]
}

proptest! {
    #[test]
    fn law_1_the_account_holds_after_every_step(policy in policies(), actions in actions()) {
        let mut trial = Trial::new(Order::Global, policy);
        for action in &actions {
            trial.apply(action);
            trial.look();
        }
    }

    #[test]
    fn law_1_the_account_holds_with_stripes(policy in policies(), actions in actions()) {
        let mut trial = Trial::new(Order::PerProducer, policy);
        for action in &actions {
            trial.apply(action);
            trial.look();
        }
    }

    /// Looking collects the stripes; so the ring is also tried while nobody looks.
    #[test]
    fn law_1_the_account_holds_with_stripes_that_are_seldom_looked_at(
        policy in policies(),
        actions in actions(),
    ) {
        let mut trial = Trial::new(Order::PerProducer, policy);
        for action in &actions {
            trial.apply(action);
        }
        trial.look();
    }
}
