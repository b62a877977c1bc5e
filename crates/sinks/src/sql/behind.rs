//! A ledger that went back.

use record::Position;

use crate::ledger::Mark;
use crate::{ErrorKind, ScopeName, WriteError};

/// Refuses a mark below what was acknowledged: the database was restored, another server took its
/// place, or it lost its last commits. To go on from there would leave out what lies between.
///
/// # Errors
/// [`ErrorKind::Fatal`], with both positions, when the mark lies below.
#[cfg_attr(
    not(feature = "postgres"),
    allow(dead_code, reason = "not of every adapter")
)]
pub(crate) fn check_not_behind(
    name: &ScopeName,
    acknowledged: Position,
    held: &Mark,
) -> Result<(), WriteError> {
    if held.watermark >= acknowledged {
        return Ok(());
    }
    Err(WriteError::new(
        ErrorKind::Fatal,
        format!(
            "the ledger of scope `{name}` went back from position {acknowledged} to {}: the \
             database was restored or lost its last commits; restart, so that the source is read \
             again from there",
            held.watermark
        ),
    ))
}
