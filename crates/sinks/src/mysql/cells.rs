//! Rows as values of the driver, and moments back.
//!
//! What a column cannot hold, such as NaN or a year before 1000, is found here, before it is sent:
//! the server would have its own idea of it.

use mysql_async::Value;
use record::{Position, Timestamp};

use crate::Row;
use crate::sql::{SqlCell, SqlColumn, Table};

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
pub(super) fn values<R: Row>(
    table: &Table,
    row: &R,
    scope: i64,
    position: Position,
) -> Result<Vec<Value>, String> {
    let value = |column: &SqlColumn| {
        let refused = |why: String| format!("column `{}`: {why}", column.name);
        Ok(match column.cell(row, scope, position)? {
            SqlCell::Null => Value::NULL,
            SqlCell::Bool(truth) => Value::Int(truth.into()),
            SqlCell::I64(number) => Value::Int(number),
            // The server would have its own idea of it.
            SqlCell::F64(number) if !number.is_finite() => {
                return Err(refused(format!("{number} is not a finite number")));
            }
            SqlCell::F64(number) => Value::Double(number),
            SqlCell::Text(text) | SqlCell::Json(text) => text.into(),
            SqlCell::Digits(digits) => digits.as_str().into(),
            SqlCell::Bytes(bytes) => Value::Bytes(bytes.to_vec()),
            SqlCell::Timestamp(moment) => date(moment).map_err(refused)?,
        })
    };
    table.columns.iter().map(value).collect()
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
    use crate::row;

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

    struct Price(Option<f64>);

    row! {
        Price => "prices" {
            "price": F64 = |row| row.0;
            "again": F64 or null = |row| row.0;
        }
    }

    #[test]
    fn lesson_a_missing_value_is_never_zero_and_nan_is_never_null() {
        let mut table = Table::of_rows("prices", &Price::SCHEMA);
        let values = |table: &Table, price| values(table, &Price(price), 1, Position::new(2));
        let error = values(&table, None).unwrap_err();
        assert_eq!(error, "column `price` takes a number, not null");
        table.columns.remove(0);
        for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let error = values(&table, Some(number)).unwrap_err();
            assert!(error.contains("is not a finite number"), "{error}");
        }
        let expected = vec![Value::NULL, Value::Int(1), Value::Int(2)];
        assert_eq!(values(&table, None), Ok(expected));
    }
}
