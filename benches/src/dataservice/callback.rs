//! From a commit to the callback, with a put per millisecond and nothing else to do.
//!
//! The value is the moment before the put. A contender that was late by a whole interval may skip a
//! value, since the newest counts; the last one has to arrive.

use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use dataservice::{
    Callback, DataService, Dispatcher, KeyId, KeyUpdate, LatestValue, Snapshot, Spec,
};
use tokio::sync::watch;

use super::WATCH;
use super::stream::percentile;
use crate::measure::case::{Against, Case, Contender, Kind, Metric};
use crate::report::Better;

const INTERVAL: Duration = Duration::from_millis(1);
/// An update that took so long does not come.
const LOST_AFTER: Duration = Duration::from_secs(5);
const CONDVAR: &str = "std Condvar";
const UNPOISONED: &str = "nothing panics under the lock";

/// Ends a receiving thread.
const END: f64 = f64::INFINITY;

/// The case.
pub(super) fn case() -> Case {
    let metric = |what| {
        let title = format!("commit to callback, idle machine: {what}");
        Metric::new(title, "µs", Better::Lower)
    };
    Case {
        name: "callback".into(),
        metrics: vec![
            metric("p50").aim(1.0, Against::Limit(15.0)),
            metric("p99").aim(1.0, Against::Limit(100.0)),
        ],
        contenders: vec![
            Contender::new(Kind::Ours, "ours", measure::<Ours>),
            Contender::new(Kind::Peer, WATCH, measure::<Watch>),
            Contender::new(Kind::Peer, CONDVAR, measure::<Waiting>),
        ],
        duration: Duration::from_millis(600),
    }
}

/// Where callbacks note how long it took.
struct Recorder {
    since: Instant,
    /// Each value that arrived, and how long it took in microseconds.
    arrived: Mutex<Vec<(f64, f64)>>,
}

impl Recorder {
    /// Nanoseconds since the recorder was made, as a value that is put.
    fn stamp(&self) -> f64 {
        self.since.elapsed().as_nanos() as f64
    }

    fn arrived(&self, stamp: f64) {
        let took_us = (self.stamp() - stamp) / 1e3;
        self.lock().push((stamp, took_us));
    }

    fn wait_for(&self, stamp: f64) -> Result<()> {
        let since = Instant::now();
        while self.lock().last().is_none_or(|(newest, _)| *newest < stamp) {
            ensure!(since.elapsed() < LOST_AFTER, "the last update is lost");
            thread::sleep(INTERVAL);
        }
        Ok(())
    }

    fn times_us(&self) -> Vec<f64> {
        self.lock().iter().map(|(_, took_us)| *took_us).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(f64, f64)>> {
        self.arrived.lock().expect(UNPOISONED)
    }
}

/// One way from a put to a callback in another thread.
trait Deliver: Sized {
    fn new(recorder: Arc<Recorder>) -> Self;
    fn put(&mut self, stamp: f64);
    /// Lets what was put arrive, and ends the threads.
    fn end(self);
}

/// Median and 99th percentile in microseconds.
fn measure<D: Deliver>(duration: Duration) -> Result<Vec<f64>> {
    let recorder = Arc::new(Recorder {
        since: Instant::now(),
        arrived: Mutex::default(),
    });
    let mut way = D::new(Arc::clone(&recorder));
    let (started, mut puts, mut last) = (Instant::now(), 0, 0.0);
    while started.elapsed() < duration {
        thread::sleep(INTERVAL);
        last = recorder.stamp();
        way.put(last);
        puts += 1;
    }
    recorder.wait_for(last)?;
    way.end();
    let mut times_us = recorder.times_us();
    let arrived = times_us.len();
    ensure!(arrived <= puts, "{arrived} callbacks for {puts} puts");
    Ok(vec![
        percentile(&mut times_us, 0.5),
        percentile(&mut times_us, 0.99),
    ])
}

fn join(thread: JoinHandle<()>) {
    thread.join().expect("a receiving thread does not panic");
}

/// The data service with a dispatcher.
struct Ours {
    service: DataService<u32, f64>,
    id: KeyId,
    dispatcher: Dispatcher,
    callback: Callback,
}

impl Deliver for Ours {
    fn new(recorder: Arc<Recorder>) -> Self {
        let service: DataService<u32, f64> = DataService::new();
        let id = service.register(0).expect("there is room for a key");
        let spec = Spec::new().key(id, LatestValue);
        let subscription = service.subscribe(spec).expect("the key is registered");
        let dispatcher = Dispatcher::start().expect("a thread can be had");
        let arrived = move |snapshot: Snapshot<_>| {
            for value in snapshot.updates().iter().flat_map(KeyUpdate::values) {
                recorder.arrived(*value);
            }
        };
        let callback = dispatcher.on_update(subscription, arrived);
        Self {
            service,
            id,
            dispatcher,
            callback: callback.expect("there is room for a callback"),
        }
    }

    fn put(&mut self, stamp: f64) {
        let committed = self.service.put(self.id, 0, stamp);
        committed.expect("the key is registered");
    }

    fn end(self) {
        drop(self.callback);
        drop(self.dispatcher);
    }
}

/// A task that waits for changes, on a runtime with one worker.
struct Watch {
    sender: watch::Sender<f64>,
    runtime: tokio::runtime::Runtime,
}

impl Deliver for Watch {
    fn new(recorder: Arc<Recorder>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .build()
            .expect("a runtime with one worker can be had");
        let (sender, mut receiver) = watch::channel(0.0);
        runtime.spawn(async move {
            while receiver.changed().await.is_ok() {
                let stamp = *receiver.borrow_and_update();
                recorder.arrived(stamp);
            }
        });
        Self { sender, runtime }
    }

    fn put(&mut self, stamp: f64) {
        self.sender.send_replace(stamp);
    }

    fn end(self) {
        drop(self.sender);
        self.runtime.shutdown_timeout(Duration::from_secs(1));
    }
}

/// The least there is: a thread, a value, a mutex, a condition variable.
struct Waiting {
    shared: Arc<(Mutex<Option<f64>>, Condvar)>,
    thread: JoinHandle<()>,
}

impl Deliver for Waiting {
    fn new(recorder: Arc<Recorder>) -> Self {
        let shared = Arc::new((Mutex::new(None), Condvar::new()));
        let receiving = Arc::clone(&shared);
        let thread = thread::spawn(move || {
            let (mutex, condvar) = &*receiving;
            loop {
                let waiting = mutex.lock().expect(UNPOISONED);
                let mut newest = condvar
                    .wait_while(waiting, |newest| newest.is_none())
                    .expect(UNPOISONED);
                let Some(stamp) = newest.take() else { continue };
                drop(newest);
                if stamp == END {
                    return;
                }
                recorder.arrived(stamp);
            }
        });
        Self { shared, thread }
    }

    fn put(&mut self, stamp: f64) {
        let (mutex, condvar) = &*self.shared;
        *mutex.lock().expect(UNPOISONED) = Some(stamp);
        condvar.notify_one();
    }

    fn end(mut self) {
        self.put(END);
        join(self.thread);
    }
}
