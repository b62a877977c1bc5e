//! What clients may ask the application to do.
//!
//! An action enters as what it is, an update of urgency high: before its handler is called it
//! becomes a record, of the source `target` with the tag `action.<name>`, and goes through the
//! gateway's intake. So it is shown to whoever reads that key, and stored, whatever comes of it.
//! When its lane has no room, nothing is done and the client is told so.
//!
//! - A handler has 30 s, or what [`Actions::within`] says; then it is dropped. One that panics is
//!   an action that failed, and no more.
//! - At most 256 actions are under way; one more is refused.
//! - One that has begun is finished though its client has gone.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pipeline::{Intake, IntakeError};
use record::{Name, Priority, Record, RecordError};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::backplane::Acting;
use crate::error::InvalidOption;
use crate::nesting;
use crate::state::wall_time;

/// Bytes that the name of an action may have.
const NAME_BYTES_MAX: usize = 64;
/// Actions under way at a time.
const UNDER_WAY_MAX: usize = 256;
/// How long a handler may take, if nothing else is said.
const WITHIN: Duration = Duration::from_secs(30);
/// The source of actions that name no target.
const NO_TARGET: &str = "actions";

/// What a client asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct ActionRequest {
    /// The client's own name for it.
    pub id: String,
    /// Which action.
    pub name: String,
    /// On what; the source of the record that it becomes, `actions` when it is empty.
    pub target: String,
    /// What it needs to know. It is shown and stored with the record.
    pub params: Value,
    /// Who asks: the name of their token, or `anonymous`.
    pub by: Arc<str>,
    /// On which connection.
    pub connection_id: u64,
}

