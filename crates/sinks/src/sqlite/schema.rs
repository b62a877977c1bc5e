//! The tables, and the check that a file has them in this shape.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::worker::Failure;
use crate::{ErrorKind, WriteError};

const CREATE: &str = "
CREATE TABLE IF NOT EXISTS tag_values(
    timestamp INTEGER NOT NULL,
    source TEXT NOT NULL,
    tag TEXT NOT NULL,
    value ANY,
    quality TEXT NOT NULL,
    scope INTEGER NOT NULL,
    position INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS scopes(
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
) STRICT;
CREATE TABLE IF NOT EXISTS ledger(
    scope INTEGER PRIMARY KEY REFERENCES scopes(id),
    fence INTEGER NOT NULL,
    position INTEGER NOT NULL,
    batch INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS quarantine(
    scope INTEGER NOT NULL REFERENCES scopes(id),
    position INTEGER NOT NULL,
    reason TEXT NOT NULL,
    original ANY,
    PRIMARY KEY (scope, position)
) STRICT;
";

/// The columns that each table must have, in order.
const COLUMNS: [(&str, &str); 4] = [
    (
        "tag_values",
        "timestamp, source, tag, value, quality, scope, position",
    ),
    ("scopes", "id, name"),
    ("ledger", "scope, fence, position, batch"),
    ("quarantine", "scope, position, reason, original"),
];

/// Creates what is missing, and refuses a file whose tables have other columns.
pub(super) fn create_or_check(connection: &mut Connection, path: &Path) -> Result<(), Failure> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(CREATE)?;
    check(&transaction, path)?;
    transaction.commit()?;
    Ok(())
}

/// Refuses tables that a row cannot be written to: a column is missing or of another place, or an
/// added one must have a value.
pub(super) fn check(connection: &Connection, path: &Path) -> Result<(), Failure> {
    for (table, expected) in COLUMNS {
        // Columns that somebody added and that may be empty do no harm.
        let (found, needed): (String, String) = connection.query_row(
            "SELECT coalesce(group_concat(name, ', '), ''),
                    coalesce(group_concat(name, ', ') FILTER (
                        WHERE (\"notnull\" AND dflt_value IS NULL)
                        OR instr(', ' || ?2 || ', ', ', ' || name || ', ')
                    ), '')
             FROM pragma_table_info(?1)",
            [table, expected],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        if needed != expected {
            return Err(Failure::Refused(WriteError::new(
                ErrorKind::Fatal,
                format!(
                    "table `{table}` in {} has the columns ({found}), expected ({expected}); \
                     choose another data directory or rename the table",
                    path.display()
                ),
            )));
        }
    }
    Ok(())
}
