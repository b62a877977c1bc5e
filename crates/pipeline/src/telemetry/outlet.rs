//! Where metrics go: the recorder that the application installed, or one that was given.

use std::sync::Arc;

use metrics::{Counter, Gauge, Histogram, Key, Label, Level, Metadata, Recorder};

use super::table::{MetricDescription, MetricKind};

/// A recorder of the facade `metrics` that several share.
pub type SharedRecorder = Arc<dyn Recorder + Send + Sync>;

const METADATA: Metadata<'static> = Metadata::new("pipeline", Level::INFO, Some("pipeline"));

/// Where metrics go.
#[derive(Clone)]
pub(super) enum Outlet {
    /// To the recorder that is installed when a series is registered.
    Installed,
    /// To this one.
    Given(SharedRecorder),
}

impl Outlet {
    pub(super) fn describe(&self, described: impl Iterator<Item = MetricDescription>) {
        self.with(|recorder| described.for_each(|metric| metric.describe_to(recorder)));
    }

    pub(super) fn counter(&self, name: &'static str, labels: Vec<Label>) -> Counter {
        self.with(|to| to.register_counter(&Key::from_parts(name, labels), &METADATA))
    }

    pub(super) fn gauge(&self, name: &'static str, labels: Vec<Label>) -> Gauge {
        self.with(|to| to.register_gauge(&Key::from_parts(name, labels), &METADATA))
    }

    pub(super) fn histogram(&self, name: &'static str, labels: Vec<Label>) -> Histogram {
        self.with(|to| to.register_histogram(&Key::from_parts(name, labels), &METADATA))
    }

    fn with<T>(&self, act: impl FnOnce(&dyn Recorder) -> T) -> T {
        match self {
            Self::Installed => metrics::with_recorder(act),
            Self::Given(recorder) => act(recorder),
        }
    }
}

impl MetricDescription {
    /// Tells a recorder what the metric means.
    pub fn describe_to(&self, recorder: &dyn Recorder) {
        let (name, unit, help) = (self.name.into(), Some(self.unit), self.help.into());
        match self.kind {
            MetricKind::Counter => recorder.describe_counter(name, unit, help),
            MetricKind::Gauge => recorder.describe_gauge(name, unit, help),
            MetricKind::Histogram => recorder.describe_histogram(name, unit, help),
        }
    }
}
