//! The same aggregation for a plain list.

use std::hash::{BuildHasher, Hash as Hashed};

use crate::hash::Hash;
use crate::named::Own;
use crate::table::{Cursor, Slot, Table};
use crate::{AddError, Aggregate, Entry, Seeded, Stamp, Taken};

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
    K: Hashed + Eq,
    A: Aggregate,
{
    let hasher = Seeded::default();
    // Each key knows its place in the list of entries.
    let mut places: Table<K, usize> = Table::new();
    let mut partials: Vec<(A::Partial, u64)> = Vec::new();
    let mut refused = Vec::new();
    for (order, (key, update)) in (0..).zip(updates) {
        if let Err(cause) = aggregate.check(&update) {
            refused.push(AddError::Invalid { key, update, cause });
            continue;
        }
        let hash = Hash::new(hasher.hash_one(&key));
        let stamp = Stamp::new(order, 0);
        let key = Own(key);
        let place = places.find(hash, &key).and_then(|slot| slot.partial());
        match place.and_then(|&place| partials.get_mut(place)) {
            Some((partial, updates)) => {
                drop(aggregate.absorb(partial, update, stamp));
                *updates += 1;
            }
            None => {
                partials.push((aggregate.start(update, stamp), 1));
                let Own(key) = key;
                places.insert(hash, key, partials.len() - 1, 1);
            }
        }
    }
    Aggregated {
        taken: in_order(places, partials),
        refused,
    }
}

/// The keys with their partial results, in the order of the latter.
fn in_order<K, P>(mut places: Table<K, usize>, partials: Vec<(P, u64)>) -> Taken<K, P> {
    let mut keys: Vec<Option<K>> = Vec::new();
    keys.resize_with(partials.len(), || None);
    let mut walk = Cursor::default();
    while let Some(at) = places.next_live(&mut walk) {
        if let Some((key, place, _)) = places.remove(at).and_then(Slot::into_parts) {
            keys[place] = Some(key);
        }
    }
    let entries = keys.into_iter().zip(partials);
    entries
        .filter_map(|(key, (partial, updates))| {
            Some(Entry {
                key: key?,
                partial,
                updates,
            })
        })
        .collect()
}
