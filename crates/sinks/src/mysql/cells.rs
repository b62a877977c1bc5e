//! Rows as values of the driver, and back.
//!
//! A column of any kind takes three in the table: `value` as a number, `value_text` as text and
//! the exact digits of whole numbers that a `DOUBLE` would round, and `value_kind`. What a column
//! cannot hold is found here, before it is sent: the server would have its own idea of NaN.

use mysql_async::Value;
use record::{Timestamp, Value as Recorded};

use crate::{Cell, Column, ColumnType, Row};

/// Whole numbers up to this are exact as a `DOUBLE`.
const EXACT_MAX: u64 = 1 << 53;

/// The years of a `DATETIME`, as the manual has them.
const YEARS: std::ops::RangeInclusive<i64> = 1_000..=9_999;

const DAY_US: i64 = 86_400_000_000;

/// A row that can be sent.
pub(super) struct Ready {
    /// Its index in the batch.
    pub(super) row: usize,
    pub(super) values: Vec<Value>,
    /// An upper bound of what it takes in a statement.
    pub(super) bytes: usize,
}

impl Ready {
    pub(super) fn new(row: usize, values: Vec<Value>) -> Self {
        let size = |value: &Value| match value {
            Value::Bytes(bytes) => bytes.len() + 10,
            _ => 14,
        };
        let bytes = values.iter().map(size).sum();
        Self { row, values, bytes }
    }
}

/// The values of a row in the order of the table, or why it cannot be stored.
pub(super) fn values<R: Row>(row: &R, scope: i64, position: i64) -> Result<Vec<Value>, String> {
    let columns = R::SCHEMA.columns();
    let mut values = Vec::with_capacity(columns.len() + 4);
    for (index, column) in columns.iter().enumerate() {
        let cell = row.cell(index);
        if column.kind() == ColumnType::Any {
            push_any(column, cell, &mut values)?;
        } else {
            values.push(value(column, cell)?);
        }
    }
    values.extend([Value::Int(scope), Value::Int(position)]);
    Ok(values)
}

fn value(column: &Column, cell: Cell<'_>) -> Result<Value, String> {
    let name = column.name();
    Ok(match (column.kind(), cell) {
        (_, Cell::Null) if column.is_nullable() => Value::NULL,
        (_, Cell::Null) => return Err(format!("column `{name}` must not be null")),
        (ColumnType::Bool, Cell::Bool(truth)) => Value::Int(truth.into()),
        (ColumnType::I64, Cell::I64(number)) => Value::Int(number),
        (ColumnType::F64, Cell::F64(number)) => finite(name, number)?,
        (ColumnType::Text, Cell::Text(text)) => text.into(),
        (ColumnType::Json, Cell::Json(text)) => text.into(),
        (ColumnType::Bytes, Cell::Bytes(bytes)) => Value::Bytes(bytes.to_vec()),
        (ColumnType::Timestamp, Cell::Timestamp(moment)) => {
            date(moment).map_err(|why| format!("column `{name}`: {why}"))?
        }
        (kind, _) => return Err(format!("column `{name}` is {kind:?} and got another type")),
    })
}

fn push_any(column: &Column, cell: Cell<'_>, values: &mut Vec<Value>) -> Result<(), String> {
    let name = column.name();
    let (number, text, kind) = match cell {
        Cell::Null if column.is_nullable() => (Value::NULL, Value::NULL, "null"),
        Cell::Null => return Err(format!("column `{name}` must not be null")),
        Cell::Bool(truth) => (Value::Double(truth.into()), Value::NULL, "bool"),
        Cell::I64(whole) => {
            let is_exact = whole.unsigned_abs() <= EXACT_MAX;
            let digits = if is_exact {
                Value::NULL
            } else {
                whole.to_string().into()
            };
            #[allow(clippy::cast_precision_loss, reason = "the digits are kept beside it")]
            let rounded = whole as f64;
            (Value::Double(rounded), digits, "int")
        }
        Cell::F64(number) => (finite(name, number)?, Value::NULL, "float"),
        Cell::Text(text) => (Value::NULL, text.into(), "text"),
        Cell::Json(text) => (Value::NULL, text.into(), "json"),
        Cell::Bytes(_) | Cell::Timestamp(_) => {
            return Err(format!("column `{name}` takes neither bytes nor moments"));
        }
    };
    values.extend([number, text, Value::Bytes(kind.as_bytes().to_vec())]);
    Ok(())
}

fn finite(column: &str, number: f64) -> Result<Value, String> {
    if number.is_finite() {
        return Ok(Value::Double(number));
    }
    Err(format!(
        "column `{column}`: {number} is not a finite number"
    ))
}

