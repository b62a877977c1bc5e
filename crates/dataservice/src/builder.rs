//! The caps of a data service. Each has a default, and none can be switched off.

use std::hash::Hash;
use std::marker::PhantomData;
use std::time::Duration;

use buffer_core::Room;

use crate::{BuildError, DataService};

/// Sets the limits of a [`DataService`].
///
/// ```
/// use dataservice::DataService;
///
/// let service: DataService<String, f64> =
///     DataService::builder().keys_max(1_000).depth_default(16).build()?;
/// assert_eq!(service.stats().keys_max, 1_000);
///
/// let error = DataService::<String, f64>::builder().keys_max(0).build().unwrap_err();
/// assert_eq!(error.to_string(), "keys_max is 0, allowed is 1 to 4294967295");
/// # Ok::<(), dataservice::BuildError>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing before `build`"]
pub struct Builder<K, V> {
    limits: Limits,
    service: PhantomData<fn() -> (K, V)>,
}

/// The limits, once they are checked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) keys_max: usize,
    pub(crate) subscribers_max: usize,
    pub(crate) depth_default: usize,
    pub(crate) depth_max: usize,
    pub(crate) span_count_max: usize,
    pub(crate) transaction_updates_max: usize,
    pub(crate) shrink_after: Duration,
    pub(crate) room: Room,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            keys_max: 1_000_000,
            subscribers_max: 10_000,
            depth_default: 1,
            depth_max: 100_000,
            span_count_max: 10_000,
            transaction_updates_max: 1_000_000,
            shrink_after: Duration::from_secs(30),
            room: Room::default(),
        }
    }
}

impl<K, V> Builder<K, V>
where
    K: Eq + Hash + Clone + Send + Sync,
    V: Clone + Send + Sync,
{
    pub(crate) fn new() -> Self {
        Self {
            limits: Limits::default(),
            service: PhantomData,
        }
    }

    /// How many keys may ever be registered. Default 1,000,000.
    pub fn keys_max(mut self, keys: usize) -> Self {
        self.limits.keys_max = keys;
        self
    }

    /// How many subscribers may exist at a time. Default 10,000.
    pub fn subscribers_max(mut self, subscribers: usize) -> Self {
        self.limits.subscribers_max = subscribers;
        self
    }

    /// How many values each key keeps when nobody asks for more. Default 1: the newest.
    pub fn depth_default(mut self, values: usize) -> Self {
        self.limits.depth_default = values;
        self
    }

    /// How many values a key keeps at most, whatever subscribers ask for. Default 100,000.
    pub fn depth_max(mut self, values: usize) -> Self {
        self.limits.depth_max = values;
        self
    }

    /// How many values a key keeps for a span that names no count itself. Default 10,000.
    pub fn span_count_max(mut self, values: usize) -> Self {
        self.limits.span_count_max = values;
        self
    }

    /// How many updates a transaction may hold. Default 1,000,000.
    pub fn transaction_updates_max(mut self, updates: usize) -> Self {
        self.limits.transaction_updates_max = updates;
        self
    }

    /// How long a history stays deeper than anyone needs. Default 30 s.
    ///
    /// See [`DataService::maintain`].
    pub fn shrink_after(mut self, grace: Duration) -> Self {
        self.limits.shrink_after = grace;
        self
    }

    /// How histories of depth 2 or more allocate.
    pub fn room(mut self, room: Room) -> Self {
        self.limits.room = room;
        self
    }

    /// The service.
    ///
    /// # Errors
    /// When a cap is 0, when there may be more keys than ids, or when the default depth is greater
    /// than the largest.
    pub fn build(self) -> Result<DataService<K, V>, BuildError> {
        let limits = self.limits;
        check("keys_max", limits.keys_max, u32::MAX as usize)?;
        check("subscribers_max", limits.subscribers_max, u32::MAX as usize)?;
        check("depth_max", limits.depth_max, usize::MAX)?;
        check("depth_default", limits.depth_default, limits.depth_max)?;
        check("span_count_max", limits.span_count_max, usize::MAX)?;
        check(
            "transaction_updates_max",
            limits.transaction_updates_max,
            usize::MAX,
        )?;
        Ok(DataService::with_limits(limits))
    }
}

fn check(setting: &'static str, value: usize, max: usize) -> Result<(), BuildError> {
    if (1..=max).contains(&value) {
        Ok(())
    } else {
        Err(BuildError {
            setting,
            value,
            min: 1,
            max,
        })
    }
}
