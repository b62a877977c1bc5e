//! The databases that are struck, and how their tables are read.

use anyhow::{Context, Result};
use sinks::{
    BatchWriter, BoxWriter, MysqlOptions, MysqlWriter, PostgresOptions, PostgresWriter, ScopeIndex,
    SqliteOptions, SqliteWriter,
};
use tempfile::TempDir;
use test_services::Service;

use crate::child::Marks;
use crate::relay::Relay;
use crate::source::{self, FORBIDDEN_TAG, SCOPES};
use crate::table::Verified;

/// A kind of database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    Sqlite,
    Postgres,
    Mariadb,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
            Self::Mariadb => "mariadb",
        }
    }

    /// A writer as a user would have it.
    pub(crate) fn writer(self, url: &str) -> Result<BoxWriter> {
        let parsed = || url::Url::parse(url).context("the URL");
        Ok(match self {
            Self::Sqlite => BoxWriter::new(SqliteWriter::lazy(SqliteOptions::new(url))?),
            Self::Postgres => {
                BoxWriter::new(PostgresWriter::new(PostgresOptions::from_url(&parsed()?)?))
            }
            Self::Mariadb => BoxWriter::new(MysqlWriter::new(MysqlOptions::from_url(&parsed()?)?)),
        })
    }
}

/// A database to strike at.
pub(crate) struct Target {
    kind: Kind,
    runtime: tokio::runtime::Runtime,
    /// A server; SQLite has none.
    service: Option<Service>,
    /// The line that clients reach it by.
    relay: Option<Relay>,
    folder: TempDir,
}

