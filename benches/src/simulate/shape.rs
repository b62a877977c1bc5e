//! The random plan of a seed: sinks, routes, lanes and sources, and where each record goes.

use std::fmt::Write;
use std::time::Duration;

use flush_policy::{AdaptiveSpec, FlushSpec};
use pipeline::{BufferOptions, LaneSpec, Plan, RouteSpec, SinkSpec, WhenFull};
use record::Priority;
use sinks::BoxWriter;

use crate::source::Made;

/// Everything that a seed is made of; its routes change while it runs.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    pub(crate) sinks: Vec<SinkShape>,
    pub(crate) routes: Vec<RouteShape>,
    pub(crate) sources: Vec<SourceShape>,
}

/// A sink and its layers.
#[derive(Clone, Debug)]
pub(crate) struct SinkShape {
    pub(crate) name: String,
    pub(crate) write_max: Duration,
    pub(crate) timeout: Option<Duration>,
    /// Failures in a row, and how long it rests.
    pub(crate) breaker: Option<(u32, Duration)>,
    pub(crate) refuses_rows: bool,
    pub(crate) names_rows: bool,
    pub(crate) concurrency: usize,
    lanes: Vec<LaneShape>,
}

/// A route into a sink.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RouteShape {
    pub(crate) name: Option<String>,
    pub(crate) sink: usize,
    sources: String,
    tags: String,
    priority: Option<Priority>,
    /// Its own, where they are not its sink's.
    own_lanes: Option<Vec<LaneShape>>,
    /// The most urgent first.
    pub(crate) lanes: Vec<LaneShape>,
}

impl RouteShape {
    /// The patterns of the routes before it that may take records from it.
    pub(crate) fn ahead<'a>(&self, routes: &'a [Self]) -> Vec<(&'a str, &'a str)> {
        let glob = |text: &str| {
            text.parse::<pipeline::Glob>()
                .expect("a pattern of the plan")
        };
        let overlap = |one: &str, two: &str| glob(one).overlaps(&glob(two));
        let ahead = routes.iter().take_while(|other| *other != self);
        let ahead = ahead.filter(|other| {
            other.sink == self.sink
                && overlap(&other.sources, &self.sources)
                && overlap(&other.tags, &self.tags)
        });
        ahead
            .map(|other| (other.sources.as_str(), other.tags.as_str()))
            .collect()
    }
}

/// A lane.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct LaneShape {
    pub(crate) priority: Priority,
    pub(crate) size: usize,
    size_min: usize,
    policy: WhenFull,
    pub(crate) batch: usize,
    pub(crate) age: Duration,
    is_adaptive: bool,
    expires_after: Option<Duration>,
    parallel: usize,
    weight: u32,
    reserved: usize,
}

/// How a source hands over its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SourceKind {
    /// Its records have positions, and can be read again.
    Positioned,
    /// The intake numbers them.
    Numbered,
    /// It is the channel.
    Sender,
}

/// A source.
#[derive(Clone, Debug)]
pub(crate) struct SourceShape {
    pub(crate) name: String,
    pub(crate) kind: SourceKind,
    pub(crate) tags: Vec<String>,
    pub(crate) malformed_pct: u8,
}

/// A lane of a route: where a record goes in one sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Way {
    pub(crate) route: usize,
    pub(crate) lane: usize,
}

const PRIORITIES: [Priority; 4] = [
    Priority::Critical,
    Priority::High,
    Priority::Normal,
    Priority::Low,
];
const TAGS: [&str; 6] = ["a0", "a1", "a2", "b0", "b1", "c0"];
const TAG_GLOBS: [&str; 6] = ["*", "*", "a*", "b*", "a0", "c0"];
const SOURCE_GLOBS: [&str; 5] = ["*", "*", "src0", "src1", "src*"];

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn choose<T: Copy>(random: &mut fastrand::Rng, from: &[T]) -> T {
    from[random.usize(0..from.len())]
}

impl Shape {
    pub(crate) fn random(random: &mut fastrand::Rng) -> Self {
        let sinks = (0..random.usize(1..=3)).map(|index| sink(random, index));
        let sinks = sinks.collect();
        let sources = (0..random.usize(1..=4)).map(|index| source(random, index));
        let mut shape = Self {
            sinks,
            sources: sources.collect(),
            routes: Vec::new(),
        };
        shape.reroute(random);
        shape
    }

