//! Child processes: how long they took, how much memory they had at most, how busy they were.
//!
//! Figures come from Linux' `/proc`. The kernel keeps the high-water mark of resident memory
//! (`VmHWM`) itself, so reading it now and then misses only what a process gained in its last few
//! milliseconds; no sampling of the momentary size could promise that.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

/// How often the high-water mark is read: rarely enough to cost the child nothing.
const MEMORY_INTERVAL: Duration = Duration::from_millis(5);

/// Clock ticks per second in `/proc/<pid>/stat`: 100 on Linux, whatever the kernel's own rate.
const TICKS_PER_S: f64 = 100.0;

/// A command for our own program that no setting from this environment reaches.
pub(crate) fn with_defaults(program: &Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("FOREBAY_") {
            command.env_remove(name);
        }
    }
    command
}

/// The interpreter of Python itself, where there is one: a wrapper on the path would be timed
/// along with it.
pub(crate) fn python() -> Option<PathBuf> {
    let question = "import sys; print(sys.executable)";
    let output = Command::new("python3").args(["-c", question]).output();
    let output = output.ok().filter(|output| output.status.success())?;
    let path = String::from_utf8(output.stdout).ok()?;
    Some(PathBuf::from(path.trim()))
}

/// A child that ran to its end.
pub(crate) struct Finished {
    /// From before the start of the process until it was gone.
    pub(crate) elapsed: Duration,
    /// `None` if the process was gone before the first look.
    pub(crate) peak_memory_mb: Option<f64>,
    pub(crate) stdout: String,
}

/// Runs the command to its end. An exit code other than 0 is an error that shows what it printed.
pub(crate) fn measure(command: &mut Command) -> Result<Finished> {
    let program = command.get_program().to_string_lossy().into_owned();
    let started = Instant::now();
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {program}"))?;
    let pid = child.id();
    let ended = AtomicBool::new(false);
    let (output, elapsed, peak_memory_mb) = std::thread::scope(|scope| {
        let watcher = scope.spawn(|| watch_memory(pid, &ended));
        let output = child.wait_with_output();
        let elapsed = started.elapsed();
        ended.store(true, Ordering::Relaxed);
        (
            output,
            elapsed,
            watcher.join().expect("the watcher does not panic"),
        )
    });
    let output = output?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{program} ended with {}: {}",
        output.status,
        stderr.trim()
    );
    let stdout = String::from_utf8(output.stdout).context("standard output is not UTF-8")?;
    Ok(Finished {
        elapsed,
        peak_memory_mb,
        stdout,
    })
}

/// The last high-water mark seen. The first ones may belong to this process, whose memory a child
/// shares until it has loaded its program, so the highest would be wrong.
fn watch_memory(pid: u32, ended: &AtomicBool) -> Option<f64> {
    let mut last = None;
    while !ended.load(Ordering::Relaxed) {
        last = peak_memory_mb(pid).or(last);
        std::thread::sleep(MEMORY_INTERVAL);
    }
    last
}

/// The high-water mark of resident memory in MB (10⁶ bytes); `None` if the process is gone.
pub(crate) fn peak_memory_mb(pid: u32) -> Option<f64> {
    memory_mb(
        &std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?,
        "VmHWM:",
    )
}

/// The resident memory in MB (10⁶ bytes) at this moment; `None` if the process is gone.
pub(crate) fn resident_memory_mb(pid: u32) -> Option<f64> {
    memory_mb(
        &std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?,
        "VmRSS:",
    )
}

/// Processor time used so far, of all threads, in user and system mode.
pub(crate) fn cpu_time_s(pid: u32) -> Option<f64> {
    cpu_time_in(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The same, and that of its children that ended and were waited for.
pub(crate) fn family_cpu_time_s(pid: u32) -> Option<f64> {
    family_cpu_time_in(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

fn memory_mb(status: &str, field: &str) -> Option<f64> {
    let value = status.lines().find_map(|line| line.strip_prefix(field))?;
    let kibibytes: f64 = value.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024.0 / 1e6)
}

fn cpu_time_in(stat: &str) -> Option<f64> {
    let [user, system, ..] = cpu_times_in(stat)?;
    Some(user + system)
}

fn family_cpu_time_in(stat: &str) -> Option<f64> {
    Some(cpu_times_in(stat)?.iter().sum())
}

/// User and system time, and those of the children.
fn cpu_times_in(stat: &str) -> Option<[f64; 4]> {
    // The name in parentheses may hold spaces; user and system time are fields 14 and 15 of the
    // line, of which the name is the second, and those of the children follow.
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut times = after_name
        .split_whitespace()
        .skip(11)
        .map(|field| Some(field.parse::<f64>().ok()? / TICKS_PER_S));
    Some([
        times.next()??,
        times.next()??,
        times.next()??,
        times.next()??,
    ])
}

/// A child that is ended when this is dropped, so that an error does not leave it behind.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only if the child is gone already, which is what they are for.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_child_is_measured_and_its_output_kept() {
        let finished = measure(&mut shell("echo one; sleep 0.05; echo two")).unwrap();
        assert_eq!(finished.stdout, "one\ntwo\n");
        assert!(finished.elapsed >= Duration::from_millis(50));
        let peak = finished
            .peak_memory_mb
            .expect("the child lived for ten looks");
        assert!(peak > 0.1 && peak < 100.0, "{peak} MB");
    }

    #[test]
    fn a_failed_child_is_an_error_with_what_it_said() {
        let error = measure(&mut shell("echo why >&2; exit 3"))
            .err()
            .unwrap()
            .to_string();
        assert!(
            error.contains("exit status: 3") && error.contains("why"),
            "{error}"
        );
    }

    #[test]
    fn the_fields_of_proc_are_read() {
        let status = "VmPeak:\t  9 kB\nVmHWM:\t    2000 kB\nVmRSS:\t 1000 kB\n";
        assert_eq!(memory_mb(status, "VmHWM:"), Some(2.048));
        assert_eq!(memory_mb("State:\tZ (zombie)\n", "VmHWM:"), None);
        let stat = "42 (a) b) S 1 2 3 4 5 6 7 8 9 10 250 50 100 25 20 0 8 0 1 2 3";
        assert_eq!(cpu_time_in(stat), Some(3.0));
        assert_eq!(family_cpu_time_in(stat), Some(4.25));
        assert_eq!(cpu_time_in("42 (a) S 1"), None);
    }
}
