//! What happened in a simulation: a hash over all of it, the last lines of it, and counts.
//!
//! Two runs of one seed must give the same hash, or a failure could not be replayed. The lines are
//! kept only when somebody wants to read them.

use std::collections::VecDeque;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Lines that are kept for whoever reads the trace of a failed seed.
const LINES_MAX: usize = 400;

/// What becomes of the lines of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lines {
    Left,
    /// The last ones, for whoever reads of a failure.
    Kept,
    /// Also said as they come, for a seed that does not end.
    Said,
}

/// What happened so far; a clone is another handle to the same one.
#[derive(Clone)]
pub(crate) struct Trace {
    state: Arc<Mutex<State>>,
}

struct State {
    hash: DefaultHasher,
    wanted: Lines,
    lines: VecDeque<String>,
    tally: Tally,
    /// The first law that was broken, by whoever saw it.
    broken: Option<String>,
    /// Virtual time of the lives before this one.
    before: Duration,
    /// When this life began.
    began: Option<Instant>,
}

impl Trace {
    pub(crate) fn new(lines: Lines) -> Self {
        Self {
            state: Arc::new(Mutex::new(State {
                hash: DefaultHasher::new(),
                wanted: lines,
                lines: VecDeque::new(),
                tally: Tally::default(),
                broken: None,
                before: Duration::ZERO,
                began: None,
            })),
        }
    }

    /// A new runtime, whose clock begins anew.
    pub(crate) fn begin_life(&self) {
        self.state.lock().began = Some(Instant::now());
    }

    pub(crate) fn end_life(&self) {
        let mut state = self.state.lock();
        if let Some(began) = state.began.take() {
            let lasted = began.elapsed();
            state.before += lasted;
            state.tally.virtual_time += lasted;
        }
    }

    /// Adds to the hash, and to the lines if somebody wants them.
    pub(crate) fn note(&self, what: fmt::Arguments<'_>) {
        let mut state = self.state.lock();
        let at = state.before + state.began.map_or(Duration::ZERO, |began| began.elapsed());
        let line = format!("{:>12.3} s  {what}", at.as_secs_f64());
        line.hash(&mut state.hash);
        if state.wanted == Lines::Said {
            println!("{line}");
        }
        if state.wanted != Lines::Left {
            if state.lines.len() == LINES_MAX {
                state.lines.pop_front();
            }
            state.lines.push_back(line);
        }
    }

    /// Counts something.
    pub(crate) fn count(&self, act: impl FnOnce(&mut Tally)) {
        act(&mut self.state.lock().tally);
    }

    /// A law is broken; the first word of it counts.
    pub(crate) fn broke(&self, what: String) {
        self.state.lock().broken.get_or_insert(what);
    }

    /// The first law that was broken.
    pub(crate) fn broken(&self) -> Option<String> {
        self.state.lock().broken.clone()
    }

    pub(crate) fn tally(&self) -> Tally {
        self.state.lock().tally.clone()
    }

    pub(crate) fn hash(&self) -> u64 {
        self.state.lock().hash.finish()
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.state.lock().lines.iter().cloned().collect()
    }
}

/// How much was simulated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) virtual_time: Duration,
    pub(crate) steps: u64,
    pub(crate) offered: u64,
    pub(crate) written: u64,
    pub(crate) dropped: u64,
    pub(crate) handed_back: u64,
    pub(crate) batches: u64,
    pub(crate) failures: u64,
    pub(crate) panics: u64,
    pub(crate) kills: u64,
    pub(crate) takeovers: u64,
    pub(crate) shutdowns: u64,
    pub(crate) reloads: u64,
    pub(crate) purges: u64,
    pub(crate) jumps: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, other: &Self) {
        self.virtual_time += other.virtual_time;
        self.steps += other.steps;
        self.offered += other.offered;
        self.written += other.written;
        self.dropped += other.dropped;
        self.handed_back += other.handed_back;
        self.batches += other.batches;
        self.failures += other.failures;
        self.panics += other.panics;
        self.kills += other.kills;
        self.takeovers += other.takeovers;
        self.shutdowns += other.shutdowns;
        self.reloads += other.reloads;
        self.purges += other.purges;
        self.jumps += other.jumps;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days = self.virtual_time.as_secs_f64() / 86_400.0;
        writeln!(out, "  {days:>14.1} days of virtual time")?;
        for (count, what) in [
            (self.steps, "steps, with every law checked after each"),
            (self.offered, "updates offered"),
            (self.written, "updates written"),
            (self.dropped, "updates dropped and counted so"),
            (self.handed_back, "updates handed back by shutdowns"),
            (self.batches, "batches written"),
            (self.failures, "failures injected"),
            (self.panics, "panics injected"),
            (self.kills, "kills"),
            (self.takeovers, "take-overs by a second pipeline"),
            (self.shutdowns, "shutdowns"),
            (self.reloads, "changes of routes"),
            (self.purges, "purges"),
            (self.jumps, "jumps of the clock"),
        ] {
            writeln!(out, "  {count:>14} {what}")?;
        }
        Ok(())
    }
}
