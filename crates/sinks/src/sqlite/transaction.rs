//! What happens inside transactions: scopes, rows, quarantine and ledger.

use std::collections::BTreeMap;
use std::path::Path;

use record::{Position, Record, Value, ndjson};
use rusqlite::types::{Null, ToSqlOutput, ValueRef};
use rusqlite::{
    CachedStatement, Connection, OptionalExtension, ToSql, TransactionBehavior, params,
};

use super::worker::{Failure, OpenScopes, Opened};
use super::{classify, schema};
use crate::{
    Batch, BatchId, Entry, ErrorKind, OpenScope, Receipt, Refused, ScopeIndex, ScopeName,
    WriteError,
};

const INSERT_ROW: &str =
    "INSERT INTO tag_values(timestamp, source, tag, value, quality, scope, position)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
const INSERT_QUARANTINE: &str =
    "INSERT INTO quarantine(scope, position, reason, original) VALUES (?1, ?2, ?3, ?4)";

/// Opens a scope under a new fence and reads how far it is delivered.
pub(super) fn open_scope(
    connection: &mut Connection,
    name: &ScopeName,
) -> Result<(i64, OpenScope), Failure> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute(
        "INSERT OR IGNORE INTO scopes(name) VALUES (?1)",
        [name.as_str()],
    )?;
    let id: i64 = transaction.query_row(
        "SELECT id FROM scopes WHERE name = ?1",
        [name.as_str()],
        |row| row.get(0),
    )?;
    let (fence, position): (i64, i64) = transaction.query_row(
        "INSERT INTO ledger(scope, fence, position, batch) VALUES (?1, 1, 0, 0)
         ON CONFLICT (scope) DO UPDATE SET fence = fence + 1
         RETURNING fence, position",
        [id],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    transaction.commit()?;
    let scope = OpenScope {
        watermark: position_of(position),
        fence: fence.try_into().unwrap_or(0),
    };
    Ok((id, scope))
}

/// The scopes whose names begin with `prefix`.
pub(super) fn scopes(
    connection: &Connection,
    prefix: &str,
) -> Result<Vec<(ScopeName, Position)>, Failure> {
    let mut statement = connection.prepare_cached(
        "SELECT name, coalesce(position, 0) FROM scopes LEFT JOIN ledger ON scope = id
         WHERE substr(name, 1, length(?1)) = ?1 ORDER BY id",
    )?;
    let found = statement
        .query_map([prefix], |row| {
            Ok((
                ScopeName::new(row.get::<_, String>(0)?),
                position_of(row.get(1)?),
            ))
        })?
        .collect::<Result<_, _>>()?;
    Ok(found)
}

pub(super) fn rename_scope(
    connection: &Connection,
    from: &ScopeName,
    to: &ScopeName,
) -> Result<(), Failure> {
    connection.execute(
        "UPDATE scopes SET name = ?2 WHERE name = ?1",
        [from.as_str(), to.as_str()],
    )?;
    Ok(())
}

/// Writes the batch in one transaction. Rows are inserted straight away at first; once one of
/// them is refused the batch is begun again, with a savepoint around each row, so that nothing of
/// a bad row stays whatever its trigger does.
pub(super) fn write(
    connection: &mut Connection,
    path: &Path,
    open: &OpenScopes,
    batch: &Batch,
) -> Result<Receipt, Failure> {
    let mut care = Care::Fast;
    loop {
        match attempt(connection, open, batch, &care) {
            Ok(receipt) => return Ok(receipt),
            Err(Stopped::Failed(failure)) => return Err(failure),
            Err(Stopped::Suspect) => {
                // A table that was changed under us refuses every row; that is not their fault.
                schema::check(connection, path)?;
                care = Care::Savepoints(BTreeMap::new());
            }
            Err(Stopped::RolledBack { row, reason }) => {
                // Each round finds another such row, so this ends.
                if let Care::Savepoints(bad) = &mut care {
                    bad.insert(row, reason);
                }
            }
        }
    }
}

/// How carefully rows are inserted.
enum Care {
    Fast,
    /// With a savepoint for each; these rows took the whole transaction with them.
    Savepoints(BTreeMap<usize, String>),
}

/// Why an attempt at the batch ended early.
enum Stopped {
    /// A row was refused: the batch has to be written with care.
    Suspect,
    /// A row ended the transaction.
    RolledBack { row: usize, reason: String },
    /// It is not the data.
    Failed(Failure),
}

impl<E: Into<Failure>> From<E> for Stopped {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

fn attempt(
    connection: &mut Connection,
    open: &OpenScopes,
    batch: &Batch,
    care: &Care,
) -> Result<Receipt, Stopped> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut marks = Marks {
        connection: &transaction,
        open,
        read: Vec::new(),
    };
    let mut rows = transaction.prepare_cached(INSERT_ROW)?;
    let mut quarantine = transaction.prepare_cached(INSERT_QUARANTINE)?;
    let (mut repeated, mut quarantined) = (0, Vec::new());
    for (index, row) in batch.rows().iter().enumerate() {
        let mark = marks.of(row.scope)?;
        let position = row.position.number().cast_signed();
        let reason = if row.position <= mark.watermark {
            repeated += 1;
            earlier_reason(&transaction, mark.id, position)?
        } else {
            mark.watermark = row.position;
            let refused = match &row.content {
                Ok(record) => settle(
                    &transaction,
                    &mut rows,
                    record,
                    mark.id,
                    position,
                    (index, care),
                )?,
                Err(malformed) => Some(malformed.reason().to_owned()),
            };
            if let Some(reason) = &refused {
                quarantine.execute(params![mark.id, position, reason, original(row)])?;
            }
            refused
        };
        quarantined.extend(reason.map(|reason| Refused { row: index, reason }));
    }
    marks.advance(batch.id())?;
    drop((rows, quarantine));
    transaction.commit()?;
    Ok(Receipt::new(batch.rows().len(), repeated, quarantined))
}

