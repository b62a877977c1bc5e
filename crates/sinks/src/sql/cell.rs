//! What a row has for each column of its table, and the way back.

use record::{Position, Timestamp, Value};

use super::table::{Source, SqlColumn, SqlType};
use crate::{Cell, Row};

/// A value on its way into a column, lent by its row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum SqlCell<'a> {
    Null,
    Bool(bool),
    I64(i64),
    F64(f64),
    Text(&'a str),
    /// The digits of a whole number, as text.
    Digits(Digits),
    Json(&'a str),
    Bytes(&'a [u8]),
    Timestamp(Timestamp),
}

/// The digits of a whole number, without an allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Digits {
    bytes: [u8; Self::BYTES_MAX],
    start: u8,
}

impl Digits {
    /// A sign and the digits of the least number of 64 bits.
    const BYTES_MAX: usize = 20;

    pub(crate) fn of(number: i64) -> Self {
        let mut bytes = [b'0'; Self::BYTES_MAX];
        let (mut start, mut left) = (bytes.len(), number.unsigned_abs());
        loop {
            start -= 1;
            bytes[start] = b'0' + u8::try_from(left % 10).unwrap_or(0);
            left /= 10;
            if left == 0 {
                break;
            }
        }
        if number < 0 {
            start -= 1;
            bytes[start] = b'-';
        }
        Self {
            bytes,
            start: u8::try_from(start).unwrap_or(0),
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[usize::from(self.start)..]).unwrap_or_default()
    }
}

/// The largest magnitude up to which every whole number is a number of 64 bits.
const EXACT_MAX: u64 = 1 << 53;

impl SqlColumn {
    /// What the row has for this column; `scope` is the scope's id.
    ///
    /// # Errors
    /// When the cell does not fit the column, with the reason.
    pub(crate) fn cell<'a, R: Row>(
        &self,
        row: &'a R,
        scope: impl Into<i64>,
        position: Position,
    ) -> Result<SqlCell<'a>, String> {
        match self.source {
            Source::Cell(index) => self.typed(row.cell(index)),
            Source::AnyNumber(index) => self.number(row.cell(index)),
            Source::AnyText(index) => Ok(match row.cell(index) {
                Cell::Text(text) | Cell::Json(text) => SqlCell::Text(text),
                Cell::I64(number) if number.unsigned_abs() > EXACT_MAX => {
                    SqlCell::Digits(Digits::of(number))
                }
                _ => SqlCell::Null,
            }),
            Source::AnyKind(index) => Ok(SqlCell::Text(match row.cell(index) {
                Cell::Bool(_) => "bool",
                Cell::I64(_) => "int",
                Cell::F64(_) => "float",
                Cell::Text(_) => "text",
                Cell::Json(_) => "json",
                _ => "null",
            })),
            Source::Scope => Ok(SqlCell::I64(scope.into())),
            Source::Position => Ok(SqlCell::I64(position.number().cast_signed())),
            Source::Other => Ok(SqlCell::Null),
        }
    }

    fn number<'a>(&self, cell: Cell<'a>) -> Result<SqlCell<'a>, String> {
        Ok(match cell {
            Cell::Bool(truth) => SqlCell::F64(if truth { 1.0 } else { 0.0 }),
            // Rounded beyond 2^53, where the text has the digits.
            Cell::I64(number) => SqlCell::F64(number as f64),
            Cell::F64(number) => SqlCell::F64(number),
            Cell::Bytes(_) => return Err(self.misfit("bytes")),
            Cell::Timestamp(_) => return Err(self.misfit("a moment")),
            Cell::Null | Cell::Text(_) | Cell::Json(_) => SqlCell::Null,
        })
    }

    fn typed<'a>(&self, cell: Cell<'a>) -> Result<SqlCell<'a>, String> {
        Ok(match (self.kind, cell) {
            (_, Cell::Null) if self.nullable => SqlCell::Null,
            (_, Cell::Null) => return Err(self.misfit("null")),
            (SqlType::Bool, Cell::Bool(truth)) => SqlCell::Bool(truth),
            (SqlType::I64, Cell::I64(number)) => SqlCell::I64(number),
            (SqlType::F64, Cell::F64(number)) => SqlCell::F64(number),
            (SqlType::F64, Cell::I64(number)) if number.unsigned_abs() <= EXACT_MAX => {
                SqlCell::F64(number as f64)
            }
            (SqlType::Text, Cell::Text(text) | Cell::Json(text)) => SqlCell::Text(text),
            (SqlType::Json, Cell::Json(text)) => SqlCell::Json(text),
            (SqlType::Bytes, Cell::Bytes(bytes)) => SqlCell::Bytes(bytes),
            (SqlType::Timestamp, Cell::Timestamp(moment)) => SqlCell::Timestamp(moment),
            (_, cell) => return Err(self.misfit(word_for(cell))),
        })
    }

    fn misfit(&self, found: &str) -> String {
        let expected = match self.kind {
            SqlType::Bool => "a truth value",
            SqlType::I32 | SqlType::I64 | SqlType::Identity => "a whole number",
            SqlType::F64 => "a number",
            SqlType::Text | SqlType::Name | SqlType::Kind => "text",
            SqlType::Json => "a JSON document",
            SqlType::Bytes => "bytes",
            SqlType::Timestamp | SqlType::Now => "a moment",
        };
        format!("column `{}` takes {expected}, not {found}", self.name)
    }
}

