//! The scripts that make rows and ledger one, and the rows as they stand in a stream.

use crate::{Cell, ColumnType, Row};

use super::RedisFormat;

/// What the ledger has of a scope, and the last id that its stream ever had.
///
/// Keys: ledger, stream. Argument: scope.
pub(super) const READ: &str = "\
local held = redis.call('HGET', KEYS[1], ARGV[1]) or ''
local last = '0-0'
if redis.call('EXISTS', KEYS[2]) == 1 then
  local info = redis.call('XINFO', 'STREAM', KEYS[2])
  for at = 1, #info, 2 do
    if info[at] == 'last-generated-id' then last = info[at + 1] end
  end
end
return {held, last}";

/// Appends rows and advances the ledger, if it has what the writer believes; gives what the ledger
/// has at the end. Redis runs nothing else meanwhile and refuses for want of memory before the
/// first write or not at all, so that either all of it happens or nothing. The ledger comes last:
/// a stream that is none fails before it.
///
/// Keys: ledger, stream. Arguments: scope, what is expected, what is to be, `=` or `~` or nothing,
/// how many entries to keep; then for each row the number of its words, and those: id, fields.
pub(super) const ADVANCE: &str = "\
local held = redis.call('HGET', KEYS[1], ARGV[1]) or ''
if held ~= ARGV[2] then return held end
local at = 6
while at <= #ARGV do
  local count = tonumber(ARGV[at])
  redis.call('XADD', KEYS[2], unpack(ARGV, at + 1, at + count))
  at = at + 1 + count
end
if ARGV[4] ~= '' and at > 6 then redis.call('XTRIM', KEYS[2], 'MAXLEN', ARGV[4], ARGV[5]) end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
return ARGV[3]";

/// Gives a scope and its stream another name, if that is free.
///
/// Keys: ledger, stream, stream to be. Arguments: scope, scope to be.
pub(super) const RENAME: &str = "\
local held = redis.call('HGET', KEYS[1], ARGV[1])
if not held then return 'unknown' end
if redis.call('HEXISTS', KEYS[1], ARGV[2]) == 1 or redis.call('EXISTS', KEYS[3]) == 1 then
  return 'taken'
end
if redis.call('EXISTS', KEYS[2]) == 1 then redis.call('RENAME', KEYS[2], KEYS[3]) end
redis.call('HSET', KEYS[1], ARGV[2], held)
redis.call('HDEL', KEYS[1], ARGV[1])
return 'renamed'";

/// The fields of a row, name and value by turns. A cell without a value has no field: that is how
/// a reader tells it from an empty text.
pub(super) fn fields<R: Row>(row: &R, format: RedisFormat) -> Vec<Vec<u8>> {
    let mut fields = Vec::with_capacity(2 * R::SCHEMA.columns().len() + 2);
    let mut add = |name: &str, value: Vec<u8>| {
        fields.push(name.as_bytes().to_vec());
        fields.push(value);
    };
    match format {
        RedisFormat::Json => add("row", row.to_json().into_bytes()),
        RedisFormat::Fields => {
            for (index, column) in R::SCHEMA.columns().iter().enumerate() {
                let (kind, value) = text_of(row.cell(index));
                if let Some(value) = value {
                    add(column.name(), value);
                }
                if column.kind() == ColumnType::Any {
                    add(&kind_name::<R>(column.name()), kind.as_bytes().to_vec());
                }
            }
        }
    }
    if fields.is_empty() {
        // Redis knows no entry without a field.
        fields = vec![b"_".to_vec(), Vec::new()];
    }
    fields
}

/// The field with the kind of a column, which no column has as its own.
fn kind_name<R: Row>(column: &str) -> String {
    let mut name = format!("{column}_kind");
    while R::SCHEMA.columns().iter().any(|other| other.name() == name) {
        name.push('_');
    }
    name
}

fn text_of(cell: Cell<'_>) -> (&'static str, Option<Vec<u8>>) {
    match cell {
        Cell::Null => ("null", None),
        Cell::Bool(truth) => ("bool", Some(if truth { b"1" } else { b"0" }.to_vec())),
        Cell::I64(number) => ("int", Some(number.to_string().into_bytes())),
        Cell::F64(number) => ("float", Some(number.to_string().into_bytes())),
        Cell::Text(text) => ("text", Some(text.as_bytes().to_vec())),
        Cell::Json(text) => ("json", Some(text.as_bytes().to_vec())),
        Cell::Bytes(bytes) => ("bytes", Some(bytes.to_vec())),
        Cell::Timestamp(moment) => ("int", Some(moment.micros().to_string().into_bytes())),
    }
}
