//! Rows as entries of Redis streams, one stream per scope, each row with its position as its id.
//!
//! Exactly once: a script appends rows and advances the ledger, and does so only where the ledger
//! is what the writer believes it to be. So a repeat, a write that was thought lost and arrives
//! late, and a writer that was shut out all change nothing. Long batches go in chunks, each of
//! which is such a step of its own, several of them sent at once.
//!
//! Keys: `<prefix>:stream:<scope>` are the streams, the hash `<prefix>:ledger` has a field per
//! scope. Nobody else may add to the streams, since ids are positions; trimming and deleting are
//! harmless. What Redis acknowledged outlives a crash only with `appendonly yes` and `appendfsync
//! always`; [`RedisWriter::warnings`] says what is otherwise. Clusters are not supported, and a
//! failover to a replica may lose what was not yet copied.

mod classify;
mod link;
mod mark;
mod options;
mod script;
mod write;

use std::collections::{BTreeMap, HashMap};

use parking_lot::Mutex as Lock;
use record::Position;
use redis::{Cmd, RedisError};
use tokio::sync::Mutex;

use crate::backoff::Backoff;
use crate::{
    Batch, BatchWriter, ErrorKind, Guarantee, OpenScope, Receipt, Row, ScopeIndex, ScopeName,
    WriteError,
};
use classify::write_error;
use link::Link;
use mark::Held;
pub use options::{RedisFormat, RedisOptions, RedisTrim};

/// How often a ledger that changes under our hands is read again.
const ROUNDS_MAX: usize = 8;

/// A sink that appends to Redis streams.
///
/// Making one does not connect; the first use does, and every use after a failure does so again,
/// with growing pauses. Writes take turns.
///
/// ```no_run
/// use sinks::{BatchWriter, RedisOptions, RedisWriter, ScopeIndex, ScopeName};
/// # async fn open() -> Result<(), Box<dyn std::error::Error>> {
/// let options = RedisOptions::new("redis://127.0.0.1:6379/0?maxlen=~1000000")?;
/// let writer: RedisWriter = RedisWriter::new(options);
/// let scope = writer.open_scope(ScopeIndex(0), &ScopeName::new("host/normal")).await?;
/// println!("delivered up to {}; {:?}", scope.watermark, writer.warnings());
/// # Ok(()) }
/// ```
pub struct RedisWriter<R = record::Record> {
    options: RedisOptions,
    state: Mutex<State>,
    warnings: Lock<Vec<String>>,
    rows: std::marker::PhantomData<fn(&R)>,
}

/// What an operation works on. The connection and what is believed of the ledger are taken out of
/// here for its length, so that one which is dropped in the middle leaves nothing unclear behind.
#[derive(Default)]
struct State {
    link: Option<Link>,
    backoff: Backoff,
    scopes: HashMap<ScopeIndex, Opened>,
    /// Renames whose answer never came: from and to.
    renaming: Vec<(ScopeName, ScopeName)>,
}

struct Opened {
    name: ScopeName,
    fence: u64,
    /// The ledger, if it is known.
    held: Option<Held>,
    /// The highest position that was acknowledged.
    acknowledged: u64,
}

impl<R: Row> RedisWriter<R> {
    /// A writer to the server that the options name.
    #[must_use]
    pub fn new(options: RedisOptions) -> Self {
        Self {
            options,
            state: Mutex::default(),
            warnings: Lock::default(),
            rows: std::marker::PhantomData,
        }
    }

