//! What a decision costs: nanoseconds per call of each policy, as a Markdown table.
//!
//! `cargo run --release -p flush-policy --example cost`. Medians of interleaved repetitions; the
//! row `manual`, which decides nothing, is what the loop and the dynamic call cost.

use std::hint::black_box;
use std::time::{Duration, Instant};

use flush_policy::{
    AdaptiveSpec, Age, FlushPolicy, FlushSpec, Flushed, JitterSpec, Load, PolicyError, Remainder,
    Size, all_of,
};

const CALLS: u32 = 200_000;
const REPETITIONS: usize = 15;
/// More than is pushed in a repetition, so that no push is spared its look at the clock.
const SIZE: usize = 1 << 40;

struct Contender {
    name: &'static str,
    policy: Box<dyn FlushPolicy>,
    /// One list of nanoseconds per kind of call.
    costs_ns: [Vec<f64>; 3],
}

fn main() -> Result<(), PolicyError> {
    let age = Duration::from_secs(3_600);
    let size_or_age = FlushSpec::new().size(SIZE).age(age);
    let adaptive = AdaptiveSpec::new().sizes(SIZE, SIZE).wait(age);
    let parts = [Size::new(SIZE)?.boxed(), Age::new(age)?.boxed()];
    let mut contenders = Vec::new();
    let mut add = |name, policy| {
        contenders.push(Contender {
            name,
            policy,
            costs_ns: Default::default(),
        });
    };
    add("manual", FlushSpec::new().build()?);
    add("size", FlushSpec::new().size(SIZE).build()?);
    add("bytes", FlushSpec::new().bytes(SIZE).build()?);
    add("age", FlushSpec::new().age(age).build()?);
    add("interval", FlushSpec::new().interval(age).build()?);
    add("any_of size, age", size_or_age.build()?);
    add("all_of size, age", all_of(parts)?.boxed());
    add("adaptive", FlushSpec::new().adaptive(adaptive).build()?);
    add(
        "jitter of age",
        FlushSpec::new()
            .age(age)
            .jitter(JitterSpec::new(20, 1))
            .build()?,
    );
    for _ in 0..REPETITIONS {
        for contender in &mut contenders {
            let costs_ns = measure(contender.policy.as_mut());
            for (all, cost_ns) in contender.costs_ns.iter_mut().zip(costs_ns) {
                all.push(cost_ns);
            }
        }
    }
    println!("| policy           | on_push, ns | on_deadline, ns | on_flushed, ns |");
    println!("|------------------|------------:|----------------:|---------------:|");
    for Contender { name, costs_ns, .. } in contenders {
        let [push, deadline, flushed] = costs_ns.map(median);
        println!("| {name:<16} | {push:>11.1} | {deadline:>15.1} | {flushed:>14.1} |");
    }
    Ok(())
}

fn measure(policy: &mut dyn FlushPolicy) -> [f64; 3] {
    let start = Instant::now();
    let at = |call: u32| start + Duration::from_nanos(u64::from(call));
    let push = per_call_ns(|call| {
        let _ = black_box(policy.on_push(black_box(at(call)), black_box(Load::new(1, 64))));
    });
    let deadline = per_call_ns(|call| {
        let _ = black_box(policy.on_deadline(black_box(at(call))));
    });
    let written = Flushed::delivered(Remainder::EMPTY).wrote(500, Duration::from_millis(5));
    let flushed = per_call_ns(|call| {
        let _ = black_box(policy.on_flushed(black_box(at(call)), black_box(written)));
    });
    [push, deadline, flushed]
}

fn per_call_ns(mut call: impl FnMut(u32)) -> f64 {
    let began = Instant::now();
    for number in 0..CALLS {
        call(number);
    }
    began.elapsed().as_nanos() as f64 / f64::from(CALLS)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}