impl Target {
    /// Starts it and creates its tables; `None` where it is not installed.
    pub(crate) fn start(kind: Kind) -> Result<Option<Self>> {
        let service = match kind {
            Kind::Sqlite => None,
            Kind::Postgres => Service::start(test_services::Kind::Postgres),
            Kind::Mariadb => Service::start(test_services::Kind::MariaDb),
        };
        if service.is_none() && kind != Kind::Sqlite {
            return Ok(None);
        }
        let relay = service.as_ref().map(|service| Relay::start(service.port()));
        let target = Self {
            kind,
            relay: relay.transpose()?,
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?,
            service,
            folder: tempfile::tempdir()?,
        };
        target.create_tables().context("cannot create the tables")?;
        Ok(Some(target))
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// Where clients go: over the line that can be cut, and impatient with locks, so that their
    /// own deadline strikes while something is under way.
    pub(crate) fn client_url(&self) -> String {
        let (Some(service), Some(relay)) = (&self.service, &self.relay) else {
            return self.url();
        };
        let (from, to) = (service.port().to_string(), relay.port().to_string());
        let parameters = match self.kind {
            Kind::Postgres => "?lock_timeout=2s",
            _ => "?lock_wait_timeout=2s",
        };
        format!("{}{parameters}", service.url().replace(&from, &to))
    }

    /// Where the tables are read.
    fn url(&self) -> String {
        match &self.service {
            Some(service) => service.url(),
            None => self
                .folder
                .path()
                .join("chaos.sqlite")
                .display()
                .to_string(),
        }
    }

    /// Cuts the line between client and server.
    pub(crate) fn cut(&self) {
        if let Some(relay) = &self.relay {
            relay.cut();
        }
    }

    pub(crate) fn kill(&mut self) {
        if let Some(service) = &mut self.service {
            service.kill();
        }
    }

    pub(crate) fn restart(&mut self) {
        if let Some(service) = &mut self.service {
            service.restart();
        }
    }

    pub(crate) fn pause(&self) {
        if let Some(service) = &self.service {
            service.pause();
        }
    }

    pub(crate) fn resume(&self) {
        if let Some(service) = &self.service {
            service.resume();
        }
    }

    /// The writer creates its tables; then they get a number for the order of insertion, and a rule
    /// that refuses some rows.
    fn create_tables(&self) -> Result<()> {
        self.runtime.block_on(async {
            let writer = self.kind.writer(&self.url())?;
            for index in 0..SCOPES.len() {
                let index = u16::try_from(index).expect("there are two");
                let name = source::scope_name(index);
                writer.open_scope(ScopeIndex(index), &name).await?;
            }
            writer.close().await?;
            match self.kind {
                Kind::Sqlite => self.prepare_sqlite(),
                Kind::Postgres => self.prepare_postgres().await,
                Kind::Mariadb => self.prepare_mariadb().await,
            }
        })
    }

    /// Leaves the files where they are and says where, for whoever wants to know what went wrong.
    pub(crate) fn keep(self) -> std::path::PathBuf {
        self.folder.keep()
    }

    /// Reads what came since the last time.
    pub(crate) fn verify(&self, verified: &mut Verified) -> Result<()> {
        self.runtime.block_on(async {
            let (watermarks, quarantine, rows) = match self.kind {
                Kind::Sqlite => self.read_sqlite(verified)?,
                Kind::Postgres => self.read_postgres(verified).await?,
                Kind::Mariadb => self.read_mariadb(verified).await?,
            };
            verified.finish(watermarks, quarantine, rows)
        })
    }

    fn prepare_sqlite(&self) -> Result<()> {
        let connection = rusqlite::Connection::open(self.url())?;
        connection.execute_batch(&format!(
            "CREATE TRIGGER refuses BEFORE INSERT ON tag_values WHEN NEW.tag = '{FORBIDDEN_TAG}'
             BEGIN SELECT RAISE(ABORT, 'this tag is forbidden'); END"
        ))?;
        Ok(())
    }

    fn read_sqlite(&self, verified: &mut Verified) -> Result<Read> {
        let mut connection = rusqlite::Connection::open(self.url())?;
        connection.busy_timeout(std::time::Duration::from_secs(10))?;
        let connection = connection.transaction()?;
        let mut statement = connection.prepare(
            "SELECT v.rowid, s.name, v.position, v.tag, CAST(v.value AS TEXT)
             FROM tag_values v JOIN scopes s ON s.id = v.scope
             WHERE v.rowid > ?1 ORDER BY v.rowid",
        )?;
        let mut rows = statement.query([verified.last_inserted])?;
        while let Some(row) = rows.next()? {
            let (scope, position): (String, i64) = (row.get(1)?, row.get(2)?);
            let (tag, value): (String, String) = (row.get(3)?, row.get(4)?);
            verified.row(
                row.get(0)?,
                &scope,
                position.cast_unsigned(),
                (&tag, &value),
            )?;
        }
        let pairs = |sql: &str| -> rusqlite::Result<Vec<(String, i64)>> {
            let mut statement = connection.prepare(sql)?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect()
        };
        Ok(read(
            &pairs("SELECT s.name, l.position FROM ledger l JOIN scopes s ON s.id = l.scope")?,
            pairs("SELECT s.name, q.position FROM quarantine q JOIN scopes s ON s.id = q.scope")?,
            connection.query_row(COUNT, [], |row| row.get(0))?,
        ))
    }

    async fn postgres(&self) -> Result<tokio_postgres::Client> {
        let (client, connection) =
            tokio_postgres::connect(&self.url(), tokio_postgres::NoTls).await?;
        // It ends with its client.
        tokio::spawn(connection);
        Ok(client)
    }

    async fn prepare_postgres(&self) -> Result<()> {
        let sql = format!(
            "ALTER TABLE tag_values ADD COLUMN inserted bigserial,
                ADD CONSTRAINT refuses CHECK (tag <> '{FORBIDDEN_TAG}')"
        );
        Ok(self.postgres().await?.batch_execute(&sql).await?)
    }

    async fn read_postgres(&self, verified: &mut Verified) -> Result<Read> {
        let client = self.postgres().await?;
        // One moment for all that is read.
        client
            .batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
            .await?;
        let rows = client
            .query(
                "SELECT v.inserted, l.scope, v.position, v.tag,
                        coalesce(v.value_text, v.value::bigint::text)
                 FROM tag_values v JOIN forebay_ledger l ON l.id = v.scope
                 WHERE v.inserted > $1 ORDER BY v.inserted",
                &[&verified.last_inserted],
            )
            .await?;
        for row in rows {
            let (scope, position): (String, i64) = (row.get(1), row.get(2));
            let (tag, value): (String, String) = (row.get(3), row.get(4));
            verified.row(row.get(0), &scope, position.cast_unsigned(), (&tag, &value))?;
        }
        let pairs = |rows: Vec<tokio_postgres::Row>| -> Vec<(String, i64)> {
            rows.iter().map(|row| (row.get(0), row.get(1))).collect()
        };
        let ledger = "SELECT scope, position FROM forebay_ledger";
        let quarantine = "SELECT l.scope, q.position FROM forebay_quarantine q
                          JOIN forebay_ledger l ON l.id = q.scope";
        Ok(read(
            &pairs(client.query(ledger, &[]).await?),
            pairs(client.query(quarantine, &[]).await?),
            client.query_one(COUNT, &[]).await?.get(0),
        ))
    }

    async fn mariadb(&self) -> Result<mysql_async::Conn> {
        Ok(mysql_async::Conn::from_url(self.url()).await?)
    }

    async fn prepare_mariadb(&self) -> Result<()> {
        use mysql_async::prelude::Queryable;
        let sql = format!(
            "ALTER TABLE tag_values ADD COLUMN inserted BIGINT AUTO_INCREMENT UNIQUE,
                ADD CONSTRAINT refuses CHECK (tag <> '{FORBIDDEN_TAG}')"
        );
        Ok(self.mariadb().await?.query_drop(sql).await?)
    }

    async fn read_mariadb(&self, verified: &mut Verified) -> Result<Read> {
        use mysql_async::prelude::Queryable;
        let mut connection = self.mariadb().await?;
        connection
            .query_drop("START TRANSACTION WITH CONSISTENT SNAPSHOT")
            .await?;
        let rows: Vec<(i64, String, i64, String, String)> = connection
            .exec(
                "SELECT v.inserted, l.scope, v.position, v.tag,
                        coalesce(v.value_text, cast(cast(v.value AS SIGNED) AS CHAR))
                 FROM tag_values v JOIN forebay_ledger l ON l.id = v.scope
                 WHERE v.inserted > ? ORDER BY v.inserted",
                (verified.last_inserted,),
            )
            .await?;
        for (inserted, scope, position, tag, value) in rows {
            verified.row(inserted, &scope, position.cast_unsigned(), (&tag, &value))?;
        }
        let ledger: Vec<(String, i64)> = connection
            .query("SELECT scope, position FROM forebay_ledger")
            .await?;
        let quarantine = connection
            .query(
                "SELECT l.scope, q.position FROM forebay_quarantine q
                 JOIN forebay_ledger l ON l.id = q.scope",
            )
            .await?;
        let rows: Option<i64> = connection.query_first(COUNT).await?;
        Ok(read(&ledger, quarantine, rows.unwrap_or(0)))
    }
}

/// All rows, those that were read before included: one that came late with an earlier number would
/// not be read.
const COUNT: &str = "SELECT count(*) FROM tag_values";

/// The watermarks, what is in the quarantine, and the number of all rows.
type Read = (Marks, Vec<(String, u64)>, u64);

fn read(ledger: &[(String, i64)], quarantine: Vec<(String, i64)>, rows: i64) -> Read {
    let mut marks = [0; SCOPES.len()];
    for (scope, position) in ledger {
        if let Some(index) = SCOPES.iter().position(|name| name == scope) {
            marks[index] = position.cast_unsigned();
        }
    }
    let quarantine = quarantine.into_iter();
    let quarantine = quarantine.map(|(scope, position)| (scope, position.cast_unsigned()));
    (marks, quarantine.collect(), rows.unsigned_abs())
}
