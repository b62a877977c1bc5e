//! The connection: made lazily, with backoff, and dropped for good after anything unclear.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, FromRedisValue, Pipeline, RedisError, RedisResult};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

use super::classify::{leaves_connection, write_error};
use super::{RedisOptions, script};
use crate::{ErrorKind, WriteError, tls};

/// The names by which the server knows the scripts.
#[derive(Debug)]
pub(super) struct Scripts {
    pub(super) read: String,
    pub(super) advance: String,
    pub(super) rename: String,
}

/// A connection; dropping it closes the socket at once.
pub(super) struct Link {
    connection: MultiplexedConnection,
    driver: JoinHandle<()>,
    pub(super) scripts: Scripts,
    is_sound: bool,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// A connection without its scripts, which closes as well when it is dropped.
struct Socket(Option<(MultiplexedConnection, JoinHandle<()>)>);

impl Drop for Socket {
    fn drop(&mut self) {
        if let Some((_, driver)) = &self.0 {
            driver.abort();
        }
    }
}

impl Link {
    /// Connects, logs in, and loads the scripts.
    pub(super) async fn connect(options: &RedisOptions) -> Result<Self, WriteError> {
        let within = options.connect_timeout;
        let server = options.server_name();
        tokio::time::timeout(within, Self::establish(options, &server))
            .await
            .unwrap_or_else(|_| {
                let why = format!("cannot connect to {server}: no connection within {within:?}");
                Err(WriteError::new(ErrorKind::Transient, why))
            })
    }

    async fn establish(options: &RedisOptions, server: &str) -> Result<Self, WriteError> {
        let lost = |error: &(dyn std::error::Error + 'static)| {
            let kind = match tls::distrusts(error) {
                true => ErrorKind::Fatal,
                false => ErrorKind::Transient,
            };
            WriteError::new(kind, format!("cannot connect to {server}: {error}"))
        };
        let fatal = |why: String| {
            WriteError::new(
                ErrorKind::Fatal,
                format!("cannot connect to {server}: {why}"),
            )
        };
        // An IPv6 address stands in brackets in a URL, and without them elsewhere.
        let host = options.host.trim_start_matches('[').trim_end_matches(']');
        let stream = TcpStream::connect((host, options.port)).await;
        let stream = stream.map_err(|error| lost(&error))?;
        stream.set_nodelay(true).map_err(|error| lost(&error))?;
        let setup = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None);
        let login = &options.login;
        let refused = |error: RedisError| write_error("log in", server, &error);
        let socket = match &options.tls {
            None => {
                let made = MultiplexedConnection::new_with_config(login, stream, setup).await;
                let (connection, driver) = made.map_err(refused)?;
                Socket(Some((connection, tokio::spawn(driver))))
            }
            Some(ca_file) => {
                let config = tls::client_config(ca_file.as_deref()).map_err(fatal)?;
                let name = ServerName::try_from(host.to_owned());
                let name = name.map_err(|error| fatal(error.to_string()))?;
                let connector = TlsConnector::from(Arc::new(config));
                let stream = connector.connect(name, stream).await;
                let stream = stream.map_err(|error| lost(&error))?;
                let made = MultiplexedConnection::new_with_config(login, stream, setup).await;
                let (connection, driver) = made.map_err(refused)?;
                Socket(Some((connection, tokio::spawn(driver))))
            }
        };
        Self::load(socket).await.map_err(refused)
    }

    async fn load(mut socket: Socket) -> RedisResult<Self> {
        let mut names = Vec::with_capacity(3);
        if let Some((connection, _)) = &mut socket.0 {
            for code in [script::READ, script::ADVANCE, script::RENAME] {
                let mut load = redis::cmd("SCRIPT");
                load.arg("LOAD").arg(code);
                names.push(load.query_async(connection).await?);
            }
        }
        let unexpected = || RedisError::from((redis::ErrorKind::Client, "no connection"));
        let [read, advance, rename] = names.try_into().map_err(|_| unexpected())?;
        let (connection, driver) = socket.0.take().ok_or_else(unexpected)?;
        Ok(Self {
            connection,
            driver,
            scripts: Scripts {
                read,
                advance,
                rename,
            },
            is_sound: true,
        })
    }

    /// Runs a command within the time that an answer may take.
    pub(super) async fn query<T: FromRedisValue>(
        &mut self,
        command: &Cmd,
        within: Duration,
    ) -> RedisResult<T> {
        self.is_sound = false;
        let answer = command.query_async(&mut self.connection);
        let answer = tokio::time::timeout(within, answer)
            .await
            .unwrap_or_else(|_| Err(timed_out(within)));
        self.is_sound = answer.as_ref().err().is_none_or(leaves_connection);
        answer
    }

    /// Runs several commands one after the other, sent at once.
    pub(super) async fn query_all<T: FromRedisValue>(
        &mut self,
        commands: &mut Pipeline,
        within: Duration,
    ) -> RedisResult<Vec<RedisResult<T>>> {
        commands.ignore_errors();
        self.is_sound = false;
        let answers = commands.query_async(&mut self.connection);
        let answers: RedisResult<Vec<RedisResult<T>>> = tokio::time::timeout(within, answers)
            .await
            .unwrap_or_else(|_| Err(timed_out(within)));
        let is_fine = |answer: &RedisResult<T>| answer.as_ref().err().is_none_or(leaves_connection);
        self.is_sound = matches!(&answers, Ok(answers) if answers.iter().all(is_fine));
        answers
    }

    /// Whether the last command was answered, so that the connection can go on.
    pub(super) fn is_sound(&self) -> bool {
        self.is_sound
    }

    /// The settings that decide what outlives a crash, as complaints about those that are wrong.
    pub(super) async fn complaints(&mut self, within: Duration) -> RedisResult<Vec<String>> {
        let mut complaints = Vec::new();
        for (setting, wanted, otherwise) in SETTINGS {
            let mut command = redis::cmd("CONFIG");
            command.arg("GET").arg(setting);
            let value: Vec<String> = match self.query(&command, within).await {
                Ok(value) => value,
                // Hosted servers hide their settings.
                Err(error) if matches!(error.kind(), redis::ErrorKind::Server(_)) => {
                    complaints.push(format!(
                        "the settings of Redis cannot be read ({}), so that nobody knows whether \
                         what it acknowledged outlives a crash",
                        error.category()
                    ));
                    break;
                }
                Err(error) => return Err(error),
            };
            match value.get(1) {
                Some(value) if value != wanted => {
                    complaints.push(format!("Redis has `{setting} {value}`: {otherwise}"));
                }
                _ => {}
            }
        }
        Ok(complaints)
    }
}

/// Each setting, what it should be, and what follows when it is not.
const SETTINGS: [(&str, &str, &str); 3] = [
    (
        "appendonly",
        "yes",
        "rows that were acknowledged are lost in a crash; set `appendonly yes`",
    ),
    (
        "appendfsync",
        "always",
        "rows of the last second or more are lost in a power cut; set `appendfsync always`",
    ),
    (
        "maxmemory-policy",
        "noeviction",
        "streams and ledger may be evicted when memory is short; set `maxmemory-policy noeviction`",
    ),
];

fn timed_out(within: Duration) -> RedisError {
    let why = format!("no answer within {within:?}");
    std::io::Error::new(std::io::ErrorKind::TimedOut, why).into()
}
