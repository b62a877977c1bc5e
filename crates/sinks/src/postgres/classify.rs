//! Which errors are of the data, which of the moment, and which of the set-up.

use std::error::Error as _;

use tokio_postgres::Error;
use tokio_postgres::error::DbError;

use crate::{ErrorKind, WriteError};

/// What a SQLSTATE means for a batch.
pub(super) fn kind_of(state: &str) -> ErrorKind {
    match state {
        // Locks not got, objects in use, a read-only standby before it is promoted, a transaction
        // that idled or lasted too long, a statement that a pooler prepared elsewhere.
        "55P03" | "55006" | "25006" | "25P03" | "25P04" | "26000" => ErrorKind::Transient,
        _ => match state.get(..2).unwrap_or_default() {
            // Connection, serialization and deadlock, resources, operator, system.
            "08" | "40" | "53" | "57" | "58" => ErrorKind::Transient,
            // Values, constraints, a view's check, limits such as an index entry's size, and what
            // functions of triggers raise.
            "22" | "23" | "44" | "54" | "P0" | "38" | "39" | "2F" => ErrorKind::Data,
            _ => ErrorKind::Fatal,
        },
    }
}

/// The same of any error; without a SQLSTATE it is of the connection.
pub(super) fn kind(error: &Error) -> ErrorKind {
    if has_no_partition(error) {
        return ErrorKind::Fatal;
    }
    if let Some(code) = error.code() {
        return kind_of(code.code());
    }
    let text = reason(error);
    let is_setup = text.starts_with("invalid configuration")
        || text.starts_with("authentication error")
        || text.contains("server does not support TLS")
        || is_certificate(error);
    if is_setup {
        ErrorKind::Fatal
    } else {
        ErrorKind::Transient
    }
}

/// Whether the table has no partition for a row: a check that is violated, and has no name. The
/// rows are as good as any.
fn has_no_partition(error: &Error) -> bool {
    let said = error.as_db_error();
    said.is_some_and(|said| said.code().code() == "23514" && said.constraint().is_none())
}

/// Whether a row may be at fault.
pub(super) fn is_data_error(error: &Error) -> bool {
    error.as_db_error().is_some() && kind(error) == ErrorKind::Data
}

fn is_certificate(error: &Error) -> bool {
    let mut source = error.source();
    while let Some(inner) = source {
        let io = inner.downcast_ref::<std::io::Error>();
        let wrapped = io.and_then(std::io::Error::get_ref);
        let wrapped = wrapped.and_then(|wrapped| wrapped.downcast_ref::<rustls::Error>());
        let rustls = wrapped.or_else(|| inner.downcast_ref());
        if matches!(rustls, Some(rustls::Error::InvalidCertificate(_))) {
            return true;
        }
        source = inner.source();
    }
    false
}

/// What the server said, on one line, with its SQLSTATE.
pub(super) fn reason(error: &Error) -> String {
    let Some(said) = error.as_db_error() else {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(inner) = source {
            let inner_text = inner.to_string();
            if !text.contains(&inner_text) {
                text.push_str(": ");
                text.push_str(&inner_text);
            }
            source = inner.source();
        }
        return text;
    };
    let mut text = said.message().to_owned();
    if let Some(detail) = said.detail() {
        text.push_str(": ");
        text.push_str(detail);
    }
    if let Some(column) = column_named_by(said) {
        text.push_str(&format!(" (column {column})"));
    }
    format!("{text} (SQLSTATE {})", said.code().code())
}

