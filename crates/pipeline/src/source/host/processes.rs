//! The busiest processes.
//!
//! A process' share of the processor is its own time since the last listing, over the time that
//! passed, in percent of one core; so a process with four busy threads has 400. The library's own
//! figure is not used: it relates to an interval of its own, not to that between two listings.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use sysinfo::{Pid, Process, ProcessRefreshKind, ProcessesToUpdate, System};

use super::readings::{Present, Readings};

/// Pause for each process between two listings: reading one takes some ten microseconds, so this
/// keeps listing well below one percent of a core.
const PAUSE_PER_PROCESS: Duration = Duration::from_millis(4);

pub(super) struct ProcessTable {
    system: Option<System>,
    top: usize,
    listed: Option<Listing>,
    present: Present,
}

/// The processor times of all processes at a moment, in milliseconds.
struct Listing {
    at: Instant,
    times: HashMap<Pid, ProcessTime>,
}

#[derive(Clone, Copy)]
struct ProcessTime {
    /// Tells a process from an earlier one with the same number.
    started: u64,
    used_ms: u64,
}

impl ProcessTable {
    pub(super) fn new(top: usize) -> Self {
        Self {
            system: System::new().ok(),
            top,
            listed: None,
            present: Present::default(),
        }
    }

    /// Lists the processes, unless the last listing is too recent for their number.
    pub(super) fn read(&mut self, now: Instant, every: Duration, readings: &mut Readings) {
        if let Some(listed) = &self.listed {
            let count = u32::try_from(listed.times.len()).unwrap_or(u32::MAX);
            let pause = every.max(PAUSE_PER_PROCESS.saturating_mul(count));
            if now.saturating_duration_since(listed.at) < pause {
                return;
            }
        }
        let Some(system) = &mut self.system else {
            readings.whole("process.count", None);
            return;
        };
        // Even `nothing` lists the threads of each process, as processes of their own.
        let kind = ProcessRefreshKind::nothing()
            .without_tasks()
            .with_cpu()
            .with_memory();
        system.refresh_processes_specifics(ProcessesToUpdate::All, true, kind);
        let processes = system.processes();
        let count = processes.len() as u64;
        readings.whole("process.count", (count > 0).then_some(count));

        let mut listing = Listing {
            at: now,
            times: HashMap::with_capacity(processes.len()),
        };
        let mut ranked = Vec::with_capacity(processes.len());
        for (pid, process) in processes {
            let time = ProcessTime {
                started: process.start_time(),
                used_ms: process.accumulated_cpu_time(),
            };
            listing.times.insert(*pid, time);
            let share = share(*pid, time, now, self.listed.as_ref());
            ranked.push((share.unwrap_or(-1.0), process));
        }
        ranked.sort_by(|one, other| {
            let busier = other.0.total_cmp(&one.0);
            let larger = other.1.memory().cmp(&one.1.memory());
            busier.then(larger).then(one.1.pid().cmp(&other.1.pid()))
        });
        ranked.truncate(self.top);
        self.listed = Some(listing);

        let mut ranks = BTreeSet::new();
        for (index, (share, process)) in ranked.into_iter().enumerate() {
            let rank = (index + 1).to_string();
            report(&rank, Some((share, process)), readings);
            ranks.insert(rank);
        }
        for gone in self.present.replace(ranks) {
            report(&gone, None, readings);
        }
    }
}

/// The percentage of one core that a process used since the last listing. One that was not there
/// then has started since, and all of its time counts.
fn share(pid: Pid, time: ProcessTime, now: Instant, listed: Option<&Listing>) -> Option<f64> {
    let listed = listed?;
    let passed = now.saturating_duration_since(listed.at).as_secs_f64();
    let before = listed
        .times
        .get(&pid)
        .filter(|before| before.started == time.started)
        .map_or(0, |before| before.used_ms);
    let used_s = time.used_ms.saturating_sub(before) as f64 / 1000.0;
    (passed > 0.0).then(|| used_s / passed * 100.0)
}

fn report(rank: &str, process: Option<(f64, &Process)>, readings: &mut Readings) {
    let share = process.map(|(share, _)| share);
    let process = process.map(|(_, process)| process);
    let tag = |of: &str| format!("process.top.{rank}.{of}");
    let name = process.map(|process| process.name().to_string_lossy());
    readings.text(&tag("name"), name.as_deref());
    let pid = process.map(|process| u64::from(process.pid().as_u32()));
    readings.whole(&tag("pid"), pid);
    readings.number(&tag("cpu_pct"), share.filter(|share| *share >= 0.0));
    readings.whole(&tag("memory_bytes"), process.map(Process::memory));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_of_the_time_between_two_listings() {
        let start = Instant::now();
        let time = |started, used_ms| ProcessTime { started, used_ms };
        let listed = Listing {
            at: start,
            times: HashMap::from([(Pid::from_u32(7), time(100, 5_000))]),
        };
        let later = start + Duration::from_secs(2);
        let share_of = |pid, time, now| share(Pid::from_u32(pid), time, now, Some(&listed));
        assert_eq!(share_of(7, time(100, 6_000), later), Some(50.0));
        assert_eq!(share_of(7, time(100, 13_000), later), Some(400.0));
        // The number was given to another process, or is new.
        assert_eq!(share_of(7, time(101, 1_000), later), Some(50.0));
        assert_eq!(share_of(8, time(101, 1_000), later), Some(50.0));
        // Without time passed, or a listing before, nothing is known.
        assert_eq!(share_of(7, time(100, 6_000), start), None);
        assert_eq!(share(Pid::from_u32(7), time(100, 6_000), later, None), None);
    }
}
