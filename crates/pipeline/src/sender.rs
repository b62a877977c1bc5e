//! A channel into a pipeline, for threads and tasks of the same program.

use std::time::Duration;

use record::Record;

use crate::error::IntakeError;
use crate::intake::{Accepted, Content, Intake, Mode};
use crate::queue::now;
use crate::tracked::Tracked;

/// A channel into a pipeline; a clone is another end of the same one. What its senders hand over
/// is one source: its records are delivered in the order in which they were accepted, key by key
/// in each lane.
///
/// ```
/// use pipeline::{Outcome, Pipeline};
/// use record::{Record, Timestamp, Value};
/// use sinks::{BoxWriter, MemoryWriter};
///
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
/// # let runtime = runtime.expect("runs");
/// # runtime.block_on(async {
/// let pipeline = Pipeline::to(BoxWriter::new(MemoryWriter::new())).start()?;
/// let sender = pipeline.sender();
/// let record = Record::new("PLC01", "D100", Value::I64(7), Timestamp::default())?;
/// let thread = std::thread::spawn({
///     let (sender, record) = (sender.clone(), record.clone());
///     move || sender.send(record)
/// });
/// thread.join().expect("no panic")?;
/// let outcome = sender.send_tracked(record)?;
/// pipeline.flush().await?;
/// assert_eq!(outcome.await, [("sink".to_owned(), Outcome::Delivered)]);
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).expect("delivered");
/// ```
#[derive(Clone, Debug)]
pub struct Sender {
    intake: Intake,
}

/// A record was not taken; it is neither stored nor shown, unless it was taken partly.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct SendError {
    /// Why not.
    #[source]
    pub error: IntakeError,
    /// Whether another of its routes took it all the same: offered again, it goes there twice.
    pub is_taken_partly: bool,
}

impl Sender {
    pub(crate) fn new(intake: Intake) -> Self {
        Self { intake }
    }

    /// The source that its records are of.
    #[must_use]
    pub fn intake(&self) -> &Intake {
        &self.intake
    }

    /// Hands over a record, by the policy of its lane. Where that is to block, the thread waits:
    /// in a task, use [`send_async`](Self::send_async).
    ///
    /// # Errors
    /// When it was refused.
    pub fn send(&self, record: Record) -> Result<(), SendError> {
        let accepted = self.intake.push_one(now(), record, Mode::ByPolicy, None);
        check(accepted)
    }

    /// Hands over many records at once, in order, by the policies of their lanes.
    ///
    /// # Errors
    /// When they have more new keys than may be; then none of them is taken.
    pub fn send_many(
        &self,
        records: impl IntoIterator<Item = Record>,
    ) -> Result<Accepted, IntakeError> {
        let contents: Vec<Content> = records.into_iter().map(Ok).collect();
        self.intake.push(now(), contents)
    }

    /// Hands over a record from a task. While its lane is full and its policy is to block, the
    /// task waits, for as long as the policy says.
    ///
    /// # Errors
    /// When it was refused.
    ///
    /// # Cancellation
    /// A future that is dropped has handed over nothing, unless it was ready.
    pub async fn send_async(&self, record: Record) -> Result<(), SendError> {
        let began = now();
        let mut pause = PAUSE_MIN;
        while let Some(timeout) = self.intake.inner.blocks(&record) {
            if now().saturating_duration_since(began) >= timeout {
                break;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
        check(self.intake.push_one(now(), record, Mode::NoWait, None))
    }

    /// Hands over a record, and says later what became of it.
    ///
    /// # Errors
    /// When it was refused.
    pub fn send_tracked(&self, record: Record) -> Result<Tracked, SendError> {
        let mut tracked = Tracked {
            waiting: Vec::new(),
            known: Vec::new(),
        };
        let accepted = self
            .intake
            .push_one(now(), record, Mode::ByPolicy, Some(&mut tracked));
        check(accepted)?;
        Ok(tracked)
    }
}

fn check(accepted: Result<Accepted, IntakeError>) -> Result<(), SendError> {
    match accepted {
        Ok(accepted) => match accepted.refusal {
            None => Ok(()),
            Some(refusal) => Err(SendError {
                error: refusal.into(),
                is_taken_partly: accepted.refused_partly > 0,
            }),
        },
        Err(error) => Err(SendError {
            error,
            is_taken_partly: false,
        }),
    }
}

/// How long a task waits before it looks for room again, at first and at most.
const PAUSE_MIN: Duration = Duration::from_millis(1);
const PAUSE_MAX: Duration = Duration::from_millis(20);
