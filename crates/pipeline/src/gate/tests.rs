//! The turns against their promises, and the gate against tasks that hang, wait and go away.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use proptest::prelude::*;
use record::Priority::{Critical, High, Low, Normal};

use super::turns::{URGENT_FIRST, WEIGHT_MAX};
use super::*;

const ALL: [Priority; 4] = URGENT_FIRST;

fn share(weight: u32, reserved: usize) -> Option<Share> {
    Some(Share { weight, reserved })
}

fn weights([low, normal, high, critical]: [u32; 4]) -> PerClass<Option<Share>> {
    [low, normal, high, critical].map(|weight| share(weight, 0))
}

/// Turns at a sink with who waits and who writes, and what each class saw while it waited.
struct Sim {
    turns: Turns,
    shares: PerClass<Option<Share>>,
    waiting: PerClass<usize>,
    in_flight: PerClass<usize>,
    /// Common turns that others took since this class has waited for one.
    passed_by: PerClass<u32>,
    common_turns: PerClass<u64>,
}

impl Sim {
    fn new(concurrency: usize, shares: PerClass<Option<Share>>) -> Self {
        Self {
            turns: Turns::new(concurrency, shares).unwrap(),
            shares,
            waiting: [0; 4],
            in_flight: [0; 4],
            passed_by: [0; 4],
            common_turns: [0; 4],
        }
    }

    fn reserved(&self, class: usize) -> usize {
        self.shares[class].map_or(0, |share| share.reserved)
    }

    /// Hands out every permit that is free, and checks what holds at each of them.
    fn settle(&mut self) -> Vec<Priority> {
        let mut order = Vec::new();
        while let Some(class) = self.turns.next(self.waiting, self.in_flight) {
            let index = class as usize;
            assert!(
                self.waiting[index] > 0,
                "a permit for {class:?}, which does not wait"
            );
            if self.in_flight[index] >= self.reserved(index) {
                self.common_turns[index] += 1;
                for other in 0..4 {
                    self.passed_by[other] += u32::from(self.waiting[other] > 0);
                }
            }
            self.passed_by[index] = 0;
            self.waiting[index] -= 1;
            self.in_flight[index] += 1;
            order.push(class);
            self.check_counts();
        }
        for index in 0..4 {
            if self.waiting[index] == 0 {
                self.passed_by[index] = 0;
            }
            let has_own = self.in_flight[index] < self.reserved(index);
            assert!(
                !has_own || self.waiting[index] == 0,
                "a reserved permit is not given"
            );
        }
        let idle = self.turns.concurrency() - self.in_flight.iter().sum::<usize>();
        let kept: usize = (0..4)
            .map(|index| self.reserved(index).saturating_sub(self.in_flight[index]))
            .sum();
        let anyone = self.waiting.iter().any(|waiting| *waiting > 0);
        assert!(
            !anyone || idle == kept,
            "a common permit idles while somebody waits"
        );
        order
    }

    fn check_counts(&self) {
        let held: usize = self.in_flight.iter().sum();
        let kept: usize = (0..4)
            .map(|index| self.reserved(index).saturating_sub(self.in_flight[index]))
            .sum();
        assert!(
            held + kept <= self.turns.concurrency(),
            "more permits than there are"
        );
        let sum: u32 = self.shares.iter().flatten().map(|share| share.weight).sum();
        for class in ALL {
            let passed_by = self.passed_by[class as usize];
            assert!(
                passed_by <= sum,
                "{class:?} saw {passed_by} turns of a round of {sum}"
            );
        }
    }
}

/// Shares whose reservations leave at least one permit in common.
fn sink() -> impl Strategy<Value = (usize, PerClass<Option<Share>>)> {
    let weight = prop_oneof![1..3_u32, 1..10_u32, 1..=WEIGHT_MAX];
    let shares = prop::array::uniform4((weight, 0..3_usize));
    (shares, 1..4_usize).prop_map(|(shares, common)| {
        let reserved: usize = shares.iter().map(|(_, reserved)| reserved).sum();
        (
            common + reserved,
            shares.map(|(weight, reserved)| share(weight, reserved)),
        )
    })
}

