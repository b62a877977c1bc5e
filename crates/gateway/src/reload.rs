//! Asks the program to read its configuration again, for an administrator.
//!
//! A gateway knows no configuration. It passes the question on to whoever runs it, by the channel
//! in [`GatewayOptions::reload`](crate::GatewayOptions::reload), and answers with what it hears:
//! what has changed, or every mistake, with which nothing has changed.

use std::time::Duration;

use axum::http::StatusCode;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::oneshot;

use crate::admin::Undone;
use crate::state::App;

/// How long an answer may take; draining the lanes of ended routes is part of it.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// Somebody asks that the configuration be read again, and waits for the answer.
///
/// A request that is dropped unanswered is answered with 503.
///
/// ```
/// use gateway::{GatewayOptions, ReloadOutcome, ReloadRequest};
///
/// let (reload, mut requests) = tokio::sync::mpsc::channel::<ReloadRequest>(1);
/// let options = GatewayOptions { reload: Some(reload), ..GatewayOptions::default() };
/// # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
/// # runtime.block_on(async move {
/// # drop(options);
/// while let Some(request) = requests.recv().await {
///     let changes = vec!["[buffer] max_size: 10000 -> 20000".to_owned()];
///     request.answer(ReloadOutcome::Applied { changes });
/// }
/// # });
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct ReloadRequest {
    answer: oneshot::Sender<ReloadOutcome>,
}

/// What came of reading the configuration again.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReloadOutcome {
    /// It is in force.
    Applied {
        /// What is different now, one line per setting; empty when nothing is.
        changes: Vec<String>,
    },
    /// It is refused as a whole, and what was in force goes on.
    Refused {
        /// Every mistake, one line each.
        mistakes: Vec<String>,
    },
}

impl ReloadRequest {
    /// Answers whoever asked. Nothing happens when they have gone.
    pub fn answer(self, outcome: ReloadOutcome) {
        // They may have hung up.
        let _ = self.answer.send(outcome);
    }
}

/// Asks the program, and says what has changed.
///
/// # Cancellation
/// The program goes on, and nobody hears what came of it.
pub(crate) async fn reload(app: &App) -> Result<Vec<String>, Undone> {
    let Some(requests) = &app.options.reload else {
        return Err(Undone::new(
            StatusCode::NOT_IMPLEMENTED,
            "this program does not read its configuration again; start it anew",
        ));
    };
    let (answer, answered) = oneshot::channel();
    requests
        .try_send(ReloadRequest { answer })
        .map_err(|error| match error {
            TrySendError::Full(_) => {
                Undone::for_now("the configuration is being read already").retry_after_s(1)
            }
            TrySendError::Closed(_) => {
                Undone::for_now("the program ends and reads no configuration")
            }
        })?;
    match tokio::time::timeout(ANSWER_WITHIN, answered).await {
        Ok(Ok(ReloadOutcome::Applied { changes })) => Ok(changes),
        Ok(Ok(ReloadOutcome::Refused { mistakes })) => {
            let message = "the configuration is refused, and nothing has changed";
            Err(Undone::new(StatusCode::UNPROCESSABLE_ENTITY, message).mistakes(mistakes))
        }
        Ok(Err(_)) => Err(Undone::for_now(
            "the program ends, or could not say what came of it; see its log",
        )),
        Err(_) => Err(Undone::for_now(format!(
            "there was no answer within {} s; the change goes on, see the log",
            ANSWER_WITHIN.as_secs()
        ))),
    }
}