    /// What of the server's settings, as of the last connection, endangers what was acknowledged,
    /// and what was seen to be lost; each line names the setting. Empty when all is well.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        self.warnings.lock().clone()
    }

    fn error(&self, kind: ErrorKind, doing: &str, why: impl std::fmt::Display) -> WriteError {
        let server = self.options.server_name();
        WriteError::new(kind, format!("cannot {doing} at {server}: {why}"))
    }

    fn failed(&self, doing: &str, error: &RedisError) -> WriteError {
        write_error(doing, &self.options.server_name(), error)
    }

    /// The connection, taken out of its place; made if there is none.
    async fn link(&self, state: &mut State) -> Result<Link, WriteError> {
        if let Some(link) = state.link.take() {
            return Ok(link);
        }
        state.backoff.check()?;
        let connected = async {
            let mut link = Link::connect(&self.options).await?;
            let complaints = link.complaints(self.options.timeout).await;
            let complaints = complaints.map_err(|error| self.failed("read settings", &error))?;
            Ok((link, complaints))
        };
        match connected.await {
            Ok((link, complaints)) => {
                state.backoff.succeeded();
                for complaint in complaints {
                    self.warn(&complaint);
                }
                Ok(link)
            }
            Err(error) => Err(state.backoff.failed(error)),
        }
    }

    /// Says it once.
    fn warn(&self, warning: &str) {
        {
            let mut warnings = self.warnings.lock();
            if warnings.iter().any(|known| known == warning) {
                return;
            }
            warnings.push(warning.to_owned());
        }
        tracing::warn!(server = self.options.server_name(), "{warning}");
    }

    /// What the ledger has of a scope; `None` where it has nothing.
    async fn read(&self, link: &mut Link, scope: &ScopeName) -> Result<Option<Held>, WriteError> {
        let doing = format!("read the ledger of `{scope}`");
        let ledger = self.options.ledger_key();
        let stream = self.options.stream_key(scope.as_str());
        let mut command = Cmd::new();
        command.arg("EVALSHA").arg(&link.scripts.read).arg(2);
        command.arg(&ledger).arg(&stream).arg(scope.as_str());
        let answer = link.query(&command, self.options.timeout).await;
        let (text, last): (String, String) = answer.map_err(|error| self.failed(&doing, &error))?;
        let held = match text.as_str() {
            "" => None,
            text => Some(self.parse(text, &doing)?),
        };
        let last: u64 = last
            .split('-')
            .next()
            .and_then(|id| id.parse().ok())
            .unwrap_or(0);
        let position = held.map_or(0, |held| held.position);
        if last > position {
            // Going on could only pass over rows, or fail at each of them.
            let why = format!(
                "the stream `{stream}` has had entries up to {last}, and `{ledger}` knows only of \
                 {position}: somebody else added to the stream, or the ledger was deleted; delete \
                 or rename the stream"
            );
            return Err(self.error(ErrorKind::Fatal, &doing, why));
        }
        Ok(held)
    }

    fn parse(&self, text: &str, doing: &str) -> Result<Held, WriteError> {
        Held::parse(text).ok_or_else(|| {
            let ledger = self.options.ledger_key();
            let why = format!(
                "`{}` in `{ledger}` is no entry of ours",
                text.escape_debug()
            );
            self.error(ErrorKind::Fatal, doing, why)
        })
    }

    /// The script that takes the ledger of a scope from one state to the next; rows come after it.
    fn advance(&self, link: &Link, scope: &ScopeName, from: Option<Held>, to: Held) -> Cmd {
        let from = from.map_or_else(String::new, |held| held.to_string());
        let (how, count) = match self.options.trim {
            RedisTrim::Never => ("", 0),
            RedisTrim::AtLeast(count) => ("~", count),
            RedisTrim::Exactly(count) => ("=", count),
        };
        let mut command = Cmd::new();
        command.arg("EVALSHA").arg(&link.scripts.advance).arg(2);
        command.arg(self.options.ledger_key());
        command.arg(self.options.stream_key(scope.as_str()));
        command.arg(scope.as_str()).arg(from).arg(to.to_string());
        command.arg(how).arg(count);
        command
    }

    async fn open(&self, link: &mut Link, scope: &ScopeName) -> Result<Held, WriteError> {
        for _ in 0..ROUNDS_MAX {
            let held = self.read(link, scope).await?;
            let before = held.unwrap_or_default();
            let doing = format!("open `{scope}`");
            let Some(fence) = before.fence.checked_add(1) else {
                let why = format!("the ledger has `{before}`, behind which there is no fence");
                return Err(self.error(ErrorKind::Fatal, &doing, why));
            };
            let opened = Held { fence, ..before };
            let command = self.advance(link, scope, held, opened);
            let answer = link.query::<String>(&command, self.options.timeout).await;
            let now = answer.map_err(|error| self.failed(&doing, &error))?;
            if now == opened.to_string() {
                return Ok(opened);
            }
        }
        let why = "others open it all the time";
        Err(self.error(ErrorKind::Transient, &format!("open `{scope}`"), why))
    }
}

