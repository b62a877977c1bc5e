//! The records that every contender takes.

use record::{Record, Timestamp, Value};

/// Tags of a producer.
const TAGS: usize = 64;

/// Records of one producer, numbered by their timestamps, so that each can be told from the others.
pub(super) struct Rows {
    templates: Vec<Record>,
    next: usize,
}

impl Rows {
    pub(super) fn new(producer: usize) -> Self {
        let record = |tag: usize| {
            let (source, tag) = (format!("PLC{producer:02}"), format!("D{tag}"));
            let value = Value::F64(21.5);
            Record::new(&source, &tag, value, Timestamp::default()).expect("the names are sound")
        };
        Self {
            templates: (0..TAGS).map(record).collect(),
            next: 0,
        }
    }

    /// The next record, with its number.
    #[inline]
    pub(super) fn take(&mut self) -> Record {
        let mut record = self.templates[self.next % TAGS].clone();
        self.next += 1;
        record.timestamp = number_as_time(self.next);
        record
    }

    /// How many there were.
    pub(super) fn count(&self) -> u64 {
        self.next as u64
    }

    /// The sum of the numbers of all that were taken.
    pub(super) fn sum(&self) -> u64 {
        let count = self.count();
        count * (count + 1) / 2
    }
}

/// The number that [`Rows::take`] gave a record.
#[inline]
pub(super) fn number(record: &Record) -> u64 {
    record.timestamp.micros().unsigned_abs()
}

#[inline]
fn number_as_time(number: usize) -> Timestamp {
    let micros = i64::try_from(number).unwrap_or(i64::MAX);
    Timestamp::from_micros(micros).unwrap_or_default()
}
