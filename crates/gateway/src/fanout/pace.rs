//! How many messages a client may send, and how much it may ask for: two buckets of tokens. Knows
//! no clock.

use std::time::{Duration, Instant};

/// Messages a second in the long run, and at once.
const PER_S: f64 = 100.0;
const BURST: f64 = 200.0;
/// Values, or keys, that are made ready for it alone: in a second in the long run, and at once.
const VALUES_PER_S: f64 = 200_000.0;
const VALUES_BURST: f64 = 400_000.0;
/// How long a client is made to wait at most.
const OWED_MAX: Duration = Duration::from_secs(10);
/// A client that goes on being too fast for so long is cut off.
const TOO_FAST_MAX: Duration = Duration::from_secs(10);
/// So long without being too fast, and it begins anew.
const FORGIVEN_AFTER: Duration = Duration::from_secs(2);

/// The pace of one client.
#[derive(Debug)]
pub(super) struct Pace {
    tokens: f64,
    at: Instant,
    /// Values that it may ask for; below zero it owes them.
    credit: f64,
    charged_at: Instant,
    too_fast: Option<TooFast>,
}

#[derive(Clone, Copy, Debug)]
struct TooFast {
    since: Instant,
    last: Instant,
    told: Instant,
}

/// What is done with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Heard,
    /// It is passed over, and the client told so.
    Refused,
    /// It is passed over; the client was told a moment ago.
    PassedOver,
    /// It went on for too long.
    CutOff,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            tokens: BURST,
            at: now,
            credit: VALUES_BURST,
            charged_at: now,
            too_fast: None,
        }
    }

    /// Charges for what obeying a message took: so long nothing more is read of the client. It is
    /// not refused anything for that, since it may not know how much it asked for.
    pub(super) fn charge(&mut self, values: u64, now: Instant) -> Duration {
        if values == 0 {
            return Duration::ZERO;
        }
        let passed = now.saturating_duration_since(self.charged_at).as_secs_f64();
        self.charged_at = now;
        self.credit = (self.credit + passed * VALUES_PER_S).min(VALUES_BURST) - values as f64;
        self.credit = self.credit.max(-OWED_MAX.as_secs_f64() * VALUES_PER_S);
        Duration::from_secs_f64((-self.credit / VALUES_PER_S).max(0.0))
    }

    /// What is done with a message that came now.
    pub(super) fn judge(&mut self, now: Instant) -> Verdict {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.tokens = (self.tokens + passed * PER_S).min(BURST);
        self.at = now;
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return Verdict::Heard;
        }
        let known = self
            .too_fast
            .filter(|known| now.saturating_duration_since(known.last) < FORGIVEN_AFTER);
        let Some(known) = known else {
            self.too_fast = Some(TooFast {
                since: now,
                last: now,
                told: now,
            });
            return Verdict::Refused;
        };
        if now.saturating_duration_since(known.since) >= TOO_FAST_MAX {
            return Verdict::CutOff;
        }
        let tell = now.saturating_duration_since(known.told) >= Duration::from_secs(1);
        let told = if tell { now } else { known.told };
        self.too_fast = Some(TooFast {
            last: now,
            told,
            ..known
        });
        match tell {
            true => Verdict::Refused,
            false => Verdict::PassedOver,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn law_2_a_burst_is_heard_more_is_refused_and_a_flood_is_cut_off() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        let verdicts: Vec<Verdict> = (0..202).map(|_| pace.judge(start)).collect();
        assert!(verdicts[..200].iter().all(|v| *v == Verdict::Heard));
        assert_eq!(verdicts[200..], [Verdict::Refused, Verdict::PassedOver]);
        let mut ended_ms = None;
        for ms in 0..20_000 {
            if pace.judge(start + Duration::from_millis(ms)) == Verdict::CutOff {
                ended_ms = Some(ms);
                break;
            }
        }
        assert_eq!(ended_ms, Some(10_000));
    }

    #[test]
    fn law_2_who_asks_for_much_waits_and_nothing_of_it_is_passed_over() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        assert_eq!(pace.charge(200_000, start), Duration::ZERO);
        assert_eq!(pace.charge(200_000, start), Duration::ZERO);
        assert_eq!(pace.charge(200_000, start), Duration::from_secs(1));
        let later = start + Duration::from_secs(1);
        assert_eq!(pace.charge(200_000, later), Duration::from_secs(1));
        assert_eq!(pace.charge(u64::MAX, later), OWED_MAX);
        // What it says is another matter.
        let verdicts = (0..200).map(|_| pace.judge(later));
        assert!(
            verdicts
                .into_iter()
                .all(|verdict| verdict == Verdict::Heard)
        );
    }

    #[test]
    fn a_client_that_slows_down_is_forgiven() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        for second in 0..60 {
            let now = start + Duration::from_secs(3 * second);
            let refused = (0..210)
                .filter(|_| pace.judge(now) != Verdict::Heard)
                .count();
            assert_eq!(refused, 10, "{second}");
        }
    }
}
