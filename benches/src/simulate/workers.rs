//! Seeds dealt out to threads, with a watch over those that do not end.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::ops::Range;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::trace::{Lines, Tally};
use crate::world::{self, Outcome};

/// Threads that run seeds.
const WORKERS: usize = 2;
/// Real time after which a seed counts as stuck.
const SEED_MAX: Duration = Duration::from_secs(60);

/// What came of all seeds.
pub(crate) struct Done {
    pub(crate) seeds: u64,
    pub(crate) tally: Tally,
    pub(crate) failed: BTreeMap<u64, String>,
}

/// Runs one seed; a panic outside of the pipeline's own tasks is a failure too.
pub(crate) fn run(seed: u64, lines: Lines) -> Outcome {
    let run = std::panic::catch_unwind(AssertUnwindSafe(|| world::run(seed, lines)));
    let mut outcome = run.unwrap_or_else(|_| Outcome {
        result: Err(anyhow::anyhow!("law 11: something panicked, see above")),
        tally: Tally::default(),
        hash: 0,
        lines: Vec::new(),
        shape: String::new(),
    });
    if let Some(panic) = PANIC.take()
        && outcome.result.is_ok()
    {
        outcome.result = Err(anyhow::anyhow!("law 11: a task panicked: {panic}"));
    }
    outcome
}

thread_local! {
    /// The first panic on this thread that nobody injected.
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Panics that are injected are part of the plan; any other is remembered.
pub(crate) fn hush_injected_panics() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let payload = info.payload();
        let text = payload.downcast_ref::<&str>().map(ToString::to_string);
        let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
        let text = text.unwrap_or_default();
        if text.starts_with("injected") {
            return;
        }
        PANIC.with_borrow_mut(|panic| {
            panic.get_or_insert(text);
        });
        before(info);
    }));
}

/// A failure that cannot be replayed is of little use.
///
/// # Errors
/// When two runs of the seed differ.
pub(crate) fn check_that_seeds_replay(seed: u64) -> Result<(), String> {
    if cfg!(not(tokio_unstable)) {
        // The runtime's own choices cannot be seeded; `cargo xtask simulate` builds it otherwise.
        println!("simulate: built without `--cfg tokio_unstable`, so seeds do not replay exactly");
        return Ok(());
    }
    for seed in seed..seed.saturating_add(5) {
        let (first, second) = (run(seed, Lines::Kept), run(seed, Lines::Kept));
        if first.hash != second.hash {
            let pairs = first.lines.iter().zip(&second.lines);
            let differ = pairs.skip_while(|(first, second)| first == second).take(1);
            let differ: Vec<_> = differ.collect();
            return Err(format!(
                "seed {seed} took two courses; they differ at {differ:#?}"
            ));
        }
    }
    Ok(())
}

/// Runs the seeds on all workers, up to the first failure unless `keep_going`.
pub(crate) fn run_all(seeds: Range<u64>, keep_going: bool) -> Done {
    let next = AtomicU64::new(seeds.start);
    let done = Mutex::new(Done {
        seeds: 0,
        tally: Tally::default(),
        failed: BTreeMap::new(),
    });
    let under_way: [Mutex<Option<(u64, Instant)>>; WORKERS] = Default::default();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let workers: Vec<_> = under_way
            .iter()
            .map(|slot| {
                let (next, done, end) = (&next, &done, seeds.end);
                scope.spawn(move || {
                    while let seed = next.fetch_add(1, Ordering::Relaxed)
                        && seed < end
                    {
                        *slot.lock() = Some((seed, Instant::now()));
                        let outcome = run(seed, Lines::Left);
                        *slot.lock() = None;
                        let mut done = done.lock();
                        done.seeds += 1;
                        done.tally.add(&outcome.tally);
                        if let Err(why) = outcome.result {
                            eprintln!("\rsimulate: seed {seed} FAILED: {why:#}");
                            done.failed.insert(seed, format!("{why:#}"));
                        }
                        if !keep_going && !done.failed.is_empty() {
                            break;
                        }
                    }
                })
            })
            .collect();
        let (done, over, under_way) = (&done, &over, &under_way);
        scope.spawn(move || watch(&seeds, done, over, under_way));
        for worker in workers {
            worker.join().expect("seeds catch their panics");
        }
        over.store(true, Ordering::Relaxed);
    });
    done.into_inner()
}

/// Shows how far it is, and ends the program when a seed is stuck: its thread cannot be stopped.
fn watch(
    seeds: &Range<u64>,
    done: &Mutex<Done>,
    over: &AtomicBool,
    under_way: &[Mutex<Option<(u64, Instant)>>],
) {
    let is_shown = std::io::stderr().is_terminal();
    while !over.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(20));
        for slot in under_way {
            if let Some((seed, since)) = *slot.lock()
                && since.elapsed() > SEED_MAX
            {
                eprintln!("simulate: seed {seed} FAILED: stuck for {SEED_MAX:?} of real time");
                eprintln!("simulate: replay it with `cargo xtask simulate --seed {seed}`");
                std::process::exit(1);
            }
        }
        if is_shown {
            let (count, all) = (done.lock().seeds, seeds.end - seeds.start);
            eprint!("\rsimulate: {count} of {all} seeds");
            let _ = std::io::stderr().flush();
        }
    }
    if is_shown {
        eprintln!();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_seeds_hold_every_law_and_do_something() {
        hush_injected_panics();
        let done = run_all(1..9, true);
        assert_eq!(done.failed, BTreeMap::new());
        assert_eq!(done.seeds, 8);
        let tally = done.tally;
        assert!(
            tally.written > 0 && tally.failures > 0 && tally.kills > 0,
            "{tally}"
        );
    }

    #[test]
    #[cfg(tokio_unstable)]
    fn a_seed_takes_the_same_course_every_time() {
        hush_injected_panics();
        assert_eq!(check_that_seeds_replay(1), Ok(()));
    }
}
