//! A failure, and what it means for the connection on which it happened.

use mysql_async::Error;

use super::{MysqlOptions, classify};
use crate::WriteError;

/// Why an operation ended early.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) error: WriteError,
    /// Whether the connection can go on, once what is open is rolled back. Otherwise it is
    /// dropped, and what was open on it ends by itself.
    pub(super) is_sound: bool,
    /// Whether it was the first statement of a transaction: an idle connection may have been lost
    /// long ago, and another try on a new one costs nothing.
    pub(super) wrote_nothing: bool,
}

/// Lock wait and deadlock: the only errors of the server after which a connection is kept.
const LOCKS: [u16; 2] = [1205, 1213];

impl Failure {
    /// An error of the driver or the server.
    pub(super) fn of(doing: &str, options: &MysqlOptions, error: &Error) -> Self {
        let is_sound = matches!(error, Error::Server(error) if LOCKS.contains(&error.code));
        Self {
            error: classify::write_error(doing, options, error),
            is_sound,
            wrote_nothing: false,
        }
    }

    /// One after which the connection is dropped.
    pub(super) fn lost(error: WriteError) -> Self {
        Self {
            error,
            is_sound: false,
            wrote_nothing: false,
        }
    }

    /// One that has nothing to do with the connection.
    pub(super) fn sound(error: WriteError) -> Self {
        Self {
            error,
            is_sound: true,
            wrote_nothing: false,
        }
    }
}
