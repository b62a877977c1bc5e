//! One subscription, on the side of the task: what to ask, what was seen, and whether something
//! may be missing. Knows no socket and no clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use protocol::{Changes, ClientMessage, Extract, Failure, Removed, Reset, Since, Subscribe};

use crate::deltas::{Deltas, UnknownBase};
use crate::event::Frame;
use crate::inbox::{Inbox, Kind};

/// The longest that a quiet subscription waits to be checked again.
const PATIENCE_MAX: Duration = Duration::from_secs(16 * 60);

/// What the program wishes, and where it is told.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) inbox: Inbox,
    pub(crate) paused: AtomicBool,
    pub(crate) dropped: AtomicBool,
}

/// A subscription, as the task of the client sees it.
#[derive(Debug)]
pub(crate) struct Subscribed {
    asked: Subscribe,
    shared: Arc<Shared>,
    deltas: Deltas,
    seen: Option<Since>,
    /// What comes before the answer belongs to what was asked before.
    awaits_answer: bool,
    told_paused: bool,
    gap: Gap,
}

impl Subscribed {
    pub(crate) fn new(asked: Subscribe, values_max: usize, ping_every: Duration) -> Self {
        let kind = match asked.extract {
            Extract::SinceLast => Kind::Every { values_max },
            _ => Kind::Newest,
        };
        let shared = Arc::new(Shared {
            inbox: Inbox::new(kind),
            paused: AtomicBool::new(false),
            dropped: AtomicBool::new(false),
        });
        let interval = Duration::from_millis(asked.min_interval_ms.min(60_000));
        Self {
            seen: asked.since.clone(),
            gap: Gap::new(ping_every + ping_every.max(interval)),
            asked,
            shared,
            deltas: Deltas::default(),
            awaits_answer: false,
            told_paused: false,
        }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(crate) fn is_dropped(&self) -> bool {
        self.shared.dropped.load(Ordering::Acquire)
    }

    /// Whether what it asked for is not answered yet.
    pub(crate) fn awaits_answer(&self) -> bool {
        self.awaits_answer
    }

    /// What to say to be told from now on. Where every value counts, from what was seen last.
    pub(crate) fn request(&mut self) -> ClientMessage {
        self.deltas.clear();
        self.awaits_answer = true;
        self.told_paused = false;
        self.gap.close();
        let since = match self.asked.extract {
            Extract::SinceLast => self.seen.clone(),
            _ => None,
        };
        ClientMessage::Subscribe(Subscribe {
            since,
            ..self.asked.clone()
        })
    }

    /// What to say when the program paused or unpaused it.
    pub(crate) fn pause_request(&mut self) -> Option<ClientMessage> {
        let paused = self.shared.paused.load(Ordering::Acquire);
        if paused == self.told_paused {
            return None;
        }
        self.told_paused = paused;
        self.gap.close();
        let id = self.asked.id.clone();
        Some(if paused {
            ClientMessage::Pause { id }
        } else {
            ClientMessage::Unpause { id }
        })
    }

    pub(crate) fn snapshot(&mut self, instance: &str, changes: Changes) -> Result<(), UnknownBase> {
        self.deltas.clear();
        let frame = self.take(instance, changes)?;
        self.shared.inbox.put(|pending| pending.snapshot(frame));
        Ok(())
    }

    pub(crate) fn update(&mut self, instance: &str, changes: Changes) -> Result<(), UnknownBase> {
        if self.awaits_answer && !changes.resumed {
            return Ok(());
        }
        let frame = self.take(instance, changes)?;
        self.shared.inbox.put(|pending| pending.update(frame));
        Ok(())
    }

    pub(crate) fn removed(&mut self, removed: Removed) {
        if self.awaits_answer {
            return;
        }
        self.deltas.remove(&removed.keys);
        self.saw(removed.seq);
        let Removed { seq, keys, .. } = removed;
        self.shared.inbox.put(|pending| pending.removed(seq, keys));
    }

    pub(crate) fn reset(&mut self, reset: Reset) {
        self.seen = None;
        self.shared.inbox.put(|pending| pending.reset(reset.reason));
    }

    pub(crate) fn failed(&self, failure: Failure) {
        self.shared.inbox.put(|pending| pending.failed(failure));
    }

    /// The server is at this commit. Whether this subscription should be asked for again, because
    /// it heard of nothing for so long that something may be missing.
    pub(crate) fn pong(&mut self, now: Instant, seq: u64) -> bool {
        let is_quiet = !self.awaits_answer && !self.told_paused;
        let seen = self.seen.as_ref().map_or(0, |since| since.seq);
        is_quiet && self.gap.pong(now, seq, seen)
    }

    fn take(&mut self, instance: &str, changes: Changes) -> Result<Frame, UnknownBase> {
        let readings = self.deltas.resolve(changes.changes)?;
        if self.awaits_answer {
            self.awaits_answer = false;
        } else {
            self.gap.heard();
        }
        match &mut self.seen {
            Some(seen) if seen.instance == instance => seen.seq = changes.seq,
            seen => {
                *seen = Some(Since {
                    instance: instance.to_owned(),
                    seq: changes.seq,
                });
            }
        }
        Ok(Frame {
            seq: changes.seq,
            timestamp: changes.timestamp,
            missed: changes.missed,
            readings,
            plots: changes.plots,
        })
    }

    fn saw(&mut self, seq: u64) {
        self.gap.heard();
        if let Some(seen) = &mut self.seen {
            seen.seq = seen.seq.max(seq);
        }
    }
}

/// Whether something may be missing.
///
/// A server that is ahead says so in each pong. Mostly it is ahead by keys that the subscription
/// does not have; so only when it stays behind through its patience is it asked for again, which
/// shows what was missed, and the patience doubles until it is told something by itself.
#[derive(Debug)]
struct Gap {
    first_patience: Duration,
    patience: Duration,
    behind_since: Option<Instant>,
}

impl Gap {
    fn new(first_patience: Duration) -> Self {
        Self {
            first_patience,
            patience: first_patience,
            behind_since: None,
        }
    }

