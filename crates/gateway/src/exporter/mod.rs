//! A recorder of the facade `metrics` that answers in the text format of Prometheus.
//!
//! Counters and gauges are one atomic each; a distribution is an HDR histogram per minute over the
//! last five, rendered as a summary with its quantiles, its sum and its count. Memory is bounded
//! whether somebody asks or not: recording never keeps single values, and there is a cap on series.
//!
//! It does not listen, push or forget: the gateway serves it, and a series stays for as long as the
//! exporter lives. What has an invalid name, another kind than the family of its name, or is one
//! too many gets a handle that does nothing, and is counted.

mod text;
mod window;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use metrics::{Counter, CounterFn, Gauge, Histogram, HistogramFn};
use metrics::{Key, KeyName, Metadata, Recorder, SharedString, Unit};
use parking_lot::Mutex;
use pipeline::MetricKind;
use tokio::time::Instant;

use text::Text;
use window::{Scale, Window};

/// Series that one exporter keeps.
const SERIES_MAX: usize = 20_000;
/// The quantiles of a summary; the last is the greatest value.
const QUANTILES: [f64; 4] = [0.5, 0.95, 0.99, 1.0];

/// A recorder of the facade `metrics` that answers in the text format of Prometheus; cheap to
/// clone. A gateway has its own; this is for who has a pipeline and no gateway.
///
/// ```
/// use std::sync::Arc;
/// use gateway::Exporter;
/// use pipeline::Telemetry;
/// use record::Priority;
///
/// let exporter = Exporter::new();
/// let telemetry = Telemetry::new();
/// let _attached = telemetry.attach(Arc::new(exporter.clone()));
/// let lane = telemetry.lane(None, "archive", Priority::Normal);
/// lane.batch(500, std::time::Duration::from_millis(4), []);
/// let text = exporter.render();
/// assert!(text.contains("forebay_batch_rows_count{lane=\"normal\",sink=\"archive\"} 1\n"));
/// ```
#[derive(Clone, Default)]
pub struct Exporter(Arc<Inner>);

#[derive(Default)]
struct Inner {
    families: Mutex<Families>,
    refused: AtomicU64,
}

#[derive(Default)]
struct Families {
    by_name: BTreeMap<String, Family>,
    described: BTreeMap<String, (Option<Unit>, SharedString)>,
    series: usize,
}

struct Family {
    kind: MetricKind,
    series: BTreeMap<Labels, Value>,
}

/// In the order of their keys, so that the same labels are the same series.
type Labels = Vec<(String, String)>;

#[derive(Clone)]
enum Value {
    Counter(Arc<Count>),
    /// The bits of an `f64`.
    Gauge(Arc<AtomicU64>),
    Summary(Arc<Summary>),
}

#[derive(Default)]
struct Count(AtomicU64);

/// A distribution that several threads record into.
struct Summary(Mutex<Window>);

impl Exporter {
    /// One without any series.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Every series, in the text format 0.0.4: families by name, each with its help and type once.
    /// A summary without a value in the last five minutes has the quantiles `NaN`.
    #[must_use]
    pub fn render(&self) -> String {
        let now = Instant::now().into_std();
        let mut text = Text::default();
        let families = self.0.families.lock();
        for (name, family) in &families.by_name {
            let help = families.described.get(name).map_or("", |(_, help)| help);
            let kind = match family.kind {
                MetricKind::Counter => "counter",
                MetricKind::Gauge => "gauge",
                MetricKind::Histogram => "summary",
            };
            text.family(name, kind, help);
            for (labels, value) in &family.series {
                match value {
                    Value::Counter(count) => {
                        text.count(name, "", labels, count.0.load(Ordering::Acquire));
                    }
                    Value::Gauge(bits) => {
                        let value = f64::from_bits(bits.load(Ordering::Acquire));
                        text.sample(name, "", labels, None, value);
                    }
                    Value::Summary(summary) => {
                        let seen = summary.0.lock().look(now, &QUANTILES);
                        for (quantile, value) in QUANTILES.iter().zip(seen.quantiles) {
                            text.sample(name, "", labels, Some(*quantile), value);
                        }
                        text.sample(name, "_sum", labels, None, seen.sum);
                        text.count(name, "_count", labels, seen.count);
                    }
                }
            }
        }
        text.finish()
    }