impl<R: Row> BatchWriter for RedisWriter<R> {
    type Row = R;

    fn name(&self) -> &str {
        "redis"
    }

    fn guarantee(&self) -> Guarantee {
        Guarantee::ExactlyOnce
    }

    async fn open_scope(
        &self,
        index: ScopeIndex,
        name: &ScopeName,
    ) -> Result<OpenScope, WriteError> {
        let mut state = self.state.lock().await;
        let mut link = self.link(&mut state).await?;
        let held = self.open(&mut link, name).await?;
        state.link = Some(link);
        let opened = Opened {
            name: name.clone(),
            fence: held.fence,
            held: Some(held),
            acknowledged: held.position,
        };
        state.scopes.insert(index, opened);
        Ok(OpenScope::new(Position::new(held.position), held.fence))
    }

    async fn scopes(&self, prefix: &str) -> Result<Vec<(ScopeName, Position)>, WriteError> {
        let mut state = self.state.lock().await;
        let mut link = self.link(&mut state).await?;
        let mut command = redis::cmd("HGETALL");
        command.arg(self.options.ledger_key());
        let doing = "read the ledger";
        let answer = link.query(&command, self.options.timeout).await;
        let all: BTreeMap<String, String> = answer.map_err(|error| self.failed(doing, &error))?;
        state.link = Some(link);
        all.into_iter()
            .filter(|(name, _)| name.starts_with(prefix))
            .map(|(name, text)| {
                let held = self.parse(&text, doing)?;
                Ok((ScopeName::new(name), Position::new(held.position)))
            })
            .collect()
    }

    async fn rename_scope(&self, from: &ScopeName, to: &ScopeName) -> Result<(), WriteError> {
        let mut state = self.state.lock().await;
        let mut link = self.link(&mut state).await?;
        let mut command = Cmd::new();
        command.arg("EVALSHA").arg(&link.scripts.rename).arg(3);
        command.arg(self.options.ledger_key());
        command.arg(self.options.stream_key(from.as_str()));
        command.arg(self.options.stream_key(to.as_str()));
        command.arg(from.as_str()).arg(to.as_str());
        let doing = format!("rename `{from}` to `{to}`");
        state.renaming.retain(|(known, _)| known != from);
        state.renaming.push((from.clone(), to.clone()));
        let answer = link.query::<String>(&command, self.options.timeout).await;
        let answer = answer.map_err(|error| self.failed(&doing, &error))?;
        state.link = Some(link);
        state.renaming.pop();
        if answer == "taken" {
            return Err(self.error(ErrorKind::Fatal, &doing, "there is one of that name"));
        }
        for opened in state.scopes.values_mut() {
            if opened.name == *from {
                opened.name = to.clone();
            }
        }
        Ok(())
    }

    async fn write(&self, batch: &Batch<R>) -> Result<Receipt, WriteError> {
        let mut state = self.state.lock().await;
        let mut link = self.link(&mut state).await?;
        let receipt = self.write_to(&mut link, &mut state, batch).await;
        if link.is_sound() {
            state.link = Some(link);
        }
        receipt
    }

    async fn close(&self) -> Result<(), WriteError> {
        self.state.lock().await.link = None;
        Ok(())
    }
}

impl<R> std::fmt::Debug for RedisWriter<R> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "RedisWriter({})", self.options.server_name())
    }
}
