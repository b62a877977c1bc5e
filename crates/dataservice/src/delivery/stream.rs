//! Streams for any async runtime.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;

use super::Pull;

/// What a subscriber pulls, as a stream. It ends when the subscriber is closed, and not before.
///
/// A stream that is not polled costs nothing; when it is, it shows what changed since.
#[derive(Debug)]
#[must_use = "streams do nothing unless polled"]
pub struct Updates<P> {
    pull: P,
}

/// What a subscriber pulls, as a stream that keeps [`min_interval`](Pull::min_interval) by a timer
/// of the caller's.
#[must_use = "streams do nothing unless polled"]
pub struct PacedUpdates<P, S, F> {
    updates: Updates<P>,
    sleep: S,
    /// Runs from one item until the next one is due.
    pause: Option<Pin<Box<F>>>,
}

impl<P: Pull> Updates<P> {
    pub(super) fn new(pull: P) -> Self {
        Self { pull }
    }

    /// The subscriber, for example to add a key.
    pub fn pull_mut(&mut self) -> &mut P {
        &mut self.pull
    }

    /// The subscriber, by value.
    pub fn into_pull(self) -> P {
        self.pull
    }

    fn poll_item(&mut self, context: &mut Context<'_>) -> Poll<Option<P::Item>> {
        if let Some(item) = self.pull.poll() {
            return Poll::Ready(Some(item));
        }
        if self.pull.closed().is_some() {
            return Poll::Ready(None);
        }
        if self.pull.poll_changed(context).is_ready() {
            // It changed since the poll. Others may have their turn before this is polled again.
            context.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

impl<P: Pull, S, F> PacedUpdates<P, S, F> {
    pub(super) fn new(pull: P, sleep: S) -> Self {
        Self {
            updates: Updates::new(pull),
            sleep,
            pause: None,
        }
    }

    /// The subscriber, for example to add a key.
    pub fn pull_mut(&mut self) -> &mut P {
        self.updates.pull_mut()
    }

    /// The subscriber, by value.
    pub fn into_pull(self) -> P {
        self.updates.into_pull()
    }
}

impl<P: Pull + Unpin> Stream for Updates<P> {
    type Item = P::Item;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<P::Item>> {
        self.get_mut().poll_item(context)
    }
}

impl<P, S, F> Stream for PacedUpdates<P, S, F>
where
    P: Pull + Unpin,
    S: FnMut(Duration) -> F + Unpin,
    F: Future<Output = ()>,
{
    type Item = P::Item;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<P::Item>> {
        let this = self.get_mut();
        if let Some(pause) = &mut this.pause {
            if pause.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            this.pause = None;
        }
        let next = this.updates.poll_item(context);
        if let Poll::Ready(Some(_)) = next {
            let interval = this.updates.pull.min_interval();
            this.pause = (!interval.is_zero()).then(|| Box::pin((this.sleep)(interval)));
        }
        next
    }
}

impl<P: fmt::Debug, S, F> fmt::Debug for PacedUpdates<P, S, F> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("PacedUpdates")
            .field("updates", &self.updates)
            .field("is_pausing", &self.pause.is_some())
            .finish_non_exhaustive()
    }
}
