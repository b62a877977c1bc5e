//! What the processes of a run tell each other: one JSON object per line, on standard input and
//! output.
//!
//! A server says where it listens, and is told a [`Schedule`]. The load client is told whom to
//! call ([`Calls`]), says when all are connected ([`Ready`]), is told which updates count
//! ([`Window`]), and says what came of it ([`Heard`]). All of them end when their standard input
//! does, so that nobody is left behind.

use serde::{Deserialize, Serialize};

/// The first line of a server.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Listening {
    pub(super) port: u16,
}

/// What a server publishes: update `n` is due at `start_us + n * interval_us`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Schedule {
    pub(super) start_us: u64,
    /// None: all of them at once.
    pub(super) interval_us: u64,
    pub(super) count: u64,
    /// Critical ones beside the others.
    pub(super) critical_interval_us: u64,
    pub(super) critical_count: u64,
    /// Over how many sources they are spread.
    pub(super) agents: u64,
    /// How long each is as JSON.
    pub(super) bytes: usize,
}

/// Whom the load client calls, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Calls {
    pub(super) port: u16,
    pub(super) dialect: Dialect,
    pub(super) connections: usize,
    /// How many of them, the last ones, never read once they are connected.
    pub(super) stalled: usize,
    /// From how many addresses.
    pub(super) addresses: usize,
    /// How many clients check contents, beside the connections.
    pub(super) checking: usize,
}

/// What is spoken on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Dialect {
    /// A WebSocket that sends one update per message.
    Plain,
    /// Engine.IO and Socket.IO over a WebSocket.
    SocketIo,
    /// Our protocol: a subscription to every update.
    Ours,
    /// Requests over HTTP, one after the other.
    Http,
}

/// All are connected.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Ready {
    pub(super) connected: usize,
}

/// Which updates count: those that are due from `from_us` until just before `until_us`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Window {
    pub(super) from_us: u64,
    pub(super) until_us: u64,
    /// How many of them each connection is to hear.
    pub(super) expected: u64,
    /// How many of these are critical.
    pub(super) expected_critical: u64,
    /// The sum of the moments when they are due, counted from `from_us`.
    pub(super) expected_sum_us: u64,
    /// How long what is late is waited for.
    pub(super) grace_us: u64,
}

/// What was heard.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Heard {
    /// Over all connections that read.
    pub(super) delivered: u64,
    pub(super) expected: u64,
    /// Connections that heard as many as they should, and not the right ones; or more.
    pub(super) wrong: u64,
    /// Connections that the server ended, of those that read.
    pub(super) disconnected: u64,
    /// Arrivals between `from_us` and `until_us`, whatever they are.
    pub(super) arrived: u64,
    /// Bytes that were read between `from_us` and `until_us`.
    pub(super) bytes: u64,
    pub(super) normal: Latencies,
    pub(super) critical: Latencies,
    /// What the clients found that check contents; none took part without.
    pub(super) checked: Option<Checked>,
    /// From the first due moment to the last arrival.
    pub(super) elapsed_us: u64,
}

/// What clients found that check what is in the updates.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Checked {
    pub(super) clients: usize,
    /// How many of them got each update of the window once, as it was published.
    pub(super) complete: usize,
    /// What is wrong with the first of the others.
    pub(super) fault: Option<String>,
}

/// From the moment an update was due until it was read, in microseconds. One that never came
/// counts as one that was waited for to the end, which is less than it took.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Latencies {
    pub(super) count: u64,
    pub(super) p50_us: u64,
    pub(super) p99_us: u64,
    pub(super) max_us: u64,
}

/// An update that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) at_us: u64,
    pub(super) agent: u64,
    pub(super) is_critical: bool,
}

impl Schedule {
    /// All updates in the order in which they are due.
    pub(super) fn updates(&self) -> impl Iterator<Item = Due> {
        let (mut next, mut next_critical) = (0, 0);
        let this = self.clone();
        std::iter::from_fn(move || {
            let normal_us = this.start_us + next * this.interval_us;
            let critical_us = this.start_us + next_critical * this.critical_interval_us;
            let has_critical = next_critical < this.critical_count;
            if has_critical && (critical_us <= normal_us || next == this.count) {
                next_critical += 1;
                return Some(Due {
                    at_us: critical_us,
                    // Sources of their own, so that what is critical is not conflated.
                    agent: this.agents + next_critical % this.agents,
                    is_critical: true,
                });
            }
            (next < this.count).then(|| {
                next += 1;
                Due {
                    at_us: normal_us,
                    agent: (next - 1) % this.agents,
                    is_critical: false,
                }
            })
        })
    }

    /// Which of its updates count from then on.
    pub(super) fn window(&self, from_us: u64, until_us: u64, grace_us: u64) -> Window {
        let counts = |due: &Due| (from_us..until_us).contains(&due.at_us);
        let (mut expected, mut expected_critical, mut expected_sum_us) = (0, 0, 0);
        for due in self.updates().filter(counts) {
            expected += 1;
            expected_critical += u64::from(due.is_critical);
            expected_sum_us += due.at_us - from_us;
        }
        Window {
            from_us,
            until_us,
            expected,
            expected_critical,
            expected_sum_us,
            grace_us,
        }
    }

    /// Calls `publish` with what is due, as soon as it is.
    pub(super) fn pace(&self, mut publish: impl FnMut(&[Due])) {
        let mut updates = self.updates().peekable();
        let mut due = Vec::new();
        while let Some(next) = updates.peek() {
            super::clock::sleep_until(next.at_us);
            let now_us = super::clock::now_us();
            due.clear();
            while let Some(next) = updates.next_if(|next| next.at_us <= now_us) {
                due.push(next);
            }
            publish(&due);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn critical_updates_are_merged_in_by_time_and_the_window_counts_both() {
        let schedule = Schedule {
            start_us: 100,
            interval_us: 10,
            count: 4,
            critical_interval_us: 25,
            critical_count: 2,
            agents: 3,
            bytes: 200,
        };
        let due: Vec<(u64, u64, bool)> = schedule
            .updates()
            .map(|due| (due.at_us, due.agent, due.is_critical))
            .collect();
        let expected = [
            (100, 4, true),
            (100, 0, false),
            (110, 1, false),
            (120, 2, false),
            (125, 5, true),
            (130, 0, false),
        ];
        assert_eq!(due, expected);
        let window = schedule.window(110, 130, 7);
        assert_eq!((window.expected, window.expected_critical), (3, 1));
        assert_eq!(window.expected_sum_us, 10 + 15);
    }
}
