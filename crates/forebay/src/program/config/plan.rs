//! From the configuration to what a pipeline is made of.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use pipeline::{CoalesceSpec, Plan, RouteSpec, SinkSpec};
use sinks::RetryPolicy;

#[cfg(feature = "alerts")]
use super::sections::AlertConfig;
use super::sections::{
    CoalesceConfig, Config, LaneConfig, MAIN, PRIORITIES, RouteConfig, SinkConfig,
};
use super::tree::{Path, Step};
use crate::program::storage::{self, Place};

/// A plan, and where its sinks are.
#[derive(Debug)]
pub(crate) struct Planned {
    pub(crate) plan: Plan,
    /// The sinks that were opened for it, by name; those that go on as they were are not among
    /// them.
    pub(crate) opened: BTreeMap<String, Place>,
}

impl Config {
    /// Opens the sinks, and says what leads to them. A sink that is in `before` and has not changed
    /// goes on as it is. Blocks for some seconds when another process has locked a file.
    ///
    /// # Errors
    /// When a sink cannot be opened, or the plan is impossible.
    pub(crate) fn plan(&self, before: Option<&Self>) -> Result<Planned> {
        let mut plan = Plan::new();
        let mut opened = BTreeMap::new();
        for (name, sink) in self.all_sinks() {
            let is_kept = before.is_some_and(|before| before.runs_alike(name, self));
            let spec = match is_kept {
                true => SinkSpec::kept(name),
                false => {
                    let (spec, place) = self
                        .open(name, sink)
                        .with_context(|| format!("the sink `{name}`"))?;
                    opened.insert(name.to_owned(), place);
                    spec
                }
            };
            plan = plan.sink(spec.lanes(self.lane_specs(name, None)));
        }
        for route in &self.route {
            plan = plan.route(self.route_spec(route)?);
        }
        plan.check()?;
        Ok(Planned { plan, opened })
    }

    /// The same without sinks, to see whether it is possible.
    pub(crate) fn plan_unopened(&self) -> Result<Plan> {
        let mut plan = Plan::new();
        for (name, _) in self.all_sinks() {
            plan = plan.sink(SinkSpec::kept(name).lanes(self.lane_specs(name, None)));
        }
        for route in &self.route {
            plan = plan.route(self.route_spec(route)?);
        }
        Ok(plan)
    }

    /// The sinks by name, the main one first. It is left out when nothing is said of it and routes
    /// lead to others alone.
    pub(crate) fn all_sinks(&self) -> Vec<(&str, &SinkConfig)> {
        let is_meant = self.route.iter().any(|route| route.sink == MAIN);
        let is_idle = !self.route.is_empty() && !self.sinks.is_empty() && !is_meant;
        let main = match is_idle && self.sink == SinkConfig::default() {
            true => None,
            false => Some((MAIN, &self.sink)),
        };
        let others = self.sinks.iter().filter(|(name, _)| *name != MAIN);
        main.into_iter()
            .chain(others.map(|(name, sink)| (name.as_str(), sink)))
            .collect()
    }

    /// The names of the sinks.
    pub(crate) fn sink_names(&self) -> Vec<String> {
        let sinks = self.all_sinks().into_iter();
        sinks.map(|(name, _)| name.to_owned()).collect()
    }

    /// What is said of a sink.
    pub(crate) fn sink_named(&self, name: &str) -> Option<&SinkConfig> {
        match name {
            MAIN => Some(&self.sink),
            name => self.sinks.get(name),
        }
    }

    /// The section of a sink.
    pub(crate) fn sink_path(name: &str) -> Path {
        match name {
            MAIN => Path::of([Step::from("sink")]),
            name => Path::of([Step::from("sinks"), Step::from(name)]),
        }
    }

    /// The shortest and the longest bound of a delay between attempts at this sink.
    pub(crate) fn retry_of(&self, sink: &SinkConfig) -> (std::time::Duration, std::time::Duration) {
        (
            sink.retry_base.unwrap_or(self.retry.base),
            sink.retry_max.unwrap_or(self.retry.max),
        )
    }

    /// How many lanes there are, and the bytes that they may take together.
    pub(crate) fn memory(&self) -> (usize, usize) {
        let lanes = |sink: &str, route: Option<&RouteConfig>| {
            PRIORITIES
                .map(|priority| self.lane(sink, route, priority))
                .into_iter()
                .filter(LaneConfig::is_enabled)
                .map(|lane| lane.bytes_max(&self.buffer))
                .fold((0, 0_usize), |(lanes, bytes), more| {
                    (lanes + 1, bytes.saturating_add(more))
                })
        };
        let all: Vec<(usize, usize)> = match self.route.as_slice() {
            [] => {
                let sinks = self.all_sinks();
                sinks.iter().map(|(name, _)| lanes(name, None)).collect()
            }
            routes => {
                let of = |route: &RouteConfig| lanes(&route.sink, Some(route));
                routes.iter().map(of).collect()
            }
        };
        all.into_iter().fold((0, 0), |(lanes, bytes), more| {
            (lanes + more.0, bytes.saturating_add(more.1))
        })
    }

