//! Adding several updates at once.

use std::hash::{BuildHasher, Hash as Hashed};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use crate::container::Fast;
use crate::hash::Hash;
use crate::lane::OnLane;
use crate::named::Own;
use crate::shared::Shared;
use crate::{AddError, AddResult, Added, AddedMany, Aggregate};

/// Updates that are hashed, looked up and put in together: enough to hide the way to memory, and
/// few enough that a taker who waits for them does not wait for long.
const TOGETHER: usize = 32;

/// An update on its way in, and afterwards what has to be dropped.
struct Item<K, U> {
    hash: Hash,
    key: Option<Own<K>>,
    update: Option<U>,
}

/// Adds all updates; one that is refused does not stop the others.
pub(crate) fn add_many<K, A, S, L>(
    shared: &Shared<K, A, S>,
    lane: &L,
    updates: impl IntoIterator<Item = (K, A::Update)>,
) -> AddedMany<K, A>
where
    K: Hashed + Eq + Clone,
    A: Aggregate,
    S: BuildHasher,
    L: OnLane<K, A::Partial>,
{
    let mut all = AddedMany {
        accepted: 0,
        refused: Vec::new(),
        flushed: Vec::new(),
        is_flush_due: false,
    };
    let adding = AssertUnwindSafe(|| add_all(shared, lane, updates, &mut all));
    if let Err(panic) = catch_unwind(adding) {
        // Nobody will see what was taken out meanwhile.
        shared.restore_all(std::mem::take(&mut all.flushed));
        resume_unwind(panic);
    }
    all
}

fn add_all<K, A, S, L>(
    shared: &Shared<K, A, S>,
    lane: &L,
    updates: impl IntoIterator<Item = (K, A::Update)>,
    all: &mut AddedMany<K, A>,
) where
    K: Hashed + Eq + Clone,
    A: Aggregate,
    S: BuildHasher,
    L: OnLane<K, A::Partial>,
{
    let mut updates = updates.into_iter();
    let mut items = [const { None }; TOGETHER];
    loop {
        let mut count = 0;
        let gathering = AssertUnwindSafe(|| {
            for (item, (key, update)) in items.iter_mut().zip(updates.by_ref()) {
                *item = Some(Item {
                    hash: shared.hash(&key),
                    key: Some(Own(key)),
                    update: Some(update),
                });
                count += 1;
            }
        });
        let gathered = catch_unwind(gathering);
        // Should the iterator or a hash have panicked, what came before is added all the same.
        add_together(shared, lane, &mut items[..count], all);
        // All of them are dropped here, outside of the container.
        items[..count].fill_with(|| None);
        if let Err(panic) = gathered {
            resume_unwind(panic);
        }
        if count < TOGETHER {
            return;
        }
    }
}

fn add_together<K, A, S, L>(
    shared: &Shared<K, A, S>,
    lane: &L,
    items: &mut [Option<Item<K, A::Update>>],
    all: &mut AddedMany<K, A>,
) where
    K: Hashed + Eq + Clone,
    A: Aggregate,
    S: BuildHasher,
    L: OnLane<K, A::Partial>,
{
    let mut start = 0;
    while start < items.len() {
        let rest = &mut items[start..];
        let (added, is_due) = lane.write(|lane, container| {
            let writer = lane.number as u32;
            let mut is_due = None;
            for (index, item) in rest.iter_mut().flatten().enumerate() {
                let (Some(key), Some(update)) = (&item.key, item.update.take()) else {
                    return (index, is_due);
                };
                let aggregate = &shared.aggregate;
                let fast = if aggregate.check(&update).is_ok() {
                    container.add_known(aggregate, writer, item.hash, key, update)
                } else {
                    Fast::Lacking(update)
                };
                match fast {
                    Fast::Done {
                        displaced,
                        is_due: due,
                    } => {
                        item.update = displaced;
                        is_due = Some(due);
                    }
                    Fast::Lacking(update) => {
                        item.update = Some(update);
                        return (index, is_due);
                    }
                }
                // One by one, in case that the next one panics.
                lane.count(1);
            }
            (rest.len(), is_due)
        });
        all.accepted += added as u64;
        all.is_flush_due = is_due.unwrap_or(all.is_flush_due);
        start += added;
        // The next one lacks something, or is invalid.
        if let Some(Some(item)) = items.get_mut(start)
            && let (Some(key), Some(update)) = (item.key.take(), item.update.take())
        {
            all.record(shared.add(lane, item.hash, key, update));
            start += 1;
        }
    }
}

impl<K, A: Aggregate> AddedMany<K, A> {
    fn record(&mut self, result: AddResult<K, A>) {
        let refused: AddError<K, A::Update> = match result {
            Ok(added) => {
                self.accepted += 1;
                self.is_flush_due = matches!(added, Added::FlushDue);
                if let Added::Flushed(taken) = added {
                    self.flushed.push(taken);
                }
                return;
            }
            Err(refused) => refused,
        };
        self.refused.push(refused);
    }
}
