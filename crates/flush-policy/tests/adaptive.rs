//! The adaptive size: what moves it, what must not, and what it never moves.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod sim;

use std::time::{Duration, Instant};

use flush_policy::{
    Adaptive, AdaptiveSpec, Decision, FlushPolicy, Flushed, Load, Reason, Remainder,
};
use sim::{Arrival, Cost, Sink, simulate};

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A policy and the time, which moves with each write.
struct Loop {
    policy: Adaptive,
    now: Instant,
}

impl Loop {
    fn new(spec: AdaptiveSpec) -> Self {
        Self {
            policy: Adaptive::new(spec).unwrap(),
            now: Instant::now(),
        }
    }

    fn size(&self) -> usize {
        self.policy.size()
    }

    fn end(
        &mut self,
        flushed: impl Fn(Remainder) -> Flushed,
        items: usize,
        took_ms: u64,
        left: usize,
    ) {
        self.now += ms(took_ms);
        let flushed = flushed(Remainder::new(left, 0, self.now)).wrote(items, ms(took_ms));
        let _ = self.policy.on_flushed(self.now, flushed);
    }

    /// A full batch is delivered, and so many items are left.
    fn full(&mut self, took_ms: u64, left: usize) -> usize {
        self.end(Flushed::delivered, self.size(), took_ms, left);
        self.size()
    }

    /// A sink that never gets through its queue; returns the size before each write.
    fn saturate(&mut self, writes: usize, took: impl Fn(usize) -> Duration) -> Vec<usize> {
        let write = |_| {
            let size = self.size();
            self.now += took(size);
            let left = Remainder::new(100_000, 0, self.now);
            let flushed = Flushed::delivered(left).wrote(size, took(size));
            let _ = self.policy.on_flushed(self.now, flushed);
            size
        };
        (0..writes).map(write).collect()
    }
}

fn changes(sizes: &[usize]) -> usize {
    sizes.windows(2).filter(|pair| pair[0] != pair[1]).count()
}

#[test]
fn defaults_are_1_to_50_items_and_a_wait_of_50_ms() {
    let start = Instant::now();
    let mut policy = Adaptive::new(AdaptiveSpec::default()).unwrap();
    assert_eq!((policy.size(), policy.batch_items()), (7, Some(7)));
    assert_eq!(policy.on_push(start, Load::new(6, 0)), Decision::Wait);
    assert_eq!(policy.next_deadline(), Some(start + ms(50)));
    assert_eq!(policy.deadline_reason(), Reason::Age);
    let full = policy.on_push(start + ms(1), Load::new(1, 0));
    assert_eq!(full, Decision::Flush(Reason::Size));
    assert_eq!(policy.next_deadline(), Some(start + ms(1)));
    assert_eq!(policy.deadline_reason(), Reason::Size);

    let mut down = Loop::new(AdaptiveSpec::new());
    down.saturate(1_000, |items| ms(60) * items as u32);
    assert_eq!(down.size(), 1);
    let mut up = Loop::new(AdaptiveSpec::new());
    up.saturate(1_000, |_| ms(1));
    assert_eq!(up.size(), 50);
}

#[test]
fn one_slow_batch_does_not_shrink_and_two_do() {
    let mut writes = Loop::new(AdaptiveSpec::new().base(40));
    assert_eq!(writes.full(51, 0), 40);
    assert_eq!(writes.full(50, 0), 40, "the target itself is in time");
    assert_eq!(writes.full(51, 0), 40);
    assert_eq!(writes.full(51, 0), 20);
}

#[test]
fn queue_grows_the_size_only_while_writes_are_in_time() {
    let mut quick = Loop::new(AdaptiveSpec::new().base(10));
    assert_eq!((quick.full(5, 10), quick.full(5, 10)), (10, 10));
    assert_eq!(quick.full(5, 10), 14);
    // Without a queue, and with one that is less than a batch, there is no reason to.
    let mut idle = Loop::new(AdaptiveSpec::new().base(10));
    assert!((0..50).all(|_| idle.full(5, 9) == 10));
    // In time, but the next size might not be: more evidence is needed.
    let mut timely = Loop::new(AdaptiveSpec::new().base(10));
    assert!((0..8).all(|_| timely.full(45, 100) == 10));
    assert_eq!(timely.full(45, 100), 14);
    // Too slow: never.
    let mut slow = Loop::new(AdaptiveSpec::new().base(10).sizes(10, 50));
    assert!((0..500).all(|_| slow.full(60, 1_000) == 10));
}

