//! Several sinks for the same rows, none of which waits for another.
//!
//! Each [`Target`] has its own task, its own progress and its own bounded backlog of batches, which
//! share their rows with all others. A target that fails is tried again with backoff, one batch at
//! a time and in order, while the others go on. When its backlog is full, [`WhenBehind`] says what
//! happens. A sink with a ledger of its own, or a [`Ledger`](crate::Ledger) around it, makes each
//! target skip what it has; without one a target that was ahead gets rows twice after a restart.
//!
//! A backlog is in memory. What stands in it when the process dies is offered again only by sources
//! that can be read again from the least watermark; [`FanOut::close`](BatchWriter::close) drains.

mod answer;
mod backlog;
mod late;
mod target;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use record::{Position, Record, Timestamp};
use tokio::task::JoinHandle;

use crate::{
    Batch, BatchWriter, BoxWriter, ErrorKind, Guarantee, OpenScope, Receipt, RetryPolicy, Row,
    ScopeIndex, ScopeName, WriteError,
};
use answer::{Standing, answer_of};
use backlog::{Key, Offer};
pub use target::TargetStats;
use target::{Line, Waiting};

/// What happens to a batch when a target has no room left for it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum WhenBehind<R = Record> {
    /// The fan-out waits until the target has room for it: the target is left out of nothing, and
    /// once its backlog is full all targets are as slow as it. A crash still loses its backlog.
    Wait,
    /// This target does not get the batch, which is counted in [`TargetStats::rows_dropped`].
    Drop,
    /// The batch goes to this writer in place of the target; see
    /// [`TargetStats::rows_diverted`].
    Divert(BoxWriter<R>),
}

/// One sink of a [`FanOut`].
#[derive(Clone, Debug)]
pub struct Target<R = Record> {
    writer: BoxWriter<R>,
    when_behind: WhenBehind<R>,
    backlog_max: usize,
    backlog_bytes_max: usize,
    retry: RetryPolicy,
}

impl<R: Row> Target<R> {
    /// A sink, and what happens when 64 batches or 64 MiB wait for it. It is tried again after
    /// bounds of 100 ms to 10 s, without end.
    pub fn new(writer: impl BatchWriter<Row = R>, when_behind: WhenBehind<R>) -> Self {
        let retry = RetryPolicy::new(Duration::from_millis(100), Duration::from_secs(10), None);
        Self {
            writer: BoxWriter::new(writer),
            when_behind,
            backlog_max: 64,
            backlog_bytes_max: 64 << 20,
            retry,
        }
    }

    /// The most batches that may wait for it, that under way included; at least 1.
    #[must_use]
    pub fn backlog_max(self, batches: usize) -> Self {
        Self {
            backlog_max: batches.max(1),
            ..self
        }
    }

    /// The most bytes of memory that may wait for it. A batch that is larger alone is taken when
    /// nothing else waits.
    #[must_use]
    pub fn backlog_bytes_max(self, bytes: usize) -> Self {
        Self {
            backlog_bytes_max: bytes,
            ..self
        }
    }

    /// The delays between attempts; it is always tried without end.
    #[must_use]
    pub fn retry(self, retry: RetryPolicy) -> Self {
        Self {
            retry: retry.unlimited(),
            ..self
        }
    }
}

/// Writes each batch to several sinks.
///
/// # What a receipt says
/// `write` returns once each target has settled the batch, or is behind (its last attempt failed,
/// or older batches wait for it) and has the batch in its backlog, and at least one has settled it.
/// The receipt speaks of those that settled it: a row is delivered when one of them delivered it
/// and none refused it; otherwise it is what the first of them says that has it not. What becomes
/// of it at the others, [`stats`](Self::stats) says per target. When no target has settled the
/// batch and all that have it fail, the write fails with their error and takes the batch out of all
/// backlogs: its rows are their producer's. One that is being written at that moment may have it
/// all the same; the same rows, offered again under whatever id, are then known there.
///
/// # A target that somebody else writes
/// When a target is fenced, that write and every later one fails with its error, until the scope
/// is opened again.
///
/// # Data errors
/// A batch that a target refuses for its data is dropped there, counted, and named in its last
/// error: put [`Bisect`](crate::Bisect) around targets that refuse rows.
///
/// ```
/// use sinks::{FanOut, MemoryWriter, Target, WhenBehind};
/// let fan_out = FanOut::new(vec![
///     Target::new(MemoryWriter::new(), WhenBehind::Wait),
///     Target::new(MemoryWriter::new(), WhenBehind::Drop).backlog_max(16),
/// ]);
/// assert_eq!(fan_out.stats().len(), 2);
/// ```
#[derive(Debug)]
pub struct FanOut<R = Record> {
    lines: Vec<Arc<Line<R>>>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
    /// How often each scope was opened.
    openings: Mutex<HashMap<ScopeIndex, u64>>,
    drain_max: Duration,
    patience: Duration,
}

