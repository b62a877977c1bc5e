//! Actions: what clients ask the application to do.
//!
//! An action runs in the runtime of the server, never on a loop that sends, so that one that takes
//! long holds up nobody. Its answer comes back to the loop of its client.

use std::rc::Rc;
use std::time::Duration;

use protocol::{Action, ActionResult, ServerMessage};
use serde_json::Value;

use super::connection::Connection;
use super::obey::{Refusal, check_id};
use super::worker::{Command, Worker};
use crate::access::Principal;
use crate::actions::ActionRequest;
use crate::state::{App, wall_time};

/// Actions of one client that may be under way.
const ACTING_MAX: usize = 16;
/// What takes longer is given up.
const ACT_WITHIN: Duration = Duration::from_secs(30);
/// Bytes that the name of an action and its target may have.
const NAME_BYTES_MAX: usize = 256;

/// Bytes that the result of an action may have, so that it may wait for a client that is behind.
const RESULT_BYTES_MAX: usize = 64 << 10;

/// Begins an action.
pub(super) fn act(
    connection: &Rc<Connection>,
    asked: Action,
    principal: &Principal,
    worker: &Rc<Worker>,
) -> Result<(), Refusal> {
    check_id(&asked.id)?;
    if !principal.rights.acts() {
        let message = format!("{:?} may not ask for actions", &*principal.name);
        return Err(Refusal::new("forbidden", message));
    }
    for (field, text) in [("name", &asked.name), ("target", &asked.target)] {
        if text.len() > NAME_BYTES_MAX {
            let message = format!(
                "`{field}` has {} bytes, the limit is {NAME_BYTES_MAX}",
                text.len()
            );
            return Err(Refusal::new("bad_action", message));
        }
    }
    if connection.acting.get() >= ACTING_MAX {
        let message = format!("a client may have {ACTING_MAX} actions under way");
        return Err(Refusal::new("too_many_actions", message));
    }
    connection.acting.set(connection.acting.get() + 1);
    let request = ActionRequest {
        id: asked.id.clone(),
        name: asked.name,
        target: asked.target,
        params: asked.params,
        by: connection.account.name(),
        connection_id: connection.id,
    };
    let (app, answers) = (worker.app.clone(), worker.commands.clone());
    let connection_id = connection.id;
    worker.server.spawn(async move {
        let done = run(app, request).await;
        let (ok, value, error) = match done {
            Ok(value) => match too_long(value.to_string().len()) {
                None => (true, value, None),
                error => (false, Value::Null, error),
            },
            Err(error) => {
                let error = too_long(error.len()).unwrap_or(error);
                (false, Value::Null, Some(error))
            }
        };
        let result = ServerMessage::ActionResult(ActionResult {
            id: asked.id,
            ok,
            value,
            error,
            timestamp: wall_time().micros(),
        });
        // When the loop has ended there is nobody to tell.
        let _ = answers.send(Command::Answer(connection_id, Box::new(result)));
    });
    Ok(())
}

/// Why a result of so many bytes is not sent.
fn too_long(bytes: usize) -> Option<String> {
    (bytes > RESULT_BYTES_MAX)
        .then(|| format!("the result has {bytes} bytes, the limit is {RESULT_BYTES_MAX}"))
}

/// Has it done; its panics and its delays end here.
async fn run(app: App, request: ActionRequest) -> Result<Value, String> {
    let name = request.name.clone();
    let mut task = tokio::spawn(async move { app.backplane.act(request).await });
    match tokio::time::timeout(ACT_WITHIN, &mut task).await {
        Ok(Ok(Ok(value))) => Ok(value),
        Ok(Ok(Err(error))) => Err(error.to_string()),
        Ok(Err(_)) => {
            tracing::error!(action = name, "an action panicked");
            Err("the action failed".to_owned())
        }
        Err(_) => {
            task.abort();
            Err(format!(
                "the action took longer than {} s",
                ACT_WITHIN.as_secs()
            ))
        }
    }
}
