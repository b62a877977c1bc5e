//! What a fan-out answers, from how a batch stands with each of its targets.

use crate::{ErrorKind, Receipt, Refused, RowOutcome, WriteError};

/// How a batch stands with one target.
pub(super) enum Standing {
    Settled(Receipt),
    /// It is the oldest, and no attempt at it has failed yet.
    UnderWay,
    /// It waits behind others, or takes longer than the patience lasts.
    Waiting,
    /// It is in the backlog of a target whose last attempt failed.
    Failing(WriteError),
    /// The target will not get it.
    Dropped(WriteError),
}

/// What the standings of all targets say together, or nothing while one may settle it yet.
pub(super) fn answer_of(
    rows: usize,
    standings: &[Standing],
) -> Option<Result<Receipt, WriteError>> {
    for standing in standings {
        match standing {
            Standing::Dropped(error) if error.kind() == ErrorKind::Fenced => {
                return Some(Err(error.clone()));
            }
            _ => {}
        }
    }
    if standings
        .iter()
        .any(|standing| matches!(standing, Standing::UnderWay))
    {
        return None;
    }
    let settled: Vec<&Receipt> = standings
        .iter()
        .filter_map(|standing| match standing {
            Standing::Settled(receipt) => Some(receipt),
            _ => None,
        })
        .collect();
    if !settled.is_empty() {
        return Some(Ok(merged(rows, &settled)));
    }
    let mut worst: Option<&WriteError> = None;
    for standing in standings {
        match standing {
            Standing::Failing(error) | Standing::Dropped(error) => {
                let is_transient = error.kind() == ErrorKind::Transient;
                worst = if worst.is_none() || is_transient {
                    Some(error)
                } else {
                    worst
                };
            }
            // Its turn comes, and nobody else has the batch.
            Standing::Waiting | Standing::UnderWay | Standing::Settled(_) => return None,
        }
    }
    let is_dropped = |standing: &Standing| matches!(standing, Standing::Dropped(_));
    let what = match standings.iter().all(is_dropped) {
        true => "no target took the batch",
        false => "no target has the batch yet",
    };
    worst.map(|error| Err(WriteError::new(error.kind(), format!("{what}: {error}"))))
}

fn merged(rows: usize, receipts: &[&Receipt]) -> Receipt {
    let (mut quarantined, mut rejected, mut diverted) = (Vec::new(), Vec::new(), Vec::new());
    let repeated = receipts
        .iter()
        .map(|receipt| receipt.repeated())
        .min()
        .unwrap_or(0);
    if receipts.iter().all(|receipt| receipt.delivered() == rows) {
        return Receipt::new(rows, repeated, quarantined);
    }
    for row in 0..rows {
        let outcomes = receipts.iter().map(|receipt| receipt.outcome(row));
        let mut lacking = outcomes.filter(|outcome| *outcome != RowOutcome::Delivered);
        match lacking.next() {
            Some(RowOutcome::Quarantined(reason)) => quarantined.push(Refused {
                row,
                reason: reason.to_owned(),
            }),
            Some(RowOutcome::Rejected(reason)) => rejected.push(Refused {
                row,
                reason: reason.to_owned(),
            }),
            Some(RowOutcome::Diverted) => diverted.push(row),
            _ => {}
        }
    }
    Receipt::new(rows, repeated, quarantined)
        .with_rejected(rejected)
        .with_diverted(diverted)
}
