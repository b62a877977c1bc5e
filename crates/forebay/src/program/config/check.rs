//! What is allowed alone, and impossible together.

use std::collections::BTreeMap;

use pipeline::Glob;

use super::error::{Mistake, Origin};
use super::given::Given;
use super::sections::{Config, LaneConfig, LanesConfig, MAIN, PRIORITIES, RouteConfig};
use super::tree::{Path, Step};
use crate::program::units::{parse_size, show_duration, show_rounded};

/// Names of sources that the program has itself.
const OWN_SOURCES: [&str; 2] = ["host", "http"];

/// Most alerts, each of which has a task of its own.
const ALERTS_MAX: usize = 64;

/// Looks for what is impossible, and finds whom to blame.
pub(crate) struct Check<'a> {
    pub(crate) config: &'a Config,
    pub(crate) given: &'a [Given<'a>],
    pub(crate) sections: &'a [(Path, Origin)],
    /// Settings whose values were not taken over.
    pub(crate) refused: &'a [Path],
    /// The bytes of memory that this machine has.
    pub(crate) machine: u64,
    pub(crate) mistakes: &'a mut Vec<Mistake>,
}

macro_rules! path {
    ($($step:expr),+ $(,)?) => { Path::of([$(Step::from($step)),+]) };
}

impl Check<'_> {
    /// Checks everything.
    pub(crate) fn check(&mut self) {
        self.single_sections();
        self.gateway();
        self.sinks();
        self.routes();
        self.sources();
        self.alerts();
        self.memory();
    }

    /// Says `what` at the first of these settings and sections that somebody has given. What nobody
    /// has said cannot be wrong.
    pub(super) fn refuse(&mut self, places: &[Path], what: String) {
        // What follows from a mistake is none of its own.
        if places.iter().any(|place| self.refused.contains(place)) {
            return;
        }
        let origin = places.iter().find_map(|place| {
            // What comes from the environment was read last, and wins.
            let set = self.given.iter().rev().find(|given| given.path == *place);
            let is_it = |(section, _): &&(Path, Origin)| section == place;
            set.map(|given| &given.origin)
                .or_else(|| self.sections.iter().find(is_it).map(|(_, origin)| origin))
        });
        if let Some(origin) = origin {
            self.mistakes.push(Mistake::new(origin.clone(), what));
        }
    }

    /// The first of two settings has to be no longer than the second.
    fn in_order(&mut self, [one, two]: [Path; 2], [short, long]: [std::time::Duration; 2]) {
        if short > long {
            let (short, long) = (show_duration(short), show_duration(long));
            let what =
                format!("{one} is {short} and {two} is {long}, expected the first to be no longer");
            self.refuse(&[two, one], what);
        }
    }

    fn single_sections(&mut self) {
        let config = self.config;
        let (high, low) = (
            config.buffer.alert_threshold_pct,
            config.buffer.recover_threshold_pct,
        );
        if low >= high {
            let what = format!(
                "buffer.recover_threshold_pct is {low} and buffer.alert_threshold_pct is {high}, \
                 expected the first to be lower"
            );
            let keys = ["recover_threshold_pct", "alert_threshold_pct"];
            self.refuse(&keys.map(|key| path!("buffer", key)), what);
        }
        let retry = [path!("retry", "base"), path!("retry", "max")];
        self.in_order(retry, [config.retry.base, config.retry.max]);
        let host = [path!("host", "interval"), path!("host", "slow_interval")];
        self.in_order(host, [config.host.interval, config.host.slow_interval]);
    }

    fn sinks(&mut self) {
        let config = self.config;
        let mut places: BTreeMap<&str, Path> = BTreeMap::new();
        for (name, sink) in config.all_sinks() {
            let section = Config::sink_path(name);
            let url = section.with("url");
            match &sink.url {
                Some(address) => match places.get(address.secret()) {
                    Some(other) => {
                        let what = format!("{url} is the same as {other}, expected another sink");
                        self.refuse(&[url], what);
                    }
                    None => {
                        places.insert(address.secret(), url);
                    }
                },
                None if name == MAIN => {}
                None => self.refuse(
                    &[url, section.clone()],
                    format!("{} has no url, expected one", section.heading()),
                ),
            }
            let breaker = [
                section.with("breaker_open"),
                section.with("breaker_open_max"),
            ];
            let patience = &sink.patience;
            self.in_order(breaker, [patience.breaker_open, patience.breaker_open_max]);
            let (base, max) = config.retry_of(sink);
            if sink.retry_base.is_some() || sink.retry_max.is_some() {
                let retry = [section.with("retry_base"), section.with("retry_max")];
                self.in_order(retry, [base, max]);
            }
            let reserved: usize = PRIORITIES
                .iter()
                .map(|priority| config.lane(name, None, *priority))
                .filter(LaneConfig::is_enabled)
                .filter_map(|lane| lane.reserved)
                .sum();
            if reserved > sink.concurrency {
                let mut blamed = self.lane_paths(name, None, &["reserved"]);
                blamed.push(section.with("concurrency"));
                let what = format!(
                    "the lanes of the sink `{name}` have {reserved} writes reserved, expected at \
                     most its concurrency of {}",
                    sink.concurrency
                );
                self.refuse(&blamed, what);
            }
            self.lane_sections(&section.with("lanes"), &sink.lanes);
            self.lanes(name, None);
        }
        if config.sinks.contains_key(MAIN) {
            let section = path!("sinks", MAIN);
            let what = format!("{} is the sink of the section [sink]", section.heading());
            self.refuse(&[section.with("url"), section], what);
        }
        self.lane_sections(&path!("lanes"), &config.lanes);
    }

    /// Where a lane setting may stand that holds for this sink and route, the nearest first.
    fn lane_paths(&self, sink: &str, route: Option<usize>, keys: &[&str]) -> Vec<Path> {
        let mut sections = Vec::new();
        if let Some(route) = route {
            sections.push(path!("route", route, "lanes"));
        }
        sections.push(Config::sink_path(sink).with("lanes"));
        sections.push(path!("lanes"));
        let mut paths = Vec::new();
        for section in sections {
            for priority in PRIORITIES {
                let lane = section.with(priority.as_str());
                paths.extend(keys.iter().map(|key| lane.with(*key)));
            }
        }
        paths
    }

    /// What one section says of lanes.
    fn lane_sections(&mut self, section: &Path, lanes: &LanesConfig) {
        for priority in PRIORITIES {
            let lane = lanes.of(priority);
            if lane.flush.is_given() && lane.adaptive.is_given() {
                let section = section.with(priority.as_str());
                let keys = ["batch_min", "batch_base", "wait", "write_target"];
                let what = format!(
                    "{section} has fixed bounds of a batch (preset, size, age or interval) and \
                     ones that adapt (batch_min, batch_base, wait or write_target), expected \
                     either"
                );
                self.refuse(&keys.map(|key| section.with(key)), what);
            }
        }
    }

    /// What the lanes of a sink come to, and of a route into it.
    fn lanes(&mut self, sink: &str, route: Option<(usize, &RouteConfig)>) {
        let (place, route) = route.unzip();
        let mut enabled = 0;
        for priority in PRIORITIES {
            let lane = self.config.lane(sink, route, priority);
            enabled += usize::from(lane.is_enabled());
            let name = priority.as_str();
            let paths = |keys: &[&str]| -> Vec<Path> {
                let mut paths = self.lane_paths(sink, place, keys);
                let lane = |path: &Path| path.parent().ends_with(name);
                paths.retain(lane);
                paths
            };
            let (alert, recover) = lane.thresholds(&self.config.buffer);
            let thresholds = paths(&["recover_threshold_pct", "alert_threshold_pct"]);
            let batches = paths(&["batch_base", "batch_min", "batch_max"]);
            if recover >= alert {
                let what = format!(
                    "recover_threshold_pct of the lane {name} is {recover} and \
                     alert_threshold_pct is {alert}, expected the first to be lower"
                );
                self.refuse(&thresholds, what);
            }
            let (min, base, max) = lane.batches(priority);
            if lane.adaptive.is_given() && !(min <= base && base <= max) {
                let what = format!(
                    "batch_min of the lane {name} is {min}, batch_base is {base} and batch_max is \
                     {max}, expected each to be at most the next"
                );
                self.refuse(&batches, what);
            }
        }
        if enabled == 0 {
            let what = format!("no lane of the sink `{sink}` is enabled, expected one");
            let paths = self.lane_paths(sink, place, &["enabled"]);
            self.refuse(&paths, what);
        }
    }

    fn routes(&mut self) {
        let config = self.config;
        let known = config.all_sinks();
        let mut names: BTreeMap<(&str, Option<&str>), usize> = BTreeMap::new();
        for (place, route) in config.route.iter().enumerate() {
            let section = path!("route", place);
            if !known.iter().any(|(name, _)| *name == route.sink) {
                let words: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
                let near = super::tree::nearest(&route.sink, &words);
                let near = near.map_or(String::new(), |near| format!(" (did you mean {near}?)"));
                let what = format!(
                    "route.{place}.sink is \"{}\", which is no sink{near}, expected one of {}",
                    route.sink,
                    words.join(", ")
                );
                self.refuse(&[section.with("sink"), section], what);
                continue;
            }
            let name = route.name.as_deref();
            if let Some(other) = names.insert((&route.sink, name), place) {
                let what = match name {
                    Some(name) => format!(
                        "route.{other} and route.{place} into the sink `{}` have the same name \
                         {name}",
                        route.sink
                    ),
                    None => format!(
                        "route.{other} and route.{place} into the sink `{}` have no name, \
                         expected one for each but one",
                        route.sink
                    ),
                };
                self.refuse(&[section.with("name"), section.clone()], what);
            }
            let before = config.route[..place].iter().position(|before| {
                before.sink == route.sink
                    && covers(&before.sources, &route.sources)
                    && covers(&before.tags, &route.tags)
            });
            if let Some(before) = before {
                let what = format!(
                    "route.{place} gets nothing: route.{before}, which stands before it, takes \
                     all that it matches"
                );
                let keys = ["tags", "sources", "sink"].map(|key| section.with(key));
                self.refuse(&keys, what);
            }
            if route.lanes != LanesConfig::default() {
                self.route_lanes(place, route);
            }
            self.coalesce(place, route);
        }
    }

    fn route_lanes(&mut self, place: usize, route: &RouteConfig) {
        let lanes = path!("route", place, "lanes");
        self.lane_sections(&lanes, &route.lanes);
        self.lanes(&route.sink, Some((place, route)));
        for priority in PRIORITIES {
            let said = route.lanes.of(priority);
            let lane = lanes.with(priority.as_str());
            for (key, is_said) in [
                ("weight", said.weight.is_some()),
                ("reserved", said.reserved.is_some()),
            ] {
                if is_said {
                    let there = Config::sink_path(&route.sink)
                        .with("lanes")
                        .with(priority.as_str());
                    let what = format!(
                        "{} is shared by all routes into the sink `{}`, expected in {}",
                        lane.with(key),
                        route.sink,
                        there.heading()
                    );
                    self.refuse(&[lane.with(key)], what);
                }
            }
        }
    }

    fn coalesce(&mut self, place: usize, route: &RouteConfig) {
        let Some(coalesce) = &route.coalesce else {
            return;
        };
        let section = path!("route", place, "coalesce");
        if coalesce.aggregate.is_none() {
            let what = format!("{section} has no aggregate, expected one such as \"last\"");
            self.refuse(&[section.with("aggregate"), section], what);
        }
    }

    fn sources(&mut self) {
        let mut names = BTreeMap::new();
        for (place, source) in self.config.source.iter().enumerate() {
            let section = path!("source", place);
            if source.path.is_none() {
                let what = format!("{section} has no path, expected a file or \"-\"");
                self.refuse(std::slice::from_ref(&section), what);
            }
            let name = section.with("name");
            let Some(said) = source.name.as_deref() else {
                let what =
                    format!("{section} has no name, expected one, which the sink remembers it by");
                self.refuse(&[section], what);
                continue;
            };
            if OWN_SOURCES.contains(&said) {
                let what = format!("{name} is {said}, which the program calls a source of its own");
                self.refuse(&[name], what);
            } else if let Some(other) = names.insert(said, place) {
                let what = format!("source.{other} and source.{place} have the same name {said}");
                self.refuse(&[name], what);
            }
        }
    }

    fn alerts(&mut self) {
        let count = self.config.alert.len();
        if count > ALERTS_MAX {
            let what = format!("there are {count} alerts, expected at most {ALERTS_MAX}");
            self.refuse(&[path!("alert", ALERTS_MAX)], what);
        }
        let mut names = BTreeMap::new();
        for (place, alert) in self.config.alert.iter().enumerate() {
            let section = path!("alert", place);
            #[cfg(not(feature = "alerts"))]
            {
                let what = format!(
                    "{section} can tell nobody: this build is without the feature `alerts`"
                );
                self.refuse(std::slice::from_ref(&section), what);
            }
            let found = match (&alert.url, &alert.command) {
                (Some(_), None) => None,
                (None, Some(command)) if !command.is_empty() => None,
                (Some(_), Some(_)) => Some("has url and command"),
                _ => Some("has neither url nor command"),
            };
            if let Some(found) = found {
                let what = format!("{section} {found}, expected one of the two");
                let places = ["command", "url"].map(|key| section.with(key));
                self.refuse(
                    &[&places[..], std::slice::from_ref(&section)].concat(),
                    what,
                );
            }
            let Some(name) = alert.name.as_deref() else {
                let what = format!("{section} has no name, expected one");
                self.refuse(&[section], what);
                continue;
            };
            if let Some(other) = names.insert(name, place) {
                let what = format!("alert.{other} and alert.{place} have the same name {name}");
                self.refuse(&[section.with("name")], what);
            }
            #[cfg(feature = "alerts")]
            if let (None, Err(error)) = (found, alert.spec().check()) {
                let keys = ["url", "command", "on"].map(|key| section.with(key));
                self.refuse(&keys, format!("{section}: {error}"));
            }
        }
    }

    fn memory(&mut self) {
        let (lanes, bytes) = self.config.memory();
        let has = usize::try_from(self.machine).unwrap_or(usize::MAX);
        if bytes <= has {
            return;
        }
        let what = format!(
            "max_bytes of {lanes} lanes come to {} together, but this machine has {} of memory",
            show_rounded(bytes),
            show_rounded(has)
        );
        // The largest share is the first to look at.
        let mut shares: Vec<(usize, Path)> = (self.given.iter())
            .filter(|given| given.path.ends_with("max_bytes"))
            .filter_map(|given| {
                let bytes = parse_size(given.value.text()?).ok()?;
                Some((bytes, given.path.clone()))
            })
            .collect();
        shares.sort();
        let mut blamed: Vec<Path> = shares.into_iter().rev().map(|(_, path)| path).collect();
        let routes = self.config.route.len();
        blamed.extend((0..routes).rev().map(|place| path!("route", place)));
        self.refuse(&blamed, what);
    }
}

fn covers(one: &str, two: &str) -> bool {
    match (one.parse::<Glob>(), two.parse::<Glob>()) {
        (Ok(one), Ok(two)) => one.covers(&two),
        _ => false,
    }
}
