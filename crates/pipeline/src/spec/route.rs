//! A route: which records go to a sink, and what becomes of them on the way.

use record::{Priority, Record};

use crate::{CoalesceSpec, Glob, LaneSpec};

/// Which records go to a sink, and what becomes of them on the way. Of the routes into the same
/// sink, the first that matches takes a record; routes into different sinks all do.
///
/// ```
/// use pipeline::RouteSpec;
/// use record::{Priority, Record, Timestamp, Value};
///
/// let alarms = RouteSpec::to("archive")
///     .name("alarms")
///     .tags("alarm.*".parse()?)
///     .priority(Priority::Critical);
/// let record = Record::new("PLC01", "alarm.fire", Value::Bool(true), Timestamp::default())?;
/// assert!(alarms.matches(&record));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct RouteSpec {
    pub(crate) name: Option<String>,
    pub(crate) sink: String,
    pub(crate) sources: Glob,
    pub(crate) tags: Glob,
    pub(crate) priority: Option<Priority>,
    pub(crate) coalesce: Option<CoalesceSpec>,
    pub(crate) lanes: Option<Vec<LaneSpec>>,
}

impl RouteSpec {
    /// Everything into the sink of this name.
    pub fn to(sink: impl Into<String>) -> Self {
        Self {
            name: None,
            sink: sink.into(),
            sources: Glob::any(),
            tags: Glob::any(),
            priority: None,
            coalesce: None,
            lanes: None,
        }
    }

    /// Its name, which its scopes bear: give it once and leave it, since the sink remembers how
    /// far each scope has come. Of the routes into a sink, one may be without.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Only records whose source matches.
    pub fn sources(mut self, pattern: Glob) -> Self {
        self.sources = pattern;
        self
    }

    /// Only records whose tag matches.
    pub fn tags(mut self, pattern: Glob) -> Self {
        self.tags = pattern;
        self
    }

    /// The lane of records that name none themselves; normal unless said.
    pub fn priority(mut self, priority: Priority) -> Self {
        self.priority = Some(priority);
        self
    }

    /// Merges the records of a key instead of delivering each. Its lanes then hold as much as this
    /// says; one that is full blocks if that is its policy, and else refuses.
    pub fn coalesce(mut self, coalesce: CoalesceSpec) -> Self {
        self.coalesce = Some(coalesce);
        self
    }

    /// Other lanes than those that the sink names; their weights and reservations are the sink's.
    pub fn lanes(mut self, lanes: impl IntoIterator<Item = LaneSpec>) -> Self {
        self.lanes = Some(lanes.into_iter().collect());
        self
    }

    /// Whether the record is one of its own. A route before it may take it.
    #[must_use]
    pub fn matches(&self, record: &Record) -> bool {
        self.matches_key(record.source.as_str(), record.tag.as_str())
    }

    pub(crate) fn matches_key(&self, source: &str, tag: &str) -> bool {
        self.sources.matches(source) && self.tags.matches(tag)
    }

    /// What it is called in messages.
    pub(crate) fn shown(&self) -> String {
        let name = self.name.as_deref().unwrap_or("default");
        format!("`{name}` into `{}`", self.sink)
    }
}
