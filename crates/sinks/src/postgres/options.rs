//! Where the server is, and how to treat it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use url::{Host, Url, form_urlencoded};

use crate::sql::Names;
use crate::url::Query;
use crate::{ErrorKind, InvalidUrl, WriteError};

/// Whether what is sent is encrypted, and whether the server has to prove who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PostgresTls {
    /// Nothing is encrypted.
    Disable,
    /// Encrypted where the server can; who it is, is not checked.
    Prefer,
    /// Encrypted or not at all; who the server is, is not checked.
    Require,
    /// Encrypted, and the server's certificate has to be one for this host by a root that is
    /// trusted: those of the web, or those of a file.
    VerifyFull,
}

/// Which commits the server answers to before they are safe, as its setting `synchronous_commit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SynchronousCommit {
    /// Answered at once: a power cut may lose the last commits. The ledger goes back with them.
    Off,
    /// On the server's own disk.
    Local,
    /// Received by its synchronous standby.
    RemoteWrite,
    /// On the disk of its synchronous standby.
    On,
    /// Visible on its synchronous standby.
    RemoteApply,
}

impl SynchronousCommit {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Local => "local",
            Self::RemoteWrite => "remote_write",
            Self::On => "on",
            Self::RemoteApply => "remote_apply",
        }
    }
}

/// Where the server is, which tables are written, and how patient to be.
#[derive(Clone)]
pub struct PostgresOptions {
    pub(super) host: String,
    pub(super) socket: Option<PathBuf>,
    pub(super) port: u16,
    pub(super) user: String,
    password: Option<String>,
    pub(super) database: String,
    pub(super) table: Option<String>,
    pub(super) prefix: String,
    pub(super) upsert: Vec<String>,
    pub(super) tls: PostgresTls,
    pub(super) root_certificates: Option<PathBuf>,
    pub(super) synchronous_commit: Option<SynchronousCommit>,
    pub(super) connect_timeout: Duration,
    pub(super) statement_timeout: Duration,
    pub(super) lock_timeout: Duration,
}

const PORT: u16 = 5432;
/// The longest that the server's settings, which are milliseconds of 32 bits, can say.
const TIMEOUT_MAX: Duration = Duration::from_secs(24 * 60 * 60);
const TIMEOUT_MIN: Duration = Duration::from_millis(1);

impl PostgresOptions {
    /// The database on this host, at port 5432, as this user.
    pub fn new(
        host: impl Into<String>,
        database: impl Into<String>,
        user: impl Into<String>,
    ) -> Self {
        let host = host.into();
        let is_near = is_loopback(&host);
        Self {
            host,
            socket: None,
            port: PORT,
            user: user.into(),
            password: None,
            database: database.into(),
            table: None,
            prefix: Names::PREFIX.to_owned(),
            upsert: Vec::new(),
            tls: if is_near {
                PostgresTls::Disable
            } else {
                PostgresTls::Prefer
            },
            root_certificates: None,
            synchronous_commit: None,
            connect_timeout: Duration::from_secs(10),
            statement_timeout: Duration::from_secs(60),
            lock_timeout: Duration::from_secs(10),
        }
    }

    /// Reads `postgres://user:password@host:port/database?table=…`; docs/postgres.md has all
    /// parameters.
    ///
    /// ```
    /// use sinks::PostgresOptions;
    /// let url = url::Url::parse("postgres://me:secret@db/plant?table=readings&lock_timeout=2s");
    /// let options = PostgresOptions::from_url(&url.expect("a URL"))?;
    /// assert!(!format!("{options:?}").contains("secret"));
    /// # Ok::<(), sinks::url::InvalidUrl>(())
    /// ```
    ///
    /// # Errors
    /// When the host, the user or the database is missing, or a parameter is unknown or has a
    /// value that is not allowed; the message names it.
    pub fn from_url(url: &Url) -> Result<Self, InvalidUrl> {
        if !matches!(url.scheme(), "postgres" | "postgresql") {
            let scheme = url.scheme();
            return Err(InvalidUrl::new(format!(
                "the scheme is `{scheme}`, expected postgres or postgresql"
            )));
        }
        let mut query = Query::new(url);
        let socket = query.text("socket").map(PathBuf::from);
        let host = match url.host() {
            Some(Host::Ipv6(address)) => address.to_string(),
            Some(host) => decoded(&host.to_string()),
            None => String::new(),
        };
        let database = decoded(url.path().trim_start_matches('/'));
        let missing = [
            (host.is_empty() && socket.is_none(), "host"),
            (url.username().is_empty(), "user"),
            (database.is_empty(), "database"),
        ];
        if let Some((_, what)) = missing.iter().find(|(is_missing, _)| *is_missing) {
            return Err(InvalidUrl::new(format!(
                "the {what} is missing, expected postgres://user:password@host:5432/database"
            )));
        }
        let mut options = Self::new(host, database, decoded(url.username()));
        options.port = url.port().unwrap_or(PORT);
        options.password = url.password().map(decoded);
        options.socket = socket;
        options.read(&mut query)?;
        query.finish()?;
        options.names("unused")?;
        Ok(options)
    }

