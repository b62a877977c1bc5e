//! The caps of a data service. Each has a default, and none can be switched off.

use std::hash::Hash;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use buffer_core::{Pool, Room};

use crate::buffer::{Buffer, Registry};
use crate::{BuildError, DataService, Schema};

/// The memory of histories that is kept to be used again: this part of all, and this much at most.
const SPARE_PART: usize = 16;
const SPARE_BYTES_MAX: usize = 64 << 20;

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
/// assert_eq!(error.to_string(), "keys_max is 0, allowed is 1 to 4294967294");
/// # Ok::<(), dataservice::BuildError>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing before `build`"]
pub struct Builder<K, V> {
    settings: Settings<V>,
    service: PhantomData<fn() -> K>,
}

/// What a service was told, once it is checked.
#[derive(Debug, Clone)]
pub(crate) struct Settings<V> {
    pub(crate) limits: Limits,
    pub(crate) registry: Registry<V>,
    pub(crate) weigh: Option<fn(&V) -> usize>,
    pub(crate) describe: Option<fn(&V) -> Schema>,
}

impl<V> Default for Settings<V> {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            registry: Registry::default(),
            weigh: None,
            describe: None,
        }
    }
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
    pub(crate) transaction_bytes_max: usize,
    pub(crate) memory_max: usize,
    pub(crate) key_bytes_max: usize,
    pub(crate) resume_updates: usize,
    pub(crate) cascade_max: u32,
    pub(crate) shrink_after: Duration,
    pub(crate) idle_after: Option<Duration>,
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
            transaction_bytes_max: 256 << 20,
            memory_max: 4 << 30,
            key_bytes_max: 256 << 20,
            resume_updates: 0,
            cascade_max: 64,
            shrink_after: Duration::from_secs(30),
            idle_after: None,
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
            settings: Settings::default(),
            service: PhantomData,
        }
    }

    /// How many keys may ever be registered. Default 1,000,000.
    pub fn keys_max(mut self, keys: usize) -> Self {
        self.settings.limits.keys_max = keys;
        self
    }

    /// How many subscribers may exist at a time. Default 10,000.
    pub fn subscribers_max(mut self, subscribers: usize) -> Self {
        self.settings.limits.subscribers_max = subscribers;
        self
    }

    /// How many values each key keeps when nobody asks for more. Default 1: the newest.
    pub fn depth_default(mut self, values: usize) -> Self {
        self.settings.limits.depth_default = values;
        self
    }

    /// How many values a key keeps at most, whatever subscribers ask for. Default 100,000.
    pub fn depth_max(mut self, values: usize) -> Self {
        self.settings.limits.depth_max = values;
        self
    }

    /// How many values a key keeps for a span that names no count itself. Default 10,000.
    pub fn span_count_max(mut self, values: usize) -> Self {
        self.settings.limits.span_count_max = values;
        self
    }

    /// How many updates a transaction may hold. Default 1,000,000.
    pub fn transaction_updates_max(mut self, updates: usize) -> Self {
        self.settings.limits.transaction_updates_max = updates;
        self
    }

    /// How long a history stays deeper than anyone needs. Default 30 s.
    ///
    /// See [`DataService::maintain`].
    pub fn shrink_after(mut self, grace: Duration) -> Self {
        self.settings.limits.shrink_after = grace;
        self
    }

    /// How many bytes the updates of a transaction may take. Default 256 MiB.
    pub fn transaction_bytes_max(mut self, bytes: usize) -> Self {
        self.settings.limits.transaction_bytes_max = bytes;
        self
    }

    /// How many bytes keys, histories and the log may take together. Default 4 GiB. What values own
    /// on the heap is counted if they are [weighed](Self::weigh).
    pub fn memory_max(mut self, bytes: usize) -> Self {
        self.settings.limits.memory_max = bytes;
        self
    }

    /// How many bytes the values of one key may take. Default 256 MiB. It caps what is granted.
    pub fn key_bytes_max(mut self, bytes: usize) -> Self {
        self.settings.limits.key_bytes_max = bytes;
        self
    }

    /// How many updates, over all keys, the service remembers for those who
    /// [resume](DataService::resume). Default 0: nobody can.
    pub fn resume_updates(mut self, updates: usize) -> Self {
        self.settings.limits.resume_updates = updates;
        self
    }

    /// How many callbacks may set each other off by their writes before a write is refused.
    /// Default 64.
    pub fn cascade_max(mut self, depth: u32) -> Self {
        self.settings.limits.cascade_max = depth;
        self
    }

    /// Removes the values of keys to which nothing was put for this long; who watches them is told.
    /// Default: never. See [`DataService::maintain`].
    pub fn idle_after(mut self, time_to_live: Option<Duration>) -> Self {
        self.settings.limits.idle_after = time_to_live;
        self
    }

    /// Counts what values own on the heap towards the memory that the service may take. Called
    /// under the service's lock: it must be quick and never call the service. Ignored for values
    /// without a destructor, which own nothing.
    pub fn weigh(mut self, weigh: fn(&V) -> usize) -> Self {
        self.settings.weigh = std::mem::needs_drop::<V>().then_some(weigh);
        self
    }

    /// Tells the kind and shape of values, so that a change of it is a new
    /// [generation](crate::View::generation) of its key, and keys can be
    /// [declared](DataService::declare). Called as [`weigh`](Self::weigh) is.
    pub fn describe(mut self, describe: fn(&V) -> Schema) -> Self {
        self.settings.describe = Some(describe);
        self
    }

    /// Makes this buffer for keys whose first value to keep it is made for. Those registered first
    /// are asked first; values that none is made for get the usual one. Both are called under the
    /// service's lock, when a key is watched deeper than its newest value.
    pub fn register_buffer(
        mut self,
        is_made_for: impl Fn(&V) -> bool + Send + Sync + 'static,
        make: impl Fn(usize) -> Box<dyn Buffer<V>> + Send + Sync + 'static,
    ) -> Self {
        let registered = (Arc::new(is_made_for) as _, Arc::new(make) as _);
        self.settings.registry.registered.push(registered);
        self
    }

    /// Shows readers the histories' own memory although values have a destructor: no copies, but a
    /// value that leaves a history is dropped only when its segment is left. Not for values that
    /// are [weighed](Self::weigh). Values without a destructor are always shared.
    pub fn share_values(mut self) -> Self {
        self.settings.registry.share = true;
        self
    }

    /// How histories of depth 2 or more allocate.
    pub fn room(mut self, room: Room) -> Self {
        self.settings.limits.room = room;
        self
    }

    /// The service.
    ///
    /// # Errors
    /// When a cap is 0, when there may be more keys than ids, or when the default depth is greater
    /// than the largest.
    pub fn build(self) -> Result<DataService<K, V>, BuildError> {
        let mut settings = self.settings;
        let limits = &settings.limits;
        let any = usize::MAX;
        check("keys_max", limits.keys_max, u32::MAX as usize - 1)?;
        check("subscribers_max", limits.subscribers_max, u32::MAX as usize)?;
        check("depth_max", limits.depth_max, any)?;
        check("depth_default", limits.depth_default, limits.depth_max)?;
        check("span_count_max", limits.span_count_max, any)?;
        check(
            "transaction_updates_max",
            limits.transaction_updates_max,
            any,
        )?;
        check("transaction_bytes_max", limits.transaction_bytes_max, any)?;
        check("memory_max", limits.memory_max, isize::MAX as usize)?;
        check("key_bytes_max", limits.key_bytes_max, any)?;
        check(
            "cascade_max",
            limits.cascade_max as usize,
            u32::MAX as usize,
        )?;
        if settings.weigh.is_some() {
            settings.registry.share = false;
        }
        settings.registry.room = limits.room;
        let spare = (limits.memory_max / SPARE_PART).min(SPARE_BYTES_MAX);
        settings.registry.pool = Pool::new(spare);
        Ok(DataService::with_settings(settings))
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