fn word_for(cell: Cell<'_>) -> &'static str {
    match cell {
        Cell::Null => "null",
        Cell::Bool(_) => "a truth value",
        Cell::I64(_) => "a whole number",
        Cell::F64(_) => "a number",
        Cell::Text(_) => "text",
        Cell::Json(_) => "a JSON document",
        Cell::Bytes(_) => "bytes",
        Cell::Timestamp(_) => "a moment",
    }
}

/// The value that three columns hold, as [`SqlColumn::cell`] filled them. A database that keeps no
/// empty text has null in its place.
///
/// # Errors
/// When the columns contradict each other: somebody else wrote them.
pub(crate) fn value_of(
    number: Option<f64>,
    text: Option<&str>,
    kind: &str,
) -> Result<Value, String> {
    let damaged =
        || format!("value {number:?} with text {text:?} is not of the kind `{kind}` that it bears");
    match kind {
        "null" => Ok(Value::Null),
        "bool" => number
            .map(|number| Value::Bool(number != 0.0))
            .ok_or_else(damaged),
        "int" => match (text, number) {
            (Some(digits), _) => digits.parse().map(Value::I64).map_err(|_| damaged()),
            (None, Some(number)) if number.abs() <= EXACT_MAX as f64 => {
                Ok(Value::I64(number as i64))
            }
            _ => Err(damaged()),
        },
        // What is not finite is null in databases that know no NaN.
        "float" => Ok(number.map_or(Value::Null, Value::number)),
        "text" => Value::text(text.unwrap_or_default()).map_err(|error| error.to_string()),
        "json" => Value::json(text.unwrap_or_default()).map_err(|error| error.to_string()),
        _ => Err(damaged()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use record::Record;

    use super::*;
    use crate::sql::Table;

    fn any_value() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::I64),
            (-9_007_199_254_740_994..=9_007_199_254_740_994_i64).prop_map(Value::I64),
            any::<f64>().prop_map(Value::number),
            ".{0,40}".prop_map(|text| Value::text(&text).expect("short")),
            "\\[[0-9]{1,9}\\]".prop_map(|text| Value::json(&text).expect("short")),
        ]
    }

    fn there_and_back(value: &Value) -> Value {
        let record = Record::new("s", "t", value.clone(), Timestamp::default()).expect("valid");
        let table = Table::of_rows("rows", &Record::SCHEMA);
        let cells: Vec<_> = table.columns[3..6]
            .iter()
            .map(|column| column.cell(&record, 1, Position::new(2)).expect("fits"))
            .collect();
        let SqlCell::Text(kind) = cells[2] else {
            panic!("the kind is text")
        };
        assert_eq!(kind, value.kind());
        let number = match cells[0] {
            SqlCell::F64(number) => Some(number),
            _ => None,
        };
        let text = match &cells[1] {
            SqlCell::Text(text) => Some(*text),
            SqlCell::Digits(digits) => Some(digits.as_str()),
            _ => None,
        };
        value_of(number, text, kind).expect("undamaged")
    }

    proptest! {
        #[test]
        fn lesson_no_value_is_changed_on_its_way_into_three_columns_and_back(
            value in any_value()
        ) {
            prop_assert_eq!(there_and_back(&value), value);
        }

        #[test]
        fn digits_are_those_of_the_number(number in any::<i64>()) {
            prop_assert_eq!(Digits::of(number).as_str().to_owned(), number.to_string());
        }
    }

    #[test]
    fn the_edges_survive_too() {
        for number in [i64::MIN, i64::MAX, 0, -1, 1 << 53, (1 << 53) + 1] {
            assert_eq!(there_and_back(&Value::I64(number)), Value::I64(number));
        }
        let Value::F64(zero) = there_and_back(&Value::F64(-0.0)) else {
            panic!("a float")
        };
        assert!(zero.is_sign_negative());
        assert!(value_of(None, None, "int").is_err());
        assert!(value_of(Some(1.0), None, "complex").is_err());
    }

    #[test]
    fn a_cell_that_does_not_fit_is_refused_by_name() {
        let column = &Table::of_rows("rows", &Record::SCHEMA).columns[1];
        let refused = |cell| column.typed(cell).expect_err("refused");
        assert_eq!(refused(Cell::Null), "column `source` takes text, not null");
        assert_eq!(
            refused(Cell::I64(1)),
            "column `source` takes text, not a whole number"
        );
    }
}
