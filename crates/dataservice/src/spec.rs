//! What a subscriber asks for.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use crate::{Extract, Extracted, Extractor, KeyId, Requirement, View};

/// The keys of a [`Subscription`](crate::Subscription), with an extractor each. They may differ;
/// a key that is named twice gets the later one.
///
/// What the extractors make of their views has to become one type `O`, which is [`Extract`]
/// unless [`Spec::of`] says otherwise.
///
/// ```
/// use dataservice::{DataService, LatestValue, Spec, WindowByCount};
///
/// let service: DataService<&str, f64> = DataService::new();
/// let ids = [service.register("a")?, service.register("b")?];
/// let spec = Spec::new().keys(ids, LatestValue).key(ids[1], WindowByCount::new(100));
/// assert_eq!(service.subscribe(spec)?.granted(ids[1]).unwrap().depth, 100);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "a spec does nothing before `subscribe`"]
pub struct Spec<V, O = Extract<V>> {
    pub(crate) keys: Vec<(KeyId, BoxedExtractor<V, O>)>,
    pub(crate) backpressure: Backpressure,
    pub(crate) min_interval: Duration,
}

pub(crate) type BoxedExtractor<V, O> = Box<dyn Extractor<V, Output = O>>;

/// What happens to a subscriber that does not poll often enough for what it was granted.
///
/// A key is overrun when more of its updates wait than its grant is deep.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Backpressure {
    /// Its extractors read what the history still holds, however deep others keep it. What is gone
    /// is counted as missed.
    #[default]
    Conflate,
    /// A poll shows no more of a key's unseen updates than were granted: the oldest are dropped
    /// and counted as missed, though the history may still hold them.
    DropOldest,
    /// When a key is overrun, the next poll is a [reset](crate::Snapshot::is_reset): the newest
    /// state of all keys. Everything else that waited is counted as missed.
    Reset,
    /// A commit that would overrun a key waits for a poll, up to this long in all; then it goes on
    /// as with `Conflate`. A transaction with more updates of a key than were granted cannot wait
    /// for room that there never is: it commits once nothing is pending, and what is too much
    /// counts as missed. A commit made in a callback never waits.
    Block(Duration),
    /// When a key is overrun, the subscription is closed and its grants are given up.
    Disconnect,
}

impl<V> Spec<V> {
    /// No keys, and [`Extract`]s of them. Keys can be added to the subscription later.
    pub fn new() -> Self {
        Self::of()
    }
}

impl<V, O> Spec<V, O> {
    /// No keys, and outputs of another type.
    pub fn of() -> Self {
        Self {
            keys: Vec::new(),
            backpressure: Backpressure::default(),
            min_interval: Duration::ZERO,
        }
    }

    /// Adds a key.
    pub fn key<E>(mut self, id: KeyId, extractor: E) -> Self
    where
        O: 'static,
        E: Extractor<V, Output: Into<O>> + 'static,
    {
        self.keys.push((id, boxed(extractor)));
        self
    }

    /// Adds keys. Each gets a copy of the extractor as it is now.
    pub fn keys<E>(mut self, ids: impl IntoIterator<Item = KeyId>, extractor: E) -> Self
    where
        O: 'static,
        E: Extractor<V, Output: Into<O>> + Clone + 'static,
    {
        let copies = ids.into_iter().zip(std::iter::repeat(extractor));
        let keys = copies.map(|(id, extractor)| (id, boxed(extractor)));
        self.keys.extend(keys);
        self
    }

    /// Sets what happens when it does not poll often enough. Default [`Backpressure::Conflate`].
    pub fn backpressure(mut self, backpressure: Backpressure) -> Self {
        self.backpressure = backpressure;
        self
    }

    /// Sets how long after a poll the next one is due. Default 0.
    ///
    /// It is kept by everything that waits and then polls; a plain
    /// [`poll`](crate::Subscription::poll) does not look at it.
    pub fn min_interval(mut self, interval: Duration) -> Self {
        self.min_interval = interval;
        self
    }
}

impl<V, O> Default for Spec<V, O> {
    fn default() -> Self {
        Self::of()
    }
}

impl<V, O> fmt::Debug for Spec<V, O> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Spec")
            .field(
                "keys",
                &self.keys.iter().map(|(id, _)| id).collect::<Vec<_>>(),
            )
            .field("backpressure", &self.backpressure)
            .field("min_interval", &self.min_interval)
            .finish()
    }
}

/// Boxes an extractor whose output becomes what a subscription shows. A box of a type without
/// fields, such as [`LatestValue`](crate::LatestValue), takes no memory.
pub(crate) fn boxed<V, O, E>(extractor: E) -> BoxedExtractor<V, O>
where
    O: 'static,
    E: Extractor<V, Output: Into<O>> + 'static,
{
    Box::new(Turned(extractor, PhantomData))
}

/// An extractor whose output is turned into another type.
struct Turned<E, O>(E, PhantomData<fn() -> O>);

impl<V, O, E> Extractor<V> for Turned<E, O>
where
    E: Extractor<V, Output: Into<O>>,
{
    type Output = O;

    fn requirement(&self) -> Requirement {
        self.0.requirement()
    }

    fn extract(&mut self, view: View<V>) -> Extracted<O> {
        self.0.extract(view).map(Into::into)
    }
}
