//! One thread that calls callbacks.
//!
//! A wake puts a callback's slot onto the ready list, at most once, and unparks the thread. The
//! thread pulls what changed and calls, in the order of the wakes, outside of every lock. A
//! callback whose interval is not over waits in the timers of the same thread. While nothing
//! happens the thread is parked.
//!
//! It has one thread: a callback that takes long delays the others. It does not spin before it
//! parks, so that it costs nothing between wakes.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use super::options::Options;
use super::ready::Ready;
use super::slot::{Outcome, Slot, Timer};
use super::thread::{Builder, JoinHandle, current};
use super::work::{Call, CallWithNames, Pair, Ran, Sink, Work};
use super::{
    Callback, CallbackState, DispatchError, DispatchRefusal, DispatcherBuilder, Pull, StartError,
};
use crate::sync::Mutex;
use crate::{KeyId, Subscription, cascade_depth};

/// One thread, `forebay-dispatch`, that calls any number of callbacks with what their subscribers
/// pull.
///
/// A callback runs outside of every lock. It may write to the service, which is a later commit and
/// never a nested one; it may subscribe, unsubscribe and drop the dispatcher. One that panics is
/// counted, and after some panics in a row quarantined; its neighbours do not notice. Callbacks
/// that keep causing one another get an error from the commit that goes too
/// [deep](DispatcherBuilder::cascade_max).
///
/// Dropping it stops the thread after the callback that is running, waits for that (except when
/// dropped in a callback), and drops all subscribers, whoever still has handles.
///
/// ```
/// use std::sync::mpsc;
/// use std::time::Duration;
/// use dataservice::{DataService, Dispatcher, SinceLast, Spec};
///
/// let service: DataService<&str, i64> = DataService::new();
/// let speed = service.register("speed")?;
/// let log = service.subscribe(Spec::new().key(speed, SinceLast::default()))?;
///
/// let dispatcher = Dispatcher::start()?;
/// let (sender, seen) = mpsc::channel();
/// let callback = dispatcher.on_update(log, move |snapshot| {
///     let _ = sender.send(snapshot.update(speed).unwrap().values().to_vec());
/// })?;
/// service.put_many(speed, [(1, 20), (2, 30), (3, 40)])?;
/// assert_eq!(seen.recv_timeout(Duration::from_secs(10))?, [20, 30, 40]);
/// drop(callback);
/// // Waits for the call if it still runs.
/// drop(dispatcher);
/// assert_eq!(service.stats().subscribers, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "dropping the dispatcher stops it"]
pub struct Dispatcher {
    handle: DispatcherHandle,
    thread: Option<JoinHandle<()>>,
}

/// Adds callbacks to a [`Dispatcher`] without keeping it running, for instance from within a
/// callback.
#[derive(Clone)]
pub struct DispatcherHandle {
    hub: Arc<Hub>,
}

/// What a dispatcher did up to now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DispatcherStats {
    /// Callbacks that exist now.
    pub callbacks: usize,
    /// How many may.
    pub callbacks_max: usize,
    /// Calls that returned.
    pub calls: u64,
    /// Calls, or pulls before them, that panicked.
    pub panics: u64,
    /// Callbacks that were quarantined.
    pub quarantined: u64,
    /// Callbacks whose subscriber was closed.
    pub closed: u64,
    /// Callbacks that were there when it stopped.
    pub stopped: u64,
}

