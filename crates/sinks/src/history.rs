//! Reading back what a sink has: ranges of one tag, streamed.
//!
//! A sink whose tables are the record's own implements [`HistoryReader`]. A range comes as
//! [`Reading`]s in the order of their times, or reduced by the database to [`Bucket`]s. What is
//! read waits in a few chunks, so memory is bounded however long the range; a stream that is
//! dropped ends its query. Reading uses connections of its own and never delays a write.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use record::{Quality, Timestamp, Value};
use tokio::sync::mpsc;

/// Which readings are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryQuery {
    /// Who read.
    pub source: String,
    /// What was read.
    pub tag: String,
    /// The first moment of the range.
    pub from: Timestamp,
    /// The first moment behind the range.
    pub until: Timestamp,
    /// At most so many readings; [`HistoryStream::is_cut_off`] says when there were more.
    pub readings_max: usize,
}

/// One stored reading.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// When it happened, by the source.
    pub timestamp: Timestamp,
    /// What was read. A sink without a type for it gives the nearest: SQLite has 0 and 1 for
    /// truth values, and text for JSON.
    pub value: Value,
    /// How far it can be trusted.
    pub quality: Quality,
}

/// All readings of an equal part of the range; parts without any are left out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket {
    /// The first moment of the part.
    pub start: Timestamp,
    /// The readings in it, of whatever kind.
    pub count: u64,
    /// Of those that are numbers: the least, the greatest and the mean, or `None` without any.
    pub numbers: Option<BucketNumbers>,
}

/// What a bucket says of the numbers in it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BucketNumbers {
    /// How many numbers there are.
    pub count: u64,
    /// The least.
    pub min: f64,
    /// The greatest.
    pub max: f64,
    /// Their arithmetic mean.
    pub mean: f64,
}

/// Why a range could not be read, or not to its end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ReadError {
    message: String,
}

impl ReadError {
    /// A failure; `message` says what was read of which sink, and why it failed.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
        }
    }
}

/// A sink that can be read.
pub trait HistoryReader: Send + Sync + 'static {
    /// The readings of a range, by time.
    fn range(&self, query: HistoryQuery) -> HistoryStream<Reading>;

    /// The range in so many equal parts, reduced by the database.
    fn buckets(&self, query: HistoryQuery, buckets: NonZeroU32) -> HistoryStream<Bucket>;
}

/// Items that come from a sink, in chunks.
#[derive(Debug)]
pub struct HistoryStream<T> {
    chunks: mpsc::Receiver<Result<Vec<T>, ReadError>>,
    ready: VecDeque<T>,
    left: usize,
    is_cut_off: bool,
}

/// The length of a bucket in microseconds, rounded up so that there are never more than asked for.
pub(crate) fn bucket_width_us(query: &HistoryQuery, buckets: NonZeroU32) -> i64 {
    let span = query.until.micros().saturating_sub(query.from.micros());
    let buckets = i64::from(buckets.get());
    (span / buckets + i64::from(span % buckets != 0)).max(1)
}

/// Items that are sent at once.
pub(crate) const CHUNK_ITEMS: usize = 1_024;
/// Chunks that wait for the reader.
const CHUNKS_MAX: usize = 4;

/// Where an adapter puts chunks of at most [`CHUNK_ITEMS`]; it ends its query when sending fails.
pub(crate) type HistorySender<T> = mpsc::Sender<Result<Vec<T>, ReadError>>;

impl<T> HistoryStream<T> {
    /// A stream of at most `items_max` items, and where they come from. The adapter reads one more
    /// than that where there is one, so that a stream knows that it was cut off.
    pub(crate) fn new(items_max: usize) -> (HistorySender<T>, Self) {
        let (sender, chunks) = mpsc::channel(CHUNKS_MAX);
        let stream = Self {
            chunks,
            ready: VecDeque::new(),
            left: items_max,
            is_cut_off: false,
        };
        (sender, stream)
    }

    /// The next item; `None` behind the last one.
    ///
    /// # Errors
    /// When the sink cannot be read; the stream ends then.
    pub async fn next(&mut self) -> Option<Result<T, ReadError>> {
        std::future::poll_fn(|context| self.poll_item(context)).await
    }

    /// All items that are left.
    ///
    /// # Errors
    /// When the sink cannot be read to the end.
    pub async fn collect(&mut self) -> Result<Vec<T>, ReadError> {
        let mut items = Vec::new();
        while let Some(item) = self.next().await {
            items.push(item?);
        }
        Ok(items)
    }

    /// Whether there was more than was asked for; known once the stream has ended.
    #[must_use]
    pub fn is_cut_off(&self) -> bool {
        self.is_cut_off
    }

    fn poll_item(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<T, ReadError>>> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                if self.left == 0 {
                    self.is_cut_off = true;
                    self.end();
                    return Poll::Ready(None);
                }
                self.left -= 1;
                return Poll::Ready(Some(Ok(item)));
            }
            match std::task::ready!(self.chunks.poll_recv(context)) {
                Some(Ok(chunk)) => self.ready.extend(chunk),
                Some(Err(error)) => {
                    self.end();
                    return Poll::Ready(Some(Err(error)));
                }
                None => return Poll::Ready(None),
            }
        }
    }

    fn end(&mut self) {
        self.chunks.close();
        self.ready.clear();
        while self.chunks.try_recv().is_ok() {}
    }
}

impl<T: Unpin> Stream for HistoryStream<T> {
    type Item = Result<T, ReadError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_item(context)
    }
}