    /// The subscription was told something by itself.
    fn heard(&mut self) {
        self.patience = self.first_patience;
        self.behind_since = None;
    }

    /// It is asked for again: what it waits for counts from then.
    fn close(&mut self) {
        self.behind_since = None;
    }

    fn pong(&mut self, now: Instant, server: u64, seen: u64) -> bool {
        if server <= seen {
            self.behind_since = None;
            return false;
        }
        let since = *self.behind_since.get_or_insert(now);
        if now.saturating_duration_since(since) < self.patience {
            return false;
        }
        self.patience = (self.patience * 2).min(PATIENCE_MAX.max(self.first_patience));
        self.behind_since = None;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_is_ahead_for_long_is_asked_again_and_ever_less_often() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut gap = Gap::new(Duration::from_secs(30));
        let mut asked = Vec::new();
        for second in (0..600).step_by(15) {
            if gap.pong(at(second), 7, 5) {
                asked.push(second);
            }
        }
        assert_eq!(asked, [30, 105, 240, 495]);
        gap.heard();
        assert!(!gap.pong(at(600), 9, 8));
        assert!(gap.pong(at(630), 9, 8), "patient no longer");
    }

    #[test]
    fn one_that_keeps_up_is_left_alone() {
        let start = Instant::now();
        let mut gap = Gap::new(Duration::from_secs(30));
        assert!(!gap.pong(start, 7, 5));
        gap.heard();
        assert!(!gap.pong(start + Duration::from_secs(40), 9, 8));
        assert!(!gap.pong(start + Duration::from_secs(60), 9, 9));
        assert!(!gap.pong(start + Duration::from_secs(90), 10, 9));
    }
}
