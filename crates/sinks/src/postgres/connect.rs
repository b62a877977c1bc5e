//! One connection: made, set up, checked, with its statements prepared.

use std::collections::HashMap;

use tokio::task::JoinHandle;
use tokio_postgres::{Client, Statement};

use super::options::{PostgresOptions, SynchronousCommit};
use super::transaction::Failure;
use super::{Shape, schema, tls};
use crate::ledger::Mark;
use crate::{ErrorKind, ScopeIndex, WriteError};

/// A connection and what is prepared on it.
pub(super) struct Connection {
    pub(super) client: Client,
    pub(super) prepared: Prepared,
    /// The marks as this connection's last commit left them. They are a guess: the ledger is asked
    /// whether it still has them.
    pub(super) known: HashMap<ScopeIndex, Mark>,
    /// Whether answers still belong to their questions, and no transaction is open.
    pub(super) is_sound: bool,
    /// The number of the transaction, by which the ledger's advance knows that it is inside.
    pub(super) transaction: u64,
    _task: Task,
}

/// What is sent with every batch.
pub(super) struct Prepared {
    pub(super) copy: Statement,
    pub(super) merge: Option<Statement>,
    pub(super) advance: Statement,
    pub(super) read_marks: Statement,
}

/// What moves bytes. Ended with the connection, so that the server sees at once that it is gone
/// and rolls back.
struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A client with nothing set up.
pub(super) struct Bare {
    pub(super) client: Client,
    _task: Task,
}

/// Connects and authenticates.
pub(super) async fn open(options: &PostgresOptions) -> Result<Bare, Failure> {
    let connector = tls::connector(options)
        .map_err(|why| refused(options, ErrorKind::Fatal, &format!("cannot use TLS: {why}")))?;
    let (client, connection) = options.config().connect(connector).await?;
    let task = tokio::spawn(async move {
        // Whoever waits for an answer is told; nobody else has to know.
        let _ = connection.await;
    });
    Ok(Bare {
        client,
        _task: Task(task),
    })
}

/// Connects, and gets everything ready for batches, within the connect timeout. Also says which
/// settings endanger what is committed.
pub(super) async fn connect(
    options: &PostgresOptions,
    shape: &Shape,
) -> Result<(Connection, Vec<String>), Failure> {
    let all = async {
        let bare = open(options).await?;
        let mut warnings = set_up(&bare.client, options).await?;
        shape.check_keys()?;
        schema::create_or_check(&bare.client, shape).await?;
        warnings.extend(schema::warnings(&bare.client, shape).await?);
        let prepared = prepare(&bare.client, shape).await?;
        let connection = Connection {
            client: bare.client,
            prepared,
            known: HashMap::new(),
            is_sound: true,
            transaction: 0,
            _task: bare._task,
        };
        Ok((connection, warnings))
    };
    tokio::time::timeout(options.connect_timeout, all)
        .await
        .unwrap_or_else(|_| Err(Failure::Refused(options.not_ready())))
}

fn refused(options: &PostgresOptions, kind: ErrorKind, why: &str) -> Failure {
    let target = options.target();
    Failure::Refused(WriteError::new(
        kind,
        format!("cannot connect to {target}: {why}"),
    ))
}

async fn prepare(client: &Client, shape: &Shape) -> Result<Prepared, Failure> {
    let statements = &shape.statements;
    let merge = match &statements.upsert {
        Some(upsert) => {
            client.batch_execute(&upsert.create).await?;
            Some(client.prepare(&upsert.merge).await?)
        }
        None => None,
    };
    Ok(Prepared {
        copy: client.prepare(&statements.copy).await?,
        merge,
        advance: client.prepare(&statements.advance).await?,
        read_marks: client.prepare(&statements.read_marks).await?,
    })
}

/// Sets the timeouts, and looks at the settings that make a commit survive a power cut.
async fn set_up(client: &Client, options: &PostgresOptions) -> Result<Vec<String>, Failure> {
    let statement_ms = options.statement_timeout.as_millis().max(1);
    let lock_ms = options.lock_timeout.as_millis().max(1);
    client
        .batch_execute(&format!(
            "SET statement_timeout = {statement_ms}; SET lock_timeout = {lock_ms}; \
             SET idle_in_transaction_session_timeout = {statement_ms}"
        ))
        .await?;
    let row = client
        .query_one(
            "SELECT current_setting('fsync'), current_setting('full_page_writes'),
                    current_setting('synchronous_commit'),
                    current_setting('server_version_num')::integer",
            &[],
        )
        .await?;
    // The server ends a statement whose client is gone, and with it the wait of the next writer.
    if row.try_get::<_, i32>(3)? >= 140_000 {
        client
            .batch_execute("SET client_connection_check_interval = 1000")
            .await
            // Not every system can tell that a client is gone.
            .or_else(|error| {
                if error.is_closed() {
                    Err(error)
                } else {
                    Ok(())
                }
            })?;
    }
    let mut warnings = Vec::new();
    for (index, setting) in ["fsync", "full_page_writes"].into_iter().enumerate() {
        if row.try_get::<_, &str>(index)? != "on" {
            warnings.push(format!(
                "the server's setting `{setting}` is off: a commit may not survive a power cut"
            ));
        }
    }
    let found: &str = row.try_get(2)?;
    let level = match options.synchronous_commit {
        None if found == "off" => {
            warnings.push(
                "the server's setting `synchronous_commit` is off: it is on for this connection"
                    .to_owned(),
            );
            Some(SynchronousCommit::On)
        }
        Some(SynchronousCommit::Off) => {
            warnings.push(
                "`synchronous_commit` is off, as the options say: a power cut may lose the last \
                 commits"
                    .to_owned(),
            );
            Some(SynchronousCommit::Off)
        }
        level => level,
    };
    if let Some(level) = level {
        let level = level.as_str();
        client
            .batch_execute(&format!("SET synchronous_commit = {level}"))
            .await?;
    }
    Ok(warnings)
}