/// The error for the caller: what was attempted on which server, why it failed, and what helps.
pub(super) fn write_error(doing: &str, target: &str, error: &Error) -> WriteError {
    let hint = match error.code().map(tokio_postgres::error::SqlState::code) {
        Some("28P01" | "28000") => "; check user and password",
        Some("3D000") => "; create the database, or name another one in the URL",
        Some("42501") => "; grant the user what it needs, or create the tables for it",
        Some("42P10") => "; the columns of `upsert` need a unique index",
        Some("42P01") => "; the tables are created again with the next connection",
        Some("57014") => {
            "; if `statement_timeout` ended it, raise it, write smaller batches, or see what the \
             server is busy with"
        }
        Some("25P04") => "; raise `transaction_timeout` for this user",
        Some("26000") => "; through a connection pooler, use its session mode",
        _ if has_no_partition(error) => "; create the partition, or a default one",
        _ => "",
    };
    let why = reason(error);
    WriteError::new(kind(error), format!("cannot {doing} {target}: {why}{hint}"))
}

/// The row, counted from 1, that COPY into this table names in the context of its error.
pub(super) fn row_named_by(error: &Error, table: &str) -> Option<usize> {
    line_in(error.as_db_error()?.where_()?, table)
}

/// Ours is the last: a trigger that copies something itself stands before it.
fn line_in(context: &str, table: &str) -> Option<usize> {
    let mut lines = context.lines();
    let copy = lines.rfind(|line| line.starts_with("COPY "))?;
    let place = copy.strip_prefix("COPY ")?.strip_prefix(table)?;
    let rest = place.strip_prefix(", line ")?;
    let digits = rest.split(|next: char| !next.is_ascii_digit()).next()?;
    digits.parse().ok()
}

fn column_named_by(said: &DbError) -> Option<&str> {
    let mut lines = said.where_()?.lines();
    let copy = lines.rfind(|line| line.starts_with("COPY "))?;
    let (_, column) = copy.split_once(", column ")?;
    column.split(':').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn law_9_connection_errors_are_never_taken_for_data_errors() {
        use ErrorKind::{Data, Fatal, Transient};
        let table = [
            ("08006", Transient), // the connection failed
            ("40001", Transient), // could not serialize
            ("40P01", Transient), // deadlock
            ("53100", Transient), // disk full
            ("53200", Transient), // out of memory
            ("53300", Transient), // too many connections
            ("55P03", Transient), // lock not available
            ("57014", Transient), // statement timeout
            ("57P01", Transient), // shut down
            ("57P03", Transient), // starting up
            ("58030", Transient), // input/output error
            ("25006", Transient), // read-only standby
            ("25P04", Transient), // transaction timeout
            ("26000", Transient), // a statement of another connection
            ("22003", Data),      // out of range
            ("22021", Data),      // not in the encoding
            ("22P05", Data),      // untranslatable character
            ("23502", Data),      // null
            ("23505", Data),      // unique
            ("23514", Data),      // check
            ("54000", Data),      // index row too large
            ("P0001", Data),      // raised by a trigger
            ("28P01", Fatal),     // wrong password
            ("3D000", Fatal),     // no such database
            ("42501", Fatal),     // not permitted
            ("42P01", Fatal),     // no such table
            ("42703", Fatal),     // no such column
            ("XX001", Fatal),     // data corrupted
            ("0A000", Fatal),     // not supported
            ("", Fatal),
        ];
        for (state, expected) in table {
            assert_eq!(kind_of(state), expected, "SQLSTATE {state}");
        }
    }

    #[test]
    fn the_row_is_read_from_the_line_of_copy_alone() {
        let table = [
            ("COPY t, line 17, column value", Some(17)),
            ("COPY t, line 3", Some(3)),
            ("COPY t, line 4: \"x\"", Some(4)),
            (
                "PL/pgSQL function f() line 2 at RAISE\nCOPY t, line 9",
                Some(9),
            ),
            ("PL/pgSQL function f() line 2 at RAISE", None),
            (
                "COPY other, line 2\nPL/pgSQL function f()\nCOPY t, line 9",
                Some(9),
            ),
            ("COPY other, line 2", None),
            ("", None),
        ];
        for (context, expected) in table {
            assert_eq!(line_in(context, "t"), expected, "{context}");
        }
    }
}
