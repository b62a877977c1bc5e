//! What is delivered: the same row for the same place, in every process and every run.

use std::time::Instant;

use record::{Malformed, Position, Record, Timestamp, Value};
use sinks::{Entry, ScopeIndex, ScopeName};

/// The scopes; each batch may hold rows of both.
pub(crate) const SCOPES: [&str; 2] = ["chaos/a", "chaos/b"];
const KEYS: u64 = 7;

/// What becomes of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is stored, with this tag and this value as text.
    Stored { tag: String, value: String },
    /// The input was no record.
    Malformed,
    /// The database refuses it: its tag is forbidden by a constraint or a trigger.
    Refused,
}

/// The tag that the table forbids.
pub(crate) const FORBIDDEN_TAG: &str = "forbidden";

/// What has to become of the row at this position.
pub(crate) fn fate(position: u64) -> Fate {
    if position.is_multiple_of(101) {
        return Fate::Malformed;
    }
    if position.is_multiple_of(211) {
        return Fate::Refused;
    }
    let value = if position.is_multiple_of(2) {
        position.to_string()
    } else {
        format!("text {position}")
    };
    Fate::Stored {
        tag: format!("D{}", position % KEYS),
        value,
    }
}

/// The row at this position of a scope.
pub(crate) fn entry(scope: u16, position: u64) -> Entry {
    let content = match fate(position) {
        Fate::Malformed => Err(Malformed::new(
            format!("line {position}: not a record"),
            b"{nonsense",
        )),
        Fate::Refused => Ok(record(FORBIDDEN_TAG, Value::I64(0), position)),
        Fate::Stored { tag, value } => {
            let value = if position.is_multiple_of(2) {
                Value::I64(position.cast_signed())
            } else {
                Value::text(&value).expect("it is short")
            };
            Ok(record(&tag, value, position))
        }
    };
    Entry {
        scope: ScopeIndex(scope),
        position: Position::new(position),
        arrival: Instant::now(),
        content,
    }
}

/// The name of a scope.
pub(crate) fn scope_name(scope: u16) -> ScopeName {
    ScopeName::new(SCOPES[usize::from(scope)])
}

fn record(tag: &str, value: Value, position: u64) -> Record {
    let micros = 1_700_000_000_000_000 + position.cast_signed();
    let timestamp = Timestamp::from_micros(micros).expect("it is in this century");
    Record::new("PLC01", tag, value, timestamp).expect("the names are sound")
}
