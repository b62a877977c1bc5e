//! The tables, and the check that a file has them in this shape.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::worker::Failure;
use crate::{ColumnType, ErrorKind, Row, WriteError};

/// The tables beside that of the rows.
const CREATE: &str = "
CREATE TABLE IF NOT EXISTS scopes(
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
) STRICT;
CREATE TABLE IF NOT EXISTS ledger(
    scope INTEGER PRIMARY KEY REFERENCES scopes(id),
    fence INTEGER NOT NULL,
    position INTEGER NOT NULL,
    batch INTEGER NOT NULL,
    hash INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE IF NOT EXISTS quarantine(
    scope INTEGER NOT NULL REFERENCES scopes(id),
    position INTEGER NOT NULL,
    reason TEXT NOT NULL,
    original ANY,
    PRIMARY KEY (scope, position)
) STRICT;
";

/// The columns that each of them must have, in order.
const COLUMNS: [(&str, &str); 3] = [
    ("scopes", "id, name"),
    ("ledger", "scope, fence, position, batch, hash"),
    ("quarantine", "scope, position, reason, original"),
];

/// The table of the rows, and the statements that name it.
#[derive(Clone, Debug)]
pub(super) struct RowTable {
    name: String,
    create: String,
    /// The statement that inserts a row: its cells, its scope, its position.
    pub(super) insert: String,
    /// The names of its columns, in order.
    columns: String,
}

impl RowTable {
    /// The table `name` for rows of this kind.
    pub(super) fn of<R: Row>(name: &str) -> Self {
        let schema = R::SCHEMA;
        let mut defined: Vec<String> = Vec::new();
        for column in schema.columns() {
            let null = if column.is_nullable() {
                ""
            } else {
                " NOT NULL"
            };
            let kind = type_name(column.kind());
            defined.push(format!("    {} {kind}{null}", quoted(column.name())));
        }
        let own = ["scope", "position"];
        defined.extend(own.map(|name| format!("    {name} INTEGER NOT NULL")));
        let names: Vec<&str> = schema
            .columns()
            .iter()
            .map(crate::Column::name)
            .chain(own)
            .collect();
        let quoted_names: Vec<String> = names.iter().map(|name| quoted(name)).collect();
        let places: Vec<String> = (1..=names.len()).map(|index| format!("?{index}")).collect();
        let table = quoted(name);
        Self {
            name: name.to_owned(),
            create: format!(
                "CREATE TABLE IF NOT EXISTS {table}(\n{}\n) STRICT;",
                defined.join(",\n")
            ),
            insert: format!(
                "INSERT INTO {table}({}) VALUES ({})",
                quoted_names.join(", "),
                places.join(", ")
            ),
            columns: names.join(", "),
        }
    }

    /// Its name, quoted.
    pub(super) fn quoted(&self) -> String {
        quoted(&self.name)
    }
}

fn quoted(name: &str) -> String {
    format!("\"{name}\"")
}

fn type_name(kind: ColumnType) -> &'static str {
    match kind {
        ColumnType::Bool | ColumnType::I64 | ColumnType::Timestamp => "INTEGER",
        ColumnType::F64 => "REAL",
        ColumnType::Text | ColumnType::Json => "TEXT",
        ColumnType::Bytes => "BLOB",
        ColumnType::Any => "ANY",
    }
}

/// Creates what is missing, adds what later versions added, and refuses a file whose tables have
/// other columns.
pub(super) fn create_or_check(
    connection: &mut Connection,
    table: &RowTable,
    path: &Path,
) -> Result<(), Failure> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(&table.create)?;
    transaction.execute_batch(CREATE)?;
    let had_no_hash =
        columns(&transaction, "ledger", "hash")?.found == "scope, fence, position, batch";
    if had_no_hash {
        transaction
            .execute_batch("ALTER TABLE ledger ADD COLUMN hash INTEGER NOT NULL DEFAULT 0")?;
    }
    check(&transaction, table, path)?;
    transaction.commit()?;
    Ok(())
}

/// Refuses tables that a row cannot be written to: a column is missing or of another place, or an
/// added one must have a value.
pub(super) fn check(connection: &Connection, table: &RowTable, path: &Path) -> Result<(), Failure> {
    let own = (table.name.as_str(), table.columns.as_str());
    for (table, expected) in std::iter::once(own).chain(COLUMNS) {
        let columns = columns(connection, table, expected)?;
        if columns.needed != expected {
            return Err(Failure::Refused(WriteError::new(
                ErrorKind::Fatal,
                format!(
                    "table `{table}` in {} has the columns ({}), expected ({expected}); \
                     choose another data directory or rename the table",
                    path.display(),
                    columns.found,
                ),
            )));
        }
    }
    Ok(())
}

struct Columns {
    found: String,
    /// Those that are expected or must have a value; others that somebody added do no harm.
    needed: String,
}

fn columns(connection: &Connection, table: &str, expected: &str) -> rusqlite::Result<Columns> {
    connection.query_row(
        "SELECT coalesce(group_concat(name, ', '), ''),
                coalesce(group_concat(name, ', ') FILTER (
                    WHERE (\"notnull\" AND dflt_value IS NULL)
                    OR instr(', ' || ?2 || ', ', ', ' || name || ', ')
                ), '')
         FROM pragma_table_info(?1)",
        [table, expected],
        |row| {
            Ok(Columns {
                found: row.get(0)?,
                needed: row.get(1)?,
            })
        },
    )
}
