//! What a contender left in its database.

use std::path::Path;

use anyhow::{Result, ensure};
use rusqlite::{Connection, OpenFlags};

use super::data::{Content, FIRST_TIMESTAMP_US};

const ACCOUNT: &str = "SELECT count(*),
    count(*) FILTER (WHERE typeof(value) = 'null'),
    count(*) FILTER (WHERE typeof(value) = 'integer'),
    count(*) FILTER (WHERE typeof(value) = 'real'),
    count(*) FILTER (WHERE typeof(value) = 'text'),
    coalesce(sum(timestamp - ?1), 0),
    coalesce(sum(value) FILTER (WHERE typeof(value) = 'integer'), 0),
    total(value) FILTER (WHERE typeof(value) = 'real'),
    coalesce(sum(length(value)) FILTER (WHERE typeof(value) = 'text'), 0),
    coalesce(sum(length(source) + length(tag) + length(quality)), 0)
    FROM tag_values";

/// Rows whose position is not where they were appended, counting from the first row's: each of
/// them is lost, doubled or out of order.
const MISPLACED: &str = "SELECT count(*) FROM tag_values,
    (SELECT min(rowid) AS first_row, min(position) AS first FROM tag_values)
    WHERE position - first <> tag_values.rowid - first_row";

/// Reads the account of the table; an error if a row is not in its place.
pub(super) fn content(database: &Path) -> Result<Content> {
    let connection = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let misplaced: i64 = connection.query_row(MISPLACED, (), |row| row.get(0))?;
    ensure!(
        misplaced == 0,
        "{misplaced} rows are not in the order of the file"
    );
    let content = connection.query_row(ACCOUNT, [FIRST_TIMESTAMP_US], |row| {
        let count = |index: usize| row.get::<_, i64>(index).map(i64::unsigned_abs);
        Ok(Content {
            rows: count(0)?,
            nulls: count(1)?,
            integers: count(2)?,
            reals: count(3)?,
            texts: count(4)?,
            timestamp_sum_us: row.get(5)?,
            integer_sum: row.get(6)?,
            real_sum: row.get(7)?,
            text_length_sum: count(8)?,
            name_length_sum: count(9)?,
        })
    })?;
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::{data, peer};

    /// Loads a good table, changes it by the statement, and compares.
    fn compare_after(statement: &str) -> Result<()> {
        let scratch = tempfile::tempdir().unwrap();
        let (source, database) = (scratch.path().join("in"), scratch.path().join("out"));
        let expected = data::generate(&source, 200).unwrap();
        peer::load(&source, &database).unwrap();
        Connection::open(&database)
            .unwrap()
            .execute_batch(statement)
            .unwrap();
        content(&database)?.compare(&expected)
    }

    #[test]
    fn a_table_that_was_changed_is_found_out() {
        compare_after("").unwrap();
        for statement in [
            "DELETE FROM tag_values WHERE position = 200",
            "DELETE FROM tag_values WHERE position = 100",
            "INSERT INTO tag_values SELECT * FROM tag_values WHERE position = 7",
            "UPDATE tag_values SET position = 201 - position WHERE position IN (100, 101)",
            "UPDATE tag_values SET value = 0 WHERE position = (SELECT min(position)
                FROM tag_values WHERE value IS NULL)",
            "UPDATE tag_values SET value = value + 0.5 WHERE position = (SELECT min(position)
                FROM tag_values WHERE typeof(value) = 'real')",
            "UPDATE tag_values SET timestamp = timestamp / 1000",
            "UPDATE tag_values SET quality = 'uncertain' WHERE position = 3",
            "DELETE FROM tag_values",
        ] {
            assert!(compare_after(statement).is_err(), "{statement}");
        }
    }
}
