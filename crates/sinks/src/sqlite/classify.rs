//! Which errors are of the data, which of the moment, and which of the file.

use rusqlite::{Error, ErrorCode};

use super::SqliteOptions;
use crate::{ErrorKind, WriteError};

/// Whether a single row was refused for what it holds, or by a trigger or an index expression that
/// does not like it: a plain SQL error when a prepared insert is run is one of these. Errors of
/// the file, its lock or the machine are never taken for that.
pub(super) fn is_data_error(error: &Error) -> bool {
    match error {
        Error::SqliteFailure(failure, _) => {
            matches!(
                failure.code,
                ErrorCode::ConstraintViolation | ErrorCode::TooBig | ErrorCode::TypeMismatch
            ) || failure.extended_code == rusqlite::ffi::SQLITE_ERROR
        }
        Error::ToSqlConversionFailure(_) => true,
        _ => false,
    }
}

/// Whether the connection can go on after the error; otherwise it is opened anew.
pub(super) fn leaves_connection_sound(error: &Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::DiskFull)
    )
}

/// The error for the caller: what was attempted on which file, why it failed, and what helps.
pub(super) fn write_error(doing: &str, options: &SqliteOptions, error: &Error) -> WriteError {
    let path = options.path.display();
    let (kind, why) = match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => (
            ErrorKind::Transient,
            format!(
                "another process has locked it (waited {:?})",
                options.busy_timeout
            ),
        ),
        Some(ErrorCode::DiskFull) => (
            ErrorKind::Transient,
            "the disk is full; free some space".to_owned(),
        ),
        Some(
            ErrorCode::SystemIoFailure
            | ErrorCode::OutOfMemory
            | ErrorCode::OperationInterrupted
            | ErrorCode::FileLockingProtocolFailed,
        ) => (ErrorKind::Transient, error.to_string()),
        Some(ErrorCode::NotADatabase) => (
            ErrorKind::Fatal,
            "it is not an SQLite database; move it away or choose another data directory"
                .to_owned(),
        ),
        Some(ErrorCode::CannotOpen) => (
            ErrorKind::Fatal,
            format!("{error}; does its directory exist, and may it be written?"),
        ),
        Some(ErrorCode::ReadOnly) => (
            ErrorKind::Fatal,
            "it is read-only, or its directory or file system is".to_owned(),
        ),
        _ => (ErrorKind::Fatal, error.to_string()),
    };
    WriteError::new(kind, format!("cannot {doing} {path}: {why}"))
}
