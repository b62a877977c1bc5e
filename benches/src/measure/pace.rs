//! Threads that work flat out while one watches: start together, published progress, stop.
//!
//! A rate is the progress in a window of time that begins after a warm-up, so neither starting
//! threads nor the first growth of a structure is in it.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// The most threads of a run that publish progress.
const THREADS_MAX: usize = 8;

/// The processor time of the calling thread. For work of a single thread it is the better clock:
/// it stands still while another process has the processor.
pub(crate) fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.cast_unsigned(), time.tv_nsec as u32)
}

/// The processor time of this process, all threads together.
pub(crate) fn process_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.cast_unsigned(), time.tv_nsec as u32)
}

/// A counter on cache lines of its own, so that publishing progress disturbs nobody.
#[repr(align(128))]
#[derive(Default)]
struct Padded(AtomicU64);

/// What the threads of a run share.
pub(crate) struct Pace {
    start: Barrier,
    stopped: AtomicBool,
    progress: [Padded; THREADS_MAX],
}

/// What was measured between warm-up and stop.
pub(crate) struct Window {
    /// Progress of each thread.
    done: [u64; THREADS_MAX],
    elapsed: Duration,
}

impl Window {
    /// All threads together.
    pub(crate) fn millions_per_s(&self) -> f64 {
        let done: u64 = self.done.iter().sum();
        done as f64 / self.elapsed.as_secs_f64() / 1e6
    }

    /// How long it was.
    pub(crate) fn elapsed(&self) -> Duration {
        self.elapsed
    }

    /// One thread.
    pub(crate) fn millions_per_s_of(&self, thread: usize) -> f64 {
        self.done[thread] as f64 / self.elapsed.as_secs_f64() / 1e6
    }
}

impl Pace {
    /// For so many working threads, and the one that watches.
    pub(crate) fn new(workers: usize) -> Self {
        Self {
            start: Barrier::new(workers + 1),
            stopped: AtomicBool::new(false),
            progress: Default::default(),
        }
    }

    /// Waits for all others; each worker calls it once.
    pub(crate) fn wait_for_start(&self) {
        self.start.wait();
    }

    #[inline(always)]
    pub(crate) fn goes_on(&self) -> bool {
        !self.stopped.load(Ordering::Relaxed)
    }

    #[inline(always)]
    pub(crate) fn publish(&self, thread: usize, count: u64) {
        self.progress[thread].0.store(count, Ordering::Relaxed);
    }

    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    fn read(&self) -> [u64; THREADS_MAX] {
        std::array::from_fn(|thread| self.progress[thread].0.load(Ordering::Relaxed))
    }

    /// Measures for `duration`, and lets everybody go on.
    pub(crate) fn observe(&self, duration: Duration) -> Window {
        let (before, since) = (self.read(), Instant::now());
        std::thread::sleep(duration);
        let after = self.read();
        Window {
            done: std::array::from_fn(|thread| after[thread] - before[thread]),
            elapsed: since.elapsed(),
        }
    }

    /// Starts everybody, calls `each` once per interval, measures for `duration` after a warm-up
    /// of at least one interval, and tells everybody to stop.
    pub(crate) fn watch(
        &self,
        duration: Duration,
        interval: Duration,
        mut each: impl FnMut(),
    ) -> Window {
        self.start.wait();
        let mut now = Instant::now();
        let warm = now + interval.max(duration / 4);
        let mut due = now;
        let mut window: Option<([u64; THREADS_MAX], Instant)> = None;
        loop {
            due = now.max(due + interval);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            each();
            now = Instant::now();
            match window {
                None if now >= warm => window = Some((self.read(), now)),
                Some((before, since)) if now >= since + duration => {
                    let after = self.read();
                    self.stop();
                    return Window {
                        done: std::array::from_fn(|thread| after[thread] - before[thread]),
                        elapsed: now - since,
                    };
                }
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_sleeps_uses_no_time() {
        let before = thread_time();
        std::thread::sleep(Duration::from_millis(50));
        assert!(thread_time() - before < Duration::from_millis(50));
    }

    #[test]
    fn a_window_counts_what_was_done_in_it_alone() {
        let pace = Pace::new(1);
        let tick = Duration::from_millis(1);
        let (window, counted) = std::thread::scope(|scope| {
            let worker = scope.spawn(|| {
                pace.wait_for_start();
                let mut count = 0;
                while pace.goes_on() {
                    count += 1;
                    pace.publish(0, count);
                }
                count
            });
            let window = pace.watch(5 * tick, tick, || {});
            (window, worker.join().unwrap())
        });
        assert!(window.elapsed >= 5 * tick);
        assert!(window.done[0] <= counted && window.done[1] == 0);
        assert_eq!(window.millions_per_s(), window.millions_per_s_of(0));
    }
}
