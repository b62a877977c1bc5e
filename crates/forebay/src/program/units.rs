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

/// Reads `500ms`, `2s`, `1.5 h`.
///
/// # Errors
/// When there is no number, no unit, or another unit; the message says which there are.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let units = "ms, s, m, h or d";
    let micros = parse(text, &DURATION_UNITS)
        .ok_or_else(|| format!("expected a number with a unit ({units}), such as \"500ms\""))?;
    Ok(Duration::from_micros(micros))
}

/// Reads `64 MiB`, `500kB`.
///
/// # Errors
/// When there is no number, no unit, or another unit; the message says which there are.
pub(crate) fn parse_size(text: &str) -> Result<usize, String> {
    let refused = || {
        "expected a number with a unit (B, KiB, MiB, GiB, kB, MB or GB), such as \"64 MiB\""
            .to_owned()
    };
    parse(text, &SIZE_UNITS)
        .and_then(|bytes| usize::try_from(bytes).ok())
        .ok_or_else(refused)
}

/// The shortest text that [`parse_duration`] reads back.
pub(crate) fn show_duration(duration: Duration) -> String {
    let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    match show(micros, &DURATION_UNITS) {
        Some((number, unit)) => format!("{number}{unit}"),
        None => format!("{}ms", micros as f64 / 1000.0),
    }
}

/// The shortest text that [`parse_size`] reads back.
pub(crate) fn show_size(bytes: usize) -> String {
    let (number, unit) = show(bytes as u64, &SIZE_UNITS).unwrap_or((bytes as u64, "B"));
    format!("{number} {unit}")
}

/// A size to one decimal place, for people alone.
pub(crate) fn show_rounded(bytes: usize) -> String {
    let units = [("GiB", 1_usize << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match units.iter().find(|(_, scale)| bytes >= *scale) {
        Some((unit, scale)) => format!("{:.1} {unit}", bytes as f64 / *scale as f64),
        None => format!("{bytes} B"),
    }
}

/// The number in the smallest unit; fractions of that are cut off.
fn parse(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.' && c != '_')?;
    let (number, unit) = text.split_at(split);
    let unit = unit.trim_start();
    let (_, scale) = units.iter().find(|(name, _)| *name == unit).or_else(|| {
        units
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(unit))
    })?;
    let number = number.replace('_', "");
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(*scale);
    }
    let number: f64 = number.parse().ok()?;
    let scaled = number * *scale as f64;
    (scaled < u64::MAX as f64).then_some(scaled as u64)
}

/// The largest unit of which it is a whole number.
fn show(number: u64, units: &[(&'static str, u64)]) -> Option<(u64, &'static str)> {
    units
        .iter()
        .filter(|(_, scale)| number.is_multiple_of(*scale) && (number > 0 || *scale > 1))
        .max_by_key(|(_, scale)| {
            if number == 0 {
                u64::MAX - scale
            } else {
                *scale
            }
        })
        .map(|(unit, scale)| (number / scale, *unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_unit() {
        let table = [
            ("500ms", Some(500)),
            ("2s", Some(2_000)),
            (" 1.5 s ", Some(1_500)),
            ("5m", Some(300_000)),
            ("24h", Some(86_400_000)),
            ("7d", Some(604_800_000)),
            ("0s", Some(0)),
            ("10", None),
            ("", None),
            ("s", None),
            ("-1s", None),
            ("1 parsec", None),
            ("1..5s", None),
            ("99999999999999999999d", None),
        ];
        for (text, expected) in table {
            let found = parse_duration(text).ok();
            assert_eq!(found, expected.map(Duration::from_millis), "{text:?}");
        }
    }

    #[test]
    fn sizes_need_a_unit() {
        let table = [
            ("64 MiB", Some(64 << 20)),
            ("64mib", Some(64 << 20)),
            ("1.5 KiB", Some(1536)),
            ("10 MB", Some(10_000_000)),
            ("5B", Some(5)),
            ("5", None),
            ("5 Mbit", None),
        ];
        for (text, expected) in table {
            assert_eq!(parse_size(text).ok(), expected, "{text:?}");
        }
    }

    #[test]
    fn what_is_shown_is_read_back() {
        for ms in [0, 1, 500, 1_000, 1_500, 60_000, 90_000, 86_400_000] {
            let duration = Duration::from_millis(ms);
            let text = show_duration(duration);
            assert_eq!(parse_duration(&text), Ok(duration), "{text}");
        }
        for bytes in [0, 1, 1_000, 1 << 20, 64 << 20, 10_000_000, 12_345] {
            let text = show_size(bytes);
            assert_eq!(parse_size(&text), Ok(bytes), "{text}");
        }
        assert_eq!(show_duration(Duration::from_secs(90)), "90s");
        assert_eq!(show_duration(Duration::from_secs(86_400)), "1d");
        assert_eq!(show_size(64 << 20), "64 MiB");
    }
}
