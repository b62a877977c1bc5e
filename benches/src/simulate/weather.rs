//! What goes wrong with a sink: a layer that behaves as the weather says.
//!
//! It stands where the network would: behind the layers that a pipeline has around its sink, in
//! front of the store. A write may be slow, fail before or after the store has it, answer late,
//! hang, panic, or land behind the caller's back after he has given up (a *ghost*), as a commit
//! does whose connection was lost. A store that works on a ghost lets nobody else in, as databases
//! do; whoever opens a scope meanwhile waits for it.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use record::Position;
use sinks::{
    Batch, BatchWriter, ErrorKind, Fault, FaultWriter, Guarantee, OpenScope, Receipt, ScopeIndex,
    ScopeName, WriteError,
};

use crate::trace::Trace;
use crate::witness::Witness;

/// What a sink does to writes at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weather {
    /// All is well; a write takes at most the sink's own time.
    Fair,
    /// Each write may fail before the store has it.
    Flaky,
    /// The answers of some writes are lost, or come late.
    Deaf,
    /// Writes take ten times as long.
    Slow,
    /// Some writes hang, before or after the store has them.
    Hanging,
    /// Some writes land after the caller has given up.
    Haunted,
    /// Some writes panic.
    Panicking,
    /// Nothing works, not even opening a scope.
    Dead,
    /// Every write fails for good.
    Fatal,
}

pub(crate) const BAD_WEATHER: [Weather; 8] = [
    Weather::Flaky,
    Weather::Deaf,
    Weather::Slow,
    Weather::Hanging,
    Weather::Haunted,
    Weather::Panicking,
    Weather::Dead,
    Weather::Fatal,
];

/// How long a ghost takes at most: less than a closing pipeline waits for an answer.
const GHOST_MAX: Duration = Duration::from_secs(4);

/// The weather over one sink, the same for every pipeline that writes to it.
pub(crate) struct Sky {
    pub(crate) weather: Weather,
    random: fastrand::Rng,
    /// How long a write takes at most while all is well.
    write_max: Duration,
    /// Batches that are with the store though their callers may be gone.
    ghosts: Vec<(u64, FaultWriter<Witness>, Batch)>,
    ghosts_made: u64,
    /// How often a write panicked.
    pub(crate) panics: u64,
}

impl Sky {
    pub(crate) fn new(seed: u64, write_max: Duration) -> Self {
        Self {
            weather: Weather::Fair,
            random: fastrand::Rng::with_seed(seed),
            write_max,
            ghosts: Vec::new(),
            ghosts_made: 0,
            panics: 0,
        }
    }

    /// The ghosts that a killed pipeline left.
    pub(crate) fn take_ghosts(&mut self) -> Vec<(FaultWriter<Witness>, Batch)> {
        let ghosts = std::mem::take(&mut self.ghosts);
        ghosts
            .into_iter()
            .map(|(_, writer, batch)| (writer, batch))
            .collect()
    }

    fn millis(&mut self, max: Duration) -> Duration {
        let max = u64::try_from(max.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(self.random.u64(0..=max))
    }

    /// What becomes of the next write.
    fn fate(&mut self) -> Fate {
        let takes = self.millis(self.write_max);
        let lost = || WriteError::new(ErrorKind::Transient, "injected: the answer was lost");
        let refused = || WriteError::new(ErrorKind::Transient, "injected: the connection failed");
        let drawn = self.random.u8(0..100);
        let fault = |takes, fault| Fate::Fault { takes, fault };
        match self.weather {
            Weather::Fair => fault(takes, Fault::None),
            Weather::Flaky if drawn < 50 => fault(takes, Fault::Before(refused())),
            Weather::Deaf if drawn < 30 => fault(takes, Fault::After(lost())),
            Weather::Deaf if drawn < 60 => {
                let late = self.millis(Duration::from_secs(8));
                fault(takes, Fault::Late(late))
            }
            Weather::Slow => fault(takes * 10, Fault::None),
            Weather::Hanging if drawn < 25 => fault(takes, Fault::Hang),
            Weather::Hanging if drawn < 50 => fault(takes, Fault::HangAfter),
            Weather::Haunted if drawn < 50 => Fate::Ghost(self.millis(GHOST_MAX)),
            Weather::Panicking if drawn < 30 => Fate::Panic(takes),
            Weather::Dead => fault(takes, Fault::Before(refused())),
            Weather::Fatal => {
                let error = WriteError::new(ErrorKind::Fatal, "injected: there is no such table");
                fault(takes, Fault::Before(error))
            }
            _ => fault(takes, Fault::None),
        }
    }
}

enum Fate {
    Fault { takes: Duration, fault: Fault },
    Ghost(Duration),
    Panic(Duration),
}

/// The layer.
#[derive(Clone)]
pub(crate) struct Outdoors {
    inner: FaultWriter<Witness>,
    sky: Arc<Mutex<Sky>>,
    /// A ghost at work holds all of it, everybody else shares it.
    server: Arc<tokio::sync::RwLock<()>>,
    trace: Trace,
}

impl Outdoors {
    pub(crate) fn new(
        inner: FaultWriter<Witness>,
        sky: Arc<Mutex<Sky>>,
        server: Arc<tokio::sync::RwLock<()>>,
        trace: Trace,
    ) -> Self {
        Self {
            inner,
            sky,
            server,
            trace,
        }
    }

