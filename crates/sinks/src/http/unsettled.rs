//! What is known of the rows of batches that are not settled yet.
//!
//! A batch may take several posts. When one of them fails, what the others settled is kept here,
//! row by row, so that the next attempt, of the whole batch or of a slice, posts only the rest.
//! Of more batches than the cap the oldest is forgotten, and posted again as a whole.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::{Batch, BatchId, Refused, Row, ScopeIndex};

const BATCHES_MAX: usize = 256;

/// What became of a row.
#[derive(Clone, Debug)]
pub(super) enum Fate {
    Taken,
    Refused(String),
    /// The receiver may have it or not, for this reason.
    Doubtful(Arc<str>),
}

/// Rows by scope and position, which slices and copies of a batch share.
type Fates = HashMap<(ScopeIndex, u64), Fate>;

#[derive(Default)]
pub(super) struct Unsettled {
    batches: Mutex<VecDeque<(BatchId, Fates)>>,
}

/// What is left of a batch.
pub(super) struct Todo {
    /// The indexes of the rows to post.
    pub(super) left: Vec<usize>,
    /// What is malformed or was refused before.
    pub(super) rejected: Vec<Refused>,
}

impl Unsettled {
    /// What is left of a batch.
    ///
    /// # Errors
    /// The reason, when a row of it is in doubt.
    pub(super) fn todo<R: Row>(&self, batch: &Batch<R>) -> Result<Todo, Arc<str>> {
        let batches = self.batches.lock();
        let fates = batches.iter().find(|(id, _)| *id == batch.id());
        let (mut left, mut rejected) = (Vec::with_capacity(batch.len()), Vec::new());
        for (row, entry) in batch.rows().iter().enumerate() {
            let key = (entry.scope, entry.position.number());
            let fate = fates.and_then(|(_, fates)| fates.get(&key));
            let reason = match (&entry.content, fate) {
                (Err(malformed), _) => malformed.reason().to_owned(),
                (Ok(_), None) => {
                    left.push(row);
                    continue;
                }
                (Ok(_), Some(Fate::Taken)) => continue,
                (Ok(_), Some(Fate::Refused(reason))) => reason.clone(),
                (Ok(_), Some(Fate::Doubtful(why))) => return Err(Arc::clone(why)),
            };
            rejected.push(Refused { row, reason });
        }
        Ok(Todo { left, rejected })
    }

    /// Keeps what became of these rows, of which some were `refused`.
    pub(super) fn note<R: Row>(
        &self,
        batch: &Batch<R>,
        (rows, fate): (&[usize], &Fate),
        refused: &[Refused],
    ) {
        let entries = batch.rows();
        let key = |row: usize| (entries[row].scope, entries[row].position.number());
        let mut batches = self.batches.lock();
        let at = match batches.iter().position(|(id, _)| *id == batch.id()) {
            Some(at) => at,
            None => {
                if batches.len() >= BATCHES_MAX {
                    batches.pop_front();
                }
                batches.push_back((batch.id(), Fates::new()));
                batches.len() - 1
            }
        };
        let fates = &mut batches[at].1;
        fates.extend(rows.iter().map(|row| (key(*row), fate.clone())));
        let refused = refused.iter();
        fates.extend(refused.map(|row| (key(row.row), Fate::Refused(row.reason.clone()))));
    }

    /// The rows of the batch are in a receipt.
    pub(super) fn forget<R: Row>(&self, batch: &Batch<R>) {
        let mut batches = self.batches.lock();
        let Some(at) = batches.iter().position(|(id, _)| *id == batch.id()) else {
            return;
        };
        let fates = &mut batches[at].1;
        for entry in batch.rows() {
            fates.remove(&(entry.scope, entry.position.number()));
        }
        if fates.is_empty() {
            batches.remove(at);
        }
    }
}
