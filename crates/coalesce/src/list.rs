//! The same aggregation for a plain list.

use std::hash::{BuildHasher, Hash, RandomState};

use crate::table::Table;
use crate::{AddError, Aggregate, Entry, Stamp, Taken};

/// What became of a list of updates.
#[derive(Debug)]
pub struct Aggregated<K, A: Aggregate> {
    /// One entry per key, in the order in which the keys first came.
    pub taken: Taken<K, A::Partial>,
    /// The updates that the aggregate refused, one error each.
    pub refused: Vec<AddError<K, A::Update>>,
}

/// Merges a list of updates per key, as a [`Coalescer`](crate::Coalescer) would, without caps.
///
/// ```
/// use coalesce::{Evidence, SuccessFailure, aggregate};
///
/// let done = aggregate(&SuccessFailure, [
///     ("a", Evidence::Success(1.0)),
///     ("b", Evidence::Failure(1.0)),
///     ("a", Evidence::Success(2.0)),
///     ("b", Evidence::Success(f64::NAN)),
/// ]);
/// assert_eq!(done.taken.entries()[0].partial.success_weight(), 3.0);
/// assert_eq!((done.taken.keys(), done.taken.updates()), (2, 3));
/// assert_eq!(
///     done.refused[0].to_string(),
///     "update of key \"b\" is invalid: weight is NaN, but must be finite and at least 0"
/// );
/// ```
pub fn aggregate<K, A>(
    aggregate: &A,
    updates: impl IntoIterator<Item = (K, A::Update)>,
) -> Aggregated<K, A>
where
    K: Hash + Eq,
    A: Aggregate,
{
    let hasher = RandomState::new();
    let mut table = Table::default();
    let mut refused = Vec::new();
    for (order, (key, update)) in (0..).zip(updates) {
        if let Err(cause) = aggregate.check(&update) {
            refused.push(AddError::Invalid { key, update, cause });
            continue;
        }
        let hash = hasher.hash_one(&key);
        let stamp = Stamp::new(order);
        match table.find(hash, &key) {
            Some(place) => drop(table.absorb(place, aggregate, update, stamp)),
            None => {
                let partial = aggregate.start(update, stamp);
                table.insert(
                    hash,
                    Entry {
                        key,
                        partial,
                        updates: 1,
                    },
                );
            }
        }
    }
    Aggregated {
        taken: table.into_entries().collect(),
        refused,
    }
}
