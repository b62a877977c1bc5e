//! What all wrappers need of a subscriber.

use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::next::{NextError, Pace, next};
#[cfg(feature = "futures-core")]
use super::{PacedUpdates, Updates};
use crate::{Closed, Feed, FeedBatch, Snapshot, Subscription};

/// Something that is woken, and then pulled from.
///
/// The wrappers of this crate take anything that is `Pull`, so that several subscribers can be
/// made one, or a subscriber be dressed. Whoever implements it promises:
/// - [`wait`](Self::wait), [`poll_changed`](Self::poll_changed) and
///   [`set_waker`](Self::set_waker) report at once while [`poll`](Self::poll) would return an item,
///   and once it is closed. They may report for nothing, but after a poll not again before
///   something changed.
/// - A waker is used up by its first wake.
pub trait Pull {
    /// What a poll returns.
    type Item;

    /// What changed since the last poll.
    fn poll(&mut self) -> Option<Self::Item>;

    /// Ready while there is something to poll, or nothing ever will be; otherwise the task is woken
    /// once that is so.
    fn poll_changed(&self, context: &mut Context<'_>) -> Poll<()>;

    /// Has this waker called once when there is something to poll, at once if there already is.
    fn set_waker(&self, waker: Waker);

    /// Waits until there is something to poll; `false` if there was nothing in this time.
    fn wait(&self, timeout: Duration) -> bool;

    /// How long after an item the next one is due. Every change in between comes as one.
    fn min_interval(&self) -> Duration {
        Duration::ZERO
    }

    /// Why nothing more will come, apart from what can still be polled.
    fn closed(&self) -> Option<Closed> {
        None
    }

    /// What [`next`](Self::next) remembers. Who implements this keeps one, made by default.
    fn pace(&mut self) -> &mut Pace;

    /// Waits for the next item, up to this long, and keeps [`min_interval`](Self::min_interval).
    ///
    /// # Errors
    /// When there was none in this time, or none will ever come.
    fn next(&mut self, timeout: Duration) -> Result<Self::Item, NextError>
    where
        Self: Sized,
    {
        next(self, timeout)
    }

    /// A stream of the items, which ends when this is closed.
    ///
    /// It has no timer, so that it does not keep [`min_interval`](Self::min_interval): an item is
    /// ready as soon as there is one. Where that matters, let
    /// [`into_stream_with`](Self::into_stream_with) sleep.
    #[cfg(feature = "futures-core")]
    fn into_stream(self) -> Updates<Self>
    where
        Self: Sized,
    {
        Updates::new(self)
    }

    /// A stream that keeps [`min_interval`](Self::min_interval): after each item it awaits
    /// `sleep(interval)`, such as `tokio::time::sleep`, before it looks for the next one. It costs
    /// a boxed timer per item, and nothing if the interval is 0.
    #[cfg(feature = "futures-core")]
    fn into_stream_with<S, F>(self, sleep: S) -> PacedUpdates<Self, S, F>
    where
        Self: Sized,
        S: FnMut(Duration) -> F,
        F: Future<Output = ()>,
    {
        PacedUpdates::new(self, sleep)
    }
}

impl<V: Clone, O> Pull for Subscription<V, O> {
    type Item = Snapshot<O>;

    fn poll(&mut self) -> Option<Snapshot<O>> {
        self.poll()
    }

    fn poll_changed(&self, context: &mut Context<'_>) -> Poll<()> {
        self.poll_changed(context)
    }

    fn set_waker(&self, waker: Waker) {
        self.set_waker(waker);
    }

    fn wait(&self, timeout: Duration) -> bool {
        self.wait(timeout)
    }

    fn min_interval(&self) -> Duration {
        self.min_interval()
    }

    fn closed(&self) -> Option<Closed> {
        self.closed()
    }

    fn pace(&mut self) -> &mut Pace {
        &mut self.pace
    }
}

impl<V: Clone> Pull for Feed<V> {
    type Item = FeedBatch<V>;

    fn poll(&mut self) -> Option<FeedBatch<V>> {
        self.poll()
    }

    fn poll_changed(&self, context: &mut Context<'_>) -> Poll<()> {
        self.poll_changed(context)
    }

    fn set_waker(&self, waker: Waker) {
        self.set_waker(waker);
    }

    fn wait(&self, timeout: Duration) -> bool {
        self.wait(timeout)
    }

    fn min_interval(&self) -> Duration {
        self.min_interval()
    }

    fn closed(&self) -> Option<Closed> {
        self.closed()
    }

    fn pace(&mut self) -> &mut Pace {
        &mut self.pace
    }
}
