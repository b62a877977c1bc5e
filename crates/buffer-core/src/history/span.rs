//! Which part of a time column a span selects. [`History::within`](super::History::within) states
//! the rules; here they are computed from the column alone.

/// How many of the latest steps from one time to another tell the period.
const PERIOD_STEPS_MAX: usize = 32;

/// The length of the run at the end of `times` that a span selects. `ascending` says that no time
/// is earlier than the one before it, which allows a search by halves.
pub(super) fn length_within(times: &[i64], span: i64, ascending: bool) -> usize {
    let Some(reference) = reference(times) else {
        return 0;
    };
    let period = median_period(times, ascending).unwrap_or(0).min(span);
    // Half of it rounded up: the value one span back stays out even when the period is 1.
    let tolerance = period - period / 2;
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

/// The median of the positive steps between the latest times, the lower of two: values that share a
/// time are one poll, however many they are, and a step back is no period.
fn median_period(times: &[i64], ascending: bool) -> Option<i64> {
    let mut steps = [0; PERIOD_STEPS_MAX];
    let (mut taken, mut count) = (0, 0);
    let mut rest = times;
    while let [.., before, last] = *rest
        && taken < PERIOD_STEPS_MAX
    {
        if before == last && ascending {
            // The rest of a poll is skipped by halves, since a poll may be as long as the history.
            rest = &rest[..=rest.partition_point(|time| *time < last)];
        } else {
            rest = &rest[..rest.len() - 1];
        }
        let step = last.saturating_sub(before);
        taken += usize::from(step != 0);
        if step > 0 {
            steps[count] = step;
            count += 1;
        }
    }
    let steps = &mut steps[..count];
    steps.sort_unstable();
    steps.get(count.saturating_sub(1) / 2).copied()
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
    fn a_span_of_five_periods_holds_five_values_whatever_the_unit() {
        for period in [1, 2, 3, 7] {
            let even: Vec<i64> = (0..50).map(|n| n * period).collect();
            check(&even, 5 * period, 5);
            check(&even, period, 1);
            check(&even, 0, 1);
        }
    }

    #[test]
    fn polls_of_any_size_keep_the_tolerance() {
        for size in [1, 32, 33, 34, 100] {
            // Times jitter by a tenth of the period.
            let polls: Vec<i64> = (0..20)
                .flat_map(|n| vec![n * 100 + n % 2 * 10; size])
                .collect();
            check(&polls, 500, 5 * size);
            check(&polls, 600, 6 * size);
        }
    }

    #[test]
    fn of_an_even_number_of_steps_the_lower_median_counts() {
        check(&[0, 3_600_000, 3_600_100], 150, 2);
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
