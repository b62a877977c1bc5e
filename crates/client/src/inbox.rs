//! What a subscription was told and the program has not taken yet: at most one frame.
//!
//! Full inboxes conflate, they do not grow and they stall nobody:
//!
//! - `latest`, `window`, `downsampled`: a newer frame replaces the values of the keys that it has,
//!   so that what waits is at most one frame of all keys (twice that while it is merged).
//! - `since_last`: values are appended, up to a limit; above it the oldest are dropped and counted
//!   in [`Frame::missed`].
//! - A snapshot replaces what waits. Keys that were removed and came back are values only.

use std::collections::{HashMap, HashSet, VecDeque};

use parking_lot::Mutex;
use protocol::{Failure, KeyName, Plot};
use tokio::sync::Notify;

use crate::event::{Event, Frame, Reading};

/// Values of a `since_last` subscription that wait for the program, unless
/// [`values_max`](crate::ClientBuilder::values_max) says otherwise.
pub const VALUES_MAX: usize = 100_000;

/// Refusals that wait; the oldest is dropped above it.
const FAILURES_MAX: usize = 8;
/// Below so many values merging is not worth it.
const MERGED_FROM: usize = 256;

/// How values of one key follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A newer frame says all about its keys.
    Newest,
    /// Every value counts; so many may wait.
    Every {
        /// How many.
        values_max: usize,
    },
}

/// What the task of a client and a subscription share.
#[derive(Debug)]
pub(crate) struct Inbox {
    pending: Mutex<Pending>,
    arrived: Notify,
}

impl Inbox {
    pub(crate) fn new(kind: Kind) -> Self {
        Self {
            pending: Mutex::new(Pending::new(kind)),
            arrived: Notify::new(),
        }
    }

    /// Changes what waits, and wakes who waits for it.
    pub(crate) fn put(&self, change: impl FnOnce(&mut Pending)) {
        change(&mut self.pending.lock());
        self.arrived.notify_one();
    }

    /// The next event; none when there will be none any more. Safe to cancel.
    pub(crate) async fn next(&self) -> Option<Event> {
        loop {
            {
                let mut pending = self.pending.lock();
                let event = pending.take();
                if event.is_some() || pending.ended {
                    return event;
                }
            }
            self.arrived.notified().await;
        }
    }
}

/// What waits to be taken.
#[derive(Debug)]
pub(crate) struct Pending {
    kind: Kind,
    reset: Option<String>,
    frame: Option<Waiting>,
    /// Missed before the frame that comes next.
    missed: u64,
    removed: HashSet<KeyName>,
    removed_seq: u64,
    failures: VecDeque<Failure>,
    ended: bool,
}

/// A frame that grows while it waits.
#[derive(Debug, Default)]
struct Waiting {
    is_snapshot: bool,
    seq: u64,
    timestamp: i64,
    missed: u64,
    /// Each with the number of the frame that it came with.
    readings: VecDeque<(u64, Reading)>,
    plots: Vec<Plot>,
    frames: u64,
    /// How many values there may be before the next merging.
    merged_at: usize,
}

impl Pending {
    fn new(kind: Kind) -> Self {
        Self {
            kind,
            reset: None,
            frame: None,
            missed: 0,
            removed: HashSet::new(),
            removed_seq: 0,
            failures: VecDeque::new(),
            ended: false,
        }
    }

    /// The state of all keys.
    pub(crate) fn snapshot(&mut self, frame: Frame) {
        self.forget_frame();
        self.removed.clear();
        self.add(frame);
        if let Some(waiting) = &mut self.frame {
            waiting.is_snapshot = true;
        }
    }

    /// What changed.
    pub(crate) fn update(&mut self, frame: Frame) {
        // A continued subscription may have nothing to tell.
        if frame.readings.is_empty() && frame.plots.is_empty() && frame.missed == 0 {
            return;
        }
        if !self.removed.is_empty() {
            for reading in &frame.readings {
                self.removed.remove(&reading.key);
            }
        }
        self.add(frame);
    }

    /// Keys hold no value any more.
    pub(crate) fn removed(&mut self, seq: u64, keys: Vec<KeyName>) {
        self.removed.extend(keys);
        self.removed_seq = seq;
        if let (Kind::Newest, Some(waiting)) = (self.kind, &mut self.frame) {
            let removed = &self.removed;
            let stays = |(_, reading): &(u64, Reading)| !removed.contains(&reading.key);
            waiting.readings.retain(stays);
            waiting
                .plots
                .retain(|plot| !removed.contains(&key_of(plot)));
        }
    }

