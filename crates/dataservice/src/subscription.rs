//! A subscriber: woken when its keys change, and pulling when it likes.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::shared::Handle;
use crate::signal::Signal;
use crate::spec::{BoxedExtractor, boxed};
use crate::state::Scope;
use crate::{
    Extract, Extractor, Grant, KeyId, KeyUpdate, Requirement, Snapshot, Spec, SubscribeError,
};

/// A set of keys with an extractor each, and a cursor per key.
///
/// A commit that touches its keys wakes it, at most once until it polls; the wake carries no data,
/// so that a slow subscriber costs no memory and skips what it does not need. Dropping it
/// unsubscribes. It keeps the service's values alive, not its writers.
///
/// One owner polls. To wait for changes there is [`wait`](Self::wait) for threads,
/// [`poll_changed`](Self::poll_changed) for futures and [`set_waker`](Self::set_waker) for
/// everything else.
pub struct Subscription<V: Clone, O = Extract<V>> {
    shared: Handle<V>,
    signal: Arc<Signal>,
    number: u32,
    entries: HashMap<KeyId, Entry>,
    /// By the number of the entry.
    extractors: Vec<Option<BoxedExtractor<V, O>>>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    at: u32,
    grant: Grant,
}

/// A key that is about to be watched, with everything that somebody else's code had to say.
struct Ask<V, O> {
    id: KeyId,
    extractor: BoxedExtractor<V, O>,
    requirement: Requirement,
    grant: Grant,
}

