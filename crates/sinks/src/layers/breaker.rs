//! A sink that fails is left alone for a while.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::now;
use crate::breaker::{Admission, Breaker, CallOutcome, Outlook, Pass};
use crate::writer::forward_to_inner;
use crate::{
    Batch, BatchWriter, BreakerChange, BreakerSnapshot, BreakerSpec, BreakerState, ErrorKind,
    InvalidSetting, Receipt, WriteError,
};

type Listener = Arc<dyn Fn(&BreakerChange) + Send + Sync>;

struct Shared {
    breaker: Mutex<Breaker>,
    /// The generation while everything passes, otherwise 0: what a healthy sink needs is read
    /// without the lock. Written under it.
    passing: AtomicU64,
    /// When it was made, for calls whose time does not matter: reading the clock is what costs
    /// most while all is well.
    made: Instant,
    times_calls: bool,
    changed: Notify,
    listeners: Mutex<Arc<[Listener]>>,
}

impl Shared {
    /// The time, or a time that the breaker clamps where nothing depends on it.
    fn now_if(&self, matters: bool) -> Instant {
        if matters || self.times_calls {
            now()
        } else {
            self.made
        }
    }

    /// Decides under the lock, then tells everybody after it.
    fn decide<T>(&self, act: impl FnOnce(&mut Breaker) -> (T, Option<BreakerChange>)) -> T {
        let (answer, change) = {
            let mut breaker = self.breaker.lock();
            let (answer, change) = act(&mut breaker);
            if change.is_some() {
                self.passing.store(passing(&breaker), Ordering::Release);
            }
            (answer, change)
        };
        if let Some(change) = change {
            self.changed.notify_waiters();
            let listeners = Arc::clone(&self.listeners.lock());
            for listener in listeners.iter() {
                // A listener that panics is its own problem alone.
                let told = std::panic::catch_unwind(AssertUnwindSafe(|| listener(&change)));
                if told.is_err() {
                    tracing::error!(?change, "a listener of the breaker panicked");
                }
            }
        }
        answer
    }
}

fn passing(breaker: &Breaker) -> u64 {
    match breaker.state() {
        BreakerState::Closed | BreakerState::ForcedClosed => breaker.generation(),
        _ => 0,
    }
}

/// Watches and overrides a [`CircuitBreaker`]; a clone is another handle to the same one.
#[derive(Clone)]
pub struct BreakerHandle {
    shared: Arc<Shared>,
}

impl BreakerHandle {
    /// What it looks like now.
    #[must_use]
    pub fn snapshot(&self) -> BreakerSnapshot {
        self.shared.breaker.lock().snapshot(now())
    }

    /// Lets nothing through until somebody closes or resets it.
    pub fn force_open(&self) {
        self.shared
            .decide(|breaker| ((), breaker.force_open(now())));
    }

    /// Lets everything through, whatever comes of it, until somebody opens or resets it.
    pub fn force_close(&self) {
        self.shared
            .decide(|breaker| ((), breaker.force_close(now())));
    }

    /// Closes it, forgets every call, and leaves it to itself again.
    pub fn reset(&self) {
        self.shared.decide(|breaker| ((), breaker.reset(now())));
    }

    /// Calls `listener` after each change, on the task that caused it and outside of every lock:
    /// it may use this handle, but should be quick. One that panics harms nothing. It is kept as
    /// long as the breaker; changes of several tasks may come out of order, which their
    /// generations show.
    pub fn on_change(&self, listener: impl Fn(&BreakerChange) + Send + Sync + 'static) {
        let mut listeners = self.shared.listeners.lock();
        let added: Listener = Arc::new(listener);
        *listeners = listeners.iter().cloned().chain([added]).collect();
    }
}

impl std::fmt::Debug for BreakerHandle {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "BreakerHandle({})", self.snapshot().state)
    }
}

/// Leaves a sink alone that fails too often or answers too slowly.
///
/// A write that comes while it is open fails at once: [`ErrorKind::Transient`], with the time until
/// the next probe as `retry_after`, and marked as [not attempted](WriteError::not_attempted), so
/// that [`Retrying`](crate::Retrying) counts no attempt. [`ready`](BatchWriter::ready) waits until
/// a probe is allowed, so whoever waits for it takes nothing out of the buffer meanwhile.
///
/// What counts: [`ErrorKind::Transient`] and [`ErrorKind::Fatal`] are failures of the sink.
/// [`ErrorKind::Data`] and [`ErrorKind::Fenced`] are answers of a sink that works, so they count
/// like success. A write that is dropped counts as nothing, and a probe that is dropped gives its
/// permit back; that is why [`Timeout`](crate::Timeout) belongs inside. Only writes are counted
/// and refused: scopes and closing pass on.
///
/// ```
/// use sinks::{BatchWriter, BreakerSpec, BreakerState, CircuitBreaker, MemoryWriter};
/// let writer = CircuitBreaker::new(MemoryWriter::new(), BreakerSpec::default())?;
/// let handle = writer.handle();
/// handle.force_open();
/// assert_eq!(handle.snapshot().state, BreakerState::ForcedOpen);
/// # Ok::<(), sinks::InvalidSetting>(())
/// ```
#[derive(Debug)]
pub struct CircuitBreaker<W> {
    inner: W,
    handle: BreakerHandle,
}

