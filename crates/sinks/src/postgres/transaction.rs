//! What happens inside transactions: rows, quarantine and ledger.
//!
//! A batch is first written on the guess that the ledger is as this connection left it: BEGIN, the
//! ledger's advance and COPY go out together, and the advance finds out whether the guess was
//! right. Where it was not, or a row was refused, everything is rolled back and done
//! [with care](super::careful).

use std::collections::HashMap;
use std::io::Cursor;
use std::pin::{Pin, pin};

use futures_util::SinkExt;
use futures_util::future::{join, join_all, join3};
use record::Position;
use tokio_postgres::types::ToSql;
use tokio_postgres::{CopyInSink, Error};

use super::connect::Connection;
use super::statements::begin;
use super::{Opened, Shape, classify, copy};
use crate::ledger::{LedgerPlan, Mark};
use crate::{Batch, BatchId, Receipt, Refused, Row, ScopeIndex, WriteError, ledger};

pub(super) type OpenScopes = HashMap<ScopeIndex, Opened>;

/// Why a step failed: the server said so, the connection is lost, or we refused to go on.
pub(super) enum Failure {
    Postgres(Error),
    Refused(WriteError),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Postgres(error)
    }
}

impl Failure {
    pub(super) fn into_write_error(self, doing: &str, target: &str) -> WriteError {
        match self {
            Self::Postgres(error) => classify::write_error(doing, target, &error),
            Self::Refused(error) => error,
        }
    }
}

/// What every step of a batch needs.
pub(super) struct Work<'a, R> {
    pub(super) shape: &'a Shape,
    pub(super) open: &'a OpenScopes,
    pub(super) batch: &'a Batch<R>,
}

/// What COPY was given.
pub(super) struct Sent {
    /// Rows that went out.
    pub(super) rows: u64,
    /// Rows that could not be sent.
    pub(super) refused: Vec<Refused>,
}

/// What the database made of rows that were sent.
pub(super) enum Stored {
    All(Vec<Refused>),
    /// It took fewer, and did not say which it left out.
    Fewer,
    /// It refused one.
    Refused(Error),
}

/// Bytes that are sent at once.
const CHUNK_BYTES: usize = 64 * 1024;

/// What is quarantined by one statement: the server takes no more than 1 GiB in one.
const QUARANTINE_BYTES: usize = 4 << 20;

type Sink = CopyInSink<Cursor<Vec<u8>>>;