    /// Series that were refused: an invalid name, the wrong kind, or one too many.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.0.refused.load(Ordering::Relaxed)
    }

    fn describe(&self, name: &KeyName, unit: Option<Unit>, help: SharedString) {
        let mut families = self.0.families.lock();
        // The old text outlives the lock.
        let _old = match families.described.len() {
            ..SERIES_MAX => families
                .described
                .insert(name.as_str().to_owned(), (unit, help)),
            _ => None,
        };
        drop(families);
    }

    /// The series of that name and those labels, new or not; `None` if it is refused.
    fn series(&self, key: &Key, kind: MetricKind) -> Option<Value> {
        let found = self.find(key, kind);
        if found.is_none() {
            self.0.refused.fetch_add(1, Ordering::Relaxed);
        }
        found
    }

    fn find(&self, key: &Key, kind: MetricKind) -> Option<Value> {
        let mut labels: Labels = key
            .labels()
            .map(|label| (label.key().to_owned(), label.value().to_owned()))
            .collect();
        labels.sort();
        let distinct = labels.windows(2).all(|pair| pair[0].0 != pair[1].0);
        let named = labels.iter().all(|(key, _)| text::is_label_name(key));
        if !(text::is_name(key.name()) && distinct && named) {
            return None;
        }
        let mut families = self.0.families.lock();
        let Families {
            by_name,
            described,
            series,
        } = &mut *families;
        let family = by_name.get(key.name());
        if family.is_some_and(|family| family.kind != kind) {
            return None;
        }
        if let Some(value) = family.and_then(|family| family.series.get(&labels)) {
            return Some(value.clone());
        }
        if *series == SERIES_MAX {
            return None;
        }
        *series += 1;
        let unit = described.get(key.name()).and_then(|(unit, _)| *unit);
        let value = Value::new(kind, Scale::of(unit));
        let family = by_name
            .entry(key.name().to_owned())
            .or_insert_with(|| Family {
                kind,
                series: BTreeMap::new(),
            });
        family.series.insert(labels, value.clone());
        Some(value)
    }
}

impl Value {
    fn new(kind: MetricKind, scale: Scale) -> Self {
        match kind {
            MetricKind::Counter => Self::Counter(Arc::default()),
            MetricKind::Gauge => Self::Gauge(Arc::default()),
            MetricKind::Histogram => {
                let window = Window::new(Instant::now().into_std(), scale);
                Self::Summary(Arc::new(Summary(Mutex::new(window))))
            }
        }
    }
}

impl Recorder for Exporter {
    fn describe_counter(&self, name: KeyName, unit: Option<Unit>, help: SharedString) {
        self.describe(&name, unit, help);
    }

    fn describe_gauge(&self, name: KeyName, unit: Option<Unit>, help: SharedString) {
        self.describe(&name, unit, help);
    }

    fn describe_histogram(&self, name: KeyName, unit: Option<Unit>, help: SharedString) {
        self.describe(&name, unit, help);
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        match self.series(key, MetricKind::Counter) {
            Some(Value::Counter(count)) => Counter::from_arc(count),
            _ => Counter::noop(),
        }
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        match self.series(key, MetricKind::Gauge) {
            Some(Value::Gauge(bits)) => Gauge::from_arc(bits),
            _ => Gauge::noop(),
        }
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        match self.series(key, MetricKind::Histogram) {
            Some(Value::Summary(summary)) => Histogram::from_arc(summary),
            _ => Histogram::noop(),
        }
    }
}

impl CounterFn for Count {
    fn increment(&self, value: u64) {
        self.0.fetch_add(value, Ordering::AcqRel);
    }

    /// What is set is what is shown, also if it is less: whoever sets it has one account that knows
    /// better, and a lane that was made anew begins at 0, as Prometheus expects of a restart.
    fn absolute(&self, value: u64) {
        self.0.store(value, Ordering::Release);
    }
}

impl HistogramFn for Summary {
    fn record(&self, value: f64) {
        self.record_many(value, 1);
    }

    fn record_many(&self, value: f64, count: usize) {
        let now = Instant::now().into_std();
        self.0.lock().record(now, value, count);
    }
}

impl std::fmt::Debug for Exporter {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Exporter")
            .field("series", &self.0.families.lock().series)
            .field("refused", &self.refused())
            .finish_non_exhaustive()
    }
}