#[test]
fn constant_load_does_not_oscillate() {
    type Took = fn(f64) -> f64;
    // Each is a sink that never gets through its queue; what it takes in ms for so many items.
    let sinks: [(&str, Took, std::ops::RangeInclusive<usize>, usize); 7] = [
        ("by item, quick", |n| 0.1 * n, 50..=50, 0),
        (
            "by item, 0.75 of the target at the base",
            |n| 5.36 * n,
            7..=9,
            10,
        ),
        ("by item", |n| 2.0 * n, 18..=25, 10),
        ("with a fixed part", |n| 20.0 + n, 23..=30, 10),
        ("a round trip just in time", |_| 48.0, 50..=50, 0),
        ("a round trip that no size can shorten", |_| 80.0, 7..=7, 40),
        ("by pairs of items", |n| 0.2 * n * n, 11..=15, 10),
    ];
    for (sink, took, settled, probes) in sinks {
        let mut writes = Loop::new(AdaptiveSpec::new());
        let took = |items: usize| Duration::from_secs_f64(took(items as f64) / 1_000.0);
        let sizes = writes.saturate(2_000, took);
        let late = &sizes[1_000..];
        let median = {
            let mut sorted = late.to_vec();
            sorted.sort_unstable();
            sorted[sorted.len() / 2]
        };
        assert!(settled.contains(&median), "{sink}: settled at {median}");
        assert!(changes(late) <= probes, "{sink}: {} changes", changes(late));
        let astray = late.iter().filter(|size| !settled.contains(size)).count();
        assert!(
            astray <= late.len() / 20,
            "{sink}: {astray} writes of another size"
        );
    }
}

#[test]
fn fixed_cost_is_not_answered_by_ever_smaller_batches() {
    let mut writes = Loop::new(AdaptiveSpec::new().base(40));
    let sizes = writes.saturate(400, |items| {
        ms(100) + Duration::from_micros(10) * items as u32
    });
    // Now and then it looks whether half of it would take less time by now.
    assert!(
        sizes.iter().all(|size| [20, 40].contains(size)),
        "{sizes:?}"
    );
    let probes = sizes[200..].iter().filter(|&&size| size == 20).count();
    assert!(probes <= 10, "{probes} of 200 writes were of half the size");
}

#[test]
fn what_was_learned_in_vain_does_not_stand_in_the_way_for_ever() {
    let mut writes = Loop::new(AdaptiveSpec::new().base(40));
    writes.saturate(50_000, |_| ms(100));
    let sizes = writes.saturate(90, |items| ms(10) * items as u32);
    assert_eq!(sizes.last(), Some(&5), "{sizes:?}");
    let sizes = writes.saturate(200_000, |items| {
        Duration::from_micros(200) * (items * items) as u32
    });
    assert!(
        sizes.ends_with(&[14]) || sizes.ends_with(&[15]),
        "{:?}",
        sizes.last()
    );
    let sizes = writes.saturate(600, |_| ms(1));
    assert_eq!(sizes.last(), Some(&50));
}

#[test]
fn step_up_that_holds_makes_the_next_ones_easy_again() {
    let mut writes = Loop::new(AdaptiveSpec::new().sizes(1, 1_000).base(50));
    // At 50 items in time, at 70 too slow: each step up is taken back.
    writes.saturate(10_000, |items| match items {
        ..=50 => ms(45),
        _ => ms(70),
    });
    let before = writes.size();
    // The sink is quick now. One step needs much evidence still, those after it do not.
    let sizes = writes.saturate(400, |_| ms(1));
    let of_size = |size: usize| sizes.iter().filter(|&&other| other == size).count();
    assert!(before <= 70 && of_size(50) <= 96, "{sizes:?}");
    for size in [98, 136, 190, 266, 372, 520, 728] {
        assert_eq!(of_size(size), 3, "{sizes:?}");
    }
    assert_eq!(sizes.last(), Some(&1_000));
}

#[test]
fn step_up_ends_after_two_slow_batches_whatever_was_learned_before() {
    let mut writes = Loop::new(AdaptiveSpec::new().sizes(1, 100).base(40));
    writes.saturate(50_000, |_| ms(100));
    while writes.size() != 40 {
        writes.full(100, 1_000);
    }
    for _ in 0..9 {
        writes.full(45, 1_000);
    }
    assert_eq!(writes.size(), 56);
    assert_eq!((writes.full(70, 1_000), writes.full(70, 1_000)), (56, 40));
}

