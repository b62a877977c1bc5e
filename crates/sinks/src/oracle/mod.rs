//! Oracle, by array DML with the ledger in the same transaction. Not yet run against a server.
//!
//! The driver (`oracle`, over ODPI-C) blocks, so a thread owns the connection. It loads Oracle's
//! client library when it first connects, and builds without. A batch is one transaction: the
//! ledger rows of its scopes are locked, what is new is inserted by array DML in the mode in which
//! Oracle names the rows that it refuses and keeps the others, those go to the quarantine, the
//! ledger advances, commit. A dropped future changes nothing: the thread finishes the transaction,
//! and the next write finds it in the ledger.
//!
//! Limits: text up to 4,000 bytes, bytes up to 2,000; empty text comes back as null, because Oracle
//! knows no other.

mod classify;
mod statement;
mod worker;

use std::marker::PhantomData;
use std::sync::mpsc;
use std::time::Duration;

use record::{Position, Record};
use tokio::sync::oneshot;
use url::Url;

use crate::sql::Names;
use crate::url::{Query, decoded};
use crate::{
    Batch, BatchWriter, Guarantee, InvalidUrl, OpenScope, Receipt, Row, ScopeIndex, ScopeName,
    WriteError,
};
use worker::{Worker, ended};

/// Commands that wait for the thread at most.
const COMMANDS_MAX: usize = 16;

/// Where the database is, and what its tables are called.
#[derive(Clone)]
pub struct OracleOptions {
    server: String,
    user: String,
    password: String,
    table: Option<String>,
    prefix: String,
    timeout: Duration,
}

impl OracleOptions {
    /// The service at `server`, for example `//db.example:1521/ORCLPDB1`. Calls and locks may take
    /// 30 s; the table is the schema's, the prefix of ledger and quarantine `forebay_`.
    pub fn new(
        server: impl Into<String>,
        user: impl Into<String>,
        password: impl Into<String>,
    ) -> Self {
        Self {
            server: server.into(),
            user: user.into(),
            password: password.into(),
            table: None,
            prefix: Names::PREFIX.into(),
            timeout: Duration::from_secs(30),
        }
    }

    /// From `oracle://user:password@host:1521/service?table=…&prefix=…&timeout=30s`; user and
    /// password are percent-decoded, the timeout is from 1 s to an hour.
    ///
    /// # Errors
    /// When something is missing or not understood; passwords are no part of the message.
    pub fn from_url(url: &Url) -> Result<Self, InvalidUrl> {
        let service = url.path().trim_matches('/');
        let host = url.host_str().unwrap_or_default();
        if url.scheme() != "oracle" || host.is_empty() || service.is_empty() {
            return Err(InvalidUrl::new(
                "a URL of Oracle is oracle://user:password@host:1521/service",
            ));
        }
        let server = format!("//{host}:{}/{service}", url.port().unwrap_or(1521));
        let password = decoded(url.password().unwrap_or_default())?;
        let mut options = Self::new(server, decoded(url.username())?, password);
        let mut query = Query::new(url);
        options.table = query.text("table");
        options.prefix = query.text("prefix").unwrap_or(options.prefix);
        let range = Duration::from_secs(1)..=Duration::from_secs(3_600);
        options.timeout = query
            .duration_in("timeout", range)
            .unwrap_or(options.timeout);
        query.finish()?;
        options.names("unused")?;
        Ok(options)
    }

    /// The names of the tables, for rows whose schema names this one.
    fn names(&self, schema_table: &str) -> Result<Names, InvalidUrl> {
        Names::new(self.table.as_deref().unwrap_or(schema_table), &self.prefix)
    }
}

impl std::fmt::Debug for OracleOptions {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { server, user, .. } = self;
        write!(out, "OracleOptions({user} at {server})")
    }
}

type Command = Box<dyn FnOnce(&mut Worker) + Send>;

/// Writes rows to Oracle, exactly once; bad rows go to its own quarantine.
#[derive(Debug)]
pub struct OracleWriter<R = Record> {
    commands: mpsc::SyncSender<Command>,
    rows: PhantomData<fn(R)>,
}

impl<R: Row> OracleWriter<R> {
    /// A writer, which connects at its first use, on a thread of its own.
    #[must_use]
    pub fn new(options: OracleOptions) -> Self {
        let (commands, inbox) = mpsc::sync_channel::<Command>(COMMANDS_MAX);
        let thread = std::thread::Builder::new().name("forebay-oracle".into());
        // Without a thread the inbox is gone, and each command says so.
        let _ = thread.spawn(move || {
            let mut worker = Worker::new::<R>(options);
            while let Ok(command) = inbox.recv() {
                command(&mut worker);
            }
        });
        let rows = PhantomData;
        Self { commands, rows }
    }

    async fn ask<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Worker) -> Result<T, WriteError> + Send + 'static,
    ) -> Result<T, WriteError> {
        let (reply, answer) = oneshot::channel();
        let command: Command = Box::new(move |worker| {
            // Who no longer waits made the outcome unknown to itself; the ledger will tell.
            let _ = reply.send(act(worker));
        });
        self.commands
            .try_send(command)
            .map_err(|error| match error {
                mpsc::TrySendError::Full(_) => WriteError::new(
                    crate::ErrorKind::Transient,
                    format!("the writer has {COMMANDS_MAX} commands waiting"),
                ),
                mpsc::TrySendError::Disconnected(_) => ended(),
            })?;
        answer.await.map_err(|_| ended())?
    }
}

impl<R: Row> BatchWriter for OracleWriter<R> {
    type Row = R;

    fn name(&self) -> &str {
        "oracle"
    }

    fn guarantee(&self) -> Guarantee {
        Guarantee::ExactlyOnce
    }

    async fn open_scope(
        &self,
        index: ScopeIndex,
        name: &ScopeName,
    ) -> Result<OpenScope, WriteError> {
        let name = name.clone();
        self.ask(move |worker| worker.open_scope(index, name)).await
    }

    async fn scopes(&self, prefix: &str) -> Result<Vec<(ScopeName, Position)>, WriteError> {
        let prefix = prefix.to_owned();
        self.ask(move |worker| worker.scopes(&prefix)).await
    }

    async fn rename_scope(&self, from: &ScopeName, to: &ScopeName) -> Result<(), WriteError> {
        let (from, to) = (from.clone(), to.clone());
        self.ask(move |worker| worker.rename(&from, &to)).await
    }

    async fn write(&self, batch: &Batch<R>) -> Result<Receipt, WriteError> {
        let batch = batch.clone();
        self.ask(move |worker| worker.write(&batch)).await
    }

    async fn close(&self) -> Result<(), WriteError> {
        self.ask(Worker::close).await
    }
}
