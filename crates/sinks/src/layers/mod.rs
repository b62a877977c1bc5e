//! Layers around any writer: each does one thing, and passes everything else on.
//!
//! From the outside in, they belong in this order: [`Retrying`], [`Limited`], [`CircuitBreaker`],
//! [`Timeout`], the writer. So each attempt is timed, counted and limited by itself; an attempt
//! that was cut off counts as a failure; waiting for the limit is not taken for a slow sink; and
//! a pause between attempts holds no slot. `docs/delivery-layers.md` says what goes wrong in
//! another order.
//!
//! Time is tokio's, so that a test can stop and turn it. No lock is held across an await.

mod breaker;
mod limit;
mod retry;
mod timeout;

use std::time::Instant;

pub use breaker::{BreakerHandle, CircuitBreaker};
pub use limit::{LimitHandle, LimitSnapshot, LimitSpec, Limited};
pub use retry::{Retrying, SharedBudget};
pub use timeout::Timeout;

use crate::{BatchId, ScopeName};

/// What a layer was asked to do, for its messages: "failed to …", "did not …".
#[derive(Clone, Copy)]
enum Operation<'a> {
    OpenScope(&'a ScopeName),
    ListScopes,
    RenameScope(&'a ScopeName, &'a ScopeName),
    Write(BatchId),
    Close,
}

impl std::fmt::Display for Operation<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::OpenScope(name) => write!(out, "open scope `{name}`"),
            Self::ListScopes => out.write_str("list its scopes"),
            Self::RenameScope(from, to) => write!(out, "rename scope `{from}` to `{to}`"),
            Self::Write(batch) => write!(out, "write batch {batch}"),
            Self::Close => out.write_str("close"),
        }
    }
}

/// The clock of the layers.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

#[cfg(doctest)]
#[doc = include_str!("../../../../docs/delivery-layers.md")]
struct Page;