#[test]
fn load_that_needs_the_size_keeps_it() {
    let mut writes = Loop::new(AdaptiveSpec::new());
    writes.saturate(100, |_| ms(5));
    // The next smaller size is 36; twice what is left would not be enough of a margin.
    assert!((0..100).all(|_| writes.full(5, 19) == 50));
    assert!((0..7).all(|_| writes.full(5, 18) == 50));
    assert_eq!(writes.full(5, 18), 36);
}

#[test]
fn time_out_after_a_step_down_stays_due() {
    let mut writes = Loop::new(AdaptiveSpec::new().base(40).wait(Duration::from_secs(60)));
    writes.full(90, 0);
    writes.full(90, 0);
    for _ in 0..4 {
        writes.now += ms(100);
        let failed = Flushed::failed(Remainder::new(20, 0, writes.now)).wrote(20, ms(100));
        assert!(writes.policy.on_flushed(writes.now, failed).is_flush());
    }
}

#[test]
fn empty_flushes_and_durations_near_zero_do_not_pollute_it() {
    let mut writes = Loop::new(AdaptiveSpec::new().base(40));
    for _ in 0..2 {
        for _ in 0..100 {
            // Nothing was there to write, or a lone item went in no time.
            writes.end(Flushed::delivered, 0, 0, 0);
            writes.end(Flushed::delivered, 1, 0, 0);
        }
        writes.full(90, 0);
    }
    assert_eq!(writes.size(), 20, "two slow batches in a row were not seen");
    for _ in 0..100 {
        writes.end(Flushed::delivered, 0, 0, 1_000);
    }
    assert_eq!(
        writes.size(),
        20,
        "flushes without items were taken for quick ones"
    );

    let mut untold = Loop::new(AdaptiveSpec::new());
    for _ in 0..100 {
        let left = Remainder::new(1_000, 0, untold.now);
        let _ = untold
            .policy
            .on_flushed(untold.now, Flushed::delivered(left));
    }
    assert_eq!(
        untold.size(),
        7,
        "a driver that reports no writes has the base"
    );
}

#[test]
fn quiet_feed_does_not_ratchet_it_down() {
    // Lone items whose writes are slow: no size would have split them.
    let mut writes = Loop::new(AdaptiveSpec::new());
    for _ in 0..1_000 {
        writes.end(Flushed::delivered, 1, 400, 0);
    }
    assert_eq!(writes.size(), 7);
}

#[test]
fn refusal_says_nothing_about_the_size_and_a_time_out_does() {
    let mut writes = Loop::new(AdaptiveSpec::new().base(40));
    for _ in 0..100 {
        writes.end(Flushed::failed, 40, 1, 1_000);
    }
    assert_eq!(writes.size(), 40);
    for _ in 0..2 {
        writes.end(Flushed::failed, 40, 5_000, 1_000);
    }
    assert_eq!(writes.size(), 20);
}

#[test]
fn burst_leaves_it_at_its_base_again() {
    let mut writes = Loop::new(AdaptiveSpec::new());
    writes.saturate(100, |_| ms(2));
    assert_eq!(writes.size(), 50);
    // Traffic goes on, below a batch per write.
    for _ in 0..100 {
        writes.end(Flushed::delivered, 2, 2, 0);
    }
    assert_eq!(writes.size(), 7);
    // The sink was slow, and is not any more.
    writes.saturate(100, |items| ms(70) * items as u32);
    assert_eq!(writes.size(), 1);
    for _ in 0..100 {
        writes.end(Flushed::delivered, 1, 2, 0);
    }
    assert_eq!(writes.size(), 7);
}

#[test]
fn small_batches_below_the_base_lead_back_to_it_however_few_items_they_have() {
    let mut writes = Loop::new(AdaptiveSpec::new().sizes(1, 1_000).base(500));
    writes.saturate(100, |items| Duration::from_micros(1_150) * items as u32);
    assert_eq!(writes.size(), 43);
    // The sink is quick again, and a write costs about the same whatever its size.
    for _ in 0..100 {
        writes.end(Flushed::delivered, 10, 3, 0);
    }
    assert_eq!(writes.size(), 500);
}

#[test]
fn full_and_small_batches_in_turn_lead_back_to_the_base_too() {
    let mut writes = Loop::new(AdaptiveSpec::new().sizes(1, 1_000).base(500));
    writes.saturate(100, |items| Duration::from_micros(1_150) * items as u32);
    for _ in 0..100 {
        writes.end(Flushed::delivered, writes.size(), 3, 0);
        writes.end(Flushed::delivered, 1, 3, 0);
    }
    assert_eq!(writes.size(), 500);
}

