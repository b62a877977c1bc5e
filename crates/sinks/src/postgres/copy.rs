//! Rows in COPY's binary format.
//!
//! Each row is a count of its columns, then for each column the length of its value and the value,
//! all in network order. A row that cannot be sent (text with a NUL, a moment beyond the server's
//! calendar, a cell that does not fit its column) is refused here, before anything is sent of it.

use record::Position;

use crate::Row;
use crate::sql::{SqlCell, SqlType, Table};

/// The signature, no flags, no extension.
pub(super) const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// A count of columns that says that there are no more rows.
pub(super) const TRAILER: [u8; 2] = (-1_i16).to_be_bytes();

/// The server counts from 2000.
pub(super) const EPOCH_MICROS: i64 = 946_684_800_000_000;
/// Its calendar: from the year 4713 before Christ to the year 294276.
const MOMENTS: std::ops::Range<i64> = -211_813_488_000_000_000..9_223_371_331_200_000_000;

/// Appends a row; `row_number` is for an upsert, whose rows are numbered.
///
/// # Errors
/// When it cannot be sent, with the reason; then nothing is appended.
pub(super) fn encode<R: Row>(
    buffer: &mut Vec<u8>,
    table: &Table,
    row: &R,
    place: (i32, Position),
    row_number: Option<i64>,
) -> Result<(), String> {
    let start = buffer.len();
    let outcome = encode_cells(buffer, table, row, place, row_number);
    if outcome.is_err() {
        buffer.truncate(start);
    }
    outcome
}

fn encode_cells<R: Row>(
    buffer: &mut Vec<u8>,
    table: &Table,
    row: &R,
    (scope, position): (i32, Position),
    row_number: Option<i64>,
) -> Result<(), String> {
    let count = table.columns.len() + usize::from(row_number.is_some());
    let count = i16::try_from(count).map_err(|_| "the row has too many columns".to_owned())?;
    buffer.extend_from_slice(&count.to_be_bytes());
    for column in &table.columns {
        let refused = |why: &str| format!("column `{}` {why}", column.name);
        match column.cell(row, scope, position)? {
            SqlCell::Null => buffer.extend_from_slice(&(-1_i32).to_be_bytes()),
            SqlCell::Bool(truth) => put(buffer, &[u8::from(truth)])?,
            SqlCell::I64(number) if column.kind == SqlType::I32 => {
                let number = i32::try_from(number).map_err(|_| refused("is out of range"))?;
                put(buffer, &number.to_be_bytes())?;
            }
            SqlCell::I64(number) => put(buffer, &number.to_be_bytes())?,
            SqlCell::F64(number) => put(buffer, &number.to_be_bytes())?,
            SqlCell::Text(text) => {
                if text.contains('\0') {
                    return Err(refused("has a NUL, which PostgreSQL keeps in no text"));
                }
                put(buffer, text.as_bytes())?;
            }
            SqlCell::Digits(digits) => put(buffer, digits.as_str().as_bytes())?,
            SqlCell::Json(text) => {
                buffer.extend_from_slice(&length(text.len() + 1)?);
                buffer.push(1); // The version of the format.
                buffer.extend_from_slice(text.as_bytes());
            }
            SqlCell::Bytes(bytes) => put(buffer, bytes)?,
            SqlCell::Timestamp(moment) => {
                let micros = moment.micros().checked_sub(EPOCH_MICROS);
                let micros = micros.filter(|micros| MOMENTS.contains(micros));
                let micros = micros
                    .ok_or_else(|| refused("is a moment outside the years -4713 to 294276"))?;
                put(buffer, &micros.to_be_bytes())?;
            }
        }
    }
    if let Some(number) = row_number {
        put(buffer, &number.to_be_bytes())?;
    }
    Ok(())
}

fn put(buffer: &mut Vec<u8>, value: &[u8]) -> Result<(), String> {
    buffer.extend_from_slice(&length(value.len())?);
    buffer.extend_from_slice(value);
    Ok(())
}

fn length(bytes: usize) -> Result<[u8; 4], String> {
    let length = i32::try_from(bytes).map_err(|_| format!("a value of {bytes} bytes is too long"));
    Ok(length?.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use record::{Record, Timestamp, Value};

    use super::*;

    #[test]
    fn a_refused_row_leaves_nothing_behind() {
        let table = Table::of_rows("rows", &Record::SCHEMA);
        let mut buffer = Vec::new();
        let place = (1, Position::new(2));
        let record = |value, micros| {
            let moment = Timestamp::from_micros(micros).expect("in range");
            Record::new("s", "t", value, moment).expect("valid")
        };
        let good = record(Value::I64(1), 0);
        encode(&mut buffer, &table, &good, place, None).expect("fits");
        let length = buffer.len();
        let bad = record(Value::text("a\0b").expect("short"), 0);
        let error = encode(&mut buffer, &table, &bad, place, None).expect_err("refused");
        assert!(
            error.starts_with("column `value_text` has a NUL"),
            "{error}"
        );
        let early = record(Value::Null, -377_705_023_201_000_000);
        let error = encode(&mut buffer, &table, &early, place, None).expect_err("refused");
        assert!(
            error.starts_with("column `timestamp` is a moment"),
            "{error}"
        );
        assert_eq!(buffer.len(), length);
    }
}
