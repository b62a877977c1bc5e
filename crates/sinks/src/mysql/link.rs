//! A connection, and the settings of its session, which are made and then looked at.

use std::collections::HashMap;

use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use super::failure::Failure;
use super::{MysqlInsert, MysqlOptions, MysqlTls};
use crate::{ErrorKind, WriteError};

/// Bad values are errors, in every table.
const SQL_MODE: &str = "STRICT_ALL_TABLES,STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,\
                        NO_ZERO_DATE,NO_ZERO_IN_DATE,NO_ENGINE_SUBSTITUTION";
/// What of a packet is kept for its frame: the header of a statement and the types of its values.
const FRAME_BYTES: usize = 2_048;
/// The most that is sent at once, however much the server takes.
const PACKET_BYTES_MAX: usize = 8 << 20;

/// A connection that is ready for writing.
pub(super) struct Link {
    pub(super) conn: Conn,
    /// The number of this connection among those of the writer.
    pub(super) session: u64,
    /// What the server takes in one packet, without its frame.
    pub(super) row_bytes_max: usize,
    /// Whether rows go by the bulk protocol.
    pub(super) is_bulk: bool,
    /// Whether the server says on demand which row an error is about.
    pub(super) names_rows: bool,
    /// Settings that do not keep what is committed.
    pub(super) warnings: Vec<String>,
}

impl Link {
    /// What is sent in one statement at most.
    pub(super) fn statement_bytes_max(&self) -> usize {
        self.row_bytes_max.min(PACKET_BYTES_MAX)
    }
}

/// Connects and makes the settings of the session.
pub(super) async fn connect(options: &MysqlOptions, session: u64) -> Result<Link, Failure> {
    if options.tls != MysqlTls::Off {
        // The driver takes the provider of the process; another that is there already serves.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
    let mut conn = Conn::new(options.driver())
        .await
        .map_err(|error| Failure::of("connect to", options, &error))?;
    for statement in settings(options) {
        conn.query_drop(statement)
            .await
            .map_err(|error| Failure::of("set up the session of", options, &error))?;
    }
    let shown: Vec<(String, String)> = conn
        .query(SHOW)
        .await
        .map_err(|error| Failure::of("read the settings of", options, &error))?;
    let session_settings = Settings(shown.into_iter().collect());
    session_settings.check().map_err(|what| {
        let message = format!("cannot write to {options}: {what}");
        Failure::lost(WriteError::new(ErrorKind::Fatal, message))
    })?;
    let packet = session_settings.number("max_allowed_packet").unwrap_or(0);
    let packet = usize::try_from(packet).unwrap_or(usize::MAX);
    let (is_mariadb, version) = session_settings.version();
    Ok(Link {
        conn,
        session,
        row_bytes_max: packet.saturating_sub(FRAME_BYTES),
        is_bulk: options.insert == MysqlInsert::Bulk && is_mariadb && version >= (10, 3),
        names_rows: is_mariadb && version >= (10, 7),
        warnings: session_settings.warnings(),
    })
}

fn settings(options: &MysqlOptions) -> [String; 4] {
    let wait_s = options.lock_wait_timeout.as_secs().max(1);
    [
        "SET NAMES utf8mb4".to_owned(),
        format!(
            "SET SESSION sql_mode = '{SQL_MODE}', time_zone = '+00:00', autocommit = 1, \
             completion_type = 0, foreign_key_checks = 1, unique_checks = 1, \
             innodb_lock_wait_timeout = {wait_s}, lock_wait_timeout = {wait_s}"
        ),
        "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED".to_owned(),
        "SET SESSION TRANSACTION READ WRITE".to_owned(),
    ]
}

const SHOW: &str = "SHOW SESSION VARIABLES WHERE Variable_name IN (
    'sql_mode', 'time_zone', 'autocommit', 'character_set_client', 'transaction_isolation',
    'tx_isolation', 'max_allowed_packet', 'version', 'innodb_flush_log_at_trx_commit',
    'innodb_doublewrite', 'innodb_flush_method', 'log_bin', 'sync_binlog')";

/// What the session has, as the server shows it.
struct Settings(HashMap<String, String>);

impl Settings {
    fn text(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.0.get(name)?.parse().ok()
    }

    /// A proxy, or a trigger on connecting, may have undone what was set.
    fn check(&self) -> Result<(), String> {
        let modes = self.text("sql_mode");
        if !modes.split(',').any(|mode| mode == "STRICT_ALL_TABLES") {
            return Err(format!(
                "strict mode did not take, sql_mode is `{modes}`; bad values would be stored as \
                 others"
            ));
        }
        let isolation = match self.text("transaction_isolation") {
            "" => self.text("tx_isolation"),
            isolation => isolation,
        };
        let table = [
            ("time_zone", self.text("time_zone"), "+00:00"),
            ("autocommit", self.text("autocommit"), "ON"),
            (
                "character_set_client",
                self.text("character_set_client"),
                "utf8mb4",
            ),
            ("transaction_isolation", isolation, "READ-COMMITTED"),
        ];
        for (name, value, expected) in table {
            if value != expected {
                return Err(format!(
                    "{name} did not take: it is `{value}`, not {expected}"
                ));
            }
        }
        let packet = self.number("max_allowed_packet").unwrap_or(0);
        if packet < 64 << 10 {
            return Err(format!(
                "max_allowed_packet is {packet} bytes, expected at least 65536"
            ));
        }
        Ok(())
    }

