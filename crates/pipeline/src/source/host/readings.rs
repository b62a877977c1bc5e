//! Values to records, things to names, counters to rates.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use record::{Name, Quality, Record, Timestamp, Value};

use super::THINGS_MAX;

/// The most bytes of a thing's name that go into a tag.
const SEGMENT_BYTES_MAX: usize = 96;

/// The records of one poll. `None` becomes null with quality bad.
pub(super) struct Readings {
    source: Name,
    timestamp: Timestamp,
    records: Vec<Record>,
}

impl Readings {
    pub(super) fn new(source: Name, timestamp: Timestamp, expected: usize) -> Self {
        Self {
            source,
            timestamp,
            records: Vec::with_capacity(expected),
        }
    }

    /// A count, or a number of bytes.
    pub(super) fn whole(&mut self, tag: &str, number: Option<u64>) {
        let value = number
            .and_then(|number| i64::try_from(number).ok())
            .map_or(Value::Null, Value::I64);
        self.push(tag, value);
    }

    /// A measure, to two places.
    pub(super) fn number(&mut self, tag: &str, number: Option<f64>) {
        let value = number.map_or(Value::Null, |number| {
            Value::number((number * 100.0).round() / 100.0)
        });
        self.push(tag, value);
    }

    pub(super) fn text(&mut self, tag: &str, text: Option<&str>) {
        let value = text
            .and_then(|text| Value::text(text).ok())
            .unwrap_or(Value::Null);
        self.push(tag, value);
    }

    pub(super) fn into_records(self) -> Vec<Record> {
        self.records
    }

    fn push(&mut self, tag: &str, value: Value) {
        let tag = Name::new("tag", tag).expect("tags are made of segments that are checked");
        let quality = match value {
            Value::Null => Quality::Bad,
            _ => Quality::Good,
        };
        self.records.push(Record {
            timestamp: self.timestamp,
            source: self.source.clone(),
            tag,
            value,
            quality,
            priority: None,
            id: None,
        });
    }
}

/// A share of a whole, in percent; a whole of zero has none.
pub(super) fn percent(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64 * 100.0)
}

/// What a thing is called within a tag: no blanks, slashes or control characters, and `root` for
/// the mount point `/`.
pub(super) fn segment(name: &str) -> String {
    if name == "/" {
        return "root".to_owned();
    }
    let mut segment = String::new();
    for letter in name.trim_matches(['/', '\\', ':', ' ']).chars() {
        let kept = letter.is_alphanumeric() || matches!(letter, '-' | '_' | '.' | '@' | '+');
        let letter = if kept { letter } else { '_' };
        if segment.len() + letter.len_utf8() > SEGMENT_BYTES_MAX {
            break;
        }
        segment.push(letter);
    }
    if segment.is_empty() {
        "unnamed".to_owned()
    } else {
        segment
    }
}

/// Names a number of things so that no two have the same segment, in the order of their own names,
/// which makes it the same from poll to poll. At most [`THINGS_MAX`] are named.
pub(super) fn named<T>(mut things: Vec<(String, T)>) -> Vec<(String, T)> {
    things.sort_by(|one, other| one.0.cmp(&other.0));
    things.truncate(THINGS_MAX);
    let mut used = BTreeSet::new();
    for (name, _) in &mut things {
        let plain = segment(name);
        let mut unique = plain.clone();
        let mut number = 1;
        while !used.insert(unique.clone()) {
            number += 1;
            unique = format!("{plain}_{number}");
        }
        *name = unique;
    }
    things
}

/// Remembers what was there, to tell what is gone.
#[derive(Default)]
pub(super) struct Present(BTreeSet<String>);

impl Present {
    /// What was there at the last call and is not now.
    pub(super) fn replace(&mut self, now: BTreeSet<String>) -> BTreeSet<String> {
        let before = std::mem::replace(&mut self.0, now);
        before.difference(&self.0).cloned().collect()
    }
}

/// A counter at a moment.
#[derive(Clone, Copy)]
pub(super) struct Sample {
    pub(super) count: u64,
    pub(super) at: Instant,
}

impl Sample {
    /// Counts per second since `before`. There is none when no time passed, or when the counter
    /// began anew.
    pub(super) fn rate_since(self, before: Option<Self>) -> Option<f64> {
        let before = before?;
        let passed = self.at.saturating_duration_since(before.at);
        let counted = self.count.checked_sub(before.count)?;
        (passed > Duration::ZERO).then(|| counted as f64 / passed.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_things_become_segments_of_tags() {
        let table = [
            ("/", "root"),
            ("/home/data", "home_data"),
            ("/mnt/my disk/", "mnt_my_disk"),
            ("C:\\", "C"),
            ("eth0.100", "eth0.100"),
            ("coretemp Core 0", "coretemp_Core_0"),
            ("a\tb\u{7}\u{85}", "a_b__"),
            ("Größe", "Größe"),
            ("", "unnamed"),
            ("///", "unnamed"),
        ];
        for (name, expected) in table {
            assert_eq!(segment(name), expected, "name {name:?}");
        }
        assert!(segment(&"ö".repeat(200)).len() <= SEGMENT_BYTES_MAX);
    }

    #[test]
    fn law_2_things_are_unique_and_bounded() {
        let things = vec![
            ("a b".to_owned(), 2),
            ("a/b".to_owned(), 3),
            ("a_b".to_owned(), 4),
        ];
        let named_things = named(things);
        let names: Vec<_> = named_things.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["a_b", "a_b_2", "a_b_3"]);
        let many = (0..1000).map(|number| (format!("{number}"), ())).collect();
        assert_eq!(named(many).len(), THINGS_MAX);
    }

    #[test]
    fn a_rate_needs_two_counts_and_time_between() {
        let start = Instant::now();
        let sample = |count, seconds| Sample {
            count,
            at: start + Duration::from_secs(seconds),
        };
        assert_eq!(sample(100, 0).rate_since(None), None);
        assert_eq!(sample(300, 2).rate_since(Some(sample(100, 0))), Some(100.0));
        assert_eq!(sample(100, 2).rate_since(Some(sample(100, 0))), Some(0.0));
        assert_eq!(sample(300, 0).rate_since(Some(sample(100, 0))), None);
        assert_eq!(sample(300, 0).rate_since(Some(sample(100, 5))), None);
        assert_eq!(sample(99, 2).rate_since(Some(sample(100, 0))), None);
    }

    #[test]
    fn what_is_not_read_is_null_and_bad_never_zero() {
        let time = Timestamp::from_micros(0).unwrap();
        let mut readings = Readings::new(Name::new("source", "s").unwrap(), time, 0);
        readings.whole("a", None);
        readings.number("b", None);
        readings.number("c", Some(f64::NAN));
        readings.text("d", None);
        readings.whole("e", Some(u64::MAX));
        for record in readings.into_records() {
            assert_eq!(record.value, Value::Null, "tag {}", record.tag);
            assert_eq!(record.quality, Quality::Bad);
        }
        assert_eq!(percent(1, 0), None);
    }

    #[test]
    fn what_is_gone_is_told_once() {
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let mut present = Present::default();
        assert!(present.replace(set(&["a", "b"])).is_empty());
        assert_eq!(present.replace(set(&["b", "c"])), set(&["a"]));
        assert!(present.replace(set(&["b", "c"])).is_empty());
    }
}
