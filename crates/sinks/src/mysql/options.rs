//! Where the server is and how it is used, as a builder or a URL.

use std::path::PathBuf;
use std::time::Duration;

use mysql_async::{Opts, OptsBuilder, SslOpts};
use url::Url;

use crate::InvalidUrl;
use crate::sql::Names;
use crate::url::{Query, decoded};

/// Prepared statements that a connection keeps: more than a writer uses.
const STATEMENTS_MAX: usize = 64;

/// Whether the connection is encrypted, and whom it trusts.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MysqlTls {
    /// Not encrypted.
    Off,
    /// Encrypted; the server's certificate is signed by one of the public authorities.
    Public,
    /// Encrypted; the server's certificate is signed by one in this PEM file.
    Ca(PathBuf),
}

/// How rows are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MysqlInsert {
    /// By `COM_STMT_BULK_EXECUTE` where the server has it, which MariaDB does, and otherwise as
    /// [`Rows`](Self::Rows).
    Bulk,
    /// By prepared statements of up to 512 rows.
    Rows,
}

/// Where a MariaDB or `MySQL` server is and how it is used.
#[derive(Clone, PartialEq, Eq)]
pub struct MysqlOptions {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) user: String,
    password: Option<String>,
    pub(super) database: String,
    pub(super) table: Option<String>,
    pub(super) prefix: String,
    pub(super) tls: MysqlTls,
    pub(super) insert: MysqlInsert,
    pub(super) connect_timeout: Duration,
    pub(super) lock_wait_timeout: Duration,
}

impl MysqlOptions {
    /// The database on a host at port 3306, as the user `root` without a password. The connection
    /// is encrypted unless the host is this machine.
    pub fn new(host: impl Into<String>, database: impl Into<String>) -> Self {
        let host = host.into();
        let is_local = matches!(host.as_str(), "localhost" | "127.0.0.1" | "::1");
        Self {
            host,
            port: 3306,
            user: "root".to_owned(),
            password: None,
            database: database.into(),
            table: None,
            prefix: Names::PREFIX.to_owned(),
            tls: if is_local {
                MysqlTls::Off
            } else {
                MysqlTls::Public
            },
            insert: MysqlInsert::Bulk,
            connect_timeout: Duration::from_secs(10),
            lock_wait_timeout: Duration::from_secs(10),
        }
    }

    /// `mysql://` or `mariadb://user:password@host:port/database`, with the parameters `table`,
    /// `prefix`, `tls` (`on`, `off`), `ca`, `insert` (`bulk`, `rows`), `connect_timeout` and
    /// `lock_wait_timeout`.
    ///
    /// ```
    /// use sinks::MysqlOptions;
    /// let url = "mariadb://plant:secret@db.example/history?table=readings&lock_wait_timeout=5s";
    /// let options = MysqlOptions::from_url(&url.parse().expect("a URL")).expect("options");
    /// assert_eq!(options.to_string(), "mysql://plant@db.example:3306/history");
    /// ```
    ///
    /// # Errors
    /// When the URL has another scheme, names no host or no database, or has a parameter that is
    /// unknown or not allowed. The password is in no message.
    pub fn from_url(url: &Url) -> Result<Self, InvalidUrl> {
        if !matches!(url.scheme(), "mysql" | "mariadb") {
            let scheme = url.scheme();
            return Err(InvalidUrl::new(format!(
                "scheme `{scheme}` is not one of mysql, mariadb"
            )));
        }
        let host = url.host_str().filter(|host| !host.is_empty());
        let host = host.ok_or_else(|| InvalidUrl::new("the URL names no host"))?;
        let database = decoded(url.path().trim_start_matches('/'))?;
        if database.is_empty() || database.contains('/') {
            return Err(InvalidUrl::new(
                "the URL names no database: expected mysql://user@host/database",
            ));
        }
        let mut options = Self::new(host.trim_matches(['[', ']']), database);
        options.port = url.port().unwrap_or(options.port);
        if !url.username().is_empty() {
            options.user = decoded(url.username())?;
        }
        options.password = url.password().map(decoded).transpose()?;
        options.take_parameters(url)?;
        Ok(options)
    }

