//! The data service that live views read.

use std::time::Instant;

use dataservice::{DataService, Measure};
use record::{Key, Priority, Quality, Value};
use serde::Serialize;

/// Keys that are named in the log when they expire; the others are counted.
const NAMED_MAX: usize = 5;

/// What a history keeps of a record beside its time.
///
/// As a [`Measure`], numbers are themselves and truth values 1 and 0. Text, JSON and null are no
/// number, and neither is a reading of [`Quality::Bad`], for which there is no usable value: in a
/// plot both are gaps, and sums pass them over. [`Quality::Uncertain`] counts.
///
/// ```
/// use dataservice::Measure;
/// use pipeline::Reading;
/// use record::{Priority, Quality, Value};
///
/// let reading = |value, quality| Reading { value, quality, priority: Priority::Normal };
/// assert_eq!(reading(Value::I64(3), Quality::Uncertain).measure(), Some(3.0));
/// assert_eq!(reading(Value::Bool(true), Quality::Good).measure(), Some(1.0));
/// assert_eq!(reading(Value::I64(3), Quality::Bad).measure(), None);
/// assert_eq!(reading(Value::Null, Quality::Good).measure(), None);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Reading {
    /// What was read.
    pub value: Value,
    /// How far it can be trusted.
    pub quality: Quality,
    /// How urgent it was: what the record asked for, else the class of the lane that took it.
    pub priority: Priority,
}

/// The histories by source and tag that live views read; times are microseconds since 1970.
pub type LiveData = DataService<Key, Reading>;

impl Reading {
    /// Bytes that it has on the heap: those of a longer text or JSON. What
    /// [`weigh`](dataservice::Builder::weigh) wants.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        self.value.heap_bytes()
    }
}

impl Measure for Reading {
    fn measure(&self) -> Option<f64> {
        match (self.quality, &self.value) {
            (Quality::Bad, _) => None,
            (_, Value::F64(number)) => Some(*number),
            (_, Value::I64(number)) => Some(*number as f64),
            (_, Value::Bool(truth)) => Some(f64::from(u8::from(*truth))),
            (_, Value::Null | Value::Text(_) | Value::Json(_)) => None,
        }
    }
}

/// Does what has to be done about once a second, and says in the log which keys were idle for too
/// long.
pub(crate) fn maintain(live: &LiveData, now: Instant) {
    let expired = live.maintain(now).expired;
    if expired.is_empty() {
        return;
    }
    let names = expired.iter().take(NAMED_MAX);
    let names: Vec<String> = names
        .filter_map(|id| live.key(*id))
        .map(|key| key.to_string())
        .collect();
    let more = match expired.len() - names.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    tracing::info!(
        keys = expired.len(),
        "the histories of idle keys went: {}{more}",
        names.join(", ")
    );
}