    /// Other routes; some may stay as they are.
    pub(crate) fn reroute(&mut self, random: &mut fastrand::Rng) {
        let before = std::mem::take(&mut self.routes);
        for _ in 0..100 {
            let kept = before.iter().filter(|_| random.bool()).cloned();
            self.routes = kept.collect();
            while self.routes.is_empty() || random.u8(0..3) > 0 {
                let route = self.route(random);
                self.routes
                    .insert(random.usize(0..=self.routes.len()), route);
            }
            if self.routes.len() <= 5 && self.plan(|_, _| None).check().is_ok() {
                return;
            }
        }
        // One for everything is always possible.
        let lanes = self.sinks[0].lanes.clone();
        self.routes = vec![RouteShape {
            name: None,
            sink: 0,
            sources: "*".to_owned(),
            tags: "*".to_owned(),
            priority: None,
            own_lanes: None,
            lanes,
        }];
    }

    fn route(&self, random: &mut fastrand::Rng) -> RouteShape {
        let sink = random.usize(0..self.sinks.len());
        let own_lanes = (random.u8(0..3) == 0).then(|| lanes(random, 1));
        let lanes = own_lanes.clone();
        RouteShape {
            name: choose(random, &[None, Some("one"), Some("two"), Some("three")])
                .map(str::to_owned),
            sink,
            sources: choose(random, &SOURCE_GLOBS).to_owned(),
            tags: choose(random, &TAG_GLOBS).to_owned(),
            priority: random.bool().then(|| choose(random, &PRIORITIES)),
            own_lanes,
            lanes: lanes.unwrap_or_else(|| self.sinks[sink].lanes.clone()),
        }
    }

    /// The plan; `writer` gives the sinks that are not to be kept.
    pub(crate) fn plan(&self, writer: impl Fn(usize, SinkSpec) -> Option<SinkSpec>) -> Plan {
        let mut plan = Plan::new();
        for (index, shape) in self.sinks.iter().enumerate() {
            let lanes = shape.lanes.iter().map(LaneShape::spec);
            let kept = SinkSpec::kept(&shape.name).lanes(lanes);
            let kept = kept.concurrency(shape.concurrency);
            plan = plan.sink(writer(index, kept.clone()).unwrap_or(kept));
        }
        for route in &self.routes {
            plan = plan.route(route.spec(&self.sinks[route.sink].name));
        }
        plan
    }

    /// A sink as the plan names it.
    pub(crate) fn sink_spec(&self, index: usize, name: &str, writer: BoxWriter) -> SinkSpec {
        let shape = &self.sinks[index];
        SinkSpec::new(name, writer)
            .lanes(shape.lanes.iter().map(LaneShape::spec))
            .concurrency(shape.concurrency)
    }

    /// Where a record goes: for each sink, the first route that matches; what is no record goes to
    /// the first route of all.
    pub(crate) fn ways(&self, made: &Made) -> Vec<Way> {
        let Some((source, tag, priority)) = made.key() else {
            let lane = self.routes[0].lane_of(None);
            return vec![Way { route: 0, lane }];
        };
        let mut ways: Vec<Way> = Vec::new();
        for (index, route) in self.routes.iter().enumerate() {
            let has_sink = |way: &Way| self.routes[way.route].sink == route.sink;
            let matches = fits(&route.sources, source) && fits(&route.tags, tag);
            if matches && !ways.iter().any(has_sink) {
                ways.push(Way {
                    route: index,
                    lane: route.lane_of(priority),
                });
            }
        }
        ways
    }

    /// The name of a source's scope there.
    pub(crate) fn scope(&self, source: &str, way: Way) -> String {
        let route = &self.routes[way.route];
        let mut name = source.to_owned();
        if let Some(route) = &route.name {
            let _ = write!(name, "/{route}");
        }
        if route.lanes.len() > 1 {
            let _ = write!(name, "/{}", route.lanes[way.lane].priority.as_str());
        }
        name
    }

    /// How long a sink that is well may need to write all that its lanes can hold.
    pub(crate) fn drain_max(&self, sink: usize) -> Duration {
        let routes = self.routes.iter().filter(|route| route.sink == sink);
        let rows: usize = routes
            .flat_map(|route| &route.lanes)
            .map(|lane| lane.size)
            .sum();
        // A bad row takes another write.
        let write = self.sinks[sink].write_max + ms(1);
        write * 2 * u32::try_from(rows).unwrap_or(u32::MAX)
    }

    /// How long one record takes at most to a sink that is well and has nothing else to do.
    pub(crate) fn one_max(&self, sink: usize) -> Duration {
        let routes = self.routes.iter().filter(|route| route.sink == sink);
        let ages = routes.flat_map(|route| &route.lanes).map(|lane| lane.age);
        ages.max().unwrap_or_default() + 2 * self.sinks[sink].write_max + ms(5)
    }
}

/// Whether a name matches a pattern that is a name, or the beginning of one and a star.
fn fits(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => name == pattern,
    }
}

