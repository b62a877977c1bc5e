//! What was heard so far.

use anyhow::{Context, Result};
use hdrhistogram::Histogram;

use crate::fanout::plan::{Heard, Latencies, Window};

/// The longest latency that is told from longer ones.
const LATENCY_MAX_US: u64 = 600_000_000;

/// The account of all connections.
pub(super) struct Tally {
    window: Window,
    normal: Histogram<u64>,
    critical: Histogram<u64>,
    delivered: u64,
    arrived: u64,
    bytes: u64,
    last_us: u64,
}

/// The account of one connection.
#[derive(Clone, Copy, Default)]
pub(super) struct Own {
    count: u64,
    sum_us: u64,
}

impl Tally {
    pub(super) fn new(window: Window) -> Result<Self> {
        let histogram = || Histogram::new_with_max(LATENCY_MAX_US, 3).context("sound bounds");
        Ok(Self {
            window,
            normal: histogram()?,
            critical: histogram()?,
            delivered: 0,
            arrived: 0,
            bytes: 0,
            last_us: 0,
        })
    }

    pub(super) fn window(&self) -> &Window {
        &self.window
    }

    /// Notes what was read at once.
    pub(super) fn read(&mut self, bytes: usize, now_us: u64) {
        if (self.window.from_us..self.window.until_us).contains(&now_us) {
            self.bytes += bytes as u64;
        }
    }

    /// Notes an update; what is due outside of the window is an arrival, and else does not count.
    pub(super) fn note(&mut self, own: &mut Own, due_us: u64, is_critical: bool, now_us: u64) {
        let Window {
            from_us, until_us, ..
        } = self.window;
        self.arrived += u64::from((from_us..until_us).contains(&now_us));
        if !(from_us..until_us).contains(&due_us) {
            return;
        }
        own.count += 1;
        own.sum_us += due_us - from_us;
        self.delivered += 1;
        self.last_us = now_us;
        self.latency(is_critical, now_us.saturating_sub(due_us));
    }

    /// Notes an answer to a request.
    pub(super) fn answered(&mut self, asked_us: u64, now_us: u64) {
        if (self.window.from_us..self.window.until_us).contains(&now_us) {
            self.arrived += 1;
            self.delivered += 1;
            self.last_us = now_us;
            self.latency(false, now_us - asked_us);
        }
    }

    fn latency(&mut self, is_critical: bool, latency_us: u64) {
        let histogram = if is_critical {
            &mut self.critical
        } else {
            &mut self.normal
        };
        histogram.saturating_record(latency_us);
    }

    /// Whether so many connections have heard all of it.
    pub(super) fn is_complete(&self, connections: usize) -> bool {
        self.delivered >= self.window.expected * connections as u64
    }

    /// The account at the end, which is now.
    pub(super) fn heard<'a>(
        mut self,
        all: impl ExactSizeIterator<Item = &'a Own>,
        disconnected: u64,
        now_us: u64,
    ) -> Heard {
        let connections = all.len() as u64;
        let waited_us = now_us.saturating_sub(self.window.until_us);
        let critical = self.window.expected_critical * connections;
        let normal = self.window.expected * connections - critical;
        for (histogram, expected) in [(&mut self.normal, normal), (&mut self.critical, critical)] {
            let missing = expected.saturating_sub(histogram.len());
            // To record it no times would still make it the longest.
            if missing > 0 {
                histogram.saturating_record_n(waited_us, missing);
            }
        }
        let window = &self.window;
        let expected = window.expected * connections;
        let is_wrong = |own: &&Own| {
            own.count > window.expected
                || own.count == window.expected && own.sum_us != window.expected_sum_us
        };
        Heard {
            delivered: self.delivered,
            expected,
            wrong: all.filter(is_wrong).count() as u64,
            disconnected,
            arrived: self.arrived,
            bytes: self.bytes,
            normal: latencies(&self.normal),
            critical: latencies(&self.critical),
            checked: None,
            elapsed_us: self.last_us.saturating_sub(window.from_us),
        }
    }
}

fn latencies(histogram: &Histogram<u64>) -> Latencies {
    Latencies {
        count: histogram.len(),
        p50_us: histogram.value_at_quantile(0.5),
        p99_us: histogram.value_at_quantile(0.99),
        max_us: histogram.max(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_update_twice_and_one_missing_is_not_the_right_number() {
        let window = Window {
            from_us: 100,
            until_us: 200,
            expected: 3,
            expected_critical: 1,
            expected_sum_us: 10 + 20 + 30,
            grace_us: 0,
        };
        let mut tally = Tally::new(window).unwrap();
        let mut owns = [Own::default(); 2];
        for (own, due_us) in [(0, 110), (0, 120), (0, 99), (0, 200), (1, 110), (1, 110)] {
            tally.note(&mut owns[own], due_us, false, 150);
        }
        assert!(!tally.is_complete(2));
        tally.note(&mut owns[1], 130, true, 170);
        let heard = tally.heard(owns.iter(), 0, 5_200);
        assert_eq!((heard.delivered, heard.expected), (5, 6));
        assert_eq!((heard.wrong, heard.arrived), (1, 7));
        assert_eq!((heard.normal.max_us, heard.elapsed_us), (40, 70));
        // The one that is missing.
        assert_eq!((heard.critical.count, heard.critical.p50_us), (2, 40));
        assert!(heard.critical.max_us >= 5_000);
    }
}
