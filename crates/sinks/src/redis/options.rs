//! Which server, which keys, and how much at once.

use std::path::PathBuf;
use std::time::Duration;

use redis::{ConnectionAddr, IntoConnectionInfo, RedisConnectionInfo};
use url::Url;

use crate::InvalidUrl;
use crate::url::Query;

/// How a row stands in an entry of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RedisFormat {
    /// A field per column; none for a cell without a value.
    Fields,
    /// One field `row` with the row as a JSON object.
    Json,
}

/// How many entries a stream keeps. What is trimmed is gone, although it was delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RedisTrim {
    /// All of them.
    Never,
    /// At least so many: whole nodes are freed, which is fast.
    AtLeast(u64),
    /// So many and no more.
    Exactly(u64),
}

/// Which Redis, and how to write to it.
///
/// ```
/// use sinks::{RedisOptions, RedisTrim};
/// let url = "redis://user:secret@host:6379/2?prefix=plant&maxlen=~1000000&chunk=200";
/// let options = RedisOptions::from_url(&url::Url::parse(url).expect("a URL"))?;
/// let same = RedisOptions::new("redis://user:secret@host:6379/2")?
///     .prefix("plant")
///     .trim(RedisTrim::AtLeast(1_000_000))
///     .chunk_rows(200);
/// assert_eq!(format!("{options:?}"), format!("{same:?}"));
/// assert!(!format!("{options:?}").contains("secret"));
/// # Ok::<(), sinks::InvalidUrl>(())
/// ```
#[derive(Clone)]
pub struct RedisOptions {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) tls: Option<CaFile>,
    pub(super) login: RedisConnectionInfo,
    pub(super) prefix: String,
    pub(super) format: RedisFormat,
    pub(super) trim: RedisTrim,
    pub(super) chunk_rows: usize,
    pub(super) row_bytes_max: usize,
    pub(super) timeout: Duration,
    pub(super) connect_timeout: Duration,
}

/// What TLS trusts: a file, or the roots of Mozilla.
pub(super) type CaFile = Option<PathBuf>;

const PREFIX: &str = "forebay";
const CHUNK_ROWS: usize = 500;
/// A script of more rows would hold up the other clients of the server.
const CHUNK_ROWS_MAX: usize = 10_000;
const ROW_BYTES_MAX: usize = 8 << 20;
/// What Redis takes for one value as it comes.
const ROW_BYTES_MOST: usize = 512 << 20;
const TIMEOUT: Duration = Duration::from_secs(5);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

impl RedisOptions {
    /// The server and database that the URL names: `redis://user:password@host:6379/0`, or with
    /// `rediss` over TLS; and its parameters, as in [`from_url`](Self::from_url).
    ///
    /// # Errors
    /// As for [`from_url`](Self::from_url).
    pub fn new(url: &str) -> Result<Self, InvalidUrl> {
        let url = Url::parse(url)
            .map_err(|error| InvalidUrl::new(format!("the address is no URL: {error}")))?;
        Self::from_url(&url)
    }

    /// The options that a URL carries:
    /// `rediss://user:password@host:6379/0?prefix=forebay&maxlen=~1000000`.
    ///
    /// # Errors
    /// When the scheme is neither `redis` nor `rediss`, the database is no number, or a parameter
    /// is unknown or not allowed. Passwords are not part of the message.
    pub fn from_url(url: &Url) -> Result<Self, InvalidUrl> {
        let mut query = Query::new(url);
        let mut options = Self::server(url)?;
        let prefix = query.checked("prefix", |text| {
            // The streams of one prefix would be keys of the other.
            let is_stream = format!("{text}:").contains(":stream:");
            let is_fit = !text.is_empty() && !text.chars().any(char::is_control) && !is_stream;
            is_fit.then(|| text.to_owned()).ok_or_else(|| {
                "a text that is not empty and has no part `stream` behind a colon".to_owned()
            })
        });
        options.prefix = prefix.unwrap_or(options.prefix);
        let formats = [("fields", RedisFormat::Fields), ("json", RedisFormat::Json)];
        options.format = query.word("format", &formats).unwrap_or(options.format);
        let trim = query.checked("maxlen", |text| {
            let parse = |text: &str| text.parse().ok().filter(|count| *count > 0);
            let trim = match text.strip_prefix('~') {
                _ if text == "off" => Some(RedisTrim::Never),
                Some(count) => parse(count).map(RedisTrim::AtLeast),
                None => parse(text).map(RedisTrim::Exactly),
            };
            trim.ok_or_else(|| "off, a number of entries, or ~ and a number".to_owned())
        });
        options.trim = trim.unwrap_or(options.trim);
        let rows = query.number("chunk", 1..=CHUNK_ROWS_MAX as u64);
        let rows = rows.and_then(|rows| usize::try_from(rows).ok());
        options.chunk_rows = rows.unwrap_or(options.chunk_rows);
        let bytes = query.size_in("row_max", 1024..=ROW_BYTES_MOST as u64);
        let bytes = bytes.and_then(|bytes| usize::try_from(bytes).ok());
        options.row_bytes_max = bytes.unwrap_or(options.row_bytes_max);
        let timeouts = Duration::from_millis(1)..=Duration::from_secs(3600);
        let timeout = query.duration_in("timeout", timeouts.clone());
        options.timeout = timeout.unwrap_or(options.timeout);
        let timeout = query.duration_in("connect_timeout", timeouts);
        options.connect_timeout = timeout.unwrap_or(options.connect_timeout);
        if let Some(path) = query.text("ca") {
            match &mut options.tls {
                Some(ca_file) => *ca_file = Some(path.into()),
                None => query.refuse("ca", &path, "the scheme rediss with it"),
            }
        }
        query.finish()?;
        Ok(options)
    }

