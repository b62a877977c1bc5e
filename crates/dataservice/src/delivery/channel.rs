//! A bounded channel that a dispatcher feeds.
//!
//! The dispatcher looks for room before it pulls. While there is none the subscriber stays
//! unpolled, so that what changes meets in its keys, and no queue grows. The receiver wakes the
//! dispatcher when it made room. Both sides look under one lock: either the dispatcher sees the
//! room, or the receiver sees that the dispatcher found none.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{RecvError, RecvTimeoutError, Sender, TryRecvError};

use super::options::check;
use super::work::Sink;
use super::{Callback, CallbackStats, DispatchError, DispatcherHandle, Pull};
use crate::sync::Mutex;

/// Receives what a subscriber pulls. Dropping it unsubscribes.
#[must_use = "dropping the receiver unsubscribes"]
pub struct Receiver<T> {
    items: crossbeam_channel::Receiver<T>,
    room: Arc<Room>,
    callback: Callback,
}

/// Whether the dispatcher found the channel full, and left it at that.
#[derive(Default)]
struct Room {
    is_wanted: Mutex<bool>,
}

/// A channel of up to `capacity` items that a dispatcher fills with what a subscriber pulls. When
/// it is full nothing is pulled; then the next item shows what changed meanwhile as one.
///
/// ```
/// use std::time::Duration;
/// use dataservice::{DataService, Dispatcher, LatestValue, Spec, channel};
///
/// let service: DataService<&str, i64> = DataService::new();
/// let speed = service.register("speed")?;
/// let dial = service.subscribe(Spec::new().key(speed, LatestValue))?;
/// let dispatcher = Dispatcher::start()?;
/// let updates = channel(&dispatcher.handle(), dial, 1)?;
/// service.put(speed, 1, 40)?;
/// let seen = updates.recv_timeout(Duration::from_secs(10))?;
/// assert_eq!(seen.update(speed).unwrap().values(), [40]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// When the capacity is 0, there are too many callbacks, or the dispatcher has stopped; the
/// subscriber is handed back.
pub fn channel<P>(
    dispatcher: &DispatcherHandle,
    pull: P,
    capacity: usize,
) -> Result<Receiver<P::Item>, DispatchError<P>>
where
    P: Pull<Item: Send> + Send + 'static,
{
    if let Err(error) = check("capacity", capacity, usize::MAX) {
        let refusal = error.into();
        let pull = Box::new(pull);
        return Err(DispatchError { refusal, pull });
    }
    let (sender, items) = crossbeam_channel::bounded(capacity);
    let room = Arc::new(Room::default());
    let feeder = Feeder {
        sender,
        room: Arc::clone(&room),
    };
    let callback = dispatcher.add(pull, feeder)?;
    Ok(Receiver {
        items,
        room,
        callback,
    })
}

struct Feeder<T> {
    sender: Sender<T>,
    room: Arc<Room>,
}

impl<T: Send> Sink<T> for Feeder<T> {
    fn has_room(&mut self) -> bool {
        let mut wanted = self.room.is_wanted.lock();
        *wanted = self.sender.is_full();
        !*wanted
    }

    fn take(&mut self, item: T) {
        // It is the only sender and saw room. If the receiver is gone, so is the subscription soon.
        let _ = self.sender.try_send(item);
    }
}

impl<T> Receiver<T> {
    /// Waits for the next item.
    ///
    /// # Errors
    /// When all were received, and the subscriber was closed or the dispatcher has stopped.
    pub fn recv(&self) -> Result<T, RecvError> {
        let item = self.items.recv();
        self.made_room();
        item
    }

    /// Waits for the next item, up to this long.
    ///
    /// # Errors
    /// As for [`recv`](Self::recv), and when there was none in this time.
    pub fn recv_timeout(&self, timeout: Duration) -> Result<T, RecvTimeoutError> {
        let item = self.items.recv_timeout(timeout);
        self.made_room();
        item
    }

    /// The next item, if there is one.
    ///
    /// # Errors
    /// As for [`recv`](Self::recv), and when there is none now.
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        let item = self.items.try_recv();
        self.made_room();
        item
    }

    /// How many items wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether no item waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The channel itself, for `select!`. After receiving from it call
    /// [`made_room`](Self::made_room), or else a channel that was full gets nothing more.
    #[must_use]
    pub fn inner(&self) -> &crossbeam_channel::Receiver<T> {
        &self.items
    }

    /// Has the dispatcher go on if it found the channel full. Every receiving method does this.
    pub fn made_room(&self) {
        let was_wanted = std::mem::take(&mut *self.room.is_wanted.lock());
        if was_wanted {
            self.callback.slot().wake();
        }
    }

    /// What became of the subscriber up to now; a call is an item that was sent.
    #[must_use]
    pub fn stats(&self) -> CallbackStats {
        self.callback.stats()
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Receiver")
            .field("len", &self.len())
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
