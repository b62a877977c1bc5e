//! The next batch of a queue, without what has waited for too long.

use buffer_core::Demand;

use super::{Queue, now};
use crate::buffer::Loan;
use crate::tracked::DropReason;

/// Up to so much of what is there. What is older than the lane allows is dropped and counted.
pub(super) fn lend(queue: &Queue, batch_max: Demand) -> Option<Loan> {
    // What is merged is lent as a whole, and cannot expire row by row.
    let expires_after = queue
        .spec
        .expires_after
        .filter(|_| queue.buffer.ring().is_some());
    let Some(expires_after) = expires_after else {
        return queue.buffer.lend(batch_max);
    };
    let mut max = batch_max;
    loop {
        let loan = queue.buffer.lend(max)?;
        let now = now();
        let is_stale = |arrival| now.saturating_duration_since(arrival) > expires_after;
        let rows = loan.rows();
        let stale = rows.iter().take_while(|row| is_stale(row.arrival)).count();
        if stale == 0 {
            return Some(loan);
        }
        if stale < rows.len() {
            // Only they, and then the others.
            drop(loan);
            max.items = stale;
            continue;
        }
        let (lent, updates) = (loan.share(), loan.updates());
        queue.account.with(|counts| {
            loan.ack();
            counts.expired += updates;
        });
        queue.tracking.dropped(lent.as_ref(), DropReason::Expired);
        max = batch_max;
    }
}
