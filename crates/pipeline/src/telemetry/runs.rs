//! Equal latencies next to each other, taken together.
//!
//! The records of a batch lie in the order of their arrival, so neighbours waited for nearly as
//! long. Latencies whose seven leading bits agree are recorded as one, under their mean: a batch of
//! 500 becomes a handful of entries, none off by more than one part in 64, and the sum is exact.

use std::time::Duration;

/// Leading bits that tell latencies apart.
const BITS: u32 = 7;

/// So many records that waited for about as long.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Run {
    pub(super) count: usize,
    sum_ns: u64,
    bin: (u32, u64),
}

impl Run {
    fn of(latency: Duration, count: usize) -> Self {
        // 584 years are enough.
        let whole = latency.as_secs().saturating_mul(1_000_000_000);
        let ns = whole.saturating_add(u64::from(latency.subsec_nanos()));
        Self {
            count,
            sum_ns: ns.saturating_mul(count as u64),
            bin: bin(ns),
        }
    }

    /// What they waited for on the average, in seconds.
    pub(super) fn mean_s(&self) -> f64 {
        self.sum_ns as f64 / (self.count as f64 * 1e9)
    }
}

/// Hands each run to `act`.
pub(super) fn each_run(
    latencies: impl IntoIterator<Item = (Duration, usize)>,
    mut act: impl FnMut(Run),
) {
    let mut open: Option<Run> = None;
    for (latency, count) in latencies.into_iter().filter(|(_, count)| *count > 0) {
        let next = Run::of(latency, count);
        match &mut open {
            Some(run) if run.bin == next.bin => {
                run.count += next.count;
                run.sum_ns = run.sum_ns.saturating_add(next.sum_ns);
            }
            _ => {
                if let Some(run) = open.replace(next) {
                    act(run);
                }
            }
        }
    }
    if let Some(run) = open {
        act(run);
    }
}

/// The leading bits, and how many follow them.
fn bin(ns: u64) -> (u32, u64) {
    let shift = (u64::BITS - ns.leading_zeros()).saturating_sub(BITS);
    (shift, ns >> shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(latencies_us: &[(u64, usize)], runs: usize) {
        let latencies = latencies_us
            .iter()
            .map(|(us, count)| (Duration::from_micros(*us), *count));
        let (mut found, mut count, mut sum) = (0, 0, 0.0);
        each_run(latencies.clone(), |run| {
            found += 1;
            count += run.count;
            sum += run.mean_s() * run.count as f64;
        });
        assert_eq!(found, runs, "{latencies_us:?}");
        assert_eq!(
            count,
            latencies_us.iter().map(|(_, count)| count).sum::<usize>()
        );
        let exact: f64 = latencies.map(|(of, n)| of.as_secs_f64() * n as f64).sum();
        assert!((sum - exact).abs() <= exact * 1e-9, "{sum} and {exact}");
    }

    #[test]
    fn neighbours_that_waited_for_about_as_long_are_one_run() {
        check(&[], 0);
        check(&[(5, 0)], 0);
        check(&[(5, 1)], 1);
        check(&[(0, 3), (1, 2)], 2);
        check(&[(1_000_000_000_000, 3), (1_000_000_000_001, 2)], 1);
        check(&[(50_000, 3), (50_010, 4), (50_100, 1)], 1);
        check(&[(50_000, 3), (51_000, 4), (50_000, 1)], 3);
    }

    #[test]
    fn no_value_is_off_by_more_than_one_part_in_64() {
        for ns in (1..100_000_u64).step_by(7).chain([u64::MAX]) {
            let (shift, head) = bin(ns);
            let (low, width) = (head << shift, 1_u64 << shift);
            assert!((low..=low + (width - 1)).contains(&ns));
            assert!(
                (width - 1) as f64 <= ns as f64 / 64.0,
                "{ns}: {width} from {low}"
            );
        }
    }
}
