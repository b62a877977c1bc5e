//! The distributions of every batch of a lane.

use std::sync::{Arc, Weak};
use std::time::Duration;

use metrics::{Histogram, Label};
use parking_lot::{Mutex, RwLock};
use record::Priority;

use super::outlet::{Outlet, SharedRecorder};
use super::publisher::lane_labels;
use super::runs::each_run;
use super::table;

/// Where the lanes of a pipeline record what each batch was like; cheap to clone.
///
/// It records into the recorder that was installed when it was made, and into those that are
/// attached, each with its own series.
///
/// ```
/// use std::time::Duration;
/// use pipeline::{Telemetry};
/// use record::Priority;
///
/// let telemetry = Telemetry::new();
/// let lane = telemetry.lane(Some("alarms"), "archive", Priority::Critical);
/// // 20 records, written in 3 ms; 12 of them had arrived 9 ms ago, the others 8 ms ago.
/// let waited = [(Duration::from_millis(9), 12), (Duration::from_millis(8), 8)];
/// lane.batch(20, Duration::from_millis(3), waited);
/// ```
#[derive(Clone)]
pub struct Telemetry(Arc<Mutex<State>>);

struct State {
    outlets: Vec<(u64, Outlet)>,
    lanes: Vec<Weak<Lane>>,
    next_id: u64,
}

/// One lane's part of a [`Telemetry`]; cheap to clone.
#[derive(Clone)]
pub struct LaneMetrics(Arc<Lane>);

struct Lane {
    labels: Vec<Label>,
    instruments: RwLock<Arc<[Instruments]>>,
}

/// The series of a lane in one recorder.
#[derive(Clone)]
struct Instruments {
    outlet: u64,
    latency: Histogram,
    write: Histogram,
    rows: Histogram,
}

/// A recorder is attached for as long as this lives.
#[must_use = "the recorder is detached when this is dropped"]
pub struct Attachment {
    telemetry: Telemetry,
    outlet: u64,
}

impl Telemetry {
    /// Records into the recorder of the facade that is installed now, or nowhere if there is none.
    #[must_use]
    pub fn new() -> Self {
        let outlet = Outlet::Installed;
        outlet.describe(table::batches());
        Self(Arc::new(Mutex::new(State {
            outlets: vec![(0, outlet)],
            lanes: Vec::new(),
            next_id: 1,
        })))
    }

    /// Records into this recorder too, from the next batch on, until the attachment is dropped.
    /// Attach none that is also installed: it would get everything twice.
    pub fn attach(&self, recorder: SharedRecorder) -> Attachment {
        let outlet = Outlet::Given(recorder);
        outlet.describe(table::batches());
        let (id, lanes) = {
            let mut state = self.0.lock();
            let id = state.next_id;
            state.next_id += 1;
            state.outlets.push((id, outlet.clone()));
            (id, state.lanes.clone())
        };
        for lane in lanes.iter().filter_map(Weak::upgrade) {
            lane.add(id, &outlet);
        }
        Attachment {
            telemetry: self.clone(),
            outlet: id,
        }
    }

    /// The part of a lane. Register it once and keep it: each call looks up its series anew.
    #[must_use]
    pub fn lane(&self, route: Option<&str>, sink: &str, lane: Priority) -> LaneMetrics {
        let lane = Arc::new(Lane {
            labels: lane_labels(route, sink, lane),
            instruments: RwLock::default(),
        });
        // A lane and a recorder that come at the same time find each other: each is listed before
        // it looks for the other, under one lock, and the later one registers.
        let outlets = {
            let mut state = self.0.lock();
            state.lanes.retain(|lane| lane.strong_count() > 0);
            state.lanes.push(Arc::downgrade(&lane));
            state.outlets.clone()
        };
        for (id, outlet) in outlets {
            lane.add(id, &outlet);
        }
        LaneMetrics(lane)
    }
}

impl LaneMetrics {
    /// A batch has settled: so many rows, written within `write`, of which each `count` waited for
    /// so long from arrival to now. Call it once per batch, under no lock, with runs of records
    /// that arrived together: recorders are foreign code.
    pub fn batch(
        &self,
        rows: usize,
        write: Duration,
        latencies: impl IntoIterator<Item = (Duration, usize)>,
    ) {
        let instruments = Arc::clone(&self.0.instruments.read());
        if instruments.is_empty() {
            return;
        }
        for into in instruments.iter() {
            into.rows.record(rows as f64);
            into.write.record(write);
        }
        each_run(latencies, |run| {
            for into in instruments.iter() {
                into.latency.record_many(run.mean_s(), run.count);
            }
        });
    }
}

impl Lane {
    fn add(&self, id: u64, outlet: &Outlet) {
        let [latency, write, rows] =
            table::BATCH_NAMES.map(|name| outlet.histogram(name, self.labels.clone()));
        let added = Instruments {
            outlet: id,
            latency,
            write,
            rows,
        };
        self.replace(|instruments| instruments.push(added));
    }

    /// What goes away is dropped after unlocking, since a recorder's handles are foreign code.
    fn replace(&self, change: impl FnOnce(&mut Vec<Instruments>)) {
        let before = {
            let mut instruments = self.instruments.write();
            let mut next = instruments.to_vec();
            change(&mut next);
            std::mem::replace(&mut *instruments, next.into())
        };
        drop(before);
    }
}

impl Default for Telemetry {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        let (outlets, lanes) = {
            let mut state = self.telemetry.0.lock();
            let outlets = state.outlets.extract_if(.., |(id, _)| *id == self.outlet);
            (outlets.collect::<Vec<_>>(), state.lanes.clone())
        };
        for lane in lanes.iter().filter_map(Weak::upgrade) {
            lane.replace(|instruments| instruments.retain(|into| into.outlet != self.outlet));
        }
        drop(outlets);
    }
}

impl std::fmt::Debug for Telemetry {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let recorders = self.0.lock().outlets.len();
        out.debug_struct("Telemetry")
            .field("recorders", &recorders)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for LaneMetrics {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("LaneMetrics")
            .field("labels", &self.0.labels)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Attachment {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Attachment").finish_non_exhaustive()
    }
}
