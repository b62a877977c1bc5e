//! One subscription, on the side of the task: what to ask, what was seen, and whether something
//! may be missing. Knows no socket and no clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use protocol::{Changes, ClientMessage, Extract, Failure, Removed, Reset, Since, Subscribe};

use crate::deltas::{Deltas, UnknownBase};
use crate::event::Frame;
use crate::inbox::{Inbox, Kind};
use crate::socket::Unreadable;

/// The longest that a quiet subscription waits to be checked again.
const PATIENCE_MAX: Duration = Duration::from_secs(16 * 60);

/// A request that is not answered when so many pings are is lost; twice as many after each that
/// was.
const PONGS_AWAITED: u32 = 2;
/// How often that doubles.
const IN_VAIN_MAX: u32 = 6;
/// What a server says that passed over a message, and this client of a frame.
const TOO_FAST: &str = "too_fast";
const UNREADABLE: &str = "unreadable";

/// What the program wishes, and where it is told.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) inbox: Inbox,
    pub(crate) paused: AtomicBool,
    pub(crate) dropped: AtomicBool,
}

/// What became of the last request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// It was answered.
    Had,
    /// What comes before the answer belongs to what was asked before.
    Awaited {
        /// How many pings were answered meanwhile.
        pongs: u32,
    },
    /// It was refused, and is asked for again with the next connection.
    Refused,
    /// It was passed over, and is asked for again in a moment.
    PassedOver,
}