    fn server(url: &Url) -> Result<Self, InvalidUrl> {
        let tls = match url.scheme() {
            "redis" => None,
            "rediss" => Some(None),
            scheme => {
                let why = format!("the scheme is `{scheme}`, expected redis or rediss");
                return Err(InvalidUrl::new(why));
            }
        };
        let mut plain = url.clone();
        plain.set_query(None);
        plain.set_fragment(None);
        // What is behind the scheme is read alike; TLS is this adapter's own.
        let _ = plain.set_scheme("redis");
        let info = plain.as_str().into_connection_info().map_err(|_| {
            let why = "the address is none of Redis, expected `redis://host:6379/0`, with \
                       `user:password@` before the host where they are needed";
            InvalidUrl::new(why)
        })?;
        let ConnectionAddr::Tcp(host, port) = info.addr().clone() else {
            return Err(InvalidUrl::new("the address has no host"));
        };
        Ok(Self {
            host,
            port,
            tls,
            login: info.redis_settings().clone().set_skip_set_lib_name(),
            prefix: PREFIX.to_owned(),
            format: RedisFormat::Fields,
            trim: RedisTrim::Never,
            chunk_rows: CHUNK_ROWS,
            row_bytes_max: ROW_BYTES_MAX,
            timeout: TIMEOUT,
            connect_timeout: CONNECT_TIMEOUT,
        })
    }

    /// What the names of all keys begin with; `forebay` by default. With a part `stream` behind a
    /// colon, keys may be those of another prefix.
    #[must_use]
    pub fn prefix(self, prefix: impl Into<String>) -> Self {
        Self {
            prefix: prefix.into(),
            ..self
        }
    }

    /// How rows stand in the stream; a field per column by default.
    #[must_use]
    pub fn format(self, format: RedisFormat) -> Self {
        Self { format, ..self }
    }

    /// How many entries each stream keeps; all by default.
    #[must_use]
    pub fn trim(self, trim: RedisTrim) -> Self {
        Self { trim, ..self }
    }

    /// Rows that one script appends, from 1 to 10,000; 500 by default. Numbers beyond are taken
    /// for the nearest.
    #[must_use]
    pub fn chunk_rows(self, chunk_rows: usize) -> Self {
        Self {
            chunk_rows: chunk_rows.clamp(1, CHUNK_ROWS_MAX),
            ..self
        }
    }

    /// Bytes that a row may have, names and values of its fields together, from 1 KiB to 512 MiB;
    /// 8 MiB by default. A longer one is refused, since nothing behind it would ever get in.
    #[must_use]
    pub fn row_bytes_max(self, row_bytes_max: usize) -> Self {
        Self {
            row_bytes_max: row_bytes_max.clamp(1024, ROW_BYTES_MOST),
            ..self
        }
    }

    /// How long an answer may take; 5 s by default.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// How long connecting may take, logging in included; 5 s by default.
    #[must_use]
    pub fn connect_timeout(self, connect_timeout: Duration) -> Self {
        Self {
            connect_timeout,
            ..self
        }
    }

    /// Connects over TLS and trusts only the certificates in this PEM file, instead of the roots
    /// of Mozilla.
    #[must_use]
    pub fn ca_file(self, path: impl Into<PathBuf>) -> Self {
        Self {
            tls: Some(Some(path.into())),
            ..self
        }
    }

    /// What messages say of the server.
    pub(super) fn server_name(&self) -> String {
        let scheme = if self.tls.is_some() {
            "rediss"
        } else {
            "redis"
        };
        format!("{scheme}://{}:{}/{}", self.host, self.port, self.login.db())
    }

    pub(super) fn ledger_key(&self) -> String {
        format!("{}:ledger", self.prefix)
    }

    pub(super) fn stream_key(&self, scope: &str) -> String {
        format!("{}:stream:{scope}", self.prefix)
    }
}

/// Without the password.
impl std::fmt::Debug for RedisOptions {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("RedisOptions")
            .field("server", &self.server_name())
            .field("user", &self.login.username())
            .field("ca_file", &self.tls)
            .field("prefix", &self.prefix)
            .field("format", &self.format)
            .field("trim", &self.trim)
            .field("chunk_rows", &self.chunk_rows)
            .field("row_bytes_max", &self.row_bytes_max)
            .field("timeout", &self.timeout)
            .field("connect_timeout", &self.connect_timeout)
            .finish()
    }
}