/// Why an action is not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ActionError {
    /// Nobody registered it.
    #[error("there is no action {name:?}")]
    Unknown {
        /// What was asked for.
        name: String,
    },
    /// It makes no record: the target is no name of a source, or the parameters are too long.
    #[error("{0}")]
    Invalid(#[from] RecordError),
    /// The pipeline does not take it; nothing was done.
    #[error("the action is not taken: {0}")]
    Refused(#[from] IntakeError),
    /// Too many are under way; nothing was done.
    #[error("{limit} actions are under way, and no more are taken")]
    Busy {
        /// How many may be.
        limit: usize,
    },
    /// The handler took too long, and was dropped. Something may have been done.
    #[error("the action took longer than {within:?}, and was given up")]
    TimedOut {
        /// How long it had.
        within: Duration,
    },
    /// The handler panicked. Something may have been done.
    #[error("the action {name:?} failed unexpectedly; see the log of the program")]
    Panicked {
        /// Which one.
        name: String,
    },
    /// The handler refused, or failed.
    #[error("{0}")]
    Failed(String),
}

type Handler = Arc<dyn Fn(ActionRequest) -> Acting + Send + Sync>;

/// The actions of an application, by name.
///
/// ```
/// use gateway::{ActionError, Actions, GatewayOptions};
/// use serde_json::json;
///
/// let actions = Actions::new().on("restart", |request| async move {
///     if request.target.is_empty() {
///         return Err(ActionError::Failed("`target` names no agent".to_owned()));
///     }
///     Ok(json!({ "restarted": request.target }))
/// });
/// assert_eq!(actions.names(), ["restart"]);
/// let options = GatewayOptions { actions, ..GatewayOptions::default() };
/// # drop(options);
/// ```
#[derive(Clone)]
pub struct Actions {
    handlers: HashMap<String, Handler>,
    within: Duration,
    under_way: Arc<Semaphore>,
    /// The first name that cannot be one, which the gateway refuses to start with.
    invalid: Option<InvalidOption>,
}

impl Actions {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Has this done when a client asks for `name`; an earlier handler of the name is replaced.
    ///
    /// A name has 1 to 64 bytes without control characters. One that is none is not registered,
    /// and [`Gateway::bind`](crate::Gateway::bind) says so.
    ///
    /// # Cancellation
    /// What the handler returns is dropped where it waits when its time is over. It must not hold
    /// up its thread: nothing can end that.
    #[must_use]
    pub fn on<F, A>(mut self, name: &str, handler: F) -> Self
    where
        F: Fn(ActionRequest) -> A + Send + Sync + 'static,
        A: Future<Output = Result<Value, ActionError>> + Send + 'static,
    {
        match check(name) {
            Ok(()) => {
                let handler: Handler = Arc::new(move |request| Box::pin(handler(request)));
                self.handlers.insert(name.to_owned(), handler);
            }
            Err(invalid) => {
                self.invalid.get_or_insert(invalid);
            }
        }
        self
    }

    /// How long each may take; a client is told after 30 s at the latest that it takes too long.
    #[must_use]
    pub fn within(self, within: Duration) -> Self {
        Self { within, ..self }
    }

    /// The names, in order.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.handlers.keys().map(String::as_str).collect();
        names.sort_unstable();
        names
    }

    /// Whether there is one of this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.handlers.contains_key(name)
    }

    /// What is wrong with them, if anything.
    pub(crate) fn invalid(&self) -> Option<&InvalidOption> {
        self.invalid.as_ref()
    }

    /// Does what is asked for, after it went through the intake. The handler runs in a task of its
    /// own, which goes on though what is returned is dropped.
    pub(crate) fn act(&self, request: ActionRequest, intake: &Intake) -> Acting {
        let begun = self.begin(request, intake);
        Box::pin(async move {
            match begun {
                Ok((name, task)) => task.await.unwrap_or_else(|error| {
                    // A task is cancelled only when the runtime ends.
                    tracing::error!(action = ?name, "an action failed unexpectedly: {error}");
                    Err(ActionError::Panicked { name })
                }),
                Err(error) => Err(error),
            }
        })
    }

    fn begin(&self, request: ActionRequest, intake: &Intake) -> Result<Begun, ActionError> {
        let Some(handler) = self.handlers.get(&request.name).cloned() else {
            let name = request.name;
            return Err(ActionError::Unknown { name });
        };
        let limit = UNDER_WAY_MAX;
        let place = Arc::clone(&self.under_way)
            .try_acquire_owned()
            .map_err(|_| ActionError::Busy { limit })?;
        nesting::check_text("params", &request.params.to_string()).map_err(ActionError::Failed)?;
        let record = record_of(&request)?;
        intake.try_push_all(Instant::now(), vec![Ok(record)])?;
        let (name, within) = (request.name.clone(), self.within);
        let task = tokio::spawn(async move {
            let done = tokio::time::timeout(within, async { handler(request).await }).await;
            drop(place);
            done.unwrap_or(Err(ActionError::TimedOut { within }))
        });
        Ok((name, task))
    }
}

type Begun = (String, tokio::task::JoinHandle<Result<Value, ActionError>>);

impl Default for Actions {
    fn default() -> Self {
        Self {
            handlers: HashMap::new(),
            within: WITHIN,
            under_way: Arc::new(Semaphore::new(UNDER_WAY_MAX)),
            invalid: None,
        }
    }
}

impl fmt::Debug for Actions {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_list().entries(self.names()).finish()
    }
}

fn check(name: &str) -> Result<(), InvalidOption> {
    if !(1..=NAME_BYTES_MAX).contains(&name.len()) {
        return Err(InvalidOption::new(format!(
            "the name of the action {name:?} has {} bytes, expected 1 to {NAME_BYTES_MAX}",
            name.len()
        )));
    }
    if name.bytes().any(|byte| byte.is_ascii_control()) {
        return Err(InvalidOption::new(format!(
            "the name of the action {name:?} has control characters"
        )));
    }
    Ok(())
}

/// The update that an action is.
fn record_of(request: &ActionRequest) -> Result<Record, RecordError> {
    let source = match request.target.as_str() {
        "" => NO_TARGET,
        target => target,
    };
    let value = json!({ "params": request.params, "by": &*request.by, "id": request.id });
    let value = record::Value::json(&value.to_string())?;
    // Made first, so that the error names the field that the client sent.
    let source = Name::new("target", source)?;
    let tag = format!("action.{}", request.name);
    let mut record = Record::new(source.as_str(), &tag, value, wall_time())?;
    record.priority = Some(Priority::High);
    Ok(record)
}