impl<R: Row> FanOut<R> {
    /// Writes to all of these. Their tasks begin with the first use, inside a runtime.
    #[must_use]
    pub fn new(targets: Vec<Target<R>>) -> Self {
        Self {
            lines: targets
                .into_iter()
                .map(|target| Arc::new(Line::new(target)))
                .collect(),
            tasks: Mutex::default(),
            openings: Mutex::default(),
            drain_max: Duration::from_secs(10),
            patience: Duration::from_secs(1),
        }
    }

    /// How long `close` waits for backlogs to empty; 10 s by default.
    #[must_use]
    pub fn drain_max(mut self, drain_max: Duration) -> Self {
        self.drain_max = drain_max;
        self
    }

    /// How long a batch may be under way before its target counts as behind; 1 s by default. A
    /// target that hangs costs the others that much once, and then nothing.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// How each target stands, in the order in which they were given.
    #[must_use]
    pub fn stats(&self) -> Vec<TargetStats> {
        self.lines.iter().map(|line| line.stats()).collect()
    }

    fn start(&self) {
        let mut tasks = self.tasks.lock();
        if tasks.is_empty() {
            tasks.extend(
                self.lines
                    .iter()
                    .map(|line| tokio::spawn(Arc::clone(line).run())),
            );
        }
    }

    /// Waits until the batch stands as a receipt has to say it.
    async fn settled(&self, key: Key, rows: usize) -> Result<Receipt, WriteError> {
        let mut changes: Vec<_> = self.lines.iter().map(|line| line.changes()).collect();
        let mut patience = Box::pin(tokio::time::sleep(self.patience));
        let mut waiting = Waiting::Patiently;
        loop {
            for change in &mut changes {
                change.borrow_and_update();
            }
            let standings = self.lines.iter().map(|line| line.standing(key, waiting));
            let standings: Vec<Standing> = standings.collect();
            if let Some(answer) = answer_of(rows, &standings) {
                return answer;
            }
            let changed = changes.iter_mut().map(|change| Box::pin(change.changed()));
            let changed = futures_util::future::select_all(changed);
            match waiting {
                Waiting::Patiently => tokio::select! {
                    _ = changed => {}
                    () = &mut patience => waiting = Waiting::ForTheFirst,
                },
                Waiting::ForTheFirst => drop(changed.await),
            }
        }
    }
}

impl<R: Row> BatchWriter for FanOut<R> {
    type Row = R;

    fn name(&self) -> &str {
        "fan-out"
    }

    /// That of the weakest target.
    fn guarantee(&self) -> Guarantee {
        let exactly = |line: &Arc<Line<R>>| line.guarantee() == Guarantee::ExactlyOnce;
        if !self.lines.is_empty() && self.lines.iter().all(exactly) {
            Guarantee::ExactlyOnce
        } else {
            Guarantee::AtLeastOnce
        }
    }

    /// Opens the scope at every target. The least watermark holds of those that have a ledger, and
    /// a target that is ahead skips what it has; new rows are numbered behind the highest. A target
    /// that cannot be reached and is not waited for (drop, divert) is opened before its first write
    /// instead, and lacks what lies before that. It may be ahead of all others, so rows are then
    /// numbered 2^32 further on.
    async fn open_scope(
        &self,
        index: ScopeIndex,
        name: &ScopeName,
    ) -> Result<OpenScope, WriteError> {
        self.start();
        *self.openings.lock().entry(index).or_default() += 1;
        let mut least: Option<OpenScope> = None;
        let (mut numbered_to, mut is_unknown) = (Position::START, false);
        let mut failed = None;
        for line in &self.lines {
            let opening = line.open_scope(index, name).await;
            match &opening.diverted {
                Some(Ok(opened)) => numbered_to = numbered_to.max(opened.numbered_to),
                Some(Err(_)) => is_unknown = true,
                None => {}
            }
            match opening.target {
                Ok(opened) => {
                    numbered_to = numbered_to.max(opened.numbered_to);
                    let is_less = |least: OpenScope| {
                        opened.fence > 0 && (least.fence == 0 || opened.watermark < least.watermark)
                    };
                    least = least.filter(|least| !is_less(*least)).or(Some(opened));
                }
                Err(error) if line.is_waited_for() => return Err(error),
                Err(error) => (failed, is_unknown) = (Some(error), true),
            }
        }
        if is_unknown {
            // A target that cannot be asked may be ahead of the others. Nobody numbers as many
            // rows as there were microseconds, and no two starts come to the same.
            let now_us = Timestamp::from_system(SystemTime::now()).micros();
            numbered_to = numbered_to.max(Position::new(now_us.unsigned_abs()));
        }
        let least = least.map(|least| OpenScope {
            numbered_to,
            ..least
        });
        least.ok_or_else(|| {
            failed.unwrap_or_else(|| WriteError::new(ErrorKind::Fatal, "there is no target"))
        })
    }

