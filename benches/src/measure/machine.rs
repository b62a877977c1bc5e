//! How busy the machine was with other things while something was measured.
//!
//! On a busy machine threads take turns instead of contending, and contended structures look
//! several times better than they are: such a run is worth nothing, and the report says so.

use std::fs;
use std::thread;
use std::time::Instant;

use crate::{process, report};

/// Above this share of the machine's processor time used by others, or withheld by the host, a
/// run is not quiet.
const OTHERS_MAX_PCT: f64 = 3.0;

/// Processor time of the whole machine since it started, in seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct CpuTime {
    busy_s: f64,
    /// Time for which the host of a virtual machine ran something else.
    stolen_s: f64,
}

/// The start of an observed span.
pub(crate) struct Watch {
    since: Instant,
    machine: Option<CpuTime>,
    own_s: Option<f64>,
    load: String,
}

/// What was observed.
#[derive(Debug)]
pub(crate) struct Quietness {
    others_pct: f64,
    stolen_pct: f64,
    load_before: String,
    load_after: String,
}

impl Watch {
    pub(crate) fn start() -> Self {
        Self {
            since: Instant::now(),
            machine: machine(),
            // What a run starts and waits for is its own.
            own_s: process::family_cpu_time_s(std::process::id()),
            load: report::load_average(),
        }
    }

    /// `None` where the kernel tells nothing.
    pub(crate) fn finish(self) -> Option<Quietness> {
        let (after, own_s) = (machine()?, process::family_cpu_time_s(std::process::id())?);
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let capacity_s = self.since.elapsed().as_secs_f64() * cores as f64;
        let before = self.machine?;
        Some(Quietness {
            others_pct: share_pct(
                after.busy_s - before.busy_s - (own_s - self.own_s?),
                capacity_s,
            ),
            stolen_pct: share_pct(after.stolen_s - before.stolen_s, capacity_s),
            load_before: self.load,
            load_after: report::load_average(),
        })
    }
}

impl Quietness {
    pub(crate) fn is_quiet(&self) -> bool {
        self.others_pct <= OTHERS_MAX_PCT && self.stolen_pct <= OTHERS_MAX_PCT
    }
}

impl std::fmt::Display for Quietness {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(
            out,
            "load average before: {}, after: {}; other processes used {:.1} % of the processors, \
             the host withheld {:.1} %",
            self.load_before, self.load_after, self.others_pct, self.stolen_pct
        )?;
        if self.is_quiet() {
            write!(out, "the machine was quiet")
        } else {
            write!(
                out,
                "WARNING: the machine was NOT quiet: do not trust ratios of contended cases"
            )
        }
    }
}

fn share_pct(part_s: f64, whole_s: f64) -> f64 {
    // The two clocks tick apart by a hundredth of a second, so a small negative part is none.
    (part_s.max(0.0) / whole_s * 100.0).min(100.0)
}

fn machine() -> Option<CpuTime> {
    machine_time_in(&fs::read_to_string("/proc/stat").ok()?)
}

/// Reads the first line of `/proc/stat`: user, nice, system, idle, iowait, irq, softirq, steal, in
/// hundredths of a second. What guests used is in user and nice already.
fn machine_time_in(stat: &str) -> Option<CpuTime> {
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    let ticks: Vec<f64> = line
        .split_whitespace()
        .map_while(|field| field.parse().ok())
        .collect();
    let &[user, nice, system, _idle, _iowait, irq, softirq, steal, ..] = ticks.as_slice() else {
        return None;
    };
    Some(CpuTime {
        busy_s: (user + nice + system + irq + softirq) / 100.0,
        stolen_s: steal / 100.0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn busy_and_stolen_time_are_read_from_the_first_line() {
        let stat = "cpu  100 200 300 9999 50 10 20 70 5 5\ncpu0 1 2 3 4 5 6 7 8 9 10\n";
        let expected = CpuTime {
            busy_s: 6.3,
            stolen_s: 0.7,
        };
        assert_eq!(machine_time_in(stat), Some(expected));
        assert_eq!(machine_time_in("cpu0 1 2 3\n"), None);
        assert_eq!(machine_time_in("cpu  1 2 3\n"), None);
    }

    #[test]
    fn a_share_stays_between_none_and_all() {
        assert_eq!(share_pct(1.0, 4.0), 25.0);
        assert_eq!(share_pct(-0.01, 4.0), 0.0);
        assert_eq!(share_pct(5.0, 4.0), 100.0);
    }

    #[test]
    fn a_busy_machine_is_called_so() {
        let quietness = |others_pct, stolen_pct| Quietness {
            others_pct,
            stolen_pct,
            load_before: "0".into(),
            load_after: "0".into(),
        };
        assert!(quietness(1.0, 0.0).to_string().contains("was quiet"));
        assert!(quietness(20.0, 0.0).to_string().contains("NOT quiet"));
        assert!(quietness(0.0, 20.0).to_string().contains("NOT quiet"));
    }
}
