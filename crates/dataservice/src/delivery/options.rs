//! How a dispatcher is set up, and what it refuses.

use std::fmt;

use thiserror::Error;

use super::Dispatcher;
use crate::BuildError;

/// Sets the limits of a [`Dispatcher`].
///
/// ```
/// use dataservice::Dispatcher;
///
/// let dispatcher = Dispatcher::builder().callbacks_max(8).start()?;
/// assert_eq!(dispatcher.stats().callbacks_max, 8);
/// # Ok::<(), dataservice::StartError>(())
/// ```
#[derive(Debug, Clone, Default)]
#[must_use = "a builder does nothing before `start`"]
pub struct DispatcherBuilder {
    options: Options,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Options {
    pub(super) callbacks_max: usize,
    pub(super) cascade_max: u32,
    pub(super) panics_max: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            callbacks_max: 10_000,
            cascade_max: 64,
            panics_max: 3,
        }
    }
}

impl DispatcherBuilder {
    /// How many callbacks there may be at a time. Default 10,000.
    pub fn callbacks_max(mut self, callbacks: usize) -> Self {
        self.options.callbacks_max = callbacks;
        self
    }

    /// How many callbacks may cause one another by what they write; a commit in the one after the
    /// last of them is refused, with the default of 64 in the 65th of a chain. The service has a
    /// limit too, and the smaller one holds.
    pub fn cascade_max(mut self, callbacks: u32) -> Self {
        self.options.cascade_max = callbacks;
        self
    }

    /// After how many panics in a row a callback is quarantined. Default 3.
    pub fn panics_max(mut self, panics: u32) -> Self {
        self.options.panics_max = panics;
        self
    }

    /// Starts the thread.
    ///
    /// # Errors
    /// When a limit is 0, or the system gives no thread.
    pub fn start(self) -> Result<Dispatcher, StartError> {
        let options = self.options;
        check("callbacks_max", options.callbacks_max, usize::MAX)?;
        check(
            "cascade_max",
            options.cascade_max as usize,
            u32::MAX as usize,
        )?;
        check("panics_max", options.panics_max as usize, u32::MAX as usize)?;
        Dispatcher::with_options(options)
    }
}

pub(super) fn check(setting: &'static str, value: usize, max: usize) -> Result<(), BuildError> {
    let min = 1;
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(BuildError {
        setting,
        value,
        min,
        max,
    })
}

/// Why a dispatcher did not start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StartError {
    /// A setting cannot work.
    #[error(transparent)]
    Setting(#[from] BuildError),
    /// The system gave no thread.
    #[error("cannot start the dispatcher's thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// Why a callback was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DispatchRefusal {
    /// There are as many as there may be.
    #[error("cannot add a callback: {limit} of at most {limit} exist")]
    CallbackLimit {
        /// How many callbacks there may be.
        limit: usize,
    },
    /// A setting cannot work.
    #[error(transparent)]
    Setting(#[from] BuildError),
    /// The dispatcher has stopped.
    #[error("the dispatcher has stopped")]
    Stopped,
}

/// A subscriber that was not taken, and is handed back.
#[derive(Error)]
#[error("{refusal}")]
pub struct DispatchError<P> {
    /// Why.
    pub refusal: DispatchRefusal,
    /// The subscriber.
    pub pull: Box<P>,
}

impl<P> fmt::Debug for DispatchError<P> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("DispatchError")
            .field("refusal", &self.refusal)
            .finish_non_exhaustive()
    }
}