/// Stores a record, or says why it cannot be stored.
fn settle(
    connection: &Connection,
    rows: &mut CachedStatement<'_>,
    record: &Record,
    scope: i64,
    position: i64,
    (row, care): (usize, &Care),
) -> Result<Option<String>, Stopped> {
    const IGNORED: &str = "the database took no row: a trigger ignored it";
    let stored = |count| (count == 0).then(|| IGNORED.to_owned());
    let Care::Savepoints(bad) = care else {
        return match insert(rows, record, scope, position) {
            Ok(count) => Ok(stored(count)),
            Err(error) if classify::is_data_error(&error) => Err(Stopped::Suspect),
            Err(error) => Err(error.into()),
        };
    };
    if let Some(reason) = bad.get(&row) {
        return Ok(Some(reason.clone()));
    }
    connection.execute_batch("SAVEPOINT one_row")?;
    let outcome = match insert(rows, record, scope, position) {
        Ok(count) => stored(count),
        Err(error) if !classify::is_data_error(&error) => return Err(error.into()),
        Err(error) if connection.is_autocommit() => {
            return Err(Stopped::RolledBack {
                row,
                reason: error.to_string(),
            });
        }
        Err(error) => {
            connection.execute_batch("ROLLBACK TO one_row")?;
            Some(error.to_string())
        }
    };
    connection.execute_batch("RELEASE one_row")?;
    Ok(outcome)
}

/// The number of rows that the database took.
fn insert(
    statement: &mut CachedStatement<'_>,
    record: &Record,
    scope: i64,
    position: i64,
) -> rusqlite::Result<usize> {
    statement.raw_bind_parameter(1, record.timestamp.micros())?;
    statement.raw_bind_parameter(2, record.source.as_str())?;
    statement.raw_bind_parameter(3, record.tag.as_str())?;
    statement.raw_bind_parameter(4, SqlValue(&record.value))?;
    statement.raw_bind_parameter(5, record.quality.as_str())?;
    statement.raw_bind_parameter(6, scope)?;
    statement.raw_bind_parameter(7, position)?;
    statement.raw_execute()
}

struct SqlValue<'a>(&'a Value);

impl ToSql for SqlValue<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self.0 {
            Value::Null => ToSqlOutput::from(Null),
            Value::Bool(truth) => ToSqlOutput::from(*truth),
            Value::I64(number) => ToSqlOutput::from(*number),
            Value::F64(number) => ToSqlOutput::from(*number),
            Value::Text(text) | Value::Json(text) => ToSqlOutput::from(text.as_str()),
        })
    }
}

/// What came in, as text where it is text and bytes otherwise; a record as its line.
fn original(row: &Entry) -> ToSqlOutput<'_> {
    let malformed = match &row.content {
        Ok(record) => return ToSqlOutput::from(ndjson::write(record)),
        Err(malformed) => malformed.original(),
    };
    match std::str::from_utf8(malformed) {
        Ok(text) => ToSqlOutput::from(text),
        Err(_) => ToSqlOutput::Borrowed(ValueRef::Blob(malformed)),
    }
}

/// Why a row that was settled before is in the quarantine, if it is.
fn earlier_reason(
    connection: &Connection,
    scope: i64,
    position: i64,
) -> rusqlite::Result<Option<String>> {
    connection
        .prepare_cached("SELECT reason FROM quarantine WHERE scope = ?1 AND position = ?2")?
        .query_row([scope, position], |row| row.get(0))
        .optional()
}

fn position_of(number: i64) -> Position {
    Position::new(number.try_into().unwrap_or(0))
}

/// The watermarks that a batch touches, read when they are first needed.
struct Marks<'a> {
    connection: &'a Connection,
    open: &'a OpenScopes,
    read: Vec<Mark>,
}

struct Mark {
    index: ScopeIndex,
    id: i64,
    fence: u64,
    watermark: Position,
}

impl Marks<'_> {
    fn of(&mut self, index: ScopeIndex) -> Result<&mut Mark, Failure> {
        let known = self.read.iter().position(|mark| mark.index == index);
        let at = match known {
            Some(at) => at,
            None => {
                self.read.push(self.read_mark(index)?);
                self.read.len() - 1
            }
        };
        Ok(&mut self.read[at])
    }

    fn read_mark(&self, index: ScopeIndex) -> Result<Mark, Failure> {
        let Some(Opened { id, fence, name }) = self.open.get(&index) else {
            return Err(Failure::Refused(WriteError::new(
                ErrorKind::Fatal,
                format!("scope {} is not open", index.0),
            )));
        };
        let (held, position): (i64, i64) = self
            .connection
            .prepare_cached("SELECT fence, position FROM ledger WHERE scope = ?1")?
            .query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))?;
        if u64::try_from(held) != Ok(*fence) {
            return Err(Failure::Refused(WriteError::new(
                ErrorKind::Fenced,
                format!("scope `{name}` was opened by another writer (fence {held}, ours {fence})"),
            )));
        }
        Ok(Mark {
            index,
            id: *id,
            fence: *fence,
            watermark: position_of(position),
        })
    }

    fn advance(&self, batch: BatchId) -> rusqlite::Result<()> {
        let mut statement = self.connection.prepare_cached(
            "UPDATE ledger SET position = ?3, batch = ?4 WHERE scope = ?1 AND fence = ?2",
        )?;
        for mark in &self.read {
            statement.execute([
                mark.id,
                mark.fence.cast_signed(),
                mark.watermark.number().cast_signed(),
                batch.0.cast_signed(),
            ])?;
        }
        Ok(())
    }
}
