//! The statements, made of a row's schema, and what is bound to them. Pure.

use crate::{Cell, ColumnType, Schema};

/// Bytes of a `VARCHAR2`; longer text goes into the quarantine.
pub(super) const TEXT_BYTES_MAX: usize = 4_000;
/// Bytes of a `RAW`.
pub(super) const RAW_BYTES_MAX: usize = 2_000;

/// What a column of the table is bound with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Int,
    Float,
    Text,
    Raw,
}

/// Which part of a cell a column takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Whole,
    Number,
    Text,
    Word,
}

/// A column of the table.
#[derive(Clone, Debug)]
pub(super) struct OracleColumn {
    name: String,
    sql_type: &'static str,
    pub(super) kind: Kind,
    is_required: bool,
    cell: usize,
    part: Part,
}

/// What is bound for one column of one row.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Bound {
    Int(Option<i64>),
    Float(Option<f64>),
    Text(Option<String>),
    Raw(Option<Vec<u8>>),
}

/// The columns of a schema. `VARCHAR2` is never `NOT NULL`: empty text is null in Oracle.
pub(super) fn columns(schema: &Schema) -> Vec<OracleColumn> {
    let mut columns = Vec::new();
    for (cell, column) in schema.columns().iter().enumerate() {
        let mut push = |suffix: &str, sql_type, kind, part| {
            columns.push(OracleColumn {
                name: format!("{}{suffix}", column.name()),
                sql_type,
                kind,
                is_required: !column.is_nullable()
                    && part == Part::Whole
                    && matches!(kind, Kind::Int | Kind::Float),
                cell,
                part,
            });
        };
        match column.kind() {
            ColumnType::Bool => push("", "NUMBER(1)", Kind::Int, Part::Whole),
            ColumnType::I64 | ColumnType::Timestamp => {
                push("", "NUMBER(19)", Kind::Int, Part::Whole);
            }
            ColumnType::F64 => push("", "BINARY_DOUBLE", Kind::Float, Part::Whole),
            ColumnType::Text | ColumnType::Json => {
                push("", "VARCHAR2(4000 BYTE)", Kind::Text, Part::Whole);
            }
            ColumnType::Bytes => push("", "RAW(2000)", Kind::Raw, Part::Whole),
            ColumnType::Any => {
                push("", "BINARY_DOUBLE", Kind::Float, Part::Number);
                push("_text", "VARCHAR2(4000 BYTE)", Kind::Text, Part::Text);
                push("_kind", "VARCHAR2(8 BYTE)", Kind::Text, Part::Word);
            }
        }
    }
    columns
}

impl OracleColumn {
    /// The cell of the schema that it takes its value from.
    pub(super) fn cell(&self) -> usize {
        self.cell
    }

    /// What to bind for this cell.
    ///
    /// # Errors
    /// The reason for which the row cannot be stored.
    pub(super) fn bind(&self, cell: Cell<'_>) -> Result<Bound, String> {
        let bound = match (self.part, self.kind) {
            (Part::Word, _) => Bound::Text(Some(word(cell).to_owned())),
            (Part::Text, _) => Bound::Text(text(cell)),
            (Part::Number, _) | (Part::Whole, Kind::Float) => Bound::Float(number(cell)),
            (Part::Whole, Kind::Int) => Bound::Int(match cell {
                Cell::Bool(truth) => Some(truth.into()),
                Cell::I64(number) => Some(number),
                Cell::Timestamp(moment) => Some(moment.micros()),
                _ => None,
            }),
            (Part::Whole, Kind::Text) => Bound::Text(text(cell)),
            (Part::Whole, Kind::Raw) => Bound::Raw(match cell {
                Cell::Bytes(bytes) => Some(bytes.to_vec()),
                _ => None,
            }),
        };
        let (length, limit) = match &bound {
            Bound::Text(Some(text)) => (text.len(), TEXT_BYTES_MAX),
            Bound::Raw(Some(bytes)) => (bytes.len(), RAW_BYTES_MAX),
            _ => return Ok(bound),
        };
        if length > limit {
            return Err(format!(
                "`{}` has {length} bytes, above the limit of {limit}",
                self.name
            ));
        }
        Ok(bound)
    }
}

