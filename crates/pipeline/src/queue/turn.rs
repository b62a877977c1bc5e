//! When it is a queue's turn at a sink that takes something.

use sinks::{BatchWriter, ErrorKind, WriteError};

use super::Queue;
use crate::gate::Permit;

/// Comes when all scopes are open and the sink takes something.
pub(super) async fn is_ready(queue: &Queue) {
    queue.openings.all_open().await;
    queue.sink.writer.ready().await;
}

/// Comes when it is this queue's turn at a sink that takes something. The permit of the write
/// before, if there is one, is given back when others have waited for longer.
pub(super) async fn turn_of(queue: &Queue, mut held: Option<Permit>) -> Permit {
    loop {
        if !is_ready_now(queue).await {
            held = None;
            is_ready(queue).await;
        }
        let permit = match held.take() {
            Some(permit) => queue.sink.gate.renew(permit).await,
            None => queue.sink.gate.acquire(queue.priority).await,
        };
        // The wait may have been long.
        if is_ready_now(queue).await {
            return permit;
        }
    }
}

/// Whether the sink takes something at this moment.
async fn is_ready_now(queue: &Queue) -> bool {
    tokio::select! {
        biased;
        () = is_ready(queue) => true,
        () = std::future::ready(()) => false,
    }
}

pub(super) fn not_ready(queue: &Queue) -> WriteError {
    let why = queue.account.failure();
    let why = why.as_deref().unwrap_or("it is not ready");
    WriteError::new(
        ErrorKind::Transient,
        format!("the sink takes nothing for now: {why}"),
    )
}