    /// The layer below, whose hanging writes can be released.
    pub(crate) fn faults(&self) -> &FaultWriter<Witness> {
        &self.inner
    }

    fn failed(&self, what: &str) {
        self.trace.note(format_args!("injects {what}"));
        self.trace.count(|tally| tally.failures += 1);
    }

    async fn haunt(&self, after: Duration, batch: &Batch) -> Result<Receipt, WriteError> {
        self.failed("a ghost");
        let guard = Arc::clone(&self.server).write_owned().await;
        // From here on the store has it, whether the caller waits or not.
        let number = {
            let mut sky = self.sky.lock();
            sky.ghosts_made += 1;
            let number = sky.ghosts_made;
            sky.ghosts.push((number, self.inner.clone(), batch.clone()));
            number
        };
        let (inner, sky, batch) = (self.inner.clone(), Arc::clone(&self.sky), batch.clone());
        let ghost = tokio::spawn(async move {
            tokio::time::sleep(after).await;
            let written = inner.write(&batch).await;
            sky.lock().ghosts.retain(|(other, _, _)| *other != number);
            drop(guard);
            written
        });
        match ghost.await {
            Ok(written) => written,
            Err(error) => Err(WriteError::new(ErrorKind::Transient, error.to_string())),
        }
    }
}

impl BatchWriter for Outdoors {
    type Row = record::Record;

    fn name(&self) -> &str {
        "simulated"
    }

    fn guarantee(&self) -> Guarantee {
        self.inner.guarantee()
    }

    async fn open_scope(
        &self,
        index: ScopeIndex,
        name: &ScopeName,
    ) -> Result<OpenScope, WriteError> {
        let _shared = self.server.read().await;
        let (weather, takes) = {
            let mut sky = self.sky.lock();
            let max = sky.write_max;
            (sky.weather, sky.millis(max))
        };
        tokio::time::sleep(takes).await;
        if weather == Weather::Dead {
            self.failed("no connection");
            let message = "injected: the sink is dead";
            return Err(WriteError::new(ErrorKind::Transient, message));
        }
        self.inner.open_scope(index, name).await
    }

    async fn scopes(&self, prefix: &str) -> Result<Vec<(ScopeName, Position)>, WriteError> {
        let _shared = self.server.read().await;
        self.inner.scopes(prefix).await
    }

    async fn rename_scope(&self, from: &ScopeName, to: &ScopeName) -> Result<(), WriteError> {
        self.inner.rename_scope(from, to).await
    }

    async fn write(&self, batch: &Batch) -> Result<Receipt, WriteError> {
        let fate = self.sky.lock().fate();
        match fate {
            Fate::Ghost(after) => self.haunt(after, batch).await,
            Fate::Panic(takes) => {
                tokio::time::sleep(takes).await;
                self.sky.lock().panics += 1;
                self.trace.note(format_args!("injects a panic"));
                self.trace.count(|tally| tally.panics += 1);
                panic!("injected: the writer panics");
            }
            Fate::Fault { takes, fault } => {
                let _shared = self.server.read().await;
                if fault != Fault::None {
                    self.failed(match &fault {
                        Fault::Before(_) => "a failure before the write",
                        Fault::After(_) => "a lost answer",
                        Fault::Late(_) => "a late answer",
                        _ => "a hanging write",
                    });
                }
                tokio::time::sleep(takes).await;
                let hangs = matches!(fault, Fault::Hang | Fault::HangAfter);
                // What would have hung was released meanwhile.
                let is_over = hangs && self.sky.lock().weather != Weather::Hanging;
                self.inner.then(if is_over { Fault::None } else { fault });
                self.inner.write(batch).await
            }
        }
    }
}
