//! Feeds a reader's items into an intake, on the thread that calls.

use std::time::{Duration, SystemTime};

use buffer_core::Refusal;
use record::{FutureLimit, Timestamp};

use crate::IntakeError;
use crate::intake::Intake;
use crate::queue::now;
use crate::source::{Progress, ReadError, Reader};

/// Items handed over at a time: enough to make locks cheap, few enough to stay in the cache.
const CHUNK_ITEMS: usize = 512;

/// How long a lane is waited for before the observer is asked again.
const HIGH_FOR: Duration = Duration::from_millis(500);

/// How far a feed has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FeedProgress {
    /// Bytes read from the input.
    pub bytes: u64,
    /// Items handed over, malformed ones included.
    pub items: u64,
    /// Items that lay at or below the watermark and were passed over.
    pub skipped: u64,
}

/// How a feed ended.
#[derive(Debug)]
pub struct FeedReport {
    /// How far it came.
    pub progress: FeedProgress,
    /// Why it ended before the input did, if it did.
    pub error: Option<FeedError>,
}

/// Why a feed ended before its input did.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FeedError {
    /// The input cannot be read on.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The pipeline takes nothing more.
    #[error("not taken: {0}")]
    Intake(#[from] IntakeError),
}

/// Reads to the end and hands everything over; waits while a buffer is past its high mark, or
/// full if its policy is to block. `future_max` is how far ahead of the clock a timestamp may be.
/// `observe` is called after each chunk and may stop the feed by returning
/// [`std::ops::ControlFlow::Break`].
pub fn feed(
    reader: &mut dyn Reader,
    intake: &Intake,
    future_max: Duration,
    mut observe: impl FnMut(FeedProgress) -> std::ops::ControlFlow<()>,
) -> FeedReport {
    let mut progress = FeedProgress::default();
    let mut passed_over = 0;
    let error = loop {
        // A lane that fills up slows the reading, instead of losing what was read.
        while !intake.wait_until_low(HIGH_FOR) {
            if observe(progress).is_break() {
                return FeedReport {
                    progress,
                    error: None,
                };
            }
        }
        let mut items = Vec::with_capacity(CHUNK_ITEMS);
        let limit = FutureLimit::new(Timestamp::from_system(SystemTime::now()), future_max);
        let read = reader.read(
            &limit,
            CHUNK_ITEMS.min(intake.room_above_high()),
            &mut items,
        );
        // What was read before an error is good, and is handed over first.
        let count = items.len() as u64;
        if count > 0 {
            match intake.push_items(now(), items) {
                Ok(accepted) => {
                    progress.items += accepted.accepted as u64;
                    passed_over += accepted.skipped as u64;
                    // What one sink alone does not take any more the others still do.
                    let goes_on = accepted.refusal == Some(Refusal::Closed) && !intake.is_closed();
                    if let Some(refusal) = accepted.refusal.filter(|_| !goes_on) {
                        break Some(FeedError::Intake(refusal.into()));
                    }
                }
                Err(error) => break Some(FeedError::Intake(error)),
            }
        }
        progress.bytes = reader.bytes_read();
        progress.skipped = reader.skipped() + passed_over;
        let stop = observe(progress).is_break();
        match read {
            Ok(Progress::More) if !stop => {}
            Ok(_) => break None,
            Err(error) => break Some(error.into()),
        }
    };
    FeedReport { progress, error }
}