impl<V: Clone, O: 'static> Subscription<V, O> {
    pub(crate) fn new(shared: Handle<V>, spec: Spec<V, O>) -> Result<Self, SubscribeError> {
        let asks = spec
            .keys
            .into_iter()
            .map(|(id, extractor)| ask(&shared, id, extractor))
            .collect::<Result<Vec<_>, _>>()?;
        let signal = Arc::new(Signal::default());
        let mut state = shared.state.lock();
        let limit = shared.limits.subscribers_max;
        if state.subscribers_len() >= limit {
            return Err(SubscribeError::SubscriberLimit { limit });
        }
        let number = state.enter(Arc::clone(&signal));
        drop(state);
        let mut subscription = Self {
            shared,
            signal,
            number,
            entries: HashMap::new(),
            extractors: Vec::new(),
        };
        subscription.watch(asks);
        Ok(subscription)
    }

    /// Adds a key, whose first poll shows what it holds now. For a key that is already part of the
    /// subscription the extractor is replaced, and the cursor stays: nothing is seen twice.
    ///
    /// # Errors
    /// When the id is unknown.
    pub fn add(
        &mut self,
        id: KeyId,
        extractor: impl Extractor<V, Output: Into<O>> + 'static,
    ) -> Result<Grant, SubscribeError> {
        let ask = ask(&self.shared, id, boxed(extractor))?;
        let grant = ask.grant;
        self.watch(vec![ask]);
        Ok(grant)
    }

    /// Takes a key out; whether it was in. Its history keeps its depth for a while, so that a
    /// subscription can be edited without losing it.
    pub fn remove(&mut self, id: KeyId) -> bool {
        let Some(entry) = self.entries.remove(&id) else {
            return false;
        };
        self.shared
            .state
            .lock()
            .unwatch(self.number, entry.at, &self.shared.limits);
        self.extractors[entry.at as usize] = None;
        true
    }

    /// The keys, in no particular order.
    pub fn ids(&self) -> impl ExactSizeIterator<Item = KeyId> {
        self.entries.keys().copied()
    }

    /// How deep the history of a key is kept for this subscriber.
    #[must_use]
    pub fn granted(&self, id: KeyId) -> Option<Grant> {
        self.entries.get(&id).map(|entry| entry.grant)
    }

    /// The keys that changed since the last poll, or `None`. The first poll shows everything there
    /// is. Each key is shown once, however often it changed, as its extractor sees it.
    pub fn poll(&mut self) -> Option<Snapshot<O>> {
        if !self.signal.is_pending() {
            return None;
        }
        self.pull(Scope::Changed)
    }

    /// All keys, changed or not, as of now. It is a poll: what it shows is seen, and the next poll
    /// continues from its commit without a gap and without a repetition.
    pub fn snapshot(&mut self) -> Snapshot<O> {
        let snapshot = self.pull(Scope::All);
        snapshot.expect("only a poll for changes can find nothing")
    }

    /// Waits until a key changed; `false` if none did in this time. Returns at once while there is
    /// something to poll.
    #[must_use]
    pub fn wait(&self, timeout: Duration) -> bool {
        self.signal.wait(timeout)
    }

    /// Ready while there is something to poll. Otherwise the task is woken once there is; only the
    /// last waker given is.
    pub fn poll_changed(&self, context: &mut Context<'_>) -> Poll<()> {
        if self.signal.is_pending() || self.signal.register(context.waker().clone()) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    /// Has this waker called once when there is something to poll, at once if there already is.
    /// It takes the place of an earlier one. It is called in the thread that commits, after
    /// unlocking, and may do anything but take long; if it panics, that is counted in
    /// [`Stats::wakes_panicked`](crate::Stats::wakes_panicked).
    pub fn set_waker(&self, waker: Waker) {
        if self.signal.register(waker) {
            self.shared.wake(std::slice::from_ref(&self.signal));
        }
    }

    fn pull(&mut self, scope: Scope) -> Option<Snapshot<O>> {
        let (commit_seq, views) = {
            let mut state = self.shared.state.lock();
            (state.commit_seq, state.poll(self.number, scope)?)
        };
        let mut updates = Vec::with_capacity(views.len());
        for (at, view) in views {
            let Some(Some(extractor)) = self.extractors.get_mut(at as usize) else {
                continue;
            };
            let (id, range, missed) = (view.id(), view.range(), view.missed());
            let is_cleared = view.is_empty();
            let extracted = extractor.extract(view);
            updates.push(KeyUpdate {
                id,
                range,
                missed,
                filtered: extracted.filtered(),
                is_cleared,
                extract: extracted.into_output(),
            });
        }
        Some(Snapshot {
            commit_seq,
            is_reset: false,
            revised: Vec::new(),
            updates,
        })
    }

    /// Watches all of these as of one commit.
    fn watch(&mut self, asks: Vec<Ask<V, O>>) {
        let mut replaced = Vec::new();
        let mut state = self.shared.state.lock();
        for Ask {
            id,
            extractor,
            requirement,
            grant,
        } in asks
        {
            let at = match self.entries.get(&id) {
                Some(Entry { at, .. }) => {
                    let limits = &self.shared.limits;
                    state.rewatch(self.number, *at, requirement, grant.depth, limits);
                    *at
                }
                None => state.watch(self.number, id, requirement, grant.depth),
            };
            self.entries.insert(id, Entry { at, grant });
            if self.extractors.len() <= at as usize {
                self.extractors.resize_with(at as usize + 1, || None);
            }
            replaced.push(self.extractors[at as usize].replace(extractor));
        }
        // Unlocked before extractors that were replaced are dropped.
        drop(state);
        let waiting = self.signal.is_pending();
        drop(replaced);
        if waiting {
            self.shared.wake(std::slice::from_ref(&self.signal));
        }
    }
}

fn ask<V: Clone, O>(
    shared: &Handle<V>,
    id: KeyId,
    extractor: BoxedExtractor<V, O>,
) -> Result<Ask<V, O>, SubscribeError> {
    shared
        .check(id)
        .map_err(|keys| SubscribeError::UnknownKey { id, keys })?;
    let requirement = extractor.requirement();
    let grant = requirement.grant(&shared.limits, size_of::<V>());
    Ok(Ask {
        id,
        extractor,
        requirement,
        grant,
    })
}

impl<V: Clone, O> Drop for Subscription<V, O> {
    fn drop(&mut self) {
        self.shared
            .state
            .lock()
            .leave(self.number, &self.shared.limits);
    }
}

impl<V: Clone, O> fmt::Debug for Subscription<V, O> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Subscription")
            .field("keys", &self.entries.len())
            .field("pending", &self.signal.is_pending())
            .finish_non_exhaustive()
    }
}
