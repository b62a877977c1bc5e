//! What a subscriber asks for.

use std::fmt;
use std::sync::Arc;

use crate::{Extractor, KeyId};

/// The keys of a [`Subscription`](crate::Subscription), with an extractor each. They may differ;
/// a key that is named twice gets the later one.
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
pub struct Spec<V> {
    pub(crate) keys: Vec<(KeyId, Arc<dyn Extractor<V>>)>,
}

impl<V> Spec<V> {
    /// No keys. They can be added to the subscription later.
    pub fn new() -> Self {
        Self { keys: Vec::new() }
    }

    /// Adds a key.
    pub fn key(mut self, id: KeyId, extractor: impl Extractor<V> + 'static) -> Self {
        self.keys.push((id, Arc::new(extractor)));
        self
    }

    /// Adds keys that share an extractor.
    pub fn keys(
        mut self,
        ids: impl IntoIterator<Item = KeyId>,
        extractor: impl Extractor<V> + 'static,
    ) -> Self {
        let extractor: Arc<dyn Extractor<V>> = Arc::new(extractor);
        self.keys
            .extend(ids.into_iter().map(|id| (id, Arc::clone(&extractor))));
        self
    }
}

impl<V> Default for Spec<V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<V> fmt::Debug for Spec<V> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_list()
            .entries(self.keys.iter().map(|(id, _)| id))
            .finish()
    }
}
