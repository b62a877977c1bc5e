//! What the sources offer: a naive model, one record after the other, each with a number.

use std::collections::VecDeque;

use pipeline::Content;
use record::{Malformed, Position, Priority, Record, Timestamp, Value};

use crate::shape::{SourceKind, SourceShape};
use crate::witness::Id;

/// A record as it was made; offered again, it is the same.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    pub(crate) source: usize,
    pub(crate) position: Position,
    content: Content,
}

/// All records of all sources, by their ids.
#[derive(Debug, Default)]
pub(crate) struct Records {
    made: Vec<Made>,
}

/// A source: what it has read so far, and how far that was taken.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) shape: SourceShape,
    index: usize,
    log: Vec<Id>,
    /// Of a source with positions, how many of its log were handed to this pipeline.
    read: usize,
    /// Those of them that were refused, and come again before any other.
    again: VecDeque<Id>,
}

impl Made {
    pub(crate) fn content(&self) -> Content {
        self.content.clone()
    }

    /// Its source, tag and priority, if it is a record.
    pub(crate) fn key(&self) -> Option<(&str, &str, Option<Priority>)> {
        let record = self.content.as_ref().ok()?;
        Some((record.source.as_str(), record.tag.as_str(), record.priority))
    }
}

impl Records {
    pub(crate) fn of(&self, id: Id) -> &Made {
        &self.made[id.number()]
    }
}

impl Source {
    pub(crate) fn new(shape: SourceShape, index: usize) -> Self {
        Self {
            shape,
            index,
            log: Vec::new(),
            read: 0,
            again: VecDeque::new(),
        }
    }

    pub(crate) fn is_positioned(&self) -> bool {
        self.shape.kind == SourceKind::Positioned
    }

    /// The name with which its scopes begin.
    pub(crate) fn scope(&self) -> &str {
        match self.shape.kind {
            SourceKind::Sender => "channel",
            _ => &self.shape.name,
        }
    }

    /// The next records to offer: of a source with positions, first those that were refused.
    pub(crate) fn next(
        &mut self,
        count: usize,
        records: &mut Records,
        random: &mut fastrand::Rng,
    ) -> Vec<Id> {
        if !self.is_positioned() {
            return (0..count).map(|_| self.make(records, random)).collect();
        }
        let mut ids: Vec<Id> = Vec::with_capacity(count);
        ids.extend(self.again.drain(..count.min(self.again.len())));
        let end = self.read + count - ids.len();
        while self.log.len() < end {
            let id = self.make(records, random);
            self.log.push(id);
        }
        ids.extend(&self.log[self.read..end]);
        self.read = end;
        ids
    }

    /// These were refused, ascending.
    pub(crate) fn refused(&mut self, ids: &[Id]) {
        if self.is_positioned() {
            ids.iter().rev().for_each(|id| self.again.push_front(*id));
        }
    }

    /// Reads on behind this position.
    pub(crate) fn seek(&mut self, watermark: Position, records: &Records) {
        let is_settled = |id: &Id| records.of(*id).position <= watermark;
        self.read = self.log.partition_point(is_settled);
        self.again.clear();
    }

    /// How many records are made and were not taken.
    pub(crate) fn left(&self) -> usize {
        match self.is_positioned() {
            true => self.log.len() - self.read + self.again.len(),
            false => 0,
        }
    }

    fn make(&self, records: &mut Records, random: &mut fastrand::Rng) -> Id {
        let id = Id::new(records.made.len(), self.is_positioned());
        let before = self
            .log
            .last()
            .map_or(0, |id| records.of(*id).position.number());
        // Some lines of a file are no records, so positions have gaps.
        let position = Position::new(before + 1 + u64::from(random.u8(0..10) == 0));
        let content = if random.u8(0..100) < self.shape.malformed_pct {
            let bytes = id.0.to_string();
            Err(Malformed::new("injected: not a record", bytes.as_bytes()))
        } else {
            Ok(self.record(id, random))
        };
        let source = self.index;
        records.made.push(Made {
            source,
            position,
            content,
        });
        id
    }

    fn record(&self, id: Id, random: &mut fastrand::Rng) -> Record {
        // The wall clock jumps an hour either way now and then.
        let hours = match random.u8(0..20) {
            0 => -1,
            1 => 1,
            _ => 0,
        };
        let micros = START_US + i64::from(id.0) * 1_000 + hours * 3_600_000_000;
        let timestamp = Timestamp::from_micros(micros).expect("a time of our days");
        let tag = &self.shape.tags[random.usize(0..self.shape.tags.len())];
        let value = Value::I64(i64::from(id.0));
        let record = Record::new(&self.shape.name, tag, value, timestamp);
        Record {
            priority: match random.u8(0..8) {
                0 => Some(Priority::Critical),
                1 => Some(Priority::High),
                2 => Some(Priority::Normal),
                3 => Some(Priority::Low),
                _ => None,
            },
            ..record.expect("the names are valid")
        }
    }
}

/// The wall clock when a simulation begins.
const START_US: i64 = 1_700_000_000_000_000;
