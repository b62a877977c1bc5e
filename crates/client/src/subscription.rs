//! A subscription, as the program sees it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::Notify;

use crate::event::Event;
use crate::subscribed::Shared;

/// What a program is told of some keys. It outlives connections; dropping it unsubscribes.
///
/// What is not taken in time is conflated: the newest values replace older ones, and of a
/// subscription to every value the oldest are dropped above a limit and counted in
/// [`Frame::missed`](crate::Frame::missed). So it never holds more than about one frame.
#[derive(Debug)]
pub struct Subscription {
    id: String,
    shared: Arc<Shared>,
    /// Wakes the task of the client.
    attention: Arc<Notify>,
}

impl Subscription {
    pub(crate) fn new(id: String, shared: Arc<Shared>, attention: Arc<Notify>) -> Self {
        Self {
            id,
            shared,
            attention,
        }
    }

    /// Its id, as it was asked for.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The next event; none when the client has ended.
    ///
    /// A snapshot may come at any time: after a reconnect that the server could not continue, and
    /// when the server is ahead for so long that something may be missing.
    ///
    /// Cancellation: nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Option<Event> {
        self.shared.inbox.next().await
    }

    /// Nobody looks at it now: the server sends nothing and spends nothing on it.
    pub fn pause(&self) {
        self.shared.paused.store(true, Ordering::Release);
        self.attention.notify_one();
    }

    /// Somebody looks again: what changed meanwhile is sent.
    pub fn unpause(&self) {
        self.shared.paused.store(false, Ordering::Release);
        self.attention.notify_one();
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.shared.dropped.store(true, Ordering::Release);
        self.attention.notify_one();
    }
}