/// A subscription, as the task of the client sees it.
#[derive(Debug)]
pub(crate) struct Subscribed {
    asked: Subscribe,
    shared: Arc<Shared>,
    deltas: Deltas,
    seen: Option<Since>,
    answer: Answer,
    /// How often it was asked for in vain.
    in_vain: u32,
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
            gap: match asked.extract {
                Extract::SinceLast => Gap::exact((ping_every / 2).max(interval)),
                _ => Gap::newest((ping_every * 3 / 2).max(interval)),
            },
            asked,
            shared,
            deltas: Deltas::default(),
            answer: Answer::Had,
            in_vain: 0,
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
        matches!(self.answer, Answer::Awaited { .. } | Answer::PassedOver)
    }

    /// A ping was answered that was not the program's. Whether this subscription should be asked
    /// for again, because it would have been answered by now.
    ///
    /// A server that has much to send answers late, so that each time it is waited for longer.
    pub(crate) fn is_unanswered(&mut self) -> bool {
        let is_over = match &mut self.answer {
            Answer::PassedOver => true,
            // One that is paused may be answered once it is no more.
            Answer::Awaited { pongs } if !self.told_paused => {
                *pongs += 1;
                *pongs >= PONGS_AWAITED << self.in_vain
            }
            _ => false,
        };
        if is_over {
            self.in_vain = (self.in_vain + 1).min(IN_VAIN_MAX);
        }
        is_over
    }

    /// What to say to be told from now on, or from what was seen last.
    pub(crate) fn request(&mut self) -> ClientMessage {
        // What it holds stays: when the answer goes on, patches are based on that.
        self.answer = Answer::Awaited { pongs: 0 };
        self.told_paused = false;
        self.gap.close();
        ClientMessage::Subscribe(Subscribe {
            since: self.seen.clone(),
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
        if self.awaits_answer() && !changes.resumed {
            return Ok(());
        }
        let frame = self.take(instance, changes)?;
        self.shared.inbox.put(|pending| pending.update(frame));
        Ok(())
    }

    pub(crate) fn removed(&mut self, removed: Removed) {
        if self.awaits_answer() {
            return;
        }
        self.deltas.remove(&removed.keys);
        self.saw(removed.seq);
        let Removed { seq, keys, .. } = removed;
        self.shared.inbox.put(|pending| pending.removed(seq, keys));
    }

    pub(crate) fn reset(&mut self, reset: Reset) {
        self.seen = None;
        // Nobody asked to be sure but this client, and the newest state is all that there is.
        let is_own_doubt = self.gap.was_reset();
        if !is_own_doubt || self.asked.extract == Extract::SinceLast {
            self.shared.inbox.put(|pending| pending.reset(reset.reason));
        }
    }

    pub(crate) fn failed(&mut self, failure: Failure) {
        if failure.code == TOO_FAST {
            // Asked for again, which is all that there is to do about it.
            self.answer = Answer::PassedOver;
            return;
        }
        if self.awaits_answer() {
            self.answer = Answer::Refused;
        }
        self.shared.inbox.put(|pending| pending.failed(failure));
    }

    /// The server is at this commit. Whether this subscription should be asked for again, because
    /// it heard of nothing for so long that something may be missing.
    pub(crate) fn pong(&mut self, now: Instant, seq: u64) -> bool {
        let is_quiet = self.answer == Answer::Had && !self.told_paused;
        let seen = self.seen.as_ref().map_or(0, |since| since.seq);
        is_quiet && self.gap.pong(now, seq, seen)
    }

    fn take(&mut self, instance: &str, changes: Changes) -> Result<Frame, UnknownBase> {
        let readings = self.deltas.resolve(changes.changes)?;
        self.heard_of(instance, changes.seq);
        Ok(Frame {
            seq: changes.seq,
            timestamp: changes.timestamp,
            missed: changes.missed,
            readings,
            plots: changes.plots,
        })
    }

    /// A frame that cannot be read: the program is told, and what follows it goes on from there.
    pub(crate) fn unreadable(&mut self, instance: &str, message: Unreadable) {
        // What is based on it cannot be read either, so whole values are asked for from now on.
        self.deltas.clear();
        self.asked.deltas = false;
        if let Some(seq) = message.seq
            && !(message.is_update && self.awaits_answer())
        {
            self.heard_of(instance, seq);
        }
        let failure = Failure {
            code: UNREADABLE.to_owned(),
            message: message.reason,
            id: message.id,
        };
        self.shared.inbox.put(|pending| pending.failed(failure));
    }

    /// A frame of this commit came.
    fn heard_of(&mut self, instance: &str, seq: u64) {
        if self.awaits_answer() {
            self.gap.answered();
        } else {
            self.gap.heard();
        }
        self.answer = Answer::Had;
        self.in_vain = 0;
        match &mut self.seen {
            Some(seen) if seen.instance == instance => seen.seq = seq,
            seen => {
                *seen = Some(Since {
                    instance: instance.to_owned(),
                    seq,
                });
            }
        }
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
/// does not have, so being behind is no gap; but one that is behind for long, and hears of nothing,
/// is asked for again from what it has seen. The answer is what was missed, mostly nothing.
///
/// Of every value that is exact and cheap, and it keeps the subscription within what the server
/// remembers; only when the server no longer knows does it wait twice as long the next time. Of the
/// newest values the answer may be the whole state, so each time the wait doubles, until the
/// subscription is told something by itself.
#[derive(Debug)]
struct Gap {
    is_exact: bool,
    first_patience: Duration,
    patience: Duration,
    behind_since: Option<Instant>,
    is_asking: bool,
}

impl Gap {
    fn exact(patience: Duration) -> Self {
        Self {
            is_exact: true,
            first_patience: patience,
            patience,
            behind_since: None,
            is_asking: false,
        }
    }

    fn newest(patience: Duration) -> Self {
        Self {
            is_exact: false,
            ..Self::exact(patience)
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

    fn answered(&mut self) {
        self.is_asking = false;
    }

    /// The server does not know what came since; whether it was asked for nothing but a doubt.
    fn was_reset(&mut self) -> bool {
        if self.is_asking && self.is_exact {
            self.double();
        }
        self.is_asking
    }

    fn double(&mut self) {
        self.patience = (self.patience * 2).min(PATIENCE_MAX.max(self.first_patience));
    }

    fn pong(&mut self, now: Instant, server: u64, seen: u64) -> bool {
        if server <= seen {
            self.behind_since = None;
            return false;
        }
        let since = *self.behind_since.get_or_insert(now);
        let behind_for = now.saturating_duration_since(since);
        if behind_for.is_zero() || behind_for < self.patience {
            return false;
        }
        if !self.is_exact {
            self.double();
        }
        self.is_asking = true;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PING_EVERY: u64 = 15;

    /// When it is asked for again, with a server that is always ahead.
    fn asked(gap: &mut Gap, is_reset: bool) -> Vec<u64> {
        let start = Instant::now();
        let mut asked = Vec::new();
        for second in (0..600).step_by(PING_EVERY as usize) {
            if gap.pong(start + Duration::from_secs(second), 7, 5) {
                asked.push(second);
                gap.close();
                if is_reset {
                    assert!(gap.was_reset());
                }
                gap.answered();
            }
        }
        asked
    }

    #[test]
    fn the_newest_state_is_asked_for_ever_less_often() {
        let mut gap = Gap::newest(Duration::from_secs(22));
        assert_eq!(asked(&mut gap, false), [30, 90, 195, 390]);
        gap.heard();
        assert_eq!(asked(&mut gap, true)[0], 30, "patient no longer");
    }

    #[test]
    fn every_value_is_asked_for_as_long_as_the_server_knows() {
        let mut gap = Gap::exact(Duration::from_secs(7));
        let each = (15..600).step_by(30).collect::<Vec<u64>>();
        assert_eq!(asked(&mut gap, false), each);
        assert_eq!(asked(&mut gap, true), [15, 45, 90, 165, 300, 540]);
    }

    #[test]
    fn one_that_keeps_up_is_left_alone() {
        let start = Instant::now();
        let mut gap = Gap::exact(Duration::from_secs(7));
        assert!(!gap.pong(start, 7, 5));
        gap.heard();
        assert!(!gap.pong(start + Duration::from_secs(40), 9, 8));
        assert!(!gap.pong(start + Duration::from_secs(60), 9, 9));
        assert!(!gap.pong(start + Duration::from_secs(90), 10, 9));
        assert!(!gap.was_reset());
    }
}