impl Dispatcher {
    /// Starts one with the default limits.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start() -> Result<Self, StartError> {
        Self::builder().start()
    }

    /// Sets other limits.
    pub fn builder() -> DispatcherBuilder {
        DispatcherBuilder::default()
    }

    pub(super) fn with_options(options: Options) -> Result<Self, StartError> {
        let hub = Arc::new(Hub {
            ready: Ready::default(),
            options,
            slots: Mutex::new(Slots::default()),
        });
        let worker = Worker(Arc::clone(&hub));
        let thread = Builder::new()
            .name("forebay-dispatch".into())
            .spawn(move || worker.run())?;
        Ok(Self {
            handle: DispatcherHandle { hub },
            thread: Some(thread),
        })
    }

    /// A handle that does not keep it running.
    #[must_use]
    pub fn handle(&self) -> DispatcherHandle {
        self.handle.clone()
    }

    /// As [`DispatcherHandle::on_update`].
    ///
    /// # Errors
    /// When there are too many callbacks; the subscriber is handed back.
    pub fn on_update<P>(
        &self,
        pull: P,
        callback: impl FnMut(P::Item) + Send + 'static,
    ) -> Result<Callback, DispatchError<P>>
    where
        P: Pull + Send + 'static,
    {
        self.handle.on_update(pull, callback)
    }

    /// As [`DispatcherHandle::on_change`].
    ///
    /// # Errors
    /// When there are too many callbacks; the subscription is handed back.
    pub fn on_change<V, O>(
        &self,
        subscription: Subscription<V, O>,
        callback: impl FnMut(&[KeyId]) + Send + 'static,
    ) -> Result<Callback, DispatchError<Subscription<V, O>>>
    where
        V: Clone + Send + Sync + 'static,
        O: 'static,
    {
        self.handle.on_change(subscription, callback)
    }

    /// What it did up to now.
    #[must_use]
    pub fn stats(&self) -> DispatcherStats {
        self.handle.stats()
    }

    /// Stops it as dropping does, and says what it did.
    pub fn stop(mut self) -> DispatcherStats {
        self.halt();
        self.stats()
    }

    fn halt(&mut self) {
        self.handle.hub.ready.stop();
        let Some(thread) = self.thread.take() else {
            return;
        };
        // In a callback, of this dispatcher or another one, waiting could be waiting for oneself.
        if cascade_depth() == 0 && thread.thread().id() != current().id() {
            // The worker catches the panics of others, and reports its own by itself.
            let _ = thread.join();
        }
    }
}

impl Drop for Dispatcher {
    fn drop(&mut self) {
        self.halt();
    }
}

impl DispatcherHandle {
    /// Calls a function with what a subscriber pulls whenever it was woken: first with what there
    /// is now, if anything.
    ///
    /// # Errors
    /// When there are too many callbacks, or the dispatcher has stopped; the subscriber is handed
    /// back.
    pub fn on_update<P>(
        &self,
        pull: P,
        callback: impl FnMut(P::Item) + Send + 'static,
    ) -> Result<Callback, DispatchError<P>>
    where
        P: Pull + Send + 'static,
    {
        self.add(pull, Call(callback))
    }

    /// Calls a function with the ids of keys that changed, each once. Cheapest with
    /// [`NamesOnly`](super::NamesOnly), which reads no values. What a key is called says
    /// [`DataService::key`](crate::DataService::key).
    ///
    /// # Errors
    /// When there are too many callbacks, or the dispatcher has stopped; the subscription is handed
    /// back.
    pub fn on_change<V, O>(
        &self,
        subscription: Subscription<V, O>,
        callback: impl FnMut(&[KeyId]) + Send + 'static,
    ) -> Result<Callback, DispatchError<Subscription<V, O>>>
    where
        V: Clone + Send + Sync + 'static,
        O: 'static,
    {
        let sink = CallWithNames {
            callback,
            ids: Vec::new(),
        };
        self.add(subscription, sink)
    }

    /// What it did up to now.
    #[must_use]
    pub fn stats(&self) -> DispatcherStats {
        let slots = self.hub.slots.lock();
        DispatcherStats {
            callbacks: slots.by_number.len(),
            callbacks_max: self.hub.options.callbacks_max,
            ..slots.stats
        }
    }