proptest! {
    #[test]
    fn permits_are_conserved_reserved_ones_are_there_and_nobody_waits_for_more_than_a_round(
        (concurrency, shares) in sink(),
        steps in prop::collection::vec((0..8_usize, 0..4_usize, 1..4_usize), 1..600),
    ) {
        let mut sim = Sim::new(concurrency, shares);
        for (what, class, count) in steps {
            match what {
                // Writes come, writes end, and one that waits goes away.
                0..3 => sim.waiting[class] += count,
                3..7 => sim.in_flight[class] = sim.in_flight[class].saturating_sub(count),
                _ => sim.waiting[class] = sim.waiting[class].saturating_sub(count),
            }
            sim.settle();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn weights_are_the_shares_of_ten_thousand_turns_while_all_wait(
        (concurrency, shares) in sink(),
        ends in prop::collection::vec(0..64_usize, 50),
    ) {
        let mut sim = Sim::new(concurrency, shares);
        sim.waiting = [1_000_000; 4];
        sim.settle();
        let turns = |sim: &Sim| sim.common_turns.iter().sum::<u64>();
        for end in ends.iter().cycle() {
            if turns(&sim) >= 10_000 {
                break;
            }
            // Any write may end next; that of a class with its own permits as any other.
            let busy = ALL.into_iter().filter(|class| {
                let index = *class as usize;
                sim.in_flight[index] > sim.reserved(index)
            });
            let busy: Vec<_> = busy.collect();
            sim.in_flight[busy[end % busy.len()] as usize] -= 1;
            sim.settle();
        }
        let sum: u32 = shares.iter().flatten().map(|share| share.weight).sum();
        for class in ALL {
            let index = class as usize;
            let weight = shares[index].unwrap().weight;
            let due = turns(&sim) as f64 * f64::from(weight) / f64::from(sum);
            let got = sim.common_turns[index] as f64;
            prop_assert!((got - due).abs() <= 4.0, "{:?} got {} of {} due", class, got, due);
        }
    }
}

/// The classes of so many turns at a sink of one write at a time, where all always wait.
fn round(sim: &mut Sim, turns: usize) -> Vec<Priority> {
    (0..turns)
        .map(|_| {
            let order = sim.settle();
            sim.in_flight = [0; 4];
            order[0]
        })
        .collect()
}

#[test]
fn a_round_goes_by_weight_and_the_most_urgent_is_first_of_equals() {
    let mut sim = Sim::new(1, weights([1, 1, 2, 4]));
    sim.waiting = [1_000; 4];
    let expected = [
        Critical, High, Normal, Low, Critical, Critical, High, Critical,
    ];
    assert_eq!(round(&mut sim, 8), expected);
    assert_eq!(round(&mut sim, 8), expected, "the rounds are the same");
}

#[test]
fn idleness_earns_one_early_turn_and_no_more() {
    let mut sim = Sim::new(1, weights([1, 1, 1, 1]));
    sim.waiting = [1_000, 0, 1_000, 0];
    round(&mut sim, 500);
    sim.waiting[Normal as usize] = 1_000;
    let next = round(&mut sim, 30);
    let normal = next.iter().filter(|class| **class == Normal).count();
    assert_eq!(normal, 10, "an even share from the first turn on: {next:?}");
}

#[test]
fn critical_that_comes_from_idling_is_next_and_then_has_its_weight() {
    let mut sim = Sim::new(1, weights([1, 1, 1, 1]));
    sim.waiting = [1_000, 1_000, 1_000, 0];
    for turns in 1..20 {
        round(&mut sim, turns);
        sim.waiting[Critical as usize] = 1;
        assert_eq!(round(&mut sim, 1), [Critical], "after {turns} turns");
    }
    sim.waiting[Critical as usize] = 1_000;
    let next = round(&mut sim, 40);
    let critical = next.iter().filter(|class| **class == Critical).count();
    assert!(
        critical <= 11,
        "{critical} of 40 turns at a weight of a quarter"
    );
}

#[test]
fn a_setting_that_cannot_be_is_named_with_its_value_and_its_limit() {
    let check = |concurrency, shares, expected: &str| {
        let error = Turns::new(concurrency, shares).unwrap_err();
        assert_eq!(error.to_string(), expected);
    };
    let ones = weights([1; 4]);
    check(0, ones, "concurrency is 0, but must be at least 1");
    let shares = weights([1, 0, 1, 1]);
    check(1, shares, "normal.weight is 0, but must be at least 1");
    let shares = weights([1_001, 1, 1, 1]);
    check(1, shares, "low.weight is 1001, but must be at most 1000");
    let shares = [ones[0], ones[1], ones[2], share(1, 3)];
    check(2, shares, "critical.reserved is 3, but must be at most 2");
    let shares = [share(1, 1), None, share(1, 1), share(1, 1)];
    check(2, shares, "the sum of reserved is 3, but must be at most 2");
    let shares = [ones[0], None, share(1, 1), share(1, 1)];
    check(2, shares, "the sum of reserved is 2, but must be at most 1");
    let shares = [None, None, share(1, 1), share(1, 1)];
    assert_eq!(
        Turns::new(2, shares).unwrap().concurrency(),
        2,
        "each has its own"
    );
}

/// Polls once, with a waker that does nothing.
fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

fn gate(concurrency: usize) -> Gate {
    Gate::new(concurrency, weights([1, 2, 4, 8])).unwrap()
}

#[tokio::test]
async fn a_class_is_served_in_the_order_in_which_it_came() {
    let gate = gate(1);
    let held = gate.acquire(Normal).await;
    let mut first = pin!(gate.acquire(Normal));
    let mut second = pin!(gate.acquire(Normal));
    assert!(poll(first.as_mut()).is_pending());
    assert!(poll(second.as_mut()).is_pending());
    drop(held);
    assert!(poll(second.as_mut()).is_pending());
    let permit = first.await;
    assert!(poll(second.as_mut()).is_pending());
    drop(permit);
    drop(second.await);
    let expected = GateSnapshot {
        in_flight: [0; 4],
        waiting: [0; 4],
        granted: [0, 3, 0, 0],
        concurrency: 1,
    };
    assert_eq!(gate.snapshot(), expected);
}

#[tokio::test]
async fn a_future_that_is_dropped_leaves_the_queue() {
    let gate = gate(1);
    let held = gate.acquire(Normal).await;
    let mut gone = Box::pin(gate.acquire(Critical));
    let mut stays = pin!(gate.acquire(Low));
    assert!(poll(gone.as_mut()).is_pending());
    assert!(poll(stays.as_mut()).is_pending());
    assert_eq!(gate.snapshot().waiting, [1, 0, 0, 1]);
    drop(gone);
    assert_eq!(gate.snapshot().waiting, [1, 0, 0, 0]);
    drop(held);
    let permit = stays.await;
    assert_eq!(gate.snapshot().granted, [1, 1, 0, 0]);
    drop(permit);
}

#[tokio::test]
async fn a_permit_that_was_granted_to_a_dropped_future_goes_to_the_next() {
    let gate = gate(1);
    let held = gate.acquire(Normal).await;
    let mut gone = Box::pin(gate.acquire(Critical));
    let mut next = pin!(gate.acquire(Low));
    assert!(poll(gone.as_mut()).is_pending());
    assert!(poll(next.as_mut()).is_pending());
    drop(held);
    assert_eq!(
        gate.snapshot().in_flight,
        [0, 0, 0, 1],
        "granted, and not fetched yet"
    );
    drop(gone);
    assert_eq!(gate.snapshot().in_flight, [1, 0, 0, 0]);
    drop(next.await);
    assert_eq!(gate.snapshot().in_flight, [0; 4]);
}

#[tokio::test]
async fn a_hung_write_of_low_does_not_stop_critical_that_has_a_permit_of_its_own() {
    let shares = [share(1, 0), share(1, 0), share(1, 0), share(8, 1)];
    let gate = Gate::new(2, shares).unwrap();
    let hung = gate.acquire(Low).await;
    let mut normal = pin!(gate.acquire(Normal));
    assert!(
        poll(normal.as_mut()).is_pending(),
        "the reserved permit is critical's alone"
    );
    for _ in 0..1_000 {
        drop(gate.acquire(Critical).await);
    }
    assert!(poll(normal.as_mut()).is_pending());
    assert_eq!(gate.snapshot().granted, [1, 0, 0, 1_000]);
    drop(hung);
    drop(normal.await);
}

#[tokio::test]
#[should_panic(expected = "a lane's class has a share")]
async fn a_class_without_a_share_does_not_wait_for_ever() {
    let gate = Gate::new(1, [None, share(1, 0), None, None]).unwrap();
    drop(gate.acquire(Low).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn tasks_that_come_wait_and_are_cancelled_lose_no_permit() {
    let gate = Gate::new(3, [share(1, 0), share(2, 0), share(4, 0), share(8, 1)]).unwrap();
    let tasks: Vec<_> = (0..16_usize)
        .map(|task| {
            let (gate, class) = (gate.clone(), ALL[task % 4]);
            tokio::spawn(async move {
                for round in 0..200 {
                    if (task + round) % 3 == 0 {
                        // The future is dropped while it waits, or just when it was granted.
                        tokio::select! {
                            biased;
                            permit = gate.acquire(class) => drop(permit),
                            () = tokio::task::yield_now() => {}
                        }
                    } else {
                        let permit = gate.acquire(class).await;
                        let held: usize = gate.snapshot().in_flight.iter().sum();
                        assert!(held <= 3, "{held} permits of 3 are held");
                        tokio::task::yield_now().await;
                        drop(permit);
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let end = gate.snapshot();
    assert_eq!((end.in_flight, end.waiting), ([0; 4], [0; 4]));
    let permits = [gate.acquire(Low).await, gate.acquire(Low).await];
    assert_eq!(
        gate.snapshot().in_flight,
        [2, 0, 0, 0],
        "both common permits are back"
    );
    drop(permits);
}
