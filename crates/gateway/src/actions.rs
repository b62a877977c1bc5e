//! What clients may ask the application to do.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;

use serde_json::Value;

use crate::backplane::Acting;

/// What a client asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct ActionRequest {
    /// Which action.
    pub name: String,
    /// On what.
    pub target: String,
    /// What it needs to know.
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
    /// The handler refused, or failed.
    #[error("{0}")]
    Failed(String),
}

type Handler = Arc<dyn Fn(ActionRequest) -> Acting + Send + Sync>;

/// The actions of an application, by name.
#[derive(Clone, Default)]
pub struct Actions(HashMap<String, Handler>);

impl Actions {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Has this done when a client asks for `name`; an earlier handler of the name is replaced.
    #[must_use]
    pub fn on<F, A>(mut self, name: &str, handler: F) -> Self
    where
        F: Fn(ActionRequest) -> A + Send + Sync + 'static,
        A: Future<Output = Result<Value, ActionError>> + Send + 'static,
    {
        let handler: Handler = Arc::new(move |request| Box::pin(handler(request)));
        self.0.insert(name.to_owned(), handler);
        self
    }

    /// The names, in order.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.0.keys().map(String::as_str).collect();
        names.sort_unstable();
        names
    }

    pub(crate) fn act(&self, request: ActionRequest) -> Acting {
        match self.0.get(&request.name) {
            Some(handler) => handler(request),
            None => {
                let name = request.name;
                Box::pin(std::future::ready(Err(ActionError::Unknown { name })))
            }
        }
    }
}

impl fmt::Debug for Actions {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_list().entries(self.names()).finish()
    }
}
