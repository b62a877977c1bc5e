//! Rows into a table: at once, or with care when one of them is refused.

use mysql_async::prelude::Queryable;
use mysql_async::{Error, Params};

use super::cells::Ready;
use super::classify;
use super::link::Link;
use crate::{ErrorKind, Refused};

/// Rows of the prepared statements, so that few have to be prepared.
const SIZES: [usize; 4] = [512, 64, 8, 1];
/// Rows of one bulk statement at most; their values wait in memory until it is sent.
const BULK_ROWS_MAX: usize = 8_192;
/// Parameters that a prepared statement can have.
const PARAMETERS_MAX: usize = 65_535;

/// The statements that insert into one table.
#[derive(Debug)]
pub(super) struct Insert {
    /// One for each of [`SIZES`], with its number of rows.
    statements: Vec<(usize, String)>,
}

/// Where sending stopped, and why.
pub(super) struct Stopped {
    /// The rows before this one were sent in statements that succeeded.
    pub(super) sent: usize,
    pub(super) error: Error,
}

impl Insert {
    /// Into these columns, given as `"a, b"`, of values given as `"?, ?"`.
    pub(super) fn new(table: &str, columns: &str, values: &str) -> Self {
        let parameters = values.matches('?').count().max(1);
        let statement = |rows: usize| {
            let tuples = vec![format!("({values})"); rows].join(", ");
            format!("INSERT INTO `{table}` ({columns}) VALUES {tuples}")
        };
        let sizes = SIZES
            .iter()
            .filter(|rows| **rows * parameters <= PARAMETERS_MAX);
        Self {
            statements: sizes.map(|rows| (*rows, statement(*rows))).collect(),
        }
    }

    /// The statement for one row.
    pub(super) fn single(&self) -> &str {
        self.statements.last().map_or("", |(_, sql)| sql.as_str())
    }

    /// Sends all rows, in as many statements as they need.
    pub(super) async fn send(&self, link: &mut Link, rows: Vec<Ready>) -> Result<(), Stopped> {
        let mut rows = rows.into_iter();
        let mut sent = 0;
        while !rows.as_slice().is_empty() {
            let fitting = fitting(rows.as_slice(), link.statement_bytes_max());
            let count = if link.is_bulk {
                // One packet: the driver names types in the first of several only.
                let part = rows.by_ref().take(fitting);
                let values = part.map(|row| Params::Positional(row.values));
                link.conn
                    .exec_batch(self.single(), values)
                    .await
                    .map(|()| fitting)
            } else {
                let statement = self.statements.iter().find(|(rows, _)| *rows <= fitting);
                let (count, sql) = statement.map_or((1, self.single()), |(n, sql)| (*n, sql));
                let part = rows.by_ref().take(count);
                let values = part.flat_map(|row| row.values).collect();
                let done = link.conn.exec_drop(sql, Params::Positional(values)).await;
                done.map(|()| count)
            };
            sent += count.map_err(|error| Stopped { sent, error })?;
        }
        Ok(())
    }

    /// Sends all rows but those that are refused, which it gives back with their reasons. Every
    /// part is tried behind a savepoint; the row that the server names is tried alone before it
    /// is believed, and where none is named the part is halved.
    pub(super) async fn send_with_care(
        &self,
        link: &mut Link,
        rows: &[Ready],
    ) -> Result<Vec<Refused>, Error> {
        let mut refused = Vec::new();
        let (mut start, mut span, mut gained) = (0, rows.len(), 0);
        while start < rows.len() {
            let end = rows.len().min(start + span.max(1));
            let part = &rows[start..end];
            link.conn.query_drop("SAVEPOINT part").await?;
            let copy = part
                .iter()
                .map(|row| Ready::new(row.row, row.values.clone()));
            match self.send(link, copy.collect()).await {
                Ok(()) => {
                    gained += part.len();
                    start = end;
                    span = part.len().max(gained) * 2;
                }
                Err(stopped) if classify::kind(&stopped.error) == ErrorKind::Data => {
                    let named = named_row(link, &stopped).await?;
                    link.conn.query_drop("ROLLBACK TO SAVEPOINT part").await?;
                    if let [only] = part {
                        let reason = reason(&stopped.error);
                        refused.push(Refused {
                            row: only.row,
                            reason,
                        });
                        start = end;
                        // Where one is bad the next may be; what went well says how far to trust.
                        span = (gained * 2).max(2);
                        gained = 0;
                    } else {
                        span = match named {
                            Some(0) => 1,
                            Some(row) if row < part.len() => row,
                            _ => part.len() / 2,
                        };
                    }
                }
                Err(stopped) => return Err(stopped.error),
            }
        }
        Ok(refused)
    }
}

/// What the server said of the row.
fn reason(error: &Error) -> String {
    match error {
        // The row is alone in its statement, so its number says nothing.
        Error::Server(error) => match error.message.strip_suffix(" at row 1") {
            Some(message) => message.to_owned(),
            None => error.message.clone(),
        },
        error => error.to_string(),
    }
}

/// The row that the server blames, counted from the first that was to be sent.
async fn named_row(link: &mut Link, stopped: &Stopped) -> Result<Option<usize>, Error> {
    let Error::Server(error) = &stopped.error else {
        return Ok(None);
    };
    if let Some(row) = classify::row_named(&error.message) {
        return Ok(Some(stopped.sent + row));
    }
    if !link.names_rows {
        return Ok(None);
    }
    let sql = "GET DIAGNOSTICS CONDITION 1 @forebay_row = ROW_NUMBER";
    link.conn.query_drop(sql).await?;
    let row: Option<Option<usize>> = link.conn.query_first("SELECT @forebay_row").await?;
    let row = row.flatten().and_then(|row| row.checked_sub(1));
    Ok(row.map(|row| stopped.sent + row))
}

/// How many of the rows, of at least one, go into one statement.
fn fitting(rows: &[Ready], bytes_max: usize) -> usize {
    let mut bytes = 0;
    let fits = |row: &&Ready| {
        bytes += row.bytes;
        bytes <= bytes_max
    };
    rows.iter()
        .take(BULK_ROWS_MAX)
        .take_while(fits)
        .count()
        .max(1)
}
