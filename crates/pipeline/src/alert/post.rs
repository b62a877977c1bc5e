//! Tells a URL: a POST of the alert as JSON, by the writer that HTTP sinks have.
//!
//! So it has their options in the fragment of the address, follows no redirect, repeats the same
//! `Idempotency-Key` with each retry, and shows of the address no more than scheme, host and port.

use std::sync::Arc;
use std::time::{Duration, Instant};

use record::Position;
use sinks::{Batch, BatchId, BatchWriter, Cell, Column, ColumnType, Entry, ErrorKind};
use sinks::{HttpOptions, HttpWriter, Row, Schema, ScopeIndex, WriteError};

use super::outbox::Letter;

/// The one row of a post.
struct Told(Arc<Letter>);

impl Row for Told {
    const SCHEMA: Schema = Schema::new("alerts", &[Column::new("alert", ColumnType::Json)]);

    fn cell(&self, _column: usize) -> Cell<'_> {
        Cell::Json(&self.0.body)
    }

    fn to_json(&self) -> String {
        self.0.body.clone()
    }
}

/// Posts alerts to one address.
pub(super) struct Post {
    writer: HttpWriter<Told>,
    target: String,
    /// Goes into the key, so that two alerts of the same words are two.
    next: u64,
    last: Option<(Arc<Letter>, u64)>,
}

impl Post {
    pub(super) fn new(options: HttpOptions, target: String, first: u64) -> Self {
        Self {
            writer: HttpWriter::new(options),
            target,
            next: first,
            last: None,
        }
    }

    pub(super) async fn send(
        &mut self,
        letter: &Arc<Letter>,
        timeout: Duration,
    ) -> Result<(), WriteError> {
        let number = match &self.last {
            Some((last, number)) if Arc::ptr_eq(last, letter) => *number,
            _ => {
                self.next = self.next.wrapping_add(1);
                self.next
            }
        };
        self.last = Some((Arc::clone(letter), number));
        let entry = Entry {
            scope: ScopeIndex(0),
            position: Position::START,
            arrival: Instant::now(),
            content: Ok(Told(Arc::clone(letter))),
        };
        let batch = Batch::new(BatchId(number), vec![entry]);
        let answered = tokio::time::timeout(timeout, self.writer.write(&batch)).await;
        let receipt = answered.map_err(|_| {
            let target = &self.target;
            let why = format!("cannot post to {target}: no answer within {timeout:?}");
            WriteError::new(ErrorKind::Transient, why)
        })??;
        match receipt.rejected().first() {
            None => Ok(()),
            Some(refused) => {
                let why = format!("{} refuses the alert: {}", self.target, refused.reason);
                Err(WriteError::new(ErrorKind::Data, why))
            }
        }
    }
}
