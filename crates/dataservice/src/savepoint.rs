//! A transaction within a transaction.

use std::fmt;

use crate::transaction::Mark;
use crate::{KeyId, PutError, Requirement, Transaction, View};

/// A part of a [`Transaction`] that can be discarded alone.
///
/// What is put becomes part of the transaction with [`commit`](Self::commit). Dropped, on an error
/// or in a panic, it takes back everything since it began; what was staged before stays.
///
/// ```
/// use dataservice::DataService;
///
/// let service: DataService<&str, i64> = DataService::new();
/// let (a, b) = (service.register("a")?, service.register("b")?);
/// let mut transaction = service.begin();
/// transaction.put(a, 1, 1)?;
/// {
///     let mut nested = transaction.begin();
///     nested.put(b, 1, 2)?;
///     assert_eq!(nested.get(b), Some(2));
/// } // dropped: rolled back
/// let mut nested = transaction.begin();
/// nested.put(a, 2, 3)?;
/// nested.commit();
/// transaction.commit()?;
/// assert_eq!((service.get("a"), service.get("b")), (Some(3), None));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "a savepoint that is dropped rolls back"]
pub struct Savepoint<'t, V> {
    transaction: &'t mut Transaction<V>,
    mark: Mark,
    is_kept: bool,
}

impl<'t, V> Savepoint<'t, V> {
    pub(crate) fn new(transaction: &'t mut Transaction<V>) -> Self {
        Self {
            mark: transaction.mark(),
            transaction,
            is_kept: false,
        }
    }

    /// How many updates were staged since it began.
    #[must_use]
    pub fn len(&self) -> usize {
        self.transaction.len_since(self.mark)
    }

    /// Whether nothing was.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Makes it part of the transaction, which may still be discarded as a whole.
    pub fn commit(mut self) {
        self.is_kept = true;
    }
}

impl<V: Clone> Savepoint<'_, V> {
    /// As [`Transaction::put`].
    ///
    /// # Errors
    /// As there.
    pub fn put(&mut self, id: KeyId, time_us: i64, value: V) -> Result<(), PutError<V>> {
        self.transaction.put(id, time_us, value)
    }

    /// As [`Transaction::put_many`].
    ///
    /// # Errors
    /// As there.
    pub fn put_many(
        &mut self,
        id: KeyId,
        values: impl IntoIterator<Item = (i64, V)>,
    ) -> Result<usize, PutError<V>> {
        self.transaction.put_many(id, values)
    }

    /// A savepoint within this one.
    pub fn begin(&mut self) -> Savepoint<'_, V> {
        Savepoint::new(self.transaction)
    }

    /// As [`Transaction::get`].
    #[must_use]
    pub fn get(&self, id: KeyId) -> Option<V> {
        self.transaction.get(id)
    }

    /// As [`Transaction::read`].
    #[must_use]
    pub fn read(&self, id: KeyId, requirement: Requirement) -> Option<View<V>> {
        self.transaction.read(id, requirement)
    }
}

impl<V> Drop for Savepoint<'_, V> {
    fn drop(&mut self) {
        if !self.is_kept {
            self.transaction.roll_back(self.mark);
        }
    }
}

impl<V> fmt::Debug for Savepoint<'_, V> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Savepoint")
            .field("updates", &self.len())
            .finish_non_exhaustive()
    }
}
