//! Durations and sizes as people write them: a number with its unit, never without.

use std::time::Duration;

const DURATION_UNITS: [(&str, u64); 5] = [
    ("ms", 1_000),
    ("s", 1_000_000),
    ("m", 60_000_000),
    ("h", 3_600_000_000),
    ("d", 86_400_000_000),
];

const SIZE_UNITS: [(&str, u64); 7] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("B", 1),
];

/// Reads `500ms`, `2s`, `1.5h`.
pub(super) fn parse_duration(text: &str) -> Option<Duration> {
    parse(text, &DURATION_UNITS).map(Duration::from_micros)
}

/// Reads `64MiB`, `500 kB`.
pub(super) fn parse_size(text: &str) -> Option<u64> {
    parse(text, &SIZE_UNITS)
}

/// In the largest unit of which it is a whole number.
pub(super) fn show_duration(duration: Duration) -> String {
    let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    show(micros, &DURATION_UNITS).unwrap_or_else(|| format!("{}ms", micros as f64 / 1000.0))
}

/// In the largest unit of which it is a whole number.
pub(super) fn show_size(bytes: u64) -> String {
    show(bytes, &SIZE_UNITS).unwrap_or_else(|| format!("{bytes}B"))
}

/// The number in the smallest unit; fractions of that are cut off.
fn parse(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(split);
    let unit = unit.trim_start();
    let named = |(name, _): &&(&str, u64)| name.eq_ignore_ascii_case(unit);
    let (_, scale) = units.iter().find(named)?;
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(*scale);
    }
    let scaled = number.parse::<f64>().ok()? * *scale as f64;
    (scaled < u64::MAX as f64).then_some(scaled as u64)
}

fn show(number: u64, units: &[(&str, u64)]) -> Option<String> {
    let whole = |(_, scale): &&(&str, u64)| number > 0 && number.is_multiple_of(*scale);
    let (unit, scale) = units.iter().filter(whole).max_by_key(|(_, scale)| *scale)?;
    Some(format!("{}{unit}", number / scale))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_need_a_unit() {
        let table = [
            ("500ms", Some(500)),
            ("2s", Some(2_000)),
            ("1.5 s", Some(1_500)),
            ("5m", Some(300_000)),
            ("7d", Some(604_800_000)),
            ("0s", Some(0)),
            ("10", None),
            ("", None),
            ("s", None),
            ("-1s", None),
            ("1..5s", None),
            ("99999999999999999999d", None),
        ];
        for (text, ms) in table {
            assert_eq!(
                parse_duration(text),
                ms.map(Duration::from_millis),
                "{text:?}"
            );
        }
        assert_eq!(parse_size("64mib"), Some(64 << 20));
        assert_eq!(parse_size("1.5KiB"), Some(1536));
        assert_eq!(parse_size("5 Mbit"), None);
    }

    #[test]
    fn what_is_shown_is_read_back() {
        for ms in [0, 1, 500, 1_500, 90_000, 86_400_000] {
            let duration = Duration::from_millis(ms);
            let text = show_duration(duration);
            assert_eq!(parse_duration(&text), Some(duration), "{text}");
        }
        for bytes in [0, 1, 1_000, 1 << 20, 12_345] {
            assert_eq!(parse_size(&show_size(bytes)), Some(bytes));
        }
    }
}