fn sink(random: &mut fastrand::Rng, index: usize) -> SinkShape {
    let concurrency = random.usize(1..=4);
    SinkShape {
        name: format!("sink{index}"),
        write_max: ms(choose(random, &[0, 1, 5, 20])),
        timeout: (random.u8(0..5) > 0).then(|| ms(random.u64(300..3_000))),
        breaker: random
            .bool()
            .then(|| (random.u32(1..=4), ms(random.u64(200..5_000)))),
        refuses_rows: random.bool(),
        names_rows: random.bool(),
        lanes: lanes(random, concurrency),
        concurrency,
    }
}

/// One to four lanes, the most urgent first, with reservations within the concurrency.
fn lanes(random: &mut fastrand::Rng, concurrency: usize) -> Vec<LaneShape> {
    let chosen: Vec<Priority> = PRIORITIES.into_iter().filter(|_| random.bool()).collect();
    let chosen = if chosen.is_empty() {
        vec![Priority::Normal]
    } else {
        chosen
    };
    let mut left = concurrency.saturating_sub(1);
    let mut made = Vec::new();
    for priority in chosen {
        let reserved = random.usize(0..=left.min(1));
        left -= reserved;
        made.push(lane(random, priority, reserved));
    }
    made
}

fn lane(random: &mut fastrand::Rng, priority: Priority, reserved: usize) -> LaneShape {
    let size = random.usize(4..=60);
    let policies = [
        WhenFull::Block(Duration::from_micros(20)),
        WhenFull::Reject,
        WhenFull::DropNewest,
        WhenFull::DropOldest,
        WhenFull::DropLowestPriority,
    ];
    LaneShape {
        priority,
        size,
        size_min: random.usize(1..=size),
        policy: choose(random, &policies),
        batch: random.usize(1..=size),
        age: ms(choose(random, &[1, 20, 100, 500, 3_000])),
        is_adaptive: random.bool(),
        expires_after: (random.u8(0..4) == 0).then(|| ms(random.u64(1_000..60_000))),
        parallel: choose(random, &[1, 1, 1, 2, 3]),
        weight: random.u32(1..=8),
        reserved,
    }
}

fn source(random: &mut fastrand::Rng, index: usize) -> SourceShape {
    let kinds = [
        SourceKind::Positioned,
        SourceKind::Numbered,
        SourceKind::Sender,
    ];
    let kind = choose(random, &kinds);
    SourceShape {
        name: format!("src{index}"),
        kind,
        tags: (0..random.usize(1..=5))
            .map(|_| choose(random, &TAGS).to_owned())
            .collect(),
        malformed_pct: match kind {
            SourceKind::Sender => 0,
            _ => choose(random, &[0, 0, 5]),
        },
    }
}

impl RouteShape {
    fn spec(&self, sink: &str) -> RouteSpec {
        let mut spec = RouteSpec::to(sink)
            .sources(self.sources.parse().expect("a glob"))
            .tags(self.tags.parse().expect("a glob"));
        if let Some(name) = &self.name {
            spec = spec.name(name);
        }
        if let Some(priority) = self.priority {
            spec = spec.priority(priority);
        }
        match &self.own_lanes {
            Some(lanes) => spec.lanes(lanes.iter().map(LaneShape::spec)),
            None => spec,
        }
    }

    /// The lane of this priority, else the next less urgent one, else the least urgent.
    fn lane_of(&self, own: Option<Priority>) -> usize {
        let wanted = own.or(self.priority).unwrap_or(Priority::Normal);
        let found = self.lanes.iter().position(|lane| lane.priority <= wanted);
        found.unwrap_or(self.lanes.len() - 1)
    }

    /// What its lanes hold together.
    pub(crate) fn size(&self) -> usize {
        self.lanes.iter().map(|lane| lane.size).sum()
    }
}

impl LaneShape {
    fn spec(&self) -> LaneSpec {
        let flush = match self.is_adaptive {
            true => {
                let spec = AdaptiveSpec::new()
                    .sizes(1, self.batch)
                    .base(self.batch.div_ceil(2));
                FlushSpec::new().adaptive(spec.wait(self.age))
            }
            false => FlushSpec::new().size(self.batch).age(self.age),
        };
        LaneSpec::new(self.priority)
            .buffer(BufferOptions {
                max_size: self.size,
                policy: self.policy,
                ..BufferOptions::default()
            })
            .size_min(self.size_min)
            .flush(flush)
            .batch_max(self.batch)
            .expires_after(self.expires_after)
            .parallel(self.parallel)
            .weight(self.weight)
            .reserved(self.reserved)
    }
}
