//! The file that is loaded, always the same for the same number of rows, and what it holds.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result, ensure};

/// The first timestamp, in microseconds since the Unix epoch; rows follow a millisecond apart.
pub(super) const FIRST_TIMESTAMP_US: i64 = 1_763_670_000_000_000;
const STEP_US: i64 = 1_000;
const SOURCES: u64 = 20;
const TAGS: u64 = 50;
const SEED: u64 = 0xF0_4E_BA_11;
const STATES: &[&str] = &["running", "stopped", "maintenance", "fault: overload"];

/// What distinguishes the content of a table from that of another: counts by type, and sums.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct Content {
    pub(crate) rows: u64,
    pub(super) nulls: u64,
    pub(super) integers: u64,
    pub(super) reals: u64,
    pub(super) texts: u64,
    /// Sum over all rows of the time since the first timestamp.
    pub(super) timestamp_sum_us: i64,
    pub(super) integer_sum: i64,
    pub(super) real_sum: f64,
    pub(super) text_length_sum: u64,
    /// Sum over all rows of the lengths of source, tag and quality.
    pub(super) name_length_sum: u64,
}

impl Content {
    /// Fails with the first field that differs. Real sums may differ by their rounding.
    pub(super) fn compare(&self, expected: &Self) -> Result<()> {
        let scale = expected.real_sum.abs().max(1.0);
        ensure!(
            (self.real_sum - expected.real_sum).abs() <= scale * 1e-9,
            "real sum {}, expected {}",
            self.real_sum,
            expected.real_sum
        );
        let exact = Self {
            real_sum: expected.real_sum,
            ..self.clone()
        };
        ensure!(exact == *expected, "found {self:?}, expected {expected:?}");
        Ok(())
    }
}

/// Writes the file: mostly numbers with a fraction, some whole numbers, texts, bools and nulls.
pub(super) fn generate(path: &Path, rows: u64) -> Result<Content> {
    let file = File::create(path).with_context(|| format!("cannot create {}", path.display()))?;
    let mut out = BufWriter::new(file);
    let mut random = fastrand::Rng::with_seed(SEED);
    let mut content = Content {
        rows,
        ..Content::default()
    };
    let mut timestamp = FIRST_TIMESTAMP_US;
    for row in 0..rows {
        let value = value(&mut random, &mut content);
        let source = format!("PLC{:02}", row % SOURCES + 1);
        let tag = format!("D{}", 100 + random.u64(0..TAGS));
        let quality = "good";
        writeln!(
            out,
            "{{\"timestamp\":{timestamp},\"source\":\"{source}\",\"tag\":\"{tag}\",\
             \"value\":{value},\"quality\":\"{quality}\"}}"
        )?;
        content.timestamp_sum_us += timestamp - FIRST_TIMESTAMP_US;
        content.name_length_sum += (source.len() + tag.len() + quality.len()) as u64;
        timestamp += STEP_US;
    }
    out.into_inner()?.sync_all()?;
    Ok(content)
}

/// One value as JSON, added to the account.
fn value(random: &mut fastrand::Rng, content: &mut Content) -> String {
    match random.u32(0..100) {
        0..70 => {
            let value = f64::from(random.i32(-1_000_000..10_000_000)) / 1_000.0;
            content.reals += 1;
            content.real_sum += value;
            // `Debug` keeps the point of a whole number, which makes it a real to every reader.
            format!("{value:?}")
        }
        70..85 => {
            let value = random.i64(-1_000..100_000);
            content.integers += 1;
            content.integer_sum += value;
            value.to_string()
        }
        85..93 => {
            let text = STATES[random.usize(0..STATES.len())];
            content.texts += 1;
            content.text_length_sum += text.len() as u64;
            format!("\"{text}\"")
        }
        93..97 => {
            let value = random.bool();
            content.integers += 1;
            content.integer_sum += i64::from(value);
            value.to_string()
        }
        _ => {
            content.nulls += 1;
            "null".to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_number_of_rows_is_the_same_file() {
        let scratch = tempfile::tempdir().unwrap();
        let (first, second) = (scratch.path().join("1"), scratch.path().join("2"));
        let content = generate(&first, 1_000).unwrap();
        assert_eq!(generate(&second, 1_000).unwrap(), content);
        let text = std::fs::read_to_string(&first).unwrap();
        assert_eq!(text, std::fs::read_to_string(&second).unwrap());
        assert_eq!(text.lines().count(), 1_000);
        let start = r#"{"timestamp":1763670000000000,"source":"PLC01","tag":"D1"#;
        assert!(text.starts_with(start), "{}", text.lines().next().unwrap());
    }

    #[test]
    fn every_type_of_value_is_there_and_accounted_for() {
        let scratch = tempfile::tempdir().unwrap();
        let content = generate(&scratch.path().join("1"), 10_000).unwrap();
        let Content {
            nulls,
            integers,
            reals,
            texts,
            ..
        } = content;
        assert_eq!(nulls + integers + reals + texts, 10_000);
        assert!(
            nulls > 100 && integers > 1_000 && texts > 500,
            "{content:?}"
        );
        assert!(reals > 6_000, "{content:?}");
    }

    #[test]
    fn a_difference_in_any_sum_is_found() {
        let content = Content {
            rows: 2,
            real_sum: 3.0,
            ..Content::default()
        };
        assert!(content.compare(&content).is_ok());
        let rounded = Content {
            real_sum: 3.0 + 1e-12,
            ..content.clone()
        };
        assert!(rounded.compare(&content).is_ok());
        let other = Content {
            real_sum: 3.1,
            ..content.clone()
        };
        assert!(other.compare(&content).is_err());
        let other = Content {
            nulls: 1,
            ..content.clone()
        };
        assert!(other.compare(&content).is_err());
    }
}
