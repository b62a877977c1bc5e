//! Adding several updates at once.

use std::hash::{BuildHasher, Hash as Hashed};

use crate::container::{Step, Ticket};
use crate::hash::Hash;
use crate::lane::OnLane;
use crate::named::{Kept, Own};
use crate::shared::Shared;
use crate::{AddError, AddResult, Added, AddedMany, Aggregate};

/// Updates that are hashed, looked up and put in together: enough to hide the way to memory, and
/// few enough that a taker who waits for them does not wait for long.
const TOGETHER: usize = 32;

/// An update on its way in, and afterwards what has to be dropped.
struct Item<K, U> {
    hash: Hash,
    key: Option<K>,
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
    let mut updates = updates.into_iter();
    let mut items = [const { None }; TOGETHER];
    loop {
        let mut count = 0;
        for (item, (key, update)) in items.iter_mut().zip(updates.by_ref()) {
            *item = Some(Item {
                hash: shared.hash(&key),
                key: Some(key),
                update: Some(update),
            });
            count += 1;
        }
        add_together(shared, lane, &mut items[..count], &mut all);
        // All of them are dropped here, outside of the container.
        items[..count].fill_with(|| None);
        if count < TOGETHER {
            return all;
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
        let (added, is_due) = lane.on(|lane| {
            let writer = lane.number as u32;
            lane.slot.write(|container| {
                let mut is_due = None;
                for (index, item) in rest.iter_mut().flatten().enumerate() {
                    match add_one(shared, container, writer, item) {
                        Some(due) => is_due = Some(due),
                        None => return (index, is_due),
                    }
                    // One by one, in case that the next one panics.
                    lane.count(1);
                }
                (rest.len(), is_due)
            })
        });
        all.accepted += added as u64;
        all.is_flush_due = is_due.unwrap_or(all.is_flush_due);
        start += added;
        // The next one lacks something, or is invalid.
        if let Some(Some(item)) = items.get_mut(start)
            && let (Some(key), Some(update)) = (item.key.take(), item.update.take())
        {
            all.record(shared.add(lane, item.hash, Own(key), update));
            start += 1;
        }
    }
}

/// Adds an update on the fast way; `None` if there is no fast way for it.
#[inline]
fn add_one<K, A, S>(
    shared: &Shared<K, A, S>,
    container: &mut crate::container::Container<K, A::Partial>,
    writer: u32,
    item: &mut Item<K, A::Update>,
) -> Option<bool>
where
    K: Hashed + Eq + Clone,
    A: Aggregate,
    S: BuildHasher,
{
    let update = item.update.take()?;
    if shared.aggregate.check(&update).is_err() {
        item.update = Some(update);
        return None;
    }
    let key = Kept(&mut item.key);
    let none = &mut Ticket::default();
    let aggregate = &shared.aggregate;
    match container.add::<false, A, _>(aggregate, writer, item.hash, key, update, none) {
        Step::Done {
            displaced, is_due, ..
        } => {
            item.update = displaced;
            Some(is_due)
        }
        Step::NeedsUpdate(_, update) | Step::NeedsKey(_, update) | Step::NeedsOwned(_, update) => {
            item.update = Some(update);
            None
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
