//! Which errors are of the data, which of the moment, and which of the configuration.
//!
//! One table by the server's error number; what it does not know is judged by its SQLSTATE class.
//! Errors of the connection are never taken for errors of the data.

use mysql_async::{DriverError, Error, ServerError};

use super::MysqlOptions;
use crate::{ErrorKind, WriteError};

/// Numbers that say that a row is not wanted for what it holds.
const DATA: [u16; 29] = [
    1048, // a column cannot be null
    1062, 1169, 1586, // duplicate key
    1118, 139, // this row is too long for a page
    1216, 1452, // no such parent row
    1264, 1690, // out of range
    1265, 1292, 1366, 1367, 1411, // not a value of this type
    1301, // longer than a packet
    1365, // division by zero
    1369, // the check of a view
    1406, // too long
    1416, // not a geometry
    1441, // not a date
    1526, // no partition for it
    1644, // a trigger signalled
    1977, // no compression for it
    3140, 3141, // not JSON
    3819, 4025, // a check constraint
    4079, // of another type
];

/// Numbers that say that it may work later.
const TRANSIENT: [u16; 52] = [
    1020, 1205, 1206, 1213, 1412, 1479, 1613, 1614, // locks, deadlocks and changed rows
    1021, 1030, 1037, 1038, 1041, 1114, 1135, // the disk, memory or threads are used up
    1040, 1129, 1203, 1226, 1461, 1637, // too many of something
    1042, 1043, 1047, 1053, 1077, 1079, 1081, 1152, 1153, 1154, 1155, 1156, 1157, 1158, 1159, 1160,
    1161, 1184, 2006, 2013, 4031, // the connection, or a server that is going down
    1180, 1317, 1927, 1969, 3024, // ended by somebody or by a limit of time
    1243, 1305, 1615, // what the session knew is gone
    1290, 1836, // read-only for now, as a replica is that is to take over
];

/// What an error number means, with the SQLSTATE for those that are not in the table.
pub(super) fn kind_of(code: u16, state: &str) -> ErrorKind {
    if DATA.contains(&code) {
        ErrorKind::Data
    } else if TRANSIENT.contains(&code) {
        ErrorKind::Transient
    } else {
        match state.get(..2) {
            // The number without a class of its own that stored programs raise is `45000`.
            Some("22" | "23" | "45") => ErrorKind::Data,
            Some("08" | "40" | "53" | "57" | "70") => ErrorKind::Transient,
            _ => ErrorKind::Fatal,
        }
    }
}

/// What an error of the driver means.
pub(super) fn kind(error: &Error) -> ErrorKind {
    match error {
        Error::Server(ServerError { code, state, .. }) => kind_of(*code, state),
        Error::Io(mysql_async::IoError::Tls(_)) => ErrorKind::Fatal,
        // The stream is out of step or gone: a new connection helps.
        Error::Io(_) | Error::Other(_) => ErrorKind::Transient,
        Error::Driver(error) => match error {
            DriverError::ConnectionClosed
            | DriverError::PacketOutOfOrder
            | DriverError::PoolDisconnected
            | DriverError::PacketTooLarge
            | DriverError::UnexpectedPacket { .. } => ErrorKind::Transient,
            _ => ErrorKind::Fatal,
        },
        Error::Url(_) => ErrorKind::Fatal,
    }
}

/// The row of a statement that a message names in its last words, from 0: `… at row 17`.
pub(super) fn row_named(message: &str) -> Option<usize> {
    let (_, number) = message.rsplit_once(" at row ")?;
    number.parse::<usize>().ok()?.checked_sub(1)
}

/// The error for the caller: what was attempted on which server, why it failed, and what helps.
pub(super) fn write_error(doing: &str, options: &MysqlOptions, error: &Error) -> WriteError {
    let why = match error {
        Error::Server(ServerError {
            code,
            state,
            message,
        }) => format!(
            "{message} (error {code}, SQLSTATE {state}){}",
            advice(*code)
        ),
        // What was received may be data, so its bytes stay out of messages.
        Error::Driver(DriverError::UnexpectedPacket { .. }) => "unexpected packet".to_owned(),
        Error::Driver(DriverError::NoClientSslFlagFromServer) => {
            "the server offers no TLS; set it up there, or accept a plain connection by tls=off"
                .to_owned()
        }
        Error::Driver(error) => error.to_string(),
        Error::Io(error) => error.to_string(),
        error => error.to_string(),
    };
    // Where one row is to blame the writer deals with it; here nothing can be done about it.
    let kind = match kind(error) {
        ErrorKind::Data => ErrorKind::Fatal,
        kind => kind,
    };
    WriteError::new(kind, format!("cannot {doing} {options}: {why}"))
}

fn advice(code: u16) -> &'static str {
    match code {
        1044 | 1142 | 1143 | 1227 => "; grant the account what it needs",
        1045 | 1698 => "; check the user and the password",
        1049 => "; create the database first",
        1205 => "; somebody else holds a lock for longer than lock_wait_timeout",
        1665 => "; set binlog_format to MIXED or ROW",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_number_has_its_kind() {
        use ErrorKind::{Data, Fatal, Transient};
        let table = [
            (1040, "08004", Transient),
            (1044, "42000", Fatal),
            (1045, "28000", Fatal),
            (1048, "23000", Data),
            (1049, "42000", Fatal),
            (1053, "08S01", Transient),
            (1054, "42S22", Fatal),
            (1062, "23000", Data),
            (1136, "21S01", Fatal),
            (1142, "42000", Fatal),
            (1146, "42S02", Fatal),
            (1205, "HY000", Transient),
            (1213, "40001", Transient),
            (1264, "22003", Data),
            (1290, "HY000", Transient),
            (1364, "HY000", Fatal),
            (1366, "22007", Data),
            (1366, "HY000", Data),
            (1406, "22001", Data),
            (1644, "45000", Data),
            (1927, "70100", Transient),
            (2006, "HY000", Transient),
            (2013, "HY000", Transient),
            (3819, "HY000", Data),
            (4025, "23000", Data),
            (9999, "22012", Data),
            (9999, "08S01", Transient),
            (9999, "HY000", Fatal),
            (9999, "", Fatal),
        ];
        for (code, state, expected) in table {
            assert_eq!(kind_of(code, state), expected, "{code} {state}");
        }
        assert!(DATA.iter().all(|code| !TRANSIENT.contains(code)));
    }

    #[test]
    fn a_row_is_named_by_the_last_words_only() {
        let table = [
            ("Data too long for column 'tag' at row 17", Some(16)),
            (
                "Incorrect value: 'a at row 3' for column `v` at row 7",
                Some(6),
            ),
            ("Duplicate entry 'a at row 3' for key 'k'", None),
            ("Out of range value at row 0", None),
            ("no row", None),
        ];
        for (message, expected) in table {
            assert_eq!(row_named(message), expected, "{message}");
        }
    }

    #[test]
    fn errors_of_the_connection_are_never_of_the_data() {
        let io = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        assert_eq!(kind(&Error::from(io)), ErrorKind::Transient);
        let closed = Error::Driver(DriverError::ConnectionClosed);
        assert_eq!(kind(&closed), ErrorKind::Transient);
    }
}