    fn take_parameters(&mut self, url: &Url) -> Result<(), InvalidUrl> {
        let mut query = Query::new(url);
        self.table = query.text("table");
        self.prefix = query.text("prefix").unwrap_or(Names::PREFIX.to_owned());
        let tls = query.word("tls", &[("on", MysqlTls::Public), ("off", MysqlTls::Off)]);
        let ca = query.text("ca");
        match (tls, ca) {
            (Some(MysqlTls::Off), Some(path)) => {
                query.refuse("ca", &path, "nothing beside tls=off");
            }
            (_, Some(path)) => self.tls = MysqlTls::Ca(path.into()),
            (Some(tls), None) => self.tls = tls,
            (None, None) => {}
        }
        let ways = [("bulk", MysqlInsert::Bulk), ("rows", MysqlInsert::Rows)];
        self.insert = query.word("insert", &ways).unwrap_or(self.insert);
        let (second, day) = (Duration::from_secs(1), Duration::from_secs(86_400));
        let least = Duration::from_millis(1);
        if let Some(timeout) = query.duration_in("connect_timeout", least..=day) {
            self.connect_timeout = timeout;
        }
        if let Some(timeout) = query.duration_in("lock_wait_timeout", second..=day) {
            self.lock_wait_timeout = timeout;
        }
        query.finish()?;
        self.names("unused").map(drop)
    }

    /// The names of the tables, for rows whose schema names this one.
    pub(super) fn names(&self, schema_table: &str) -> Result<Names, InvalidUrl> {
        Names::new(self.table.as_deref().unwrap_or(schema_table), &self.prefix)
    }

    /// The port; 3306 unless set.
    #[must_use]
    pub fn port(self, port: u16) -> Self {
        Self { port, ..self }
    }

    /// The account; `root` without a password unless set.
    #[must_use]
    pub fn account(self, user: impl Into<String>, password: Option<String>) -> Self {
        let user = user.into();
        Self {
            user,
            password,
            ..self
        }
    }

    /// The table of the rows; the one that their schema names unless set.
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

    /// What the names of the ledger and of the quarantine begin with; `forebay_` unless set.
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

    /// Encryption; by [`MysqlTls::Public`] unless set, and off for a host that is this machine.
    #[must_use]
    pub fn tls(self, tls: MysqlTls) -> Self {
        Self { tls, ..self }
    }

    /// How rows are sent; [`MysqlInsert::Bulk`] unless set.
    #[must_use]
    pub fn insert(self, insert: MysqlInsert) -> Self {
        Self { insert, ..self }
    }

    /// How long connecting may take, tables included; 10 s unless set.
    #[must_use]
    pub fn connect_timeout(self, connect_timeout: Duration) -> Self {
        Self {
            connect_timeout,
            ..self
        }
    }

    /// How long to wait for a lock that somebody else holds, in whole seconds of at least one;
    /// 10 s unless set.
    #[must_use]
    pub fn lock_wait_timeout(self, lock_wait_timeout: Duration) -> Self {
        Self {
            lock_wait_timeout,
            ..self
        }
    }

    /// The same as the driver wants it.
    pub(super) fn driver(&self) -> Opts {
        let tls = match &self.tls {
            MysqlTls::Off => None,
            MysqlTls::Public => Some(SslOpts::default()),
            MysqlTls::Ca(path) => Some(
                SslOpts::default()
                    .with_root_certs(vec![path.clone().into()])
                    .with_disable_built_in_roots(true),
            ),
        };
        // No handler for local files: a server that asks for one gets nothing.
        OptsBuilder::default()
            .ip_or_hostname(self.host.clone())
            .tcp_port(self.port)
            .user(Some(self.user.clone()))
            .pass(self.password.clone())
            .db_name(Some(self.database.clone()))
            .prefer_socket(false)
            .tcp_nodelay(true)
            .stmt_cache_size(STATEMENTS_MAX)
            .ssl_opts(tls)
            .into()
    }
}

/// Without the password.
impl std::fmt::Display for MysqlOptions {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (user, host, port, database) = (&self.user, &self.host, self.port, &self.database);
        write!(out, "mysql://{user}@{host}:{port}/{database}")
    }
}

/// Without the password.
impl std::fmt::Debug for MysqlOptions {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("MysqlOptions")
            .field("server", &self.to_string())
            .field("table", &self.table)
            .field("prefix", &self.prefix)
            .field("tls", &self.tls)
            .field("insert", &self.insert)
            .field("connect_timeout", &self.connect_timeout)
            .field("lock_wait_timeout", &self.lock_wait_timeout)
            .finish_non_exhaustive()
    }
}