#[test]
fn calm_step_that_turns_out_wrong_is_taken_back_and_needs_more_calm() {
    let mut writes = Loop::new(AdaptiveSpec::new().sizes(1, 1_000).base(500));
    writes.saturate(100, |items| Duration::from_micros(1_150) * items as u32);
    for needed in [8, 16, 32, 64, 128, 256, 256] {
        // Between two bursts that are slow at any larger size.
        for _ in 1..needed {
            writes.end(Flushed::delivered, 10, 12, 0);
            assert_eq!(writes.size(), 43);
        }
        writes.end(Flushed::delivered, 10, 12, 0);
        assert_eq!((writes.size(), writes.full(68, 1_000)), (59, 59));
        assert_eq!(writes.full(68, 1_000), 43);
    }
}

#[test]
fn small_batches_with_a_queue_behind_them_are_not_calm() {
    let mut writes = Loop::new(AdaptiveSpec::new().sizes(1, 1_000).base(500));
    writes.saturate(100, |items| Duration::from_micros(1_150) * items as u32);
    for _ in 0..100 {
        writes.end(Flushed::delivered, 10, 40, 30);
    }
    assert_eq!(writes.size(), 43);
}

#[test]
fn quiet_hour_leaves_it_at_its_base_again() {
    for took_ms in [1, 1_000] {
        let mut writes = Loop::new(AdaptiveSpec::new());
        writes.saturate(100, |items| ms(took_ms) * items as u32);
        assert_ne!(writes.size(), 7);
        writes.end(Flushed::delivered, 1, 60, 0);
        let last = writes.size();
        let almost = writes.now + Duration::from_millis(9_999);
        assert_eq!(writes.policy.on_deadline(almost), Decision::Wait);
        assert_eq!(writes.size(), last, "ten seconds are not over");
        let later = writes.now + Duration::from_secs(3_600);
        assert_eq!(
            writes.policy.on_push(later, Load::new(1, 0)),
            Decision::Wait
        );
        assert_eq!(writes.size(), 7);
        assert_eq!(writes.policy.next_deadline(), Some(later + ms(50)));
    }
}

#[test]
fn items_that_wait_are_no_quiet_hour() {
    let mut writes = Loop::new(AdaptiveSpec::new());
    writes.saturate(100, |_| ms(1));
    let later = writes.now + Duration::from_secs(3_600);
    assert!(writes.policy.on_push(later, Load::new(1, 0)).is_flush());
    assert_eq!(writes.size(), 50, "the sink was away, not the traffic");
}

#[test]
fn largest_size_is_kept_and_a_resize_loses_nothing() {
    let mut policy = Adaptive::new(AdaptiveSpec::new()).unwrap();
    let arrivals = [Arrival::after(Duration::from_micros(250)); 20_000];
    // Quick, then slow, then quick again.
    let costs = [
        (0, Cost::us(5_000, 50)),
        (1, Cost::us(5_000, 9_000)),
        (20, Cost::us(1_000, 50)),
    ];
    let sink = Sink {
        costs: costs
            .map(|(s, cost)| (Duration::from_secs(s), cost))
            .to_vec(),
        ..Sink::perfect()
    };
    let run = simulate(&mut policy, Instant::now(), &arrivals, &sink);
    assert_eq!((run.left, run.waits.len()), (0, arrivals.len()));
    let sizes: Vec<_> = run.attempts.iter().filter_map(|a| a.batch_items).collect();
    assert!(sizes.contains(&50) && sizes.contains(&5), "{sizes:?}");
    assert!(
        run.attempts
            .iter()
            .all(|a| a.items <= a.batch_items.unwrap())
    );
    assert!(sizes.iter().all(|size| (1..=50).contains(size)));
}

#[test]
fn shrinking_makes_what_waits_due_at_once() {
    let mut writes = Loop::new(AdaptiveSpec::new().base(40).wait(Duration::from_secs(60)));
    writes.full(90, 0);
    writes.now += ms(90);
    let left = Remainder::new(25, 0, writes.now);
    let flushed = Flushed::delivered(left).wrote(40, ms(90));
    let decision = writes.policy.on_flushed(writes.now, flushed);
    assert_eq!(
        (writes.size(), decision),
        (20, Decision::Flush(Reason::Size))
    );
}
