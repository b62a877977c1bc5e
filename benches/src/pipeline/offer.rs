//! A source with a rate: records of all four lanes, each stamped with the moment of its offer.

use std::time::{Duration, Instant};

use record::{Priority, Record, Timestamp, Value};

/// Tags, each of which is in every lane.
pub(super) const TAGS: usize = 64;
/// How often the source wakes.
const TICK: Duration = Duration::from_millis(1);

/// What was offered, lane by lane.
pub(super) struct Offered {
    pub(super) rows: u64,
    /// How many were not taken.
    pub(super) refused: u64,
}

/// Offers so many records per second for so long, and never more than what is due; a way in that
/// waits slows it.
pub(super) fn offer(
    epoch: Instant,
    rows_per_s: u64,
    duration: Duration,
    mut send: impl FnMut(Record) -> bool,
) -> Offered {
    let templates = templates();
    let started = Instant::now();
    let mut offered = Offered {
        rows: 0,
        refused: 0,
    };
    let mut stamp = 0;
    loop {
        let elapsed = started.elapsed();
        let due = elapsed.min(duration).as_micros() * u128::from(rows_per_s) / 1_000_000;
        while u128::from(offered.rows) < due && started.elapsed() < duration + TICK {
            let mut record = templates[offered.rows as usize % templates.len()].clone();
            stamp = micros_since(epoch).max(stamp + 1);
            record.timestamp = Timestamp::from_micros(stamp).unwrap_or_default();
            record.priority = Some(lane_of(offered.rows));
            offered.refused += u64::from(!send(record));
            offered.rows += 1;
        }
        if elapsed >= duration {
            return offered;
        }
        std::thread::sleep(TICK);
    }
}

/// Microseconds since the beginning of a run.
pub(super) fn micros_since(epoch: Instant) -> i64 {
    i64::try_from(epoch.elapsed().as_micros()).unwrap_or(i64::MAX)
}

/// 1 % critical, 9 % high, 80 % normal, 10 % low.
fn lane_of(number: u64) -> Priority {
    match number % 100 {
        0 => Priority::Critical,
        1..=9 => Priority::High,
        10..=89 => Priority::Normal,
        _ => Priority::Low,
    }
}

fn templates() -> Vec<Record> {
    let record = |tag: usize| {
        let (tag, value) = (format!("D{tag}"), Value::F64(21.5));
        Record::new("PLC01", &tag, value, Timestamp::default()).expect("the names are sound")
    };
    (0..TAGS).map(record).collect()
}
