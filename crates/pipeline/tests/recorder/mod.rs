//! A recorder that remembers everything, for tests.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use metrics::{Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn};
use metrics::{Key, KeyName, Metadata, Recorder, SharedString, Unit};
use pipeline::SharedRecorder;

type Ask = Arc<dyn Fn() -> String + Send + Sync>;

#[derive(Clone, Default)]
pub(crate) struct Heard(Arc<Inner>);

#[derive(Default)]
struct Inner {
    known: Mutex<Known>,
    ask: Option<Ask>,
    asking: AtomicBool,
    asked: AtomicUsize,
}

#[derive(Default)]
struct Known {
    described: BTreeSet<String>,
    registered: BTreeSet<(String, &'static str)>,
    labels: Vec<(String, Vec<String>)>,
    values: BTreeMap<String, f64>,
    distributions: BTreeMap<String, Vec<(f64, usize)>>,
    lookups: usize,
}

/// A series of any kind.
struct Series(Heard, String);

impl Heard {
    /// One that asks back at each call.
    pub(crate) fn asking(ask: Ask) -> Self {
        Self(Arc::new(Inner {
            ask: Some(ask),
            ..Inner::default()
        }))
    }

    pub(crate) fn shared(&self) -> SharedRecorder {
        Arc::new(self.clone())
    }

    pub(crate) fn asked(&self) -> usize {
        self.0.asked.load(Ordering::Relaxed)
    }

    pub(crate) fn lookups(&self) -> usize {
        self.0.known.lock().unwrap().lookups
    }

    pub(crate) fn described(&self) -> BTreeSet<String> {
        self.0.known.lock().unwrap().described.clone()
    }

    pub(crate) fn registered(&self) -> BTreeSet<(String, &'static str)> {
        self.0.known.lock().unwrap().registered.clone()
    }

    /// The names of each series' labels.
    pub(crate) fn labels(&self) -> Vec<(String, Vec<String>)> {
        self.0.known.lock().unwrap().labels.clone()
    }

    /// Of a counter or gauge, written `name{key=value,…}` with sorted keys.
    pub(crate) fn value(&self, series: &str) -> f64 {
        let known = self.0.known.lock().unwrap();
        let value = known.values.get(series).copied();
        value.unwrap_or_else(|| panic!("no {series} in {:?}", known.values.keys()))
    }

    pub(crate) fn series(&self, name: &str) -> impl Iterator<Item = (String, f64)> {
        let values = self.0.known.lock().unwrap().values.clone();
        let start = format!("{name}{{");
        let found = values.into_iter();
        found.filter(move |(series, _)| series.starts_with(&start))
    }

    pub(crate) fn distribution(&self, series: &str) -> Vec<(f64, usize)> {
        let known = self.0.known.lock().unwrap();
        known.distributions.get(series).cloned().unwrap_or_default()
    }

    fn ask(&self) {
        if let Some(ask) = &self.0.ask
            && !self.0.asking.swap(true, Ordering::Relaxed)
        {
            ask();
            self.0.asked.fetch_add(1, Ordering::Relaxed);
            self.0.asking.store(false, Ordering::Relaxed);
        }
    }

    fn describe(&self, name: &KeyName) {
        self.ask();
        let mut known = self.0.known.lock().unwrap();
        known.described.insert(name.as_str().to_owned());
    }

    fn register(&self, key: &Key, kind: &'static str) -> Arc<Series> {
        self.ask();
        let mut labels: Vec<String> = key
            .labels()
            .map(|label| format!("{}={}", label.key(), label.value()))
            .collect();
        labels.sort();
        let series = match labels.as_slice() {
            [] => key.name().to_owned(),
            labels => format!("{}{{{}}}", key.name(), labels.join(",")),
        };
        let mut known = self.0.known.lock().unwrap();
        known.lookups += 1;
        known.registered.insert((key.name().to_owned(), kind));
        let names = key.labels().map(|label| label.key().to_owned()).collect();
        known.labels.push((key.name().to_owned(), names));
        Arc::new(Series(self.clone(), series))
    }
}

impl Recorder for Heard {
    fn describe_counter(&self, name: KeyName, _: Option<Unit>, _: SharedString) {
        self.describe(&name);
    }

    fn describe_gauge(&self, name: KeyName, _: Option<Unit>, _: SharedString) {
        self.describe(&name);
    }

    fn describe_histogram(&self, name: KeyName, _: Option<Unit>, _: SharedString) {
        self.describe(&name);
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.register(key, "counter"))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.register(key, "gauge"))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.register(key, "histogram"))
    }
}

impl Series {
    fn change(&self, change: impl FnOnce(&mut f64)) {
        self.0.ask();
        let mut known = self.0.0.known.lock().unwrap();
        change(known.values.entry(self.1.clone()).or_default());
    }
}

impl CounterFn for Series {
    fn increment(&self, value: u64) {
        self.change(|now| *now += value as f64);
    }

    fn absolute(&self, value: u64) {
        self.change(|now| *now = now.max(value as f64));
    }
}

impl GaugeFn for Series {
    fn increment(&self, value: f64) {
        self.change(|now| *now += value);
    }

    fn decrement(&self, value: f64) {
        self.change(|now| *now -= value);
    }

    fn set(&self, value: f64) {
        self.change(|now| *now = value);
    }
}

impl HistogramFn for Series {
    fn record(&self, value: f64) {
        self.record_many(value, 1);
    }

    fn record_many(&self, value: f64, count: usize) {
        self.0.ask();
        let mut known = self.0.0.known.lock().unwrap();
        let recorded = known.distributions.entry(self.1.clone()).or_default();
        recorded.push((value, count));
    }
}

impl Drop for Series {
    fn drop(&mut self) {
        self.0.ask();
    }
}
