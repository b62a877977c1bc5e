//! Which of Oracle's errors is whose fault.

use super::OracleOptions;
use crate::{ErrorKind, WriteError};

pub(super) const ACTION_CONNECT: &str = "connect to";

/// A row was refused for what is in it: constraints, conversions, lengths and ranges. Numbers from
/// Oracle's Database Error Messages.
pub(super) fn is_data_error(code: i32) -> bool {
    const DATA: [i32; 20] = [
        1, 1400, 1401, 1407, 1426, 1438, 1461, 1465, 1722, 1830, 1841, 1847, 1858, 1861, 2290,
        2291, 2292, 6502, 12899, 40441,
    ];
    DATA.contains(&code)
}

/// The name is used by an existing object.
pub(super) fn is_name_in_use(error: &oracle::Error) -> bool {
    error.oci_code() == Some(955)
}

/// The error as the layers know it. Passwords are no part of Oracle's messages.
pub(super) fn error_of(action: &str, options: &OracleOptions, error: &oracle::Error) -> WriteError {
    let kind = kind_of(error.oci_code(), error.dpi_code());
    WriteError::new(kind, format!("cannot {action} {}: {error}", options.server))
}

/// What never works as things are: no client library (DPI-1047), a wrong name or password, a
/// locked or expired account, no such table or column, no privilege. Everything else may pass.
fn kind_of(oci: Option<i32>, dpi: Option<i32>) -> ErrorKind {
    const FATAL: [i32; 8] = [904, 913, 942, 947, 1005, 1017, 1031, 28000];
    let is_fatal = dpi == Some(1047) || oci.is_some_and(|code| FATAL.contains(&code));
    if is_fatal {
        ErrorKind::Fatal
    } else {
        ErrorKind::Transient
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_connections_and_full_disks_are_never_data_errors() {
        for code in [
            28, 54, 1013, 1033, 1536, 1653, 3113, 3114, 3135, 12541, 30006,
        ] {
            assert!(!is_data_error(code), "{code}");
            assert_eq!(kind_of(Some(code), None), ErrorKind::Transient, "{code}");
        }
    }

    #[test]
    fn what_can_never_work_is_fatal() {
        assert_eq!(kind_of(Some(1017), None), ErrorKind::Fatal);
        assert_eq!(kind_of(None, Some(1047)), ErrorKind::Fatal);
        assert!(is_data_error(1) && is_data_error(12899));
    }
}
