//! Evidence about workers, merged per worker, delivered in batches to a sink that fails at first.
//!
//! `cargo run -p forebay --example aggregate`. Threads add; the main thread asks a flush policy
//! when to take, by number of updates or by time, delivers, and brings back what was refused. The
//! time is simulated, so that the example is over at once: a program would sleep until
//! `next_deadline`.

use std::time::{Duration, Instant};

use forebay::coalesce::{
    Coalescer, Evidence, Key, SuccessFailure, TakeReason, Taken, Weights, WhenFull,
};
use forebay::flush_policy::{Decision, FlushPolicy, FlushSpec, Flushed, Load, Reason, Remainder};

type Batch = Taken<Key, Weights>;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let evidence = Coalescer::builder(SuccessFailure)
        .updates_max(1_000, WhenFull::Reject)
        .flush_at(None)
        .build()?;
    let mut policy = FlushSpec::new()
        .size(100)
        .interval(Duration::from_secs(5))
        .build()?;
    let mut sink = Sink {
        fails: 1,
        delivered: 0,
    };

    let mut now = Instant::now();
    let mut told = 0;
    for round in 0..5 {
        add_from_two_threads(&evidence, 10 * (round + 1));
        now += Duration::from_secs(2);
        let held = evidence.updates();
        let arrived = (held - told) as usize;
        told = held;
        let mut decision = policy.on_push(now, Load::new(arrived, 0));
        if decision == Decision::Wait {
            decision = policy.on_deadline(now);
        }
        if let Decision::Flush(reason) = decision {
            told = flush(&evidence, &mut policy, &mut sink, now, reason);
        }
    }
    // What is left when a program ends is delivered, too.
    flush(&evidence, &mut policy, &mut sink, now, Reason::Shutdown);
    let stats = evidence.stats();
    println!(
        "{} updates became {} flushes of {:.0} updates on average; {} are left",
        stats.updates_buffered,
        stats.flush_operations,
        stats.avg_updates_per_flush,
        stats.current_buffer_size
    );
    assert_eq!(sink.delivered, stats.updates_buffered, "each exactly once");
    assert_eq!(stats.current_buffer_size, 0);
    Ok(())
}

/// Each update says how a task of a worker ended, and how much that weighs.
fn add_from_two_threads(evidence: &Coalescer<Key, SuccessFailure>, updates: u32) {
    std::thread::scope(|scope| {
        for worker in ["worker 1", "worker 2"] {
            let writer = evidence.writer();
            scope.spawn(move || {
                for task in 0..updates / 2 {
                    let update = if task % 5 == 0 {
                        Evidence::Failure(0.5)
                    } else {
                        Evidence::Success(1.0)
                    };
                    if let Err(error) = writer.add_str(worker, update) {
                        eprintln!("refused: {error}");
                    }
                }
            });
        }
    });
}

/// Delivers everything, or brings it back; returns how many updates are in the buffer then.
fn flush(
    evidence: &Coalescer<Key, SuccessFailure>,
    policy: &mut Box<dyn FlushPolicy>,
    sink: &mut Sink,
    now: Instant,
    reason: Reason,
) -> u64 {
    let batch = evidence.take_for(TakeReason::Manual);
    let (updates, keys) = (batch.updates(), batch.keys());
    match sink.write(batch) {
        Ok(()) => {
            println!("{reason}: {updates} updates of {keys} workers delivered");
            let _ = policy.on_flushed(now, Flushed::delivered(Remainder::EMPTY));
        }
        Err(batch) => {
            println!("{reason}: the sink is down, {updates} updates go back");
            evidence.restore(batch);
            let held = evidence.updates() as usize;
            let _ = policy.on_flushed(now, Flushed::failed(Remainder::new(held, 0, now)));
        }
    }
    evidence.updates()
}

/// Stands for a tracker or a database.
struct Sink {
    fails: u32,
    delivered: u64,
}

impl Sink {
    fn write(&mut self, batch: Batch) -> Result<(), Batch> {
        if self.fails > 0 {
            self.fails -= 1;
            return Err(batch);
        }
        self.delivered += batch.updates();
        for entry in &batch {
            println!("  {}: {:?}", entry.key, entry.partial);
        }
        Ok(())
    }
}