impl<R: Row> Work<'_, R> {
    /// The id of a scope, and the fence under which it is open.
    pub(super) fn opened(&self, scope: ScopeIndex) -> Result<&Opened, WriteError> {
        self.open.get(&scope).ok_or_else(|| ledger::not_open(scope))
    }

    /// Writes the batch on the guess that the ledger is as known; `None` when it has to be written
    /// with care, with nothing written and no transaction open.
    pub(super) async fn write_by_guess(
        &self,
        connection: &mut Connection,
    ) -> Result<Option<Receipt>, Failure> {
        let known = &connection.known;
        let guess = |scope| known.get(&scope).cloned().ok_or(ledger::not_open(scope));
        let Ok(plan) = LedgerPlan::new(self.batch, guess) else {
            return Ok(None);
        };
        if plan.repeated() > 0 {
            return Ok(None);
        }
        connection.is_sound = false;
        connection.transaction = fastrand::u64(..);
        let client = &connection.client;
        let begin = begin(connection.transaction);
        // In the order in which everybody locks the rows of the ledger.
        let mut marks: Vec<&Mark> = plan.marks().iter().collect();
        marks.sort_by_key(|mark| self.open.get(&mark.scope).map(|opened| opened.id));
        let advances = marks.into_iter().map(|mark| {
            let before = known[&mark.scope].watermark;
            self.advance(connection, mark, before)
        });
        let (begun, advanced, sink) = join3(
            client.batch_execute(&begin),
            join_all(advances),
            client.copy_in(&connection.prepared.copy),
        )
        .await;
        begun?;
        let advanced = advanced.into_iter().collect::<Result<Vec<_>, Failure>>()?;
        let sink: Sink = sink?;
        connection.is_sound = true;
        if advanced.contains(&false) {
            drop(sink);
            return self.give_up(connection).await;
        }
        let rows = 0..self.batch.len();
        let Stored::All(refused) = self.store(connection, sink, rows).await? else {
            return self.give_up(connection).await;
        };
        self.quarantine(connection, &refused).await?;
        connection.is_sound = false;
        let committed = connection.client.batch_execute("COMMIT").await;
        match committed {
            // A deferred constraint.
            Err(error) if classify::is_data_error(&error) => {
                connection.is_sound = true;
                connection.known.clear();
                return Ok(None);
            }
            committed => committed?,
        }
        connection.is_sound = true;
        for mark in plan.marks() {
            connection.known.insert(mark.scope, mark.clone());
        }
        Ok(Some(Receipt::new(self.batch.len(), 0, refused)))
    }

    async fn give_up<T>(&self, connection: &mut Connection) -> Result<Option<T>, Failure> {
        connection.known.clear();
        connection.is_sound = false;
        connection.client.batch_execute("ROLLBACK").await?;
        connection.is_sound = true;
        Ok(None)
    }

    /// Sends these rows, finishes COPY and, for an upsert, merges.
    pub(super) async fn store(
        &self,
        connection: &Connection,
        sink: Sink,
        rows: impl IntoIterator<Item = usize>,
    ) -> Result<Stored, Failure> {
        let mut sink = pin!(sink);
        let sent = self.send(sink.as_mut(), rows).await?;
        let stored = match sink.finish().await {
            Ok(stored) => stored,
            Err(error) if classify::is_data_error(&error) => return Ok(Stored::Refused(error)),
            Err(error) => return Err(error.into()),
        };
        if stored != sent.rows {
            return Ok(Stored::Fewer);
        }
        let Some(merge) = &connection.prepared.merge else {
            return Ok(Stored::All(sent.refused));
        };
        match connection.client.query_one(merge, &[]).await {
            Ok(row) if row.try_get::<_, i64>(0)? == row.try_get::<_, i64>(1)? => {
                Ok(Stored::All(sent.refused))
            }
            Ok(_) => Ok(Stored::Fewer),
            Err(error) if classify::is_data_error(&error) => Ok(Stored::Refused(error)),
            Err(error) => Err(error.into()),
        }
    }

    async fn send(
        &self,
        mut sink: Pin<&mut Sink>,
        rows: impl IntoIterator<Item = usize>,
    ) -> Result<Sent, Failure> {
        let mut sent = Sent {
            rows: 0,
            refused: Vec::new(),
        };
        let mut buffer = Vec::with_capacity(CHUNK_BYTES + CHUNK_BYTES / 8);
        buffer.extend_from_slice(copy::HEADER);
        let is_upsert = self.shape.statements.upsert.is_some();
        for row in rows {
            match self.encode(&mut buffer, row, is_upsert) {
                Ok(()) => sent.rows += 1,
                Err(reason) => sent.refused.push(Refused { row, reason }),
            }
            if buffer.len() >= CHUNK_BYTES {
                let next = Vec::with_capacity(CHUNK_BYTES + CHUNK_BYTES / 8);
                let full = std::mem::replace(&mut buffer, next);
                sink.feed(Cursor::new(full)).await?;
            }
        }
        buffer.extend_from_slice(&copy::TRAILER);
        sink.feed(Cursor::new(buffer)).await?;
        Ok(sent)
    }

    /// Appends a row in COPY's format, or says why it cannot be sent.
    pub(super) fn encode(
        &self,
        buffer: &mut Vec<u8>,
        row: usize,
        is_upsert: bool,
    ) -> Result<(), String> {
        let entry = &self.batch.rows()[row];
        let content = entry
            .content
            .as_ref()
            .map_err(|malformed| malformed.reason().to_owned())?;
        let id = self
            .opened(entry.scope)
            .map_err(|error| error.to_string())?;
        let number = is_upsert.then(|| i64::try_from(row).unwrap_or(i64::MAX));
        let place = (id.id, entry.position);
        copy::encode(buffer, &self.shape.rows, content, place, number)
    }

    /// Advances a watermark from what it was before; false when it, the fence or the transaction
    /// is another.
    pub(super) async fn advance(
        &self,
        connection: &Connection,
        mark: &Mark,
        before: Position,
    ) -> Result<bool, Failure> {
        let opened = self.opened(mark.scope).map_err(Failure::Refused)?;
        let transaction = connection.transaction.to_string();
        let parameters: [&(dyn ToSql + Sync); 7] = [
            &opened.id,
            &opened.fence.cast_signed(),
            &before.number().cast_signed(),
            &mark.watermark.number().cast_signed(),
            &mark.batch.0.cast_signed(),
            &mark.hash.cast_signed(),
            &transaction,
        ];
        let statement = &connection.prepared.advance;
        Ok(connection.client.execute(statement, &parameters).await? == 1)
    }

    /// Keeps what was refused, and why.
    pub(super) async fn quarantine(
        &self,
        connection: &Connection,
        refused: &[Refused],
    ) -> Result<(), Failure> {
        if refused.is_empty() {
            return Ok(());
        }
        let statement = connection
            .client
            .prepare(&self.shape.statements.quarantine)
            .await?;
        let mut left = refused.iter().peekable();
        while left.peek().is_some() {
            let (mut scopes, mut positions, mut bytes) = (Vec::new(), Vec::new(), 0);
            let (mut reasons, mut originals) = (Vec::new(), Vec::new());
            while let Some(Refused { row, reason }) = left.next_if(|_| bytes < QUARANTINE_BYTES) {
                let entry = &self.batch.rows()[*row];
                scopes.push(self.opened(entry.scope).map_err(Failure::Refused)?.id);
                positions.push(entry.position.number().cast_signed());
                reasons.push(reason.replace('\0', "\\0"));
                let original = entry.original();
                bytes += reason.len() + original.len();
                originals.push(original);
            }
            let parameters: [&(dyn ToSql + Sync); 4] = [&scopes, &positions, &reasons, &originals];
            connection.client.execute(&statement, &parameters).await?;
        }
        Ok(())
    }

    /// Opens a savepoint and COPY behind it.
    pub(super) async fn begin_piece(&self, connection: &mut Connection) -> Result<Sink, Failure> {
        let clean = match self.shape.statements.upsert {
            Some(_) => "SAVEPOINT piece; DELETE FROM pg_temp.forebay_incoming",
            None => "SAVEPOINT piece",
        };
        connection.is_sound = false;
        let client = &connection.client;
        let copy = client.copy_in(&connection.prepared.copy);
        let (saved, sink) = join(client.batch_execute(clean), copy).await;
        saved?;
        let sink = sink?;
        connection.is_sound = true;
        Ok(sink)
    }
}

/// A row of the ledger, as `id, fence, position, batch, hash`.
pub(super) struct Held {
    pub(super) id: i32,
    pub(super) fence: u64,
    watermark: Position,
    batch: BatchId,
    hash: u64,
}

impl Held {
    pub(super) fn read(row: &tokio_postgres::Row) -> Result<Self, Error> {
        let number = |column| row.try_get::<_, i64>(column).map(i64::cast_unsigned);
        Ok(Self {
            id: row.try_get(0)?,
            fence: number(1)?,
            watermark: Position::new(number(2)?),
            batch: BatchId(number(3)?),
            hash: number(4)?,
        })
    }

    pub(super) fn mark(&self, scope: ScopeIndex) -> Mark {
        Mark {
            scope,
            watermark: self.watermark,
            batch: self.batch,
            hash: self.hash,
        }
    }
}
