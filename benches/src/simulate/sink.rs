//! A sink: its store, the weather over it, and the layers that a pipeline has around it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use parking_lot::Mutex;
use sinks::{
    BatchWriter, Bisect, BoxWriter, BreakerHandle, BreakerSpec, CircuitBreaker, FaultWriter,
    MemoryWriter, Timeout,
};

use crate::attempts::{Attempts, Settled};
use crate::shape::SinkShape;
use crate::trace::Trace;
use crate::weather::{Outdoors, Sky, Weather};
use crate::witness::{Contents, Id, Place, Witness};

/// What outlives every pipeline: the store and its weather.
pub(crate) struct Sink {
    pub(crate) name: Arc<str>,
    store: MemoryWriter,
    pub(crate) contents: Arc<Mutex<Contents>>,
    pub(crate) sky: Arc<Mutex<Sky>>,
    trace: Trace,
}

/// One pipeline's way to a sink.
pub(crate) struct Link {
    pub(crate) writer: BoxWriter,
    pub(crate) breaker: Option<BreakerHandle>,
    /// What the pipeline knows the sink has.
    pub(crate) settled: Settled,
    faults: FaultWriter<Witness>,
}

impl Link {
    /// How far a scope was when this pipeline opened it, if it has.
    pub(crate) fn opened(&self, scope: &str) -> Option<record::Position> {
        self.faults.inner().opened(scope)
    }

    /// Lets writes that hang go on.
    pub(crate) fn release(&self) {
        self.faults.release();
    }
}

/// Rows that the sinks refuse for what is in them.
pub(crate) fn is_poison(id: Id) -> bool {
    id.number() % 41 == 17
}

fn is_never(_: Id) -> bool {
    false
}

impl Sink {
    pub(crate) fn new(shape: &SinkShape, seed: u64, trace: Trace) -> Self {
        Self {
            name: Arc::from(shape.name.as_str()),
            store: MemoryWriter::new(),
            contents: Arc::default(),
            sky: Arc::new(Mutex::new(Sky::new(seed, shape.write_max))),
            trace,
        }
    }

    pub(crate) fn weather(&self) -> Weather {
        self.sky.lock().weather
    }

    /// Connects a pipeline, as another process would.
    ///
    /// # Errors
    /// When the breaker's settings cannot be.
    pub(crate) fn connect(
        &self,
        shape: &SinkShape,
        server: &Arc<tokio::sync::RwLock<()>>,
        seed: u64,
    ) -> Result<Link> {
        let witness = Witness::new(
            self.store.other_process(),
            Arc::clone(&self.contents),
            Arc::clone(&self.name),
            if shape.refuses_rows {
                is_poison
            } else {
                is_never
            },
            self.trace.clone(),
        );
        let mut faults = FaultWriter::new(witness);
        if shape.refuses_rows {
            let reason = |entry: &sinks::Entry| {
                let is_bad = entry.content.is_ok() && Id::of(entry).is_some_and(is_poison);
                is_bad.then(|| "injected: a bad row".to_owned())
            };
            faults = match shape.names_rows {
                true => faults.poisoned_by_name(reason),
                false => faults.poisoned(reason),
            };
        }
        let outdoors = Outdoors::new(
            faults,
            Arc::clone(&self.sky),
            Arc::clone(server),
            self.trace.clone(),
        );
        let faults = outdoors.faults().clone();
        let timed = match shape.timeout {
            Some(timeout) => BoxWriter::new(Timeout::new(outdoors, timeout)),
            None => BoxWriter::new(outdoors),
        };
        let (broken, breaker) = match shape.breaker {
            Some((failures, open)) => {
                let spec = BreakerSpec::consecutive(failures, open).open(open, BREAKER_OPEN_MAX);
                let breaker = CircuitBreaker::with_seed(timed, spec, seed)?;
                let handle = breaker.handle();
                (BoxWriter::new(breaker), Some(handle))
            }
            None => (timed, None),
        };
        let whole = match shape.refuses_rows {
            true => BoxWriter::new(Bisect::new(broken)),
            false => broken,
        };
        let attempts = Attempts::new(whole, self.trace.clone());
        Ok(Link {
            settled: attempts.settled(),
            writer: BoxWriter::new(attempts),
            breaker,
            faults,
        })
    }

    /// Lets what a killed pipeline left with the store come to its end, one way or the other.
    pub(crate) async fn lay_ghosts(&self, random: &mut fastrand::Rng) {
        let ghosts = self.sky.lock().take_ghosts();
        for (writer, batch) in ghosts {
            if random.bool() {
                // It may have been fenced since; that is its own affair.
                let _ = writer.write(&batch).await;
            }
        }
    }

    /// Compares what the witness saw with what the store itself holds.
    ///
    /// # Errors
    /// With the first row on which they differ.
    pub(crate) fn audit(&self) -> Result<()> {
        let contents = self.contents.lock();
        let mut seen = std::collections::HashSet::new();
        for (scope, position, record) in self.store.delivered() {
            let record::Value::I64(number) = record.value else {
                anyhow::bail!("{}: {scope} has a strange row at {position}", self.name);
            };
            let id = Id(u32::try_from(number)?);
            anyhow::ensure!(
                seen.insert((scope.clone(), id)),
                "law 8: {} has row {number} twice in {scope}, again at {position}",
                self.name
            );
            anyhow::ensure!(
                contents.place_in(scope.as_str(), id) == Place::Delivered,
                "{} has row {number}, which nobody saw written",
                self.name
            );
        }
        Ok(())
    }
}

/// The longest rest of a breaker.
pub(crate) const BREAKER_OPEN_MAX: Duration = Duration::from_secs(10);