/// A moment as a `DATETIME(6)`, UTC.
pub(super) fn date(moment: Timestamp) -> Result<Value, String> {
    let (days, of_day) = (
        moment.micros().div_euclid(DAY_US),
        moment.micros().rem_euclid(DAY_US),
    );
    let (year, month, day) = civil(days);
    if !YEARS.contains(&year) {
        let (first, last) = (YEARS.start(), YEARS.end());
        return Err(format!(
            "the year {year} is not within {first} to {last}, as a DATETIME has them"
        ));
    }
    let seconds = of_day / 1_000_000;
    Ok(Value::Date(
        small(year),
        small(month),
        small(day),
        small(seconds / 3_600),
        small(seconds / 60 % 60),
        small(seconds % 60),
        small(of_day % 1_000_000),
    ))
}

/// A moment as a literal of a statement, moved into the years that a `DATETIME` has.
pub(super) fn date_literal(moment: Timestamp) -> String {
    let value = date(moment).ok();
    let years = if moment.micros() < 0 {
        "'1000-01-01 00:00:00.000000'"
    } else {
        "'9999-12-31 23:59:59.999999'"
    };
    value.map_or_else(|| years.to_owned(), |value| value.as_sql(true))
}

/// The moment that a column of the table holds.
pub(super) fn moment(value: &Value) -> Option<Timestamp> {
    let Value::Date(year, month, day, hour, minute, second, micros) = *value else {
        return None;
    };
    let days = days_of(year.into(), month.into(), day.into());
    let seconds = i64::from(hour) * 3_600 + i64::from(minute) * 60 + i64::from(second);
    Timestamp::from_micros(days * DAY_US + seconds * 1_000_000 + i64::from(micros)).ok()
}

/// The value that the three columns hold.
pub(super) fn recorded(number: Option<f64>, text: Option<String>, kind: &str) -> Recorded {
    let text = text.unwrap_or_default();
    match (kind, number) {
        ("bool", Some(number)) => Recorded::Bool(number != 0.0),
        ("int", Some(number)) => {
            #[allow(clippy::cast_possible_truncation, reason = "whole and within 2^53")]
            let rounded = number as i64;
            Recorded::I64(text.parse().unwrap_or(rounded))
        }
        ("float", Some(number)) => Recorded::number(number),
        // Longer than a record's text can be, it was not written by us.
        ("text", _) => Recorded::text(&text).unwrap_or_default(),
        ("json", _) => Recorded::json(&text).unwrap_or_default(),
        _ => Recorded::Null,
    }
}

/// A part of a date, which fits by the way it was computed.
fn small<T: TryFrom<i64> + Default>(part: i64) -> T {
    T::try_from(part).unwrap_or_default()
}

/// The date of a day since 1970, by Hinnant's `civil_from_days`.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

/// The reverse, by Hinnant's `days_from_civil`.
fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let month = if month > 2 { month - 3 } else { month + 9 };
    let of_year = (153 * month + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FIRST: i64 = -30_610_224_000_000_000;
    const LAST: i64 = 253_402_207_200_999_999;

    fn at(micros: i64) -> Timestamp {
        Timestamp::from_micros(micros).expect("in range")
    }

    proptest! {
        #[test]
        fn moments_keep_their_microsecond(micros in FIRST..=LAST) {
            let value = date(at(micros)).expect("in range");
            prop_assert_eq!(moment(&value), Some(at(micros)));
        }

        #[test]
        fn whole_numbers_keep_their_digits(whole: i64) {
            let mut values = Vec::new();
            let column = Column::new("value", ColumnType::Any);
            push_any(&column, Cell::I64(whole), &mut values).expect("a number");
            let (Value::Double(number), text) = (&values[0], &values[1]) else {
                panic!("a number");
            };
            let text = match text {
                Value::Bytes(bytes) => Some(String::from_utf8(bytes.clone()).expect("digits")),
                _ => None,
            };
            prop_assert_eq!(recorded(Some(*number), text, "int"), Recorded::I64(whole));
        }
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        let table = [
            (0, "'1970-01-01'"),
            (951_782_400_000_000, "'2000-02-29'"),
            (1_700_000_000_123_456, "'2023-11-14 22:13:20.123456'"),
            (-1, "'1969-12-31 23:59:59.999999'"),
            (FIRST, "'1000-01-01'"),
        ];
        for (micros, expected) in table {
            let literal = date(at(micros)).expect("in range").as_sql(true);
            let shown = literal.replace(" 00:00:00", "");
            assert_eq!(shown, expected, "{micros}");
        }
        let error = date(at(FIRST - 1)).unwrap_err();
        assert!(
            error.contains("year 999 is not within 1000 to 9999"),
            "{error}"
        );
    }

    #[test]
    fn lesson_a_missing_value_is_never_zero_and_nan_is_never_null() {
        let column = Column::new("price", ColumnType::F64);
        let error = value(&column, Cell::Null).unwrap_err();
        assert_eq!(error, "column `price` must not be null");
        assert_eq!(value(&column.or_null(), Cell::Null), Ok(Value::NULL));
        for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let error = value(&column.or_null(), Cell::F64(number)).unwrap_err();
            assert!(error.contains("is not a finite number"), "{error}");
        }
        let error = value(&column, Cell::Text("1")).unwrap_err();
        assert_eq!(error, "column `price` is F64 and got another type");
    }
}
