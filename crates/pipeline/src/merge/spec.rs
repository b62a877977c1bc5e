//! How a route merges.

use serde::{Deserialize, Serialize};

use super::{CoalesceAggregate, CoalesceError, KeyTemplate};

/// The most keys that a lane can be allowed.
const KEYS_MAX_LIMIT: usize = 10_000_000;
/// The most updates that a lane can be allowed.
const UPDATES_MAX_LIMIT: usize = 1_000_000_000;

/// How a route merges: the updates of a key become one row for the sink.
///
/// As configuration it has the keys `aggregate`, which has to be there, `key`, `keys_max` and
/// `updates_max`; see [`CoalesceAggregate`] for what each aggregate makes of the updates.
///
/// ```
/// use pipeline::{CoalesceAggregate, CoalesceSpec};
///
/// let spec = CoalesceSpec::new(CoalesceAggregate::Sum)
///     .key("plant/{tag}".parse()?)
///     .keys_max(500);
/// assert_eq!(spec.check(), Ok(()));
/// assert!(spec.updates_max(0).check().is_err());
/// # Ok::<(), pipeline::CoalesceError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
#[must_use]
pub struct CoalesceSpec {
    pub(super) aggregate: CoalesceAggregate,
    pub(super) key: KeyTemplate,
    pub(super) keys_max: usize,
    pub(super) updates_max: usize,
}

/// What a configuration says.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unchecked {
    aggregate: CoalesceAggregate,
    #[serde(default)]
    key: KeyTemplate,
    #[serde(default = "keys_max_default")]
    keys_max: usize,
    #[serde(default = "updates_max_default")]
    updates_max: usize,
}

fn keys_max_default() -> usize {
    10_000
}

fn updates_max_default() -> usize {
    1_000_000
}

impl CoalesceSpec {
    /// Merges by `{source}/{tag}`, up to 10,000 keys and 1,000,000 updates.
    pub fn new(aggregate: CoalesceAggregate) -> Self {
        Self {
            aggregate,
            key: KeyTemplate::default(),
            keys_max: keys_max_default(),
            updates_max: updates_max_default(),
        }
    }

    /// Which updates merge: those for which this template expands to the same.
    pub fn key(self, key: KeyTemplate) -> Self {
        Self { key, ..self }
    }

    /// The most keys that a lane holds, those on their way to the sink included; 1 to 10,000,000.
    /// A row that cannot be merged counts as a key.
    pub fn keys_max(self, keys_max: usize) -> Self {
        Self { keys_max, ..self }
    }

    /// The most updates that a lane holds, those on their way to the sink included; 1 to
    /// 1,000,000,000.
    pub fn updates_max(self, updates_max: usize) -> Self {
        Self {
            updates_max,
            ..self
        }
    }

    /// What the updates of a key become.
    #[must_use]
    pub fn aggregate(&self) -> CoalesceAggregate {
        self.aggregate
    }

    /// Whether a route can merge like this.
    ///
    /// # Errors
    /// If a limit is 0 or too large.
    pub fn check(&self) -> Result<(), CoalesceError> {
        for (field, value, max) in [
            ("keys_max", self.keys_max, KEYS_MAX_LIMIT),
            ("updates_max", self.updates_max, UPDATES_MAX_LIMIT),
        ] {
            if !(1..=max).contains(&value) {
                return Err(CoalesceError::Limit {
                    field,
                    value,
                    min: 1,
                    max,
                });
            }
        }
        Ok(())
    }
}

impl TryFrom<Unchecked> for CoalesceSpec {
    type Error = CoalesceError;

    fn try_from(unchecked: Unchecked) -> Result<Self, CoalesceError> {
        let Unchecked {
            aggregate,
            key,
            keys_max,
            updates_max,
        } = unchecked;
        let spec = Self {
            aggregate,
            key,
            keys_max,
            updates_max,
        };
        spec.check()?;
        Ok(spec)
    }
}
