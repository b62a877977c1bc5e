//! Updates that become visible together, or not at all.

use crate::shared::Handle;
use crate::state::Staged;
use crate::{CommitSeq, KeyId, PutError, Refusal};

/// Updates staged by one owner, invisible to everybody else, without any lock.
///
/// [`commit`](Self::commit) makes all keys visible at once and wakes each subscriber at most once.
/// Dropping the transaction, on an error or in a panic, discards it. Several transactions may be
/// open at a time; their order is that of their commits.
///
/// ```
/// use dataservice::DataService;
///
/// let service: DataService<&str, i64> = DataService::new();
/// let (debit, credit) = (service.register("debit")?, service.register("credit")?);
///
/// let mut transfer = service.begin();
/// transfer.put(debit, 1, -50)?;
/// let savepoint = transfer.len();
/// transfer.put(credit, 1, 49)?;
/// transfer.truncate(savepoint);
/// transfer.put(credit, 1, 50)?;
/// assert_eq!(service.get("debit"), None);
///
/// assert_eq!(transfer.commit().number(), 1);
/// assert_eq!((service.get("debit"), service.get("credit")), (Some(-50), Some(50)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "a transaction that is dropped commits nothing"]
pub struct Transaction<V> {
    shared: Handle<V>,
    staged: Vec<Staged<V>>,
}

impl<V: Clone> Transaction<V> {
    pub(crate) fn new(shared: Handle<V>) -> Self {
        Self {
            shared,
            staged: Vec::new(),
        }
    }

    /// Stages one value, which happened at `time_us`.
    ///
    /// # Errors
    /// When the transaction is full or the id is unknown; the value is handed back, and what was
    /// staged before stays.
    pub fn put(&mut self, id: KeyId, time_us: i64, value: V) -> Result<(), PutError<V>> {
        let limit = self.shared.limits.transaction_updates_max;
        let refusal = if self.staged.len() >= limit {
            Some(Refusal::TransactionFull { limit })
        } else {
            self.shared.refusal(id)
        };
        if let Some(refusal) = refusal {
            return Err(PutError { refusal, value });
        }
        self.staged.push(Staged {
            id,
            time_us,
            value: Some(value),
        });
        Ok(())
    }

    /// Stages values of one key, each with its time in microseconds. All or none.
    ///
    /// # Errors
    /// As for [`put`](Self::put), with the first value that did not fit.
    pub fn put_many(
        &mut self,
        id: KeyId,
        values: impl IntoIterator<Item = (i64, V)>,
    ) -> Result<usize, PutError<V>> {
        let savepoint = self.len();
        for (time_us, value) in values {
            if let Err(error) = self.put(id, time_us, value) {
                self.truncate(savepoint);
                return Err(error);
            }
        }
        Ok(self.len() - savepoint)
    }

    /// How many updates are staged: a savepoint for [`truncate`](Self::truncate).
    #[must_use]
    pub fn len(&self) -> usize {
        self.staged.len()
    }

    /// Whether nothing is staged.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.staged.is_empty()
    }

    /// Rolls back to the first `len` staged updates.
    pub fn truncate(&mut self, len: usize) {
        self.staged.truncate(len);
    }

    /// Makes everything visible at once and returns the number of the commit. An empty transaction
    /// is no commit and returns the number of the last one.
    pub fn commit(mut self) -> CommitSeq {
        self.shared.commit(&mut self.staged)
    }
}
