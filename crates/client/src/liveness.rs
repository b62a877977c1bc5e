//! Whether the server is there, judged by what was received. Knows no clock.
//!
//! A ping is sent when one is due. The connection is dead when a ping is unanswered and nothing at
//! all came for as long as an answer may take: a server that is busy sending is not dead.

use std::time::{Duration, Instant};

/// What has to be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Due {
    /// Nothing.
    Nothing,
    /// Ask.
    Ping,
    /// Give up.
    Dead,
}

/// When something was heard and asked last.
#[derive(Debug)]
pub(crate) struct Liveness {
    ping_every: Duration,
    pong_within: Duration,
    heard: Instant,
    asked: Instant,
    unanswered: bool,
}

impl Liveness {
    pub(crate) fn new(now: Instant, ping_every: Duration, pong_within: Duration) -> Self {
        Self {
            ping_every,
            pong_within,
            heard: now,
            asked: now,
            unanswered: false,
        }
    }

    /// Anything was received.
    pub(crate) fn heard(&mut self, now: Instant) {
        self.heard = now;
    }

    /// The answer to a ping was received.
    pub(crate) fn answered(&mut self) {
        self.unanswered = false;
    }

    /// What has to be done; a ping that is due counts as sent.
    pub(crate) fn poll(&mut self, now: Instant) -> Due {
        if self.unanswered {
            if now >= self.asked.max(self.heard) + self.pong_within {
                return Due::Dead;
            }
            return Due::Nothing;
        }
        if now >= self.asked + self.ping_every {
            self.asked = now;
            self.unanswered = true;
            return Due::Ping;
        }
        Due::Nothing
    }

    /// When to look again.
    pub(crate) fn next_look(&self) -> Instant {
        if self.unanswered {
            self.asked.max(self.heard) + self.pong_within
        } else {
            self.asked + self.ping_every
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_secs(15);
    const WITHIN: Duration = Duration::from_secs(10);

    fn after(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn an_unanswered_ping_in_silence_is_the_end() {
        let start = Instant::now();
        let mut liveness = Liveness::new(start, EVERY, WITHIN);
        assert_eq!(liveness.poll(after(start, 14)), Due::Nothing);
        assert_eq!(liveness.next_look(), after(start, 15));
        assert_eq!(liveness.poll(after(start, 15)), Due::Ping);
        assert_eq!(liveness.poll(after(start, 24)), Due::Nothing);
        assert_eq!(liveness.next_look(), after(start, 25));
        assert_eq!(liveness.poll(after(start, 25)), Due::Dead);
    }

    #[test]
    fn an_answer_puts_off_the_next_ping() {
        let start = Instant::now();
        let mut liveness = Liveness::new(start, EVERY, WITHIN);
        assert_eq!(liveness.poll(after(start, 15)), Due::Ping);
        liveness.answered();
        assert_eq!(liveness.poll(after(start, 29)), Due::Nothing);
        assert_eq!(liveness.poll(after(start, 30)), Due::Ping);
    }

    #[test]
    fn a_server_that_sends_without_answering_is_not_dead() {
        let start = Instant::now();
        let mut liveness = Liveness::new(start, EVERY, WITHIN);
        assert_eq!(liveness.poll(after(start, 15)), Due::Ping);
        for second in 16..100 {
            liveness.heard(after(start, second));
            assert_eq!(liveness.poll(after(start, second)), Due::Nothing);
        }
        assert_eq!(liveness.poll(after(start, 109)), Due::Dead);
    }
}
