//! The time of a row: RFC 3339, a local date and time, or a number with its unit.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use record::{RecordError, Timestamp};

use super::columns::{RowError, shortened};
use super::options::TimeUnit;

const EXPECTED: &str = "RFC 3339 (2024-05-01T12:00:00Z), YYYY-MM-DD HH:MM:SS, or a number whose \
                        unit is named";

/// Reads times.
pub(super) struct Times {
    pub(super) timezone: TimeZone,
    pub(super) unit: Option<TimeUnit>,
}

impl Times {
    /// What `cell` says. Finer than a microsecond is cut off.
    pub(super) fn read(&self, cell: &str) -> Result<Timestamp, RowError> {
        let cell = cell.trim();
        if cell.is_empty() {
            let field = "timestamp";
            return Err(RecordError::Empty { field }.into());
        }
        if let Some(time) = local_time(cell) {
            let time = self
                .timezone
                .to_timestamp(time)
                .map_err(|_| unusable(cell))?;
            return Ok(Timestamp::from_micros(time.as_microsecond())?);
        }
        if is_number(cell) {
            let Some(unit) = self.unit else {
                let found = shortened(cell);
                return Err(RowError::TimeUnitMissing { found });
            };
            let micros = micros(cell, unit).ok_or_else(|| unusable(cell))?;
            return Ok(Timestamp::from_micros(micros)?);
        }
        cell.parse::<Timestamp>().map_err(|_| unusable(cell).into())
    }
}

fn unusable(cell: &str) -> RecordError {
    RecordError::Unexpected {
        field: "timestamp",
        found: format!("{:?}", shortened(cell)),
        expected: EXPECTED,
    }
}

/// `YYYY-MM-DD HH:MM[:SS[.fraction]]`, with a blank or a `T` in the middle and nothing behind.
fn local_time(cell: &str) -> Option<DateTime> {
    let bytes = cell.as_bytes();
    if bytes.len() < 16
        || [bytes[4], bytes[7], bytes[13]] != *b"--:"
        || !matches!(bytes[10], b' ' | b'T' | b't')
    {
        return None;
    }
    let two = |at: usize| digits(&bytes[at..at + 2]).map(|number| number as i8);
    let year = digits(&bytes[..4])? as i16;
    let (second, fraction) = match &bytes[16..] {
        [] => (0, &b""[..]),
        [b':', tens, ones, rest @ ..] => {
            let fraction = match rest {
                [] => rest,
                [b'.' | b',', fraction @ ..] if !fraction.is_empty() => fraction,
                _ => return None,
            };
            (digits(&[*tens, *ones])? as i8, fraction)
        }
        _ => return None,
    };
    let nanos = fraction_of(fraction, 9)? as i32;
    DateTime::new(year, two(5)?, two(8)?, two(11)?, two(14)?, second, nanos).ok()
}

fn is_number(cell: &str) -> bool {
    let unsigned = cell.strip_prefix(['-', '+']).unwrap_or(cell);
    unsigned.starts_with(|first: char| first.is_ascii_digit())
        && (cell.parse::<f64>().is_ok() || split_number(cell).is_some())
}

/// Microseconds since 1970, exact unless the number has an exponent.
fn micros(cell: &str, unit: TimeUnit) -> Option<i64> {
    let scale_digits = match unit {
        TimeUnit::Seconds => 6,
        TimeUnit::Milliseconds => 3,
        TimeUnit::Microseconds | TimeUnit::Nanoseconds => 0,
    };
    let Some((negative, whole, fraction)) = split_number(cell) else {
        let nanos = if unit == TimeUnit::Nanoseconds {
            1e3
        } else {
            1.0
        };
        let micros = cell.parse::<f64>().ok()? * 10f64.powi(scale_digits as i32) / nanos;
        // The cast saturates, and the limits of a timestamp lie well within.
        return micros.is_finite().then_some(micros.round() as i64);
    };
    let magnitude = i64::try_from(digits(whole)?)
        .ok()?
        .checked_mul(10i64.pow(scale_digits))?
        .checked_add(fraction_of(fraction, scale_digits)? as i64)?;
    let number = if negative { -magnitude } else { magnitude };
    Some(match unit {
        TimeUnit::Nanoseconds => number.div_euclid(1000),
        _ => number,
    })
}

