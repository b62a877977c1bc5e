//! The end of a pipeline: who asks for it, what it waits for, and who gets what is left.
//!
//! It is one task, whoever asks and goes away again, so each row is handed back once: to the first
//! who is there when it is done. A change that is under way comes first; what its routes could not
//! deliver is then part of this report. Of several deadlines the earliest one holds.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use sinks::{BatchWriter, Entry};
use tokio::sync::watch;

use crate::queue::{CLOSE_WITHIN, Queue, now};
use crate::sink::Sink;
use crate::{Pipeline, Report, SinkReport};

/// How long a shutdown takes at most when nobody says.
const DRAIN_WITHIN: Duration = Duration::from_secs(10);

/// How far the end has come. Whoever holds it keeps it from beginning meanwhile.
#[derive(Default)]
pub(crate) struct Stop {
    pub(crate) deadline: Option<Instant>,
    /// What was not delivered and is not handed back yet.
    left: Vec<Left>,
    /// Turns true once all is done.
    done: Option<watch::Receiver<bool>>,
}

/// What was accepted for a sink and not delivered.
pub(crate) struct Left {
    sink: Arc<Sink>,
    rows: Vec<Entry>,
}

impl Stop {
    /// Keeps it for the report, behind what was kept before of the same sink.
    pub(crate) fn keep(&mut self, left: Vec<Left>) {
        let before = std::mem::replace(&mut self.left, left);
        for earlier in before {
            let same = |left: &&mut Left| Arc::ptr_eq(&left.sink, &earlier.sink);
            match self.left.iter_mut().find(same) {
                Some(left) => drop(left.rows.splice(0..0, earlier.rows)),
                None if earlier.rows.is_empty() => {}
                None => self.left.push(earlier),
            }
        }
    }

    /// The sinks, with rows for the first who asks.
    fn hand_over(&mut self) -> Vec<Left> {
        let left = self.left.iter_mut().map(|left| Left {
            sink: Arc::clone(&left.sink),
            rows: std::mem::take(&mut left.rows),
        });
        left.collect()
    }
}

impl Pipeline {
    /// Takes nothing more, delivers what is buffered, and closes the sinks. What is not delivered
    /// within the time, 10 s unless said, is handed back, once: a later report is without it. Where
    /// several ask, the earliest end holds for all.
    ///
    /// # Cancellation
    /// The shutdown goes on; calling again waits for it.
    pub async fn shutdown(&self, within: impl Into<Option<Duration>>) -> Report {
        let deadline = now().checked_add(within.into().unwrap_or(DRAIN_WITHIN));
        // An error means that the task is gone, and there is nothing to wait for.
        let _ = self.stop(deadline).wait_for(|is_done| *is_done).await;
        let left = self.core().stop.lock().hand_over();
        let (undelivered, sinks) = reports(left);
        Report {
            stats: self.stats(),
            undelivered,
            error: sinks.iter().find_map(|sink| sink.error.clone()),
            sinks,
        }
    }

    /// Closes all queues, and begins the end if nobody has.
    fn stop(&self, deadline: Option<Instant>) -> watch::Receiver<bool> {
        let core = self.core();
        let mut stop = core.stop.lock();
        core.is_stopping.store(true, Ordering::Release);
        stop.deadline = [stop.deadline, deadline].into_iter().flatten().min();
        core.shape
            .load()
            .queues()
            .for_each(|queue| queue.close(deadline));
        for route in core.ending.lock().iter() {
            route.queues().for_each(|queue| queue.close(deadline));
        }
        if let Some(done) = &stop.done {
            return done.clone();
        }
        let (end, done) = watch::channel(false);
        stop.done = Some(done.clone());
        let pipeline = self.clone();
        tokio::spawn(async move {
            pipeline.finish().await;
            end.send_replace(true);
        });
        done
    }

    async fn finish(&self) {
        let core = self.core();
        let _draining = core.draining.lock().await;
        let shape = core.shape.load_full();
        join_all(shape.queues().map(|queue| queue.wait_ended())).await;
        self.stop_monitor();
        let left = left_of(&shape.sinks, shape.queues()).await;
        core.stop.lock().keep(left);
        join_all(shape.sinks.iter().map(close)).await;
        #[cfg(feature = "alerts")]
        {
            let deadline = core.stop.lock().deadline;
            core.close_alerts(deadline).await;
        }
    }
}

/// What queues that have ended were left with, sink by sink; all sinks are asked at once.
pub(crate) async fn left_of<'a>(
    sinks: &[Arc<Sink>],
    queues: impl Iterator<Item = &'a Arc<Queue>>,
) -> Vec<Left> {
    let queues: Vec<_> = queues.collect();
    let rows = join_all(queues.iter().map(|queue| queue.leftovers())).await;
    let nothing = |sink| Left {
        sink: Arc::clone(sink),
        rows: Vec::new(),
    };
    let mut left: Vec<Left> = sinks.iter().map(nothing).collect();
    for (queue, rows) in queues.into_iter().zip(rows) {
        let own = |left: &&mut Left| Arc::ptr_eq(&left.sink, &queue.sink);
        if let Some(left) = left.iter_mut().find(own) {
            left.rows.extend(rows);
        }
    }
    left
}

/// The rows of all sinks, and which of them are whose.
pub(crate) fn reports(left: Vec<Left>) -> (Vec<Entry>, Vec<SinkReport>) {
    let (mut undelivered, mut sinks) = (Vec::new(), Vec::with_capacity(left.len()));
    for Left { sink, rows } in left {
        let first = undelivered.len();
        undelivered.extend(rows);
        sinks.push(SinkReport {
            sink: sink.name.clone(),
            undelivered: first..undelivered.len(),
            error: sink.lost(),
        });
    }
    (undelivered, sinks)
}

/// Closes a sink that nobody writes to any more.
pub(crate) async fn close(sink: &Arc<Sink>) {
    let closed = tokio::time::timeout(CLOSE_WITHIN, sink.writer.close()).await;
    if let Ok(Err(error)) = closed {
        tracing::warn!(sink = sink.name, %error, "the sink was not closed cleanly");
    }
}