    /// What waits is not continued by what follows.
    pub(crate) fn reset(&mut self, reason: String) {
        self.forget_frame();
        self.removed.clear();
        self.reset = Some(reason);
    }

    /// The server refuses something.
    pub(crate) fn failed(&mut self, failure: Failure) {
        if self.failures.len() == FAILURES_MAX {
            self.failures.pop_front();
        }
        self.failures.push_back(failure);
    }

    /// Nothing follows.
    pub(crate) fn end(&mut self) {
        self.ended = true;
    }

    /// The next event, if there is one.
    pub(crate) fn take(&mut self) -> Option<Event> {
        if let Some(reason) = self.reset.take() {
            return Some(Event::Reset { reason });
        }
        if let Some(mut waiting) = self.frame.take() {
            if self.kind == Kind::Newest && waiting.frames > 1 {
                waiting.merge();
            }
            let frame = Frame {
                seq: waiting.seq,
                timestamp: waiting.timestamp,
                missed: waiting.missed,
                readings: waiting
                    .readings
                    .into_iter()
                    .map(|(_, reading)| reading)
                    .collect(),
                plots: waiting.plots,
            };
            return Some(if waiting.is_snapshot {
                Event::Snapshot(frame)
            } else if frame.readings.is_empty() && frame.plots.is_empty() && frame.missed == 0 {
                // All of its keys were removed since.
                return self.take();
            } else {
                Event::Update(frame)
            });
        }
        if !self.removed.is_empty() {
            return Some(Event::Removed {
                seq: self.removed_seq,
                keys: self.removed.drain().collect(),
            });
        }
        self.failures.pop_front().map(Event::Failed)
    }

    fn forget_frame(&mut self) {
        let Some(waiting) = self.frame.take() else {
            return;
        };
        if let Kind::Every { .. } = self.kind {
            self.missed += waiting.missed + waiting.readings.len() as u64;
        }
    }

    fn add(&mut self, frame: Frame) {
        let waiting = self.frame.get_or_insert_default();
        waiting.missed += frame.missed + std::mem::take(&mut self.missed);
        waiting.seq = frame.seq;
        waiting.timestamp = frame.timestamp;
        waiting.frames += 1;
        let number = waiting.frames;
        let numbered = frame.readings.into_iter().map(|reading| (number, reading));
        waiting.readings.extend(numbered);
        for plot in frame.plots {
            let key = key_of(&plot);
            waiting.plots.retain(|before| key_of(before) != key);
            waiting.plots.push(plot);
        }
        match self.kind {
            Kind::Every { values_max } => {
                let above = waiting.readings.len().saturating_sub(values_max);
                waiting.readings.drain(..above);
                waiting.missed += above as u64;
            }
            Kind::Newest => {
                if waiting.frames == 1 {
                    waiting.merged_at = (2 * waiting.readings.len()).max(MERGED_FROM);
                } else if waiting.readings.len() > waiting.merged_at {
                    waiting.merge();
                    // So each value is looked at twice or so, however long nobody takes them.
                    waiting.merged_at = (2 * waiting.readings.len()).max(MERGED_FROM);
                }
            }
        }
    }
}

impl Waiting {
    /// Leaves of each key what the newest frame that had it said.
    fn merge(&mut self) {
        let mut newest: HashMap<KeyName, u64> = HashMap::new();
        for (number, reading) in self.readings.iter().rev() {
            if !newest.contains_key(&reading.key) {
                newest.insert(reading.key.clone(), *number);
            }
        }
        self.readings
            .retain(|(number, reading)| newest.get(&reading.key) == Some(number));
    }
}

