//! Writes an account into a recorder.

use std::collections::HashMap;

use metrics::{Counter, Gauge, Label};
use record::Priority;

use super::outlet::{Outlet, SharedRecorder};
use super::table::{self, Read, Row, Summary};
use crate::{Health, Stats};

/// Writes accounts into one recorder, as absolute counters and gauges.
///
/// Whoever calls [`publish`](Self::publish) decides how often: once per second for a recorder that
/// is asked at any time, at each question for one that is asked here. A series is looked up when
/// its lane or sink is first seen. When one is gone, its gauges are set to 0 and its counters
/// stay. A lane that was made anew counts from 0; recorders that keep the greatest value of a
/// counter show the old one until it is passed.
pub struct Publisher {
    outlet: Outlet,
    summary: Series,
    lanes: HashMap<LaneKey, Series>,
    sinks: HashMap<String, Series>,
    round: u64,
}

type LaneKey = (Option<String>, String, Priority);

/// The handles of everything that has the same labels, per row of its table.
#[derive(Default)]
struct Series {
    labels: Vec<Label>,
    handles: Vec<Vec<Handle>>,
    round: u64,
}

enum Handle {
    Counter(Counter),
    Gauge(Gauge),
}

impl Publisher {
    /// Into the recorder that the application installed. What is first seen while none is
    /// installed stays silent: install it before the pipeline starts.
    #[must_use]
    pub fn installed() -> Self {
        Self::new(Outlet::Installed)
    }

    /// Into this recorder.
    #[must_use]
    pub fn to(recorder: SharedRecorder) -> Self {
        Self::new(Outlet::Given(recorder))
    }

    fn new(outlet: Outlet) -> Self {
        outlet.describe(table::published());
        Self {
            outlet,
            summary: Series::default(),
            lanes: HashMap::new(),
            sinks: HashMap::new(),
            round: 0,
        }
    }

    /// Sets every counter and gauge to what the account and the verdict say.
    pub fn publish(&mut self, stats: &Stats, health: &Health) {
        self.round += 1;
        let (outlet, round) = (&self.outlet, self.round);
        let summary = Summary::of(stats, health);
        self.summary.write(outlet, round, table::SUMMARY, &summary);
        for route in &stats.routes {
            for lane in &route.lanes {
                let key = (route.route.clone(), route.sink.clone(), lane.lane);
                let series = self.lanes.entry(key).or_insert_with(|| {
                    Series::new(lane_labels(route.route.as_deref(), &route.sink, lane.lane))
                });
                // One that is drained comes behind the one that has its place and its names.
                if series.round != round {
                    series.write(outlet, round, table::LANES, lane);
                }
            }
        }
        for sink in &stats.sinks {
            let series = self
                .sinks
                .entry(sink.sink.clone())
                .or_insert_with(|| Series::new(vec![Label::new("sink", sink.sink.clone())]));
            series.write(outlet, round, table::SINKS, sink);
        }
        self.lanes.retain(|_, series| series.is_seen(round));
        self.sinks.retain(|_, series| series.is_seen(round));
    }
}

impl Series {
    fn new(labels: Vec<Label>) -> Self {
        Self {
            labels,
            ..Self::default()
        }
    }

    fn write<T>(&mut self, outlet: &Outlet, round: u64, rows: &'static [Row<T>], of: &T) {
        self.round = round;
        self.handles.resize_with(rows.len(), Vec::new);
        for (row, handles) in rows.iter().zip(&mut self.handles) {
            let labels = &self.labels;
            let mut at = Cursor {
                outlet,
                name: row.name,
                labels,
                handles,
                index: 0,
            };
            match row.read {
                Read::Count(read) => at.count(&[], read(of)),
                Read::Level(read) => at.level(&[], read(of)),
                Read::Counts(read) => read(of, &mut |labels, value| at.count(labels, value)),
                Read::Levels(read) => read(of, &mut |labels, value| at.level(labels, value)),
            }
        }
    }

    /// Whether it was written in this round; if not, its gauges no longer say what was.
    fn is_seen(&self, round: u64) -> bool {
        let seen = self.round == round;
        if !seen {
            for handle in self.handles.iter().flatten() {
                if let Handle::Gauge(gauge) = handle {
                    gauge.set(0.0);
                }
            }
        }
        seen
    }
}

/// The place in the handles of one row. A row names its labels in the same order each time.
struct Cursor<'a> {
    outlet: &'a Outlet,
    name: &'static str,
    labels: &'a [Label],
    handles: &'a mut Vec<Handle>,
    index: usize,
}

impl Cursor<'_> {
    fn count(&mut self, labels: table::Labels<'_>, value: u64) {
        if let Handle::Counter(counter) = self.next(labels, |outlet, name, labels| {
            Handle::Counter(outlet.counter(name, labels))
        }) {
            counter.absolute(value);
        }
    }

    fn level(&mut self, labels: table::Labels<'_>, value: f64) {
        if let Handle::Gauge(gauge) = self.next(labels, |outlet, name, labels| {
            Handle::Gauge(outlet.gauge(name, labels))
        }) {
            gauge.set(value);
        }
    }

    fn next(
        &mut self,
        labels: table::Labels<'_>,
        register: impl FnOnce(&Outlet, &'static str, Vec<Label>) -> Handle,
    ) -> &Handle {
        if self.index == self.handles.len() {
            let mut all = self.labels.to_vec();
            all.extend(labels.iter().map(|(key, value)| Label::new(*key, *value)));
            self.handles.push(register(self.outlet, self.name, all));
        }
        self.index += 1;
        &self.handles[self.index - 1]
    }
}

/// A route without a name has no label of it.
pub(super) fn lane_labels(route: Option<&str>, sink: &str, lane: Priority) -> Vec<Label> {
    let route = route.map(|route| Label::new("route", route.to_owned()));
    let mut labels: Vec<Label> = route.into_iter().collect();
    labels.push(Label::new("sink", sink.to_owned()));
    labels.push(Label::new("lane", lane.as_str()));
    labels
}

impl std::fmt::Debug for Publisher {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Publisher")
            .field("lanes", &self.lanes.len())
            .field("sinks", &self.sinks.len())
            .finish_non_exhaustive()
    }
}
