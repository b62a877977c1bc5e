//! The statements, made of a row's schema, and what is bound to them. Pure.

use crate::sql::{
    Dialect, FoundColumn, Names, SqlCell, SqlColumn, SqlType, Table, column_list, create_table,
};

/// Bytes of a `VARCHAR2`; longer text goes into the quarantine.
pub(super) const TEXT_BYTES_MAX: usize = 4_000;
/// Bytes of a `RAW`.
pub(super) const RAW_BYTES_MAX: usize = 2_000;

pub(super) const DIALECT: Dialect = Dialect {
    quote: '"',
    type_name: |kind| match kind {
        SqlType::Bool => "NUMBER(1)",
        SqlType::I32 => "NUMBER(10)",
        SqlType::I64 | SqlType::Timestamp => "NUMBER(19)",
        SqlType::F64 => "BINARY_DOUBLE",
        SqlType::Text | SqlType::Json => "VARCHAR2(4000 BYTE)",
        SqlType::Name => "VARCHAR2(255 BYTE)",
        SqlType::Kind => "VARCHAR2(8 BYTE)",
        SqlType::Bytes => "RAW(2000)",
        SqlType::Now => "TIMESTAMP DEFAULT SYSTIMESTAMP NOT NULL",
        SqlType::Identity => "NUMBER(10) GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
    },
    if_not_exists: "",
    table_suffix: "",
};

/// Whether a type, as `USER_TAB_COLUMNS` calls it, takes what is bound for ours.
pub(super) fn is_type(kind: SqlType, found: &str) -> bool {
    match kind {
        SqlType::F64 => found == "BINARY_DOUBLE",
        SqlType::Text | SqlType::Json | SqlType::Name | SqlType::Kind => found == "VARCHAR2",
        SqlType::Bytes => found == "RAW",
        SqlType::Now => found.starts_with("TIMESTAMP"),
        _ => found == "NUMBER",
    }
}

/// What is bound for one column of one row.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Bound {
    Int(Option<i64>),
    Float(Option<f64>),
    Text(Option<String>),
    Raw(Option<Vec<u8>>),
}

impl Bound {
    /// What to bind for this cell of this column.
    ///
    /// # Errors
    /// The reason for which the row cannot be stored.
    pub(super) fn new(column: &SqlColumn, cell: SqlCell<'_>) -> Result<Self, String> {
        let bound = match cell {
            SqlCell::Null => Self::null(column.kind),
            SqlCell::Bool(truth) => Self::Int(Some(truth.into())),
            SqlCell::I64(number) => Self::Int(Some(number)),
            SqlCell::Timestamp(moment) => Self::Int(Some(moment.micros())),
            SqlCell::F64(number) => Self::Float(Some(number)),
            SqlCell::Text(text) | SqlCell::Json(text) => Self::Text(Some(text.to_owned())),
            SqlCell::Digits(digits) => Self::Text(Some(digits.as_str().to_owned())),
            SqlCell::Bytes(bytes) => Self::Raw(Some(bytes.to_vec())),
        };
        let (length, limit) = match &bound {
            Self::Text(Some(text)) => (text.len(), TEXT_BYTES_MAX),
            Self::Raw(Some(bytes)) => (bytes.len(), RAW_BYTES_MAX),
            _ => return Ok(bound),
        };
        if length > limit {
            return Err(format!(
                "`{}` has {length} bytes, above the limit of {limit}",
                column.name
            ));
        }
        Ok(bound)
    }

    /// Nothing, of the type that a column is bound with.
    pub(super) fn null(kind: SqlType) -> Self {
        match kind {
            SqlType::F64 => Self::Float(None),
            SqlType::Text | SqlType::Json | SqlType::Name | SqlType::Kind => Self::Text(None),
            SqlType::Bytes => Self::Raw(None),
            _ => Self::Int(None),
        }
    }
}

/// A table as Oracle has it: its own names are in capitals, so that a quoted one can be used
/// without quotes, and text and bytes are never `NOT NULL`, as empty ones are null.
fn in_capitals(mut table: Table) -> Table {
    table.name = table.name.to_ascii_uppercase();
    for column in &mut table.columns {
        column.name = column.name.to_ascii_uppercase();
        column.nullable |= matches!(
            column.kind,
            SqlType::Text | SqlType::Json | SqlType::Kind | SqlType::Bytes
        );
    }
    table
}