    fn read(&mut self, query: &mut Query) -> Result<(), InvalidUrl> {
        self.table = query.text("table");
        if let Some(prefix) = query.text("prefix") {
            self.prefix = prefix;
        }
        if let Some(columns) = query.text("upsert") {
            self.upsert = columns.split(',').map(|name| name.trim().into()).collect();
        }
        for column in &self.upsert {
            Names::check("upsert", column)?;
        }
        self.root_certificates = query.text("sslrootcert").map(PathBuf::from);
        let modes = [
            ("disable", PostgresTls::Disable),
            ("prefer", PostgresTls::Prefer),
            ("require", PostgresTls::Require),
            ("verify-full", PostgresTls::VerifyFull),
        ];
        let mode = query.word("sslmode", &modes);
        if self.socket.is_some() {
            self.tls = PostgresTls::Disable;
        }
        if self.root_certificates.is_some() {
            if mode.is_some_and(|mode| mode != PostgresTls::VerifyFull) {
                query.refuse(
                    "sslmode",
                    "not verify-full",
                    "verify-full, as sslrootcert is given",
                );
            }
            self.tls = PostgresTls::VerifyFull;
        }
        self.tls = mode.unwrap_or(self.tls);
        let levels = [
            SynchronousCommit::On,
            SynchronousCommit::RemoteApply,
            SynchronousCommit::RemoteWrite,
            SynchronousCommit::Local,
            SynchronousCommit::Off,
        ];
        let levels = levels.map(|level| (level.as_str(), level));
        self.synchronous_commit = query.word("synchronous_commit", &levels);
        for (name, timeout) in [
            ("connect_timeout", &mut self.connect_timeout),
            ("statement_timeout", &mut self.statement_timeout),
            ("lock_timeout", &mut self.lock_timeout),
        ] {
            if let Some(given) = query.duration_in(name, TIMEOUT_MIN..=TIMEOUT_MAX) {
                *timeout = given;
            }
        }
        Ok(())
    }

    /// The port; 5432 unless said otherwise.
    #[must_use]
    pub fn port(self, port: u16) -> Self {
        Self { port, ..self }
    }

    /// The password; none unless said otherwise.
    #[must_use]
    pub fn password(self, password: impl Into<String>) -> Self {
        Self {
            password: Some(password.into()),
            ..self
        }
    }

    /// The table of the rows; that of their schema unless said otherwise.
    ///
    /// # Errors
    /// When it is no identifier of lower-case letters, digits and underscores.
    pub fn table(self, table: impl Into<String>) -> Result<Self, InvalidUrl> {
        let options = Self {
            table: Some(table.into()),
            ..self
        };
        options.names("unused").map(|_| options)
    }

    /// What the names of the ledger and of the quarantine begin with; `forebay_` unless said
    /// otherwise.
    ///
    /// # Errors
    /// When that makes no identifiers.
    pub fn prefix(self, prefix: impl Into<String>) -> Result<Self, InvalidUrl> {
        let options = Self {
            prefix: prefix.into(),
            ..self
        };
        options.names("unused").map(|_| options)
    }

    /// The columns that make a key: a row replaces the stored one of its key. Without any, which
    /// is how it is unless said otherwise, rows are appended.
    ///
    /// # Errors
    /// When a name is no identifier.
    pub fn upsert<'a>(
        self,
        columns: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, InvalidUrl> {
        let upsert: Vec<String> = columns.into_iter().map(str::to_owned).collect();
        for column in &upsert {
            Names::check("upsert", column)?;
        }
        Ok(Self { upsert, ..self })
    }

    /// How what is sent is protected: encrypted where the server can, unless said otherwise; not
    /// at all to this machine itself.
    #[must_use]
    pub fn tls(self, tls: PostgresTls) -> Self {
        Self { tls, ..self }
    }