    /// What is allowed and probably not meant.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if let Ok(plan) = self.plan_unopened() {
            for (first, second) in plan.overlaps() {
                warnings.push(format!(
                    "the routes {first} and {second} overlap: what both match goes to the first"
                ));
            }
        }
        if !self.route.is_empty() {
            for (name, _) in self.all_sinks() {
                if !self.route.iter().any(|route| route.sink == name) {
                    warnings.push(format!(
                        "no route leads to the sink `{name}`, which gets nothing"
                    ));
                }
            }
        }
        warnings
    }

    /// Whether a sink need not be opened again for the configuration `after`.
    fn runs_alike(&self, name: &str, after: &Self) -> bool {
        let is_there = self.all_sinks().iter().any(|(known, _)| *known == name);
        let (Some(one), Some(two)) = (self.sink_named(name), after.sink_named(name)) else {
            return false;
        };
        is_there
            && self.data == after.data
            && one.url == two.url
            && one.patience == two.patience
            && one.concurrency == two.concurrency
            && self.retry_of(one) == after.retry_of(two)
    }

    fn open(&self, name: &str, sink: &SinkConfig) -> Result<(SinkSpec, Place)> {
        let (writer, place) = storage::open(&self.data, sink.url.as_ref(), &sink.patience)?;
        let (base, max) = self.retry_of(sink);
        let mut spec = SinkSpec::new(name, writer)
            .concurrency(sink.concurrency)
            .retry(RetryPolicy::new(base, max, None).unlimited());
        if let Some(breaker) = place.breaker() {
            spec = spec.breaker(breaker.clone());
        }
        Ok((spec, place))
    }

    fn route_spec(&self, route: &RouteConfig) -> Result<RouteSpec> {
        let mut spec = RouteSpec::to(&route.sink)
            .sources(route.sources.parse()?)
            .tags(route.tags.parse()?);
        if let Some(name) = &route.name {
            spec = spec.name(name);
        }
        if let Some(priority) = route.priority {
            spec = spec.priority(priority.parse()?);
        }
        if let Some(coalesce) = &route.coalesce {
            spec = spec.coalesce(coalesce.spec()?);
        }
        if route.lanes != Default::default() {
            spec = spec.lanes(self.lane_specs(&route.sink, Some(route)));
        }
        Ok(spec)
    }
}

impl CoalesceConfig {
    /// How a route merges.
    fn spec(&self) -> Result<CoalesceSpec> {
        let aggregate = self.aggregate.unwrap_or("last").parse()?;
        let spec = CoalesceSpec::new(aggregate)
            .key(self.key.parse()?)
            .keys_max(self.keys_max)
            .updates_max(self.updates_max);
        spec.check()?;
        Ok(spec)
    }
}

#[cfg(feature = "alerts")]
impl Config {
    /// Who is told when the health changes.
    pub(crate) fn alerts(&self) -> Vec<pipeline::AlertSpec> {
        self.alert.iter().map(AlertConfig::spec).collect()
    }
}

#[cfg(feature = "alerts")]
impl AlertConfig {
    /// Who is told of which changes. A name and a target that are missing are mistakes that were
    /// found before.
    pub(crate) fn spec(&self) -> pipeline::AlertSpec {
        use pipeline::{AlertSpec, HealthStatus};
        let name = self.name.clone().unwrap_or_default();
        let command = self.command.as_deref().and_then(<[String]>::split_first);
        let mut spec = match (&self.url, command) {
            (None, Some((program, args))) => {
                AlertSpec::command(name, program, args.iter().cloned())
            }
            (url, _) => AlertSpec::url(name, url.clone().unwrap_or_default()),
        };
        if let Some(words) = &self.on {
            spec = spec.on(words.iter().map(|word| match word.as_str() {
                "healthy" => HealthStatus::Healthy,
                "degraded" => HealthStatus::Degraded,
                _ => HealthStatus::Critical,
            }));
        }
        if let Some(timeout) = self.timeout {
            spec = spec.timeout(timeout);
        }
        match self.min_interval {
            Some(min_interval) => spec.min_interval(min_interval),
            None => spec,
        }
    }
}