fn key_of(plot: &Plot) -> KeyName {
    KeyName {
        source: plot.source.clone(),
        tag: plot.tag.clone(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use record::{Name, Priority, Quality};
    use serde_json::json;

    use super::*;

    fn key(tag: &str) -> KeyName {
        KeyName {
            source: Name::new("source", "a").unwrap(),
            tag: Name::new("tag", tag).unwrap(),
        }
    }

    fn frame(seq: u64, values: &[(&str, i64)]) -> Frame {
        let reading = |(tag, value): &(&str, i64)| Reading {
            key: key(tag),
            timestamp: 0,
            value: json!(value),
            quality: Quality::Good,
            priority: Priority::Normal,
        };
        Frame {
            seq,
            readings: values.iter().map(reading).collect(),
            ..Frame::default()
        }
    }

    fn said(frame: &Frame) -> Vec<(String, i64)> {
        let readings = frame.readings.iter();
        readings
            .map(|reading| (reading.key.tag.to_string(), reading.value.as_i64().unwrap()))
            .collect()
    }

    fn update(pending: &mut Pending) -> (u64, u64, Vec<(String, i64)>) {
        match pending.take() {
            Some(Event::Update(frame)) => (frame.seq, frame.missed, said(&frame)),
            other => panic!("{other:?}"),
        }
    }

    fn expect(values: &[(&str, i64)]) -> Vec<(String, i64)> {
        let values = values.iter();
        values
            .map(|(tag, value)| ((*tag).to_owned(), *value))
            .collect()
    }

    #[test]
    fn a_newer_frame_replaces_the_values_of_its_keys() {
        let mut pending = Pending::new(Kind::Newest);
        pending.update(frame(1, &[("x", 1), ("x", 2), ("y", 1)]));
        pending.update(frame(2, &[("x", 2), ("x", 3)]));
        let expected = expect(&[("y", 1), ("x", 2), ("x", 3)]);
        assert_eq!(update(&mut pending), (2, 0, expected));
        assert_eq!(pending.take(), None);
    }

    #[test]
    fn nobody_taking_anything_costs_no_more_than_two_frames() {
        let mut pending = Pending::new(Kind::Newest);
        let tags: Vec<String> = (0..500).map(|number| format!("t{number}")).collect();
        for round in 0..100 {
            let values: Vec<(&str, i64)> = tags.iter().map(|tag| (tag.as_str(), round)).collect();
            pending.update(frame(round as u64, &values));
            assert!(pending.frame.as_ref().unwrap().readings.len() <= 1_000);
        }
        let (seq, missed, values) = update(&mut pending);
        assert_eq!((seq, missed, values.len()), (99, 0, 500));
        assert!(values.iter().all(|(_, value)| *value == 99));
    }

    #[test]
    fn every_value_is_kept_up_to_the_limit_and_then_counted() {
        let mut pending = Pending::new(Kind::Every { values_max: 3 });
        pending.update(frame(1, &[("x", 1), ("x", 2)]));
        pending.update(frame(2, &[("x", 3), ("x", 4), ("x", 5)]));
        let expected = expect(&[("x", 3), ("x", 4), ("x", 5)]);
        assert_eq!(update(&mut pending), (2, 2, expected));
    }

    #[test]
    fn a_snapshot_replaces_what_waits_and_counts_what_is_lost_by_it() {
        let mut pending = Pending::new(Kind::Every { values_max: 3 });
        pending.update(frame(1, &[("x", 1), ("x", 2)]));
        pending.reset("a new server".to_owned());
        pending.snapshot(frame(1, &[("x", 9)]));
        assert!(matches!(pending.take(), Some(Event::Reset { .. })));
        let Some(Event::Snapshot(taken)) = pending.take() else {
            panic!("a snapshot follows a reset");
        };
        assert_eq!((taken.missed, said(&taken)), (2, expect(&[("x", 9)])));
        assert_eq!(pending.take(), None);
    }

    #[test]
    fn a_snapshot_that_waits_stays_one() {
        let mut pending = Pending::new(Kind::Newest);
        pending.snapshot(frame(1, &[("x", 1), ("y", 1)]));
        pending.update(frame(2, &[("x", 2)]));
        let Some(Event::Snapshot(taken)) = pending.take() else {
            panic!("nobody has seen the state yet");
        };
        assert_eq!(said(&taken), expect(&[("y", 1), ("x", 2)]));
    }

    #[test]
    fn removed_keys_are_no_values_and_come_back_as_values() {
        let mut pending = Pending::new(Kind::Newest);
        pending.update(frame(1, &[("x", 1), ("y", 1)]));
        pending.removed(2, vec![key("x"), key("y")]);
        pending.update(frame(3, &[("y", 3)]));
        assert_eq!(update(&mut pending), (3, 0, expect(&[("y", 3)])));
        let Some(Event::Removed { seq, keys }) = pending.take() else {
            panic!("x is gone");
        };
        assert_eq!((seq, keys), (2, vec![key("x")]));
        assert_eq!(pending.take(), None);
    }

    #[test]
    fn an_update_without_anything_is_no_event() {
        let mut pending = Pending::new(Kind::Newest);
        pending.update(frame(1, &[]));
        assert_eq!(pending.take(), None);
        pending.update(frame(2, &[("x", 1)]));
        pending.removed(3, vec![key("x")]);
        assert!(matches!(
            pending.take(),
            Some(Event::Removed { seq: 3, .. })
        ));
    }
}