    pub(super) fn add<P, S>(&self, pull: P, sink: S) -> Result<Callback, DispatchError<P>>
    where
        P: Pull + Send + 'static,
        S: Sink<P::Item> + 'static,
    {
        let slot = {
            let mut slots = self.hub.slots.lock();
            let limit = self.hub.options.callbacks_max;
            let refusal = if slots.is_closed || self.hub.ready.is_stopping() {
                Some(DispatchRefusal::Stopped)
            } else if slots.by_number.len() >= limit {
                Some(DispatchRefusal::CallbackLimit { limit })
            } else {
                None
            };
            if let Some(refusal) = refusal {
                drop(slots);
                let pull = Box::new(pull);
                return Err(DispatchError { refusal, pull });
            }
            let work: Box<dyn Work> = Box::new(Pair { pull, sink });
            slots.number_next += 1;
            let number = slots.number_next;
            let slot = Arc::new(Slot::new(Arc::clone(&self.hub), number, work));
            slots.by_number.insert(number, Arc::clone(&slot));
            slot
        };
        // Its first turn shows what there is, and leaves the waker.
        slot.wake();
        Ok(Callback::new(slot))
    }
}

/// What the thread, the handles and the wakers share.
pub(super) struct Hub {
    pub(super) ready: Ready,
    pub(super) options: Options,
    slots: Mutex<Slots>,
}

#[derive(Default)]
struct Slots {
    by_number: HashMap<u64, Arc<Slot>>,
    number_next: u64,
    is_closed: bool,
    stats: DispatcherStats,
}

impl Hub {
    pub(super) fn forget(&self, number: u64) {
        let slot = self.slots.lock().by_number.remove(&number);
        drop(slot);
    }

    pub(super) fn note(&self, ran: &Outcome, state: CallbackState) {
        let stats = &mut self.slots.lock().stats;
        match ran {
            Ok(Ran::Called { .. }) => stats.calls += 1,
            Err(_) => stats.panics += 1,
            Ok(_) => {}
        }
        match state {
            CallbackState::Quarantined => stats.quarantined += 1,
            CallbackState::Closed(_) => stats.closed += 1,
            _ => {}
        }
    }

    /// Drops all subscribers, and takes no more.
    fn close(&self) {
        let slots = {
            let mut slots = self.slots.lock();
            slots.is_closed = true;
            slots.stats.stopped += slots.by_number.len() as u64;
            std::mem::take(&mut slots.by_number)
        };
        for slot in slots.into_values() {
            slot.end(CallbackState::Stopped);
        }
    }
}

struct Worker(Arc<Hub>);

impl Worker {
    fn run(&self) {
        let ready = &self.0.ready;
        let mut woken = Vec::new();
        let mut timers = BTreeMap::new();
        ready.enter();
        while ready.take(&mut woken, next_due(&timers)) {
            for slot in woken.drain(..) {
                if ready.is_stopping() {
                    break;
                }
                turn(slot, &mut timers);
            }
            while let Some(timer) = timers.first_entry()
                && !ready.is_stopping()
                && timer.key().0 <= Instant::now()
            {
                turn(timer.remove(), &mut timers);
            }
        }
    }
}

impl Drop for Worker {
    /// Also if it should have panicked: then nobody waits for callbacks that never come.
    fn drop(&mut self) {
        self.0.ready.stop();
        self.0.close();
    }
}

/// By the moment, and then by the number of the slot. One for a slot at most.
type Timers = BTreeMap<(Instant, u64), Arc<Slot>>;

fn next_due(timers: &Timers) -> Option<Instant> {
    timers.first_key_value().map(|((due, _), _)| *due)
}

fn turn(slot: Arc<Slot>, timers: &mut Timers) {
    match slot.turn() {
        Timer::Keep => {}
        Timer::Set(due) => {
            timers.insert((due, slot.number()), slot);
        }
        Timer::Clear(due) => {
            timers.remove(&(due, slot.number()));
        }
    }
}

impl fmt::Debug for Dispatcher {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Dispatcher")
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for DispatcherHandle {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("DispatcherHandle")
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
