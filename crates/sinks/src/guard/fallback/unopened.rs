//! The scopes that a writer could not open yet, and when to try again.
//!
//! They are opened before the next write, by one caller at a time: whoever opens a scope shuts out
//! those before. After an attempt that failed the writer is left alone for a while, so that a
//! server which does not answer does not hold up each batch.

use std::time::Duration;

use parking_lot::Mutex;
use record::Position;
use tokio::time::Instant;

use crate::{BatchWriter, ErrorKind, ScopeIndex, ScopeName, WriteError};

/// How long a writer is left alone after it could not open a scope.
const PAUSE: Duration = Duration::from_secs(5);

#[derive(Clone, Debug)]
struct Scope {
    index: ScopeIndex,
    name: ScopeName,
    /// Rows without positions of their own are numbered behind this.
    numbered_to: Position,
}

#[derive(Debug, Default)]
pub(super) struct Unopened {
    scopes: Mutex<Vec<Scope>>,
    /// Held while scopes are opened: why and when it failed the last time.
    failed: tokio::sync::Mutex<Option<(Instant, WriteError)>>,
}

impl Unopened {
    pub(super) fn remember(&self, index: ScopeIndex, name: &ScopeName, numbered_to: Position) {
        self.scopes.lock().push(Scope {
            index,
            name: name.clone(),
            numbered_to,
        });
    }

    pub(super) fn forget(&self, index: ScopeIndex) {
        self.scopes.lock().retain(|scope| scope.index != index);
    }

    pub(super) fn rename(&self, from: &ScopeName, to: &ScopeName) {
        for scope in self.scopes.lock().iter_mut() {
            if scope.name == *from {
                scope.name = to.clone();
            }
        }
    }

    /// Opens what is not open. May be dropped at any time.
    pub(super) async fn open_all<W: BatchWriter>(&self, writer: &W) -> Result<(), WriteError> {
        if self.scopes.lock().is_empty() {
            return Ok(());
        }
        let mut failed = self.failed.lock().await;
        loop {
            let next = self.scopes.lock().first().cloned();
            let Some(scope) = next else { break };
            if let Some((at, error)) = &*failed {
                let pause = error.retry_after().unwrap_or_default().max(PAUSE);
                if at.elapsed() < pause {
                    return Err(error.clone());
                }
            }
            match open(writer, &scope).await {
                Ok(()) => self.forget(scope.index),
                Err(error) => {
                    *failed = Some((Instant::now(), error.clone()));
                    return Err(error);
                }
            }
            *failed = None;
        }
        Ok(())
    }
}

async fn open<W: BatchWriter>(writer: &W, scope: &Scope) -> Result<(), WriteError> {
    let opened = writer.open_scope(scope.index, &scope.name).await?;
    if opened.watermark > scope.numbered_to {
        // It would take rows for ones that it has.
        return Err(WriteError::new(
            ErrorKind::Fatal,
            format!(
                "scope `{}` of {} is at position {}, its rows are numbered from {}: start again \
                 to number them behind it",
                scope.name,
                writer.name(),
                opened.watermark,
                scope.numbered_to
            ),
        ));
    }
    Ok(())
}
