//! What the sources offer: a naive model, one record after the other, each with a number.

use pipeline::Content;
use record::{Malformed, Position, Record, Timestamp, Value};

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
    /// Of a source with positions, how many of its log were taken by this pipeline.
    pub(crate) taken: usize,
}

impl Records {
    pub(crate) fn of(&self, id: Id) -> &Made {
        &self.made[id.0 as usize]
    }

    /// Whether it is a piece of input that was no record.
    pub(crate) fn is_malformed(&self, id: Id) -> bool {
        self.of(id).content.is_err()
    }

    pub(crate) fn content(&self, id: Id) -> Content {
        self.of(id).content.clone()
    }
}

impl Source {
    pub(crate) fn new(shape: SourceShape, index: usize) -> Self {
        Self {
            shape,
            index,
            log: Vec::new(),
            taken: 0,
        }
    }

    pub(crate) fn is_positioned(&self) -> bool {
        self.shape.kind == SourceKind::Positioned
    }

    /// The next records to offer: of a source with positions those that were not taken yet.
    pub(crate) fn next(
        &mut self,
        count: usize,
        records: &mut Records,
        random: &mut fastrand::Rng,
    ) -> Vec<Id> {
        if !self.is_positioned() {
            return (0..count).map(|_| self.make(records, random)).collect();
        }
        while self.log.len() < self.taken + count {
            let id = self.make(records, random);
            self.log.push(id);
        }
        self.log[self.taken..self.taken + count].to_vec()
    }

    /// How many records are read and were not taken.
    pub(crate) fn left(&self) -> usize {
        match self.is_positioned() {
            true => self.log.len() - self.taken,
            false => 0,
        }
    }

    /// Reads on behind this position.
    pub(crate) fn seek(&mut self, watermark: Position, records: &Records) {
        let is_settled = |id: &Id| records.of(*id).position <= watermark;
        self.taken = self.log.partition_point(is_settled);
    }

    fn make(&self, records: &mut Records, random: &mut fastrand::Rng) -> Id {
        let id = Id(u32::try_from(records.made.len()).expect("a simulation is short"));
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
        records.made.push(Made {
            source: self.index,
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
        Record::new(&self.shape.name, tag, value, timestamp).expect("the names are valid")
    }
}

/// The wall clock when a simulation begins.
const START_US: i64 = 1_700_000_000_000_000;
