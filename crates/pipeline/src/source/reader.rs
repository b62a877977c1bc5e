//! What every reader of a file or stream offers.

use record::{FutureLimit, Malformed, Position, Record};

/// About how much input one call of [`Reader::read`] uses at most.
pub const READ_BYTES_MAX: u64 = 1 << 20;

/// One piece of a source's input at its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// Where it stands; positions of one reader strictly increase.
    pub position: Position,
    /// The record, or why it is none.
    pub content: Result<Record, Malformed>,
}

/// Whether a reader has more to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Progress {
    /// There may be more: call again.
    More,
    /// The input ended, and all of it was handed out.
    End,
}

/// Hands out the items of an input, in order, from a position on.
///
/// The same input gives the same items at the same positions, however it is cut into pieces by
/// the system, and a reader that starts after position `p` gives what the full run gave after `p`.
pub trait Reader: Send {
    /// Appends items to `out` until there are at least `max` new ones, [`READ_BYTES_MAX`] of input
    /// were used, or the input ended. It does not wait for more input while it has items to give,
    /// so lines that trickle in are handed out as they come. A call may give no items and
    /// [`Progress::More`].
    ///
    /// # Errors
    /// When the input cannot be read on, or cannot be understood at all. Items appended before
    /// the error are valid; after an error the reader is of no use.
    fn read(
        &mut self,
        limit: &FutureLimit,
        max: usize,
        out: &mut Vec<Item>,
    ) -> Result<Progress, ReadError>;

    /// Bytes taken from the input so far.
    fn bytes_read(&self) -> u64;

    /// Items at or below the position it started after: counted, not handed out.
    fn skipped(&self) -> u64;
}

/// Why an input cannot be read on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The system failed to read.
    #[error("cannot read on after line {line}: {source}")]
    Io {
        /// The last line that was read in full.
        line: u64,
        /// What the system said.
        source: std::io::Error,
    },
    /// A reader of another kind of input cannot go on.
    #[error("{reason}")]
    Broken {
        /// Where and why.
        reason: String,
    },
    /// The time column has epoch numbers, and nobody said of which unit.
    #[error(
        "line {line}: the time {found} is a number, name its unit with `--time-unit` \
         (s, ms, us or ns)"
    )]
    TimeUnitMissing {
        /// The line of the first row.
        line: u64,
        /// The number found.
        found: String,
    },
}
