//! All sinks and routes together, and what is wrong with them.

use std::collections::HashSet;

use record::Priority;

use super::lane::PARALLEL_MAX;
use super::{LaneSpec, RouteSpec, SinkSpec};

/// All sinks and routes of a pipeline.
///
/// A plan without routes sends everything to every sink.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Plan {
    pub(crate) sinks: Vec<SinkSpec>,
    pub(crate) routes: Vec<RouteSpec>,
}

/// A plan is impossible.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidPlan {
    /// There is nowhere to deliver to.
    #[error("there is no sink")]
    NoSink,
    /// Two sinks, or two routes into one sink, have the same name.
    #[error("two {what} have the name `{name}`")]
    SameName {
        /// `sinks`, or `routes into` one.
        what: String,
        /// The name.
        name: String,
    },
    /// A name is empty or has a character that names of scopes do not have.
    #[error("the name `{name}` of a {what} is not allowed, expected {expected}")]
    Name {
        /// `sink` or `route`.
        what: &'static str,
        /// The name.
        name: String,
        /// What is allowed.
        expected: &'static str,
    },
    /// A route leads nowhere.
    #[error("the route {route} has no sink of that name; the sinks are {known}")]
    UnknownSink {
        /// The route.
        route: String,
        /// The sinks that there are.
        known: String,
    },
    /// A sink that should go on as it is does not run.
    #[error("the sink `{name}` is to be kept, but none of that name runs")]
    NotRunning {
        /// The sink's name.
        name: String,
    },
    /// A route can never get a record.
    #[error("the route {route} gets nothing: {before} before it takes all that it matches")]
    Shadowed {
        /// The route.
        route: String,
        /// The one before it.
        before: String,
    },
    /// A route cannot merge like that.
    #[error("the route {route} cannot merge: {error}")]
    Coalesce {
        /// The route.
        route: String,
        /// Why not.
        error: String,
    },
    /// A number is out of its range.
    #[error("{field} of {owner} is {value}, expected {expected}")]
    OutOfRange {
        /// The number's name.
        field: &'static str,
        /// Whose it is.
        owner: String,
        /// What it is.
        value: String,
        /// What is allowed.
        expected: String,
    },
}

impl Plan {
    /// A plan of nothing, to be filled.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a sink.
    pub fn sink(mut self, sink: SinkSpec) -> Self {
        self.sinks.push(sink);
        self
    }

    /// Adds a route, behind those before it.
    pub fn route(mut self, route: RouteSpec) -> Self {
        self.routes.push(route);
        self
    }

    /// The routes, or those that send everything everywhere when none is named.
    pub(crate) fn effective_routes(&self) -> Vec<RouteSpec> {
        match self.routes.as_slice() {
            [] => {
                let names = self.sinks.iter().map(|sink| sink.name.clone());
                names.map(RouteSpec::to).collect()
            }
            routes => routes.to_vec(),
        }
    }

    /// Looks at everything that can be told without starting anything.
    ///
    /// # Errors
    /// The first thing that is impossible.
    pub fn check(&self) -> Result<(), InvalidPlan> {
        if self.sinks.is_empty() {
            return Err(InvalidPlan::NoSink);
        }
        let mut names = HashSet::new();
        for sink in &self.sinks {
            check_name("sink", &sink.name)?;
            if !names.insert(sink.name.as_str()) {
                return Err(InvalidPlan::SameName {
                    what: "sinks".to_owned(),
                    name: sink.name.clone(),
                });
            }
            check_sink(sink)?;
        }
        self.check_routes(&names)
    }

    /// Pairs of routes into the same sink that share records, which the first of them gets.
    #[must_use]
    pub fn overlaps(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        for (index, route) in self.routes.iter().enumerate() {
            for before in self.routes[..index].iter().filter(|r| r.sink == route.sink) {
                let shares =
                    before.sources.overlaps(&route.sources) && before.tags.overlaps(&route.tags);
                if shares {
                    found.push((before.shown(), route.shown()));
                }
            }
        }
        found
    }

    fn check_routes(&self, sinks: &HashSet<&str>) -> Result<(), InvalidPlan> {
        check_range(
            "the number of routes",
            "the plan",
            self.routes.len(),
            0,
            ROUTES_MAX,
        )?;
        let mut names = HashSet::new();
        for (index, route) in self.routes.iter().enumerate() {
            if !sinks.contains(route.sink.as_str()) {
                let known: Vec<String> =
                    self.sinks.iter().map(|s| format!("`{}`", s.name)).collect();
                return Err(InvalidPlan::UnknownSink {
                    route: route.shown(),
                    known: known.join(", "),
                });
            }
            if let Some(name) = &route.name {
                check_name("route", name)?;
            }
            if !names.insert((&route.sink, &route.name)) {
                return Err(InvalidPlan::SameName {
                    what: format!("routes into `{}`", route.sink),
                    name: route.name.clone().unwrap_or_default(),
                });
            }
            self.check_coalesce(route)?;
            if let Some(lanes) = &route.lanes {
                check_lanes(&format!("the route {}", route.shown()), lanes)?;
            }
            let shadow = self.routes[..index].iter().find(|before| {
                before.sink == route.sink
                    && before.sources.covers(&route.sources)
                    && before.tags.covers(&route.tags)
            });
            if let Some(before) = shadow {
                return Err(InvalidPlan::Shadowed {
                    route: route.shown(),
                    before: before.shown(),
                });
            }
        }
        Ok(())
    }
}

