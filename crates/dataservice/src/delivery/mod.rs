//! Wrappers around wake and pull: for threads, callbacks, channels and tasks.
//!
//! - [`Pull`]: what a subscriber can do, so that each wrapper is written once.
//! - [`next`](Pull::next): waits for the next item, in the caller's thread.
//! - [`Dispatcher`]: one thread that calls any number of callbacks.
//! - `channel`: a bounded crossbeam channel that is fed by a dispatcher.
//! - `Updates`, `PacedUpdates`: streams for any async runtime.
//!
//! None of them has a queue that a slow consumer could fill: whoever is late pulls later, and gets
//! what its extractors make of everything since. Of each subscriber at most one wake is pending.
//! No callback, waker or destructor runs under a lock of this module.

mod callback;
#[cfg(feature = "crossbeam-channel")]
mod channel;
mod dispatcher;
mod names;
mod next;
mod options;
mod pull;
mod ready;
mod slot;
#[cfg(feature = "futures-core")]
mod stream;
mod thread;
mod work;

pub use callback::{Callback, CallbackState, CallbackStats};
#[cfg(feature = "crossbeam-channel")]
pub use channel::{Receiver, channel};
pub use dispatcher::{Dispatcher, DispatcherHandle, DispatcherStats};
pub use names::NamesOnly;
pub use next::{NextError, Pace};
pub use options::{DispatchError, DispatchRefusal, DispatcherBuilder, StartError};
pub use pull::Pull;
#[cfg(feature = "futures-core")]
pub use stream::{PacedUpdates, Updates};
