//! Which errors are of the moment and which will stay.

use redis::{ErrorKind as Kind, RedisError};

use crate::{ErrorKind, WriteError};

/// Codes of refusals that no retry mends.
const FATAL: [&str; 10] = [
    "ASK",
    "CROSSSLOT",
    "ERR",
    "MOVED",
    "NOAUTH",
    "NOPERM",
    "NOPROTO",
    "WRONGPASS",
    "WRONGTYPE",
    "DENIED",
];

/// Refusals that carry the code `ERR`, or did so in older versions once a script had met them.
const TRANSIENT_TEXTS: [&str; 6] = [
    "OOM command not allowed",
    "max number of clients",
    "READONLY",
    "MISCONF",
    "LOADING",
    "MASTERDOWN",
];

pub(super) fn kind_of(error: &RedisError) -> ErrorKind {
    match error.kind() {
        Kind::AuthenticationFailed | Kind::InvalidClientConfig | Kind::RESP3NotSupported => {
            ErrorKind::Fatal
        }
        Kind::Server(_) | Kind::Extension => {
            let text = text_of(error);
            let code = error.code().unwrap_or_default();
            let is_transient = TRANSIENT_TEXTS.iter().any(|known| text.contains(known));
            match !is_transient && (FATAL.contains(&code) || text.contains("WRONGTYPE")) {
                true => ErrorKind::Fatal,
                false => ErrorKind::Transient,
            }
        }
        _ => ErrorKind::Transient,
    }
}

/// Whether the connection is as good as before: the server is short of something, and another
/// connection, which has to log in anew, would find it the same.
pub(super) fn leaves_connection(error: &RedisError) -> bool {
    let is_answer = matches!(error.kind(), Kind::Server(_) | Kind::Extension);
    let text = text_of(error);
    let known = ["OOM command not allowed", "MISCONF", "BUSY"];
    is_answer && known.iter().any(|known| text.contains(known))
}

/// The words of the server, on one line.
fn text_of(error: &RedisError) -> String {
    let text = match (error.code(), error.detail()) {
        (Some(code), Some(detail)) => format!("{code} {detail}"),
        _ => error.to_string(),
    };
    text.replace(['\n', '\r'], " ")
}

/// The error for the caller: what was attempted on which server, why it failed, and what helps.
pub(super) fn write_error(doing: &str, server: &str, error: &RedisError) -> WriteError {
    let text = text_of(error);
    let advice = match error.code().unwrap_or_default() {
        _ if text.contains("OOM command not allowed") => {
            "; raise `maxmemory`, or let `maxlen` bound the streams"
        }
        "NOAUTH" | "WRONGPASS" => "; check user and password in the URL",
        "NOPERM" => {
            "; the user needs HGET, HSET, HGETALL, XADD, XTRIM, XINFO, EXISTS, EVALSHA, SCRIPT LOAD"
        }
        "MOVED" | "ASK" | "CROSSSLOT" => "; clusters are not supported",
        _ if text.contains("equal or smaller") => {
            "; somebody else wrote to the stream, whose ids are positions"
        }
        _ => "",
    };
    WriteError::new(
        kind_of(error),
        format!("cannot {doing} at {server}: {text}{advice}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_told_apart_by_their_code() {
        let check = |answer: &str, expected: ErrorKind| {
            let answer = format!("-{answer}\r\n");
            let error =
                redis::parse_redis_value(answer.as_bytes()).and_then(redis::Value::extract_error);
            let error = error.expect_err("an error");
            assert_eq!(kind_of(&error), expected, "{answer}");
        };
        for transient in [
            "OOM command not allowed when used memory > 'maxmemory'.",
            "ERR Error running script: @user_script: 1: -OOM command not allowed when used memory",
            "LOADING Redis is loading the dataset in memory",
            "MASTERDOWN Link with MASTER is down",
            "READONLY You can't write against a read only replica.",
            "CLUSTERDOWN The cluster is down",
            "TRYAGAIN Multiple keys request during rehashing of slot",
            "MISCONF Redis is configured to save RDB snapshots",
            "BUSY Redis is busy running a script.",
            "NOSCRIPT No matching script.",
            "ERR max number of clients reached",
        ] {
            check(transient, ErrorKind::Transient);
        }
        for fatal in [
            "WRONGTYPE Operation against a key holding the wrong kind of value",
            "ERR Error running script: @user_script: 1: -WRONGTYPE Operation against a key",
            "NOAUTH Authentication required.",
            "WRONGPASS invalid username-password pair",
            "NOPERM this user has no permissions to run the 'evalsha' command",
            "MOVED 3999 127.0.0.1:6381",
            "ERR unknown command 'XADD'",
        ] {
            check(fatal, ErrorKind::Fatal);
        }
    }
}