impl Plan {
    fn check_coalesce(&self, route: &RouteSpec) -> Result<(), InvalidPlan> {
        let Some(coalesce) = &route.coalesce else {
            return Ok(());
        };
        coalesce.check().map_err(|error| InvalidPlan::Coalesce {
            route: route.shown(),
            error: error.to_string(),
        })?;
        let sink = self.sinks.iter().find(|sink| sink.name == route.sink);
        let lanes = route.lanes.as_ref().or(sink.map(|sink| &sink.lanes));
        check_expiry(route, lanes.map_or(&[], Vec::as_slice))
    }
}

/// Merged rows have no age of their own by which they could expire. A sink that is kept has the
/// lanes that it runs with, which only a start knows.
pub(crate) fn check_expiry(route: &RouteSpec, lanes: &[LaneSpec]) -> Result<(), InvalidPlan> {
    let merges = route.coalesce.is_some();
    let expires = |lane: &&LaneSpec| merges && lane.expires_after.is_some();
    match lanes.iter().find(expires) {
        None => Ok(()),
        Some(lane) => Err(InvalidPlan::OutOfRange {
            field: "expires_after",
            owner: format!(
                "the lane `{}` of the route {}",
                lane.priority.as_str(),
                route.shown()
            ),
            value: format!("{:?}", lane.expires_after.unwrap_or_default()),
            expected: "none, since the route merges its records".to_owned(),
        }),
    }
}

fn check_sink(sink: &SinkSpec) -> Result<(), InvalidPlan> {
    let owner = format!("the sink `{}`", sink.name);
    check_range("concurrency", &owner, sink.concurrency, 1, CONCURRENCY_MAX)?;
    check_lanes(&owner, &sink.lanes)?;
    let reserved: usize = sink.lanes.iter().map(|lane| lane.reserved).sum();
    if reserved > 0 && reserved >= sink.concurrency {
        return Err(InvalidPlan::OutOfRange {
            field: "the sum of `reserved`",
            owner,
            value: reserved.to_string(),
            expected: format!("less than its concurrency of {}", sink.concurrency),
        });
    }
    Ok(())
}

fn check_lanes(owner: &str, lanes: &[LaneSpec]) -> Result<(), InvalidPlan> {
    check_range("the number of lanes", owner, lanes.len(), 1, 4)?;
    let mut seen: HashSet<Priority> = HashSet::new();
    for lane in lanes {
        if !seen.insert(lane.priority) {
            return Err(InvalidPlan::SameName {
                what: format!("lanes of {owner}"),
                name: lane.priority.as_str().to_owned(),
            });
        }
        let owner = format!("the lane `{}` of {owner}", lane.priority.as_str());
        let buffer = &lane.buffer;
        check_range("max_size", &owner, buffer.max_size, 1, SIZE_MAX)?;
        check_range("max_bytes", &owner, buffer.max_bytes, 1, BYTES_MAX)?;
        check_range("size_min", &owner, lane.size_min, 1, SIZE_MAX)?;
        check_range("batch_max", &owner, lane.batch_max, 1, SIZE_MAX)?;
        check_range("weight", &owner, lane.weight as usize, 1, WEIGHT_MAX)?;
        check_range(
            "parallel",
            &owner,
            lane.parallel,
            1,
            PARALLEL_MAX.min(buffer.max_size),
        )?;
        if lane.expires_after.is_some_and(|age| age.is_zero()) {
            return Err(InvalidPlan::OutOfRange {
                field: "expires_after",
                owner,
                value: "0 s".to_owned(),
                expected: "more than that".to_owned(),
            });
        }
    }
    Ok(())
}

fn check_range(
    field: &'static str,
    owner: &str,
    value: usize,
    min: usize,
    max: usize,
) -> Result<(), InvalidPlan> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(InvalidPlan::OutOfRange {
        field,
        owner: owner.to_owned(),
        value: value.to_string(),
        expected: format!("{min} to {max}"),
    })
}

fn check_name(what: &'static str, name: &str) -> Result<(), InvalidPlan> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if (1..=NAME_BYTES_MAX).contains(&name.len()) && name.chars().all(is_allowed) {
        return Ok(());
    }
    Err(InvalidPlan::Name {
        what,
        name: name.chars().take(NAME_BYTES_MAX).collect(),
        expected: "1 to 64 letters, digits, `-`, `_` and `.`",
    })
}

/// Most routes of a plan.
const ROUTES_MAX: usize = 1_000;
/// The longest name of a sink or route.
const NAME_BYTES_MAX: usize = 64;
/// Most writes of a sink at the same time.
const CONCURRENCY_MAX: usize = 1_024;
/// Most records of a lane.
const SIZE_MAX: usize = 1 << 27;
/// Most bytes of a lane.
const BYTES_MAX: usize = 1 << 40;
/// The greatest weight of a lane.
const WEIGHT_MAX: usize = 1_000;