/// All statements of a writer.
#[derive(Clone, Debug)]
pub(super) struct Statements {
    /// What creates the tables; each fails where its table exists.
    pub(super) create: [String; 3],
    /// The tables that have to be as they were created.
    pub(super) compared: [Table; 2],
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
    pub(super) fn new(names: &Names, rows: &Table, wait_s: u64) -> Self {
        let rows = in_capitals(rows.clone());
        let mut of_ledger = in_capitals(Table::of_ledger(&names.ledger));
        of_ledger.keys = vec![("UNIQUE", vec!["SCOPE"])];
        let (ledger, quarantine) = (quoted(&names.ledger), quoted(&names.quarantine));
        let (table, columns) = (quoted(&names.table), column_list(&rows, DIALECT.quote));
        let binds = (1..=rows.columns.len()).map(|bind| format!(":{bind}"));
        let binds = binds.collect::<Vec<_>>().join(", ");
        Self {
            create: [
                create_table(&of_ledger, &DIALECT),
                format!(
                    "CREATE TABLE {quarantine} (SCOPE NUMBER(10) NOT NULL, POSITION NUMBER(19) \
                     NOT NULL, REASON VARCHAR2(4000 BYTE), ORIGINAL BLOB, QUARANTINED_AT \
                     TIMESTAMP DEFAULT SYSTIMESTAMP NOT NULL, PRIMARY KEY (SCOPE, POSITION))"
                ),
                create_table(&rows, &DIALECT),
            ],
            compared: [of_ledger, rows],
            insert: format!("INSERT INTO {table} ({columns}) VALUES ({binds})"),
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

/// The columns of a table of the user's own; none where it is somebody else's.
pub(super) const COLUMNS: &str = "SELECT COLUMN_NAME, DATA_TYPE, NULLABLE, NVL(DEFAULT_LENGTH, 0) \
                                  FROM USER_TAB_COLUMNS WHERE TABLE_NAME = :1";

/// A row of [`COLUMNS`].
pub(super) fn found_column(row: (String, String, String, i64)) -> FoundColumn {
    let (name, type_name, nullable, default_length) = row;
    FoundColumn {
        name,
        type_name,
        nullable: nullable == "Y",
        has_default: default_length > 0,
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.to_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use record::{Position, Record, Timestamp, Value};

    use super::*;
    use crate::Row;
    use crate::sql::{Comparison, compare};

    #[test]
    fn statements_of_the_tag_record() {
        let names = Names::new("tag_values", Names::PREFIX).expect("valid");
        let rows = Table::of_rows(&names.table, &Record::SCHEMA);
        let all = Statements::new(&names, &rows, 30);
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
        let rows = Table::of_rows("tag_values", &Record::SCHEMA);
        let bind = |value: Value| {
            let record = Record::new("s", "t", value, Timestamp::default()).expect("valid");
            let bound = |column: &SqlColumn| {
                let cell = column.cell(&record, 1, Position::new(2))?;
                Bound::new(column, cell)
            };
            rows.columns[3..6]
                .iter()
                .map(bound)
                .collect::<Result<Vec<_>, _>>()
        };
        let check = |value, number: Option<f64>, text: Option<&str>, word: &str| {
            let expected = vec![
                Bound::Float(number),
                Bound::Text(text.map(str::to_owned)),
                Bound::Text(Some(word.to_owned())),
            ];
            assert_eq!(bind(value), Ok(expected));
        };
        let text = |text: &str| Value::text(text).expect("short");
        check(Value::Null, None, None, "null");
        check(Value::Bool(true), Some(1.0), None, "bool");
        check(Value::F64(2.5), Some(2.5), None, "float");
        check(Value::I64(7), Some(7.0), None, "int");
        let large = (1i64 << 53) + 1;
        let digits = Some("9007199254740993");
        check(Value::I64(large), Some(large as f64), digits, "int");
        check(text("007"), None, Some("007"), "text");
        check(Value::json("{}").expect("short"), None, Some("{}"), "json");
        assert_eq!(
            bind(text(&"x".repeat(TEXT_BYTES_MAX + 1))).expect_err("too long"),
            "`value_text` has 4001 bytes, above the limit of 4000"
        );
    }

    #[test]
    fn a_table_that_is_there_is_compared_column_by_column() {
        let names = Names::new("tag_values", Names::PREFIX).expect("valid");
        let rows = Table::of_rows(&names.table, &Record::SCHEMA);
        let [_, rows] = Statements::new(&names, &rows, 30).compared;
        let found = |column: &SqlColumn| {
            let sql = (DIALECT.type_name)(column.kind);
            let type_name = sql.split([' ', '(']).next().unwrap_or_default();
            let nullable = if column.nullable { "Y" } else { "N" };
            found_column((column.name.clone(), type_name.into(), nullable.into(), 0))
        };
        let mut found: Vec<_> = rows.columns.iter().map(found).collect();
        assert_eq!(
            compare(&rows, &found, &DIALECT, is_type),
            Comparison::Add(vec![])
        );
        found[3].type_name = "NUMBER".into();
        let Comparison::Refuse(difference) = compare(&rows, &found, &DIALECT, is_type) else {
            panic!("a number that may be rounded is no double");
        };
        assert_eq!(
            difference,
            "table `TAG_VALUES` cannot take these rows: column `VALUE` is NUMBER, expected \
             BINARY_DOUBLE"
        );
    }
}
