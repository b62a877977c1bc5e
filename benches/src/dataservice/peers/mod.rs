//! What one would write or take instead of the data service.

mod channels;
mod dash;
mod mutex_map;
mod observables;
mod port;

use std::collections::VecDeque;

pub(super) use channels::{Broadcast, WatchPerKey};
pub(super) use dash::DashMap;
pub(super) use mutex_map::{MutexMap, Queues};
pub(super) use observables::Observables;
pub(super) use port::{Port, Wants};

type Foldhash = foldhash::fast::RandomState;

/// Time and value, the newest at the back.
type Buffer = VecDeque<(i64, f64)>;

/// Appends, and drops the oldest if there are more than `depth`.
#[inline(always)]
fn append(buffer: &mut Buffer, depth: usize, time_us: i64, value: f64) {
    if buffer.len() == depth {
        buffer.pop_front();
    }
    buffer.push_back((time_us, value));
}

/// Copies the last `depth` values into a vector that is used again.
fn copy_window(buffer: &Buffer, depth: usize, window: &mut Vec<(i64, f64)>) {
    window.clear();
    let (older, newer) = buffer.as_slices();
    let skipped = buffer.len().saturating_sub(depth);
    window.extend_from_slice(older.get(skipped..).unwrap_or_default());
    let skipped = skipped.saturating_sub(older.len());
    window.extend_from_slice(&newer[skipped..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_the_newest_values_in_order_wherever_the_buffer_is_split() {
        let mut buffer = Buffer::with_capacity(7);
        let mut window = Vec::new();
        for number in 0..50_i32 {
            append(&mut buffer, 7, i64::from(number), f64::from(number));
            for depth in [1, 3, 7, 9] {
                copy_window(&buffer, depth as usize, &mut window);
                let first = (number + 1 - depth.min(7)).max(0);
                let expected: Vec<i64> = (first..=number).map(i64::from).collect();
                let times: Vec<i64> = window.iter().map(|(time, _)| *time).collect();
                assert_eq!(times, expected);
            }
        }
    }
}