impl<W> CircuitBreaker<W> {
    /// A closed breaker around `inner`.
    ///
    /// # Errors
    /// When a setting cannot be.
    pub fn new(inner: W, spec: BreakerSpec) -> Result<Self, InvalidSetting> {
        Self::with_seed(inner, spec, fastrand::u64(..))
    }

    /// The same with open times that can be repeated, for simulations.
    ///
    /// # Errors
    /// When a setting cannot be.
    pub fn with_seed(inner: W, spec: BreakerSpec, seed: u64) -> Result<Self, InvalidSetting> {
        let made = now();
        let breaker = Breaker::new(spec, made, seed)?;
        let shared = Shared {
            passing: AtomicU64::new(passing(&breaker)),
            made,
            times_calls: breaker.times_calls(),
            breaker: Mutex::new(breaker),
            changed: Notify::new(),
            listeners: Mutex::new(Arc::new([])),
        };
        let handle = BreakerHandle {
            shared: Arc::new(shared),
        };
        Ok(Self { inner, handle })
    }

    /// Watches and overrides it, also when the writer has been boxed.
    #[must_use]
    pub fn handle(&self) -> BreakerHandle {
        self.handle.clone()
    }

    fn shared(&self) -> &Shared {
        &self.handle.shared
    }

    fn admit(&self) -> Admission {
        match self.shared().passing.load(Ordering::Acquire) {
            0 => self.shared().decide(|breaker| breaker.admit(now())),
            generation => {
                Admission::Admitted(Pass::closed(generation, self.shared().now_if(false)))
            }
        }
    }

    async fn until_chance(&self) {
        loop {
            if self.shared().passing.load(Ordering::Acquire) != 0 {
                return;
            }
            let changed = self.shared().changed.notified();
            // It is told of changes from its creation on, so none is lost while deciding.
            let outlook = self.shared().decide(|breaker| breaker.outlook(now()));
            match outlook {
                Outlook::Now => return,
                Outlook::At(chance) => {
                    let _ = tokio::time::timeout_at(chance.into(), changed).await;
                }
                Outlook::OnChange => changed.await,
            }
        }
    }
}

/// A call under way; gives its permit back when it is dropped before it has a result.
struct Call<'a> {
    shared: &'a Shared,
    pass: Option<Pass>,
}

impl Call<'_> {
    fn ended(mut self, outcome: CallOutcome) {
        if let Some(pass) = self.pass.take() {
            let is_passing = self.shared.passing.load(Ordering::Acquire) != 0;
            let matters = outcome == CallOutcome::Failed || !is_passing;
            let now = self.shared.now_if(matters);
            self.shared
                .decide(|breaker| ((), breaker.on_result(now, pass, outcome)));
            // Of several probes another one may be due now.
            self.tell_waiting();
        }
    }

    /// Others may wait for this permit; while everything passes, nobody waits.
    fn tell_waiting(&self) {
        if self.shared.passing.load(Ordering::Acquire) == 0 {
            self.shared.changed.notify_waiters();
        }
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        if let Some(pass) = self.pass.take() {
            self.shared.breaker.lock().on_cancelled(pass);
            self.tell_waiting();
        }
    }
}

impl<W: BatchWriter> BatchWriter for CircuitBreaker<W> {
    type Row = W::Row;

    forward_to_inner!(name, guarantee, scopes, close);

    async fn ready(&self) {
        self.until_chance().await;
        self.inner.ready().await;
    }

    async fn write(&self, batch: &Batch<Self::Row>) -> Result<Receipt, WriteError> {
        let call = match self.admit() {
            Admission::Admitted(pass) => Call {
                shared: self.shared(),
                pass: Some(pass),
            },
            Admission::Refused(wait) => {
                let message = format!(
                    "the breaker of {} is open; worth another try in {wait:?}",
                    self.inner.name()
                );
                return Err(WriteError::new(ErrorKind::Transient, message)
                    .with_retry_after(wait)
                    .not_attempted());
            }
        };
        let written = self.inner.write(batch).await;
        match &written {
            // It never reached the sink, so it says nothing: the permit goes back.
            Err(error) if !error.was_attempted() => drop(call),
            written => call.ended(outcome(written)),
        }
        written
    }
}

fn outcome(written: &Result<Receipt, WriteError>) -> CallOutcome {
    match written.as_ref().map_err(WriteError::kind) {
        Ok(_) | Err(ErrorKind::Data | ErrorKind::Fenced) => CallOutcome::Answered,
        Err(ErrorKind::Transient | ErrorKind::Fatal) => CallOutcome::Failed,
    }
}