/// The sign and the digits before and after the point or comma.
fn split_number(cell: &str) -> Option<(bool, &[u8], &[u8])> {
    let unsigned = cell.strip_prefix(['-', '+']).unwrap_or(cell);
    let (whole, fraction) = unsigned.split_once(['.', ',']).unwrap_or((unsigned, ""));
    let are_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    (!whole.is_empty() && are_digits(whole) && are_digits(fraction)).then_some((
        cell.starts_with('-'),
        whole.as_bytes(),
        fraction.as_bytes(),
    ))
}

/// The first `places` digits after a point, as a whole number of that many digits.
fn fraction_of(fraction: &[u8], places: u32) -> Option<u64> {
    let kept = &fraction[..fraction.len().min(places as usize)];
    digits(&fraction[kept.len()..])?;
    Some(digits(kept)? * 10u64.pow(places - kept.len() as u32))
}

/// A number of decimal digits; none is zero. Digits beyond what fits are an error, unless they
/// are zero at the front.
fn digits(bytes: &[u8]) -> Option<u64> {
    bytes.iter().try_fold(0u64, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(times: &Times, table: &[(&str, Option<i64>)]) {
        for (cell, expected) in table {
            let found = times.read(cell).ok().map(Timestamp::micros);
            assert_eq!(found, *expected, "cell {cell:?}");
        }
    }

    fn times(timezone: &str, unit: Option<TimeUnit>) -> Times {
        Times {
            timezone: TimeZone::get(timezone).unwrap(),
            unit,
        }
    }

    #[test]
    fn a_time_without_offset_is_in_the_time_zone_and_one_with_offset_is_not() {
        let noon = 1_714_564_800_000_000;
        check(
            &times("UTC", None),
            &[
                ("2024-05-01 12:00:00", Some(noon)),
                ("2024-05-01T12:00:00", Some(noon)),
                (" 2024-05-01 12:00 ", Some(noon)),
                ("2024-05-01 12:00:00.5", Some(noon + 500_000)),
                ("2024-05-01 12:00:00,123456789", Some(noon + 123_456)),
                ("2024-05-01T12:00:00Z", Some(noon)),
                ("2024-05-01T14:00:00+02:00", Some(noon)),
                ("2024-05-01 14:00:00.25+02:00", Some(noon + 250_000)),
                ("1969-12-31 23:59:59.999999", Some(-1)),
                ("2024-02-30 12:00:00", None),
                ("2024-05-01 24:00:00", None),
                ("2024-05-01 12:00:00.", None),
                ("2024-05-01 12:00:00.x", None),
                ("2024-05-01 12:0x", None),
                ("01.05.2024 12:00", None),
                ("yesterday, about noon", None),
                ("", None),
            ],
        );
        check(
            &times("Europe/Berlin", None),
            &[
                ("2024-05-01 14:00:00", Some(noon)),
                ("2024-05-01 12:00:00Z", Some(noon)),
                // The hour that occurs twice: the first is meant.
                ("2024-10-27 02:30:00", Some(1_729_989_000_000_000)),
                // The hour that does not occur: as long after the gap as it was into it.
                ("2024-03-31 02:30:00", Some(1_711_848_600_000_000)),
            ],
        );
    }

    #[test]
    fn a_number_is_a_time_only_with_its_unit() {
        let seconds = times("UTC", Some(TimeUnit::Seconds));
        check(
            &seconds,
            &[
                ("0", Some(0)),
                ("1714564800", Some(1_714_564_800_000_000)),
                ("1714564800.123456789", Some(1_714_564_800_123_456)),
                ("1714564800,5", Some(1_714_564_800_500_000)),
                ("-1.5", Some(-1_500_000)),
                ("1.7145648e9", Some(1_714_564_800_000_000)),
                ("99999999999999999999", None),
                ("9223372036854775807", None),
                ("1e300", None),
                ("1714564800x", None),
            ],
        );
        check(
            &times("UTC", Some(TimeUnit::Milliseconds)),
            &[("1714564800123.4", Some(1_714_564_800_123_400))],
        );
        check(
            &times("UTC", Some(TimeUnit::Microseconds)),
            &[("1714564800123456", Some(1_714_564_800_123_456))],
        );
        check(
            &times("UTC", Some(TimeUnit::Nanoseconds)),
            &[
                ("1714564800123456789", Some(1_714_564_800_123_456)),
                ("-1", Some(-1)),
                ("1e3", Some(1)),
            ],
        );
        let error = times("UTC", None).read("1714564800").unwrap_err();
        assert!(matches!(error, RowError::TimeUnitMissing { .. }), "{error}");
    }
}