    fn version(&self) -> (bool, (u32, u32)) {
        let version = self.text("version");
        let mut numbers = version
            .split(['.', '-'])
            .map(|part| part.parse().unwrap_or(0));
        let numbers = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        (version.contains("MariaDB"), numbers)
    }

    /// What a power cut may cost, by the names of the settings.
    fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let mut warn = |name: &str, value: &str, expected: &str, what: &str| {
            warnings.push(format!("{name} is {value}, not {expected}: {what}"));
        };
        let flush = self.text("innodb_flush_log_at_trx_commit");
        if !matches!(flush, "1" | "3") {
            let what = "a power cut may undo what was committed";
            warn("innodb_flush_log_at_trx_commit", flush, "1", what);
        }
        let sync = self.text("sync_binlog");
        if self.text("log_bin") == "ON" && sync != "1" {
            let what = "after a power cut replicas may lack, or have more than, what is here";
            warn("sync_binlog", sync, "1", what);
        }
        let doublewrite = self.text("innodb_doublewrite");
        if matches!(doublewrite, "OFF" | "0" | "DETECT_ONLY") {
            let what = "a power cut may tear a page, and what was in it";
            warn("innodb_doublewrite", doublewrite, "ON", what);
        }
        let method = self.text("innodb_flush_method");
        if matches!(
            method.to_ascii_lowercase().as_str(),
            "nosync" | "littlesync"
        ) {
            let what = "a power cut may undo what was committed";
            warn("innodb_flush_method", method, "O_DIRECT or fsync", what);
        }
        warnings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sound() -> HashMap<String, String> {
        let table = [
            ("sql_mode", SQL_MODE),
            ("time_zone", "+00:00"),
            ("autocommit", "ON"),
            ("character_set_client", "utf8mb4"),
            ("tx_isolation", "READ-COMMITTED"),
            ("max_allowed_packet", "16777216"),
            ("version", "10.11.6-MariaDB-0+deb12u1"),
            ("innodb_flush_log_at_trx_commit", "1"),
            ("innodb_doublewrite", "ON"),
            ("innodb_flush_method", "O_DIRECT"),
            ("log_bin", "ON"),
            ("sync_binlog", "1"),
        ];
        table
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into()
    }

    #[test]
    fn a_session_in_which_a_setting_did_not_take_is_refused_by_its_name() {
        assert_eq!(Settings(sound()).check(), Ok(()));
        let table = [
            ("sql_mode", "", "strict mode did not take, sql_mode is ``"),
            (
                "sql_mode",
                "STRICT_TRANS_TABLES",
                "strict mode did not take",
            ),
            (
                "time_zone",
                "SYSTEM",
                "time_zone did not take: it is `SYSTEM`",
            ),
            ("autocommit", "OFF", "autocommit did not take"),
            (
                "character_set_client",
                "latin1",
                "character_set_client did not take",
            ),
            (
                "tx_isolation",
                "READ-UNCOMMITTED",
                "transaction_isolation did not take",
            ),
            (
                "max_allowed_packet",
                "1024",
                "max_allowed_packet is 1024 bytes",
            ),
        ];
        for (name, value, expected) in table {
            let mut settings = sound();
            settings.insert(name.to_owned(), value.to_owned());
            let error = Settings(settings).check().unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        }
    }

    #[test]
    fn settings_that_do_not_survive_a_power_cut_are_named() {
        assert_eq!(Settings(sound()).warnings(), Vec::<String>::new());
        let table = [
            ("innodb_flush_log_at_trx_commit", "2"),
            ("sync_binlog", "0"),
            ("innodb_doublewrite", "OFF"),
            ("innodb_flush_method", "nosync"),
        ];
        for (name, value) in table {
            let mut settings = sound();
            settings.insert(name.to_owned(), value.to_owned());
            let warnings = Settings(settings).warnings();
            assert_eq!(warnings.len(), 1, "{name}");
            assert!(
                warnings[0].starts_with(&format!("{name} is {value}, not")),
                "{warnings:?}"
            );
        }
    }

    #[test]
    fn versions_are_told_apart() {
        let table = [
            ("10.11.6-MariaDB-0+deb12u1", (true, (10, 11))),
            ("11.4.2-MariaDB", (true, (11, 4))),
            ("8.0.36", (false, (8, 0))),
        ];
        for (version, expected) in table {
            let mut settings = sound();
            settings.insert("version".to_owned(), version.to_owned());
            assert_eq!(Settings(settings).version(), expected);
        }
    }
}