fn number(cell: Cell<'_>) -> Option<f64> {
    match cell {
        Cell::Bool(truth) => Some(f64::from(u8::from(truth))),
        Cell::I64(number) => Some(number as f64),
        Cell::F64(number) => Some(number),
        _ => None,
    }
}

/// Text, and the digits of a whole number that a number of 64 bits cannot carry.
fn text(cell: Cell<'_>) -> Option<String> {
    const EXACT_MAX: u64 = 1 << 53;
    match cell {
        Cell::Text(text) | Cell::Json(text) => Some(text.to_owned()),
        Cell::I64(number) if number.unsigned_abs() > EXACT_MAX => Some(number.to_string()),
        _ => None,
    }
}

fn word(cell: Cell<'_>) -> &'static str {
    match cell {
        Cell::Bool(_) => "bool",
        Cell::I64(_) => "int",
        Cell::F64(_) => "float",
        Cell::Text(_) => "text",
        Cell::Json(_) => "json",
        _ => "null",
    }
}

/// All statements of a writer.
#[derive(Clone, Debug)]
pub(super) struct Statements {
    /// What creates the tables; each fails where its table exists.
    pub(super) create: [String; 3],
    pub(super) insert: String,
    pub(super) quarantine: String,
    pub(super) open: String,
    pub(super) opened: String,
    pub(super) lock: String,
    pub(super) advance: String,
    pub(super) scopes: String,
    pub(super) rename: String,
    pub(super) reasons: String,
}

impl Statements {
    pub(super) fn new(table: &str, prefix: &str, columns: &[OracleColumn], wait_s: u64) -> Self {
        let table = quoted(table);
        let ledger = quoted(&format!("{prefix}ledger"));
        let quarantine = quoted(&format!("{prefix}quarantine"));
        let definitions = columns.iter().map(|column| {
            let required = if column.is_required { " NOT NULL" } else { "" };
            format!("{} {}{required}", quoted(&column.name), column.sql_type)
        });
        let definitions = definitions.collect::<Vec<_>>().join(", ");
        let names = columns.iter().map(|column| quoted(&column.name));
        let names = names.collect::<Vec<_>>().join(", ");
        let binds = (1..=columns.len() + 2).map(|bind| format!(":{bind}"));
        let binds = binds.collect::<Vec<_>>().join(", ");
        Self {
            create: [
                format!(
                    "CREATE TABLE {ledger} (ID NUMBER(10) GENERATED ALWAYS AS IDENTITY PRIMARY \
                     KEY, SCOPE VARCHAR2(255 BYTE) NOT NULL UNIQUE, FENCE NUMBER(19) NOT NULL, \
                     POSITION NUMBER(19) NOT NULL, BATCH NUMBER(19) NOT NULL, HASH NUMBER(19) NOT \
                     NULL, UPDATED_AT TIMESTAMP DEFAULT SYSTIMESTAMP NOT NULL)"
                ),
                format!(
                    "CREATE TABLE {quarantine} (SCOPE NUMBER(10) NOT NULL, POSITION NUMBER(19) \
                     NOT NULL, REASON VARCHAR2(4000 BYTE), ORIGINAL BLOB, QUARANTINED_AT \
                     TIMESTAMP DEFAULT SYSTIMESTAMP NOT NULL, PRIMARY KEY (SCOPE, POSITION))"
                ),
                format!(
                    "CREATE TABLE {table} ({definitions}, SCOPE NUMBER(10) NOT NULL, POSITION \
                     NUMBER(19) NOT NULL)"
                ),
            ],
            insert: format!("INSERT INTO {table} ({names}, SCOPE, POSITION) VALUES ({binds})"),
            quarantine: format!(
                "INSERT INTO {quarantine} (SCOPE, POSITION, REASON, ORIGINAL) VALUES (:1, :2, \
                     :3, :4)"
            ),
            open: format!(
                "MERGE INTO {ledger} l USING (SELECT :1 AS SCOPE FROM DUAL) n ON (l.SCOPE = \
                     n.SCOPE) WHEN MATCHED THEN UPDATE SET l.FENCE = l.FENCE + 1, l.UPDATED_AT = \
                     SYSTIMESTAMP WHEN NOT MATCHED THEN INSERT (SCOPE, FENCE, POSITION, BATCH, \
                     HASH) VALUES (n.SCOPE, 1, 0, 0, 0)"
            ),
            opened: format!("SELECT ID, FENCE, POSITION FROM {ledger} WHERE SCOPE = :1"),
            lock: format!(
                "SELECT FENCE, POSITION, BATCH, HASH FROM {ledger} WHERE ID = :1 FOR UPDATE \
                     WAIT {wait_s}"
            ),
            advance: format!(
                "UPDATE {ledger} SET POSITION = :1, BATCH = :2, HASH = :3, UPDATED_AT = \
                     SYSTIMESTAMP WHERE ID = :4 AND FENCE = :5"
            ),
            scopes: format!(
                "SELECT SCOPE, POSITION FROM {ledger} WHERE SUBSTR(SCOPE, 1, LENGTH(:1)) = :2 \
                     OR :3 IS NULL ORDER BY ID"
            ),
            rename: format!("UPDATE {ledger} SET SCOPE = :1 WHERE SCOPE = :2"),
            reasons: format!("SELECT REASON FROM {quarantine} WHERE SCOPE = :1 AND POSITION = :2"),
        }
    }
}

/// Oracle's own names are in capitals, so that a quoted one can be used without quotes.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.to_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use record::Record;

    use super::*;
    use crate::Row;

    #[test]
    fn statements_of_the_tag_record() {
        let columns = columns(&Record::SCHEMA);
        let all = Statements::new("tag_values", "forebay_", &columns, 30);
        insta::assert_snapshot!(
            [
                all.create.join(";\n"),
                all.insert,
                all.quarantine,
                all.open,
                all.opened,
                all.lock,
                all.advance,
                all.scopes,
                all.rename,
                all.reasons
            ]
            .join(";\n")
        );
    }

    #[test]
    fn lesson_every_value_keeps_its_kind_and_its_digits() {
        let columns = columns(&Record::SCHEMA);
        let check = |cell, number: Option<f64>, text: Option<&str>, word: &str| {
            let bound: Vec<_> = columns[3..6].iter().map(|one| one.bind(cell)).collect();
            let text = text.map(str::to_owned);
            let expected = [
                Bound::Float(number),
                Bound::Text(text),
                Bound::Text(Some(word.to_owned())),
            ];
            assert_eq!(bound, expected.map(Ok));
        };
        check(Cell::Null, None, None, "null");
        check(Cell::Bool(true), Some(1.0), None, "bool");
        check(Cell::F64(2.5), Some(2.5), None, "float");
        check(Cell::I64(7), Some(7.0), None, "int");
        let large = (1i64 << 53) + 1;
        check(
            Cell::I64(large),
            Some(large as f64),
            Some("9007199254740993"),
            "int",
        );
        check(Cell::Text("007"), None, Some("007"), "text");
        check(Cell::Json("{}"), None, Some("{}"), "json");
        let long = "x".repeat(TEXT_BYTES_MAX + 1);
        let refused = columns[4].bind(Cell::Text(&long)).expect_err("too long");
        assert_eq!(
            refused,
            "`value_text` has 4001 bytes, above the limit of 4000"
        );
    }
}