    /// A PEM file with the roots to trust in place of those of the web; implies
    /// [`PostgresTls::VerifyFull`].
    #[must_use]
    pub fn root_certificates(self, file: impl AsRef<Path>) -> Self {
        Self {
            root_certificates: Some(file.as_ref().to_owned()),
            tls: PostgresTls::VerifyFull,
            ..self
        }
    }

    /// The server's `synchronous_commit` for this sink. Unless said otherwise it is what the
    /// server has, but `on` where that is `off`.
    #[must_use]
    pub fn synchronous_commit(self, level: SynchronousCommit) -> Self {
        Self {
            synchronous_commit: Some(level),
            ..self
        }
    }

    /// How long connecting may take, with all that belongs to it; 10 s unless said otherwise.
    #[must_use]
    pub fn connect_timeout(self, connect_timeout: Duration) -> Self {
        Self {
            connect_timeout,
            ..self
        }
    }

    /// How long the server may take for one statement; 60 s unless said otherwise, at least 1 ms.
    #[must_use]
    pub fn statement_timeout(self, statement_timeout: Duration) -> Self {
        Self {
            statement_timeout: statement_timeout.clamp(TIMEOUT_MIN, TIMEOUT_MAX),
            ..self
        }
    }

    /// How long the server may wait for a lock of others; 10 s unless said otherwise, at least
    /// 1 ms.
    #[must_use]
    pub fn lock_timeout(self, lock_timeout: Duration) -> Self {
        Self {
            lock_timeout: lock_timeout.clamp(TIMEOUT_MIN, TIMEOUT_MAX),
            ..self
        }
    }

    /// The names of the tables, for rows whose schema names this one.
    pub(super) fn names(&self, schema_table: &str) -> Result<Names, InvalidUrl> {
        Names::new(self.table.as_deref().unwrap_or(schema_table), &self.prefix)
    }

    /// What messages call the server: no user, no password.
    pub(super) fn target(&self) -> String {
        match &self.socket {
            Some(socket) => format!("postgres:{}/{}", socket.display(), self.database),
            None => format!("postgres://{}:{}/{}", self.host, self.port, self.database),
        }
    }

    /// The error for a connection that took too long.
    pub(super) fn not_ready(&self) -> WriteError {
        let (target, limit) = (self.target(), self.connect_timeout);
        let why = format!("cannot connect to {target}: it was not ready within {limit:?}");
        WriteError::new(ErrorKind::Transient, why)
    }

    pub(super) fn config(&self) -> tokio_postgres::Config {
        use tokio_postgres::config::SslMode;
        let mut config = tokio_postgres::Config::new();
        match &self.socket {
            #[cfg(unix)]
            Some(socket) => config.host_path(socket),
            _ => config.host(&self.host),
        };
        config
            .port(self.port)
            .user(&self.user)
            .dbname(&self.database)
            .application_name("forebay")
            .connect_timeout(self.connect_timeout)
            .keepalives(true)
            .keepalives_idle(Duration::from_secs(30))
            .keepalives_interval(Duration::from_secs(10))
            .keepalives_retries(3)
            .tcp_user_timeout(self.statement_timeout + Duration::from_secs(30))
            .ssl_mode(match self.tls {
                PostgresTls::Disable => SslMode::Disable,
                PostgresTls::Prefer => SslMode::Prefer,
                PostgresTls::Require | PostgresTls::VerifyFull => SslMode::Require,
            });
        if let Some(password) = &self.password {
            config.password(password);
        }
        config
    }
}

impl std::fmt::Debug for PostgresOptions {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("PostgresOptions")
            .field("target", &self.target())
            .field("user", &self.user)
            .field("table", &self.table)
            .field("prefix", &self.prefix)
            .field("upsert", &self.upsert)
            .field("tls", &self.tls)
            .field("synchronous_commit", &self.synchronous_commit)
            .field("connect_timeout", &self.connect_timeout)
            .field("statement_timeout", &self.statement_timeout)
            .field("lock_timeout", &self.lock_timeout)
            .finish_non_exhaustive()
    }
}

fn is_loopback(host: &str) -> bool {
    let address = host.parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// A part of a URL with what is percent-encoded decoded.
fn decoded(text: &str) -> String {
    let escaped = text.replace('+', "%2B").replace('&', "%26");
    form_urlencoded::parse(format!("v={escaped}").as_bytes())
        .next()
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default()
}
