//! Which part of a time column a span selects. [`History::within`](super::History::within) states
//! the rules; here they are computed from the column alone.

/// How many of the latest values tell the period.
const PERIOD_SAMPLES_MAX: usize = 33;

/// The length of the run at the end of `times` that a span selects. `ascending` says that no time
/// is earlier than the one before it, which allows a search by halves.
pub(super) fn length_within(times: &[i64], span: i64, ascending: bool) -> usize {
    let Some(reference) = reference(times) else {
        return 0;
    };
    let tolerance = median_period(times).unwrap_or(0).min(span) / 2;
    let begin = reference.saturating_sub(span - tolerance);
    let start = if ascending {
        times.partition_point(|time| *time < begin)
    } else {
        let first = times
            .iter()
            .position(|time| (begin..=reference).contains(time));
        first.unwrap_or(times.len() - 1)
    };
    times.len() - start
}

/// The newest time, or the median of the last three if it is later.
fn reference(times: &[i64]) -> Option<i64> {
    let newest = *times.last()?;
    let [.., a, b, c] = *times else {
        return Some(newest);
    };
    let median = a.max(b).min(a.min(b).max(c));
    Some(newest.max(median))
}

/// The median of the positive steps between the latest times: values that share a time are one
/// poll, and a step back is no period.
fn median_period(times: &[i64]) -> Option<i64> {
    let recent = &times[times.len().saturating_sub(PERIOD_SAMPLES_MAX)..];
    let mut steps = [0; PERIOD_SAMPLES_MAX];
    let mut count = 0;
    for pair in recent.windows(2) {
        let step = pair[1].saturating_sub(pair[0]);
        if step > 0 {
            steps[count] = step;
            count += 1;
        }
    }
    let steps = &mut steps[..count];
    steps.sort_unstable();
    steps.get(count / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(times: &[i64], span: i64, expected: usize) {
        let ascending = times.is_sorted();
        assert_eq!(
            length_within(times, span, ascending),
            expected,
            "{times:?} within {span}"
        );
        // The search by halves and the scan agree wherever both apply.
        assert_eq!(
            length_within(times, span, false),
            expected,
            "{times:?} scanned"
        );
    }

    #[test]
    fn a_span_of_five_periods_holds_five_values() {
        let even: Vec<i64> = (0..20).map(|n| n * 100).collect();
        check(&even, 500, 5);
        check(&even, 100, 1);
        check(&even, 30, 1);
        check(&even, 0, 1);
        check(&even, i64::MAX, 20);
    }

    #[test]
    fn nothing_and_one_value() {
        check(&[], 10, 0);
        check(&[7], 0, 1);
        check(&[7], 10, 1);
    }

    #[test]
    fn extreme_times_do_not_overflow() {
        check(&[i64::MIN, i64::MAX], i64::MAX, 1);
        check(&[i64::MIN, i64::MIN + 1], i64::MAX, 2);
        check(&[i64::MAX, i64::MIN], 5, 1);
    }

    #[test]
    fn values_of_one_poll_share_a_time() {
        let polls: Vec<i64> = (0..10).flat_map(|n| [n * 10; 4]).collect();
        check(&polls, 30, 12);
        check(&polls, 0, 4);
    }
}