    /// The scopes that any target knows, with the least watermark. A target that knows none of
    /// them has no ledger, or is new; it is left out, as it must not hide what the others have.
    async fn scopes(&self, prefix: &str) -> Result<Vec<(ScopeName, Position)>, WriteError> {
        let mut all: Vec<(ScopeName, Position, usize)> = Vec::new();
        let mut targets = 0;
        for line in &self.lines {
            let scopes = line.scopes(prefix).await?;
            targets += usize::from(!scopes.is_empty());
            for (name, position) in scopes {
                match all.iter_mut().find(|(known, _, _)| *known == name) {
                    Some((_, known, count)) => {
                        *known = position.min(*known);
                        *count += 1;
                    }
                    None => all.push((name, position, 1)),
                }
            }
        }
        let least = all.into_iter().map(|(name, position, count)| {
            let is_everywhere = count == targets;
            (
                name,
                if is_everywhere {
                    position
                } else {
                    Position::START
                },
            )
        });
        Ok(least.collect())
    }

    async fn rename_scope(&self, from: &ScopeName, to: &ScopeName) -> Result<(), WriteError> {
        for line in &self.lines {
            line.rename_scope(from, to).await?;
        }
        Ok(())
    }

    /// Hands the batch to every target; see [`FanOut`] for when it returns.
    ///
    /// # Cancellation
    /// Targets that have the batch write it all the same.
    async fn write(&self, batch: &Batch<R>) -> Result<Receipt, WriteError> {
        self.start();
        if self.lines.is_empty() {
            return Err(WriteError::new(ErrorKind::Fatal, "there is no target"));
        }
        if let Some(error) = self.lines.iter().find_map(|line| line.fenced()) {
            return Err(error);
        }
        let offer = {
            let openings = self.openings.lock();
            Offer::of(batch, |scope| openings.get(&scope).copied().unwrap_or(0))
        };
        let offers = self.lines.iter().map(|line| line.offer(&offer));
        let offered = futures_util::future::join_all(offers).await;
        let answer = match offered.into_iter().collect::<Result<(), WriteError>>() {
            Ok(()) => self.settled(offer.key, batch.len()).await,
            Err(error) => Err(error),
        };
        if answer.is_err() {
            self.lines.iter().for_each(|line| line.withdraw(offer.key));
        }
        answer
    }

    /// Waits for the backlogs to empty, at most as long as [`drain_max`](FanOut::drain_max) says,
    /// then closes every target. What is left is in the error, per target.
    async fn close(&self) -> Result<(), WriteError> {
        let drained = futures_util::future::join_all(self.lines.iter().map(|line| line.drained()));
        let _ = tokio::time::timeout(self.drain_max, drained).await;
        let tasks = std::mem::take(&mut *self.tasks.lock());
        tasks.iter().for_each(JoinHandle::abort);
        // What they have under way ends before their targets are closed.
        futures_util::future::join_all(tasks).await;
        let mut wrong = Vec::new();
        for line in &self.lines {
            let stats = line.stats();
            if stats.rows_pending > 0 {
                let why = stats.last_error.as_deref().unwrap_or("it is slow");
                wrong.push(format!(
                    "target `{}` lacks {} rows after {:?}: {why}",
                    stats.name, stats.rows_pending, self.drain_max
                ));
            }
            if let Err(error) = line.close().await {
                wrong.push(format!("target `{}` cannot be closed: {error}", stats.name));
            }
        }
        if wrong.is_empty() {
            return Ok(());
        }
        Err(WriteError::new(ErrorKind::Transient, wrong.join("; ")))
    }
}

impl<R> Drop for FanOut<R> {
    fn drop(&mut self) {
        for task in self.tasks.get_mut().drain(..) {
            task.abort();
        }
    }
}
