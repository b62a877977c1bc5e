//! One error type for everything that turns outside input into a record.

/// Why a piece of input is not a record. Every message names the field, the value and the limit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// A field that a record cannot do without is absent.
    #[error("field `{field}` is missing")]
    Missing {
        /// The field's name.
        field: &'static str,
    },
    /// A field that must have text is empty.
    #[error("field `{field}` is empty")]
    Empty {
        /// The field's name.
        field: &'static str,
    },
    /// A field occurs twice, perhaps once under an alias.
    #[error("field `{field}` is given twice")]
    Duplicate {
        /// The field's name.
        field: &'static str,
    },
    /// A field is longer than its limit.
    #[error("field `{field}` has {length} bytes, the limit is {limit}")]
    TooLong {
        /// The field's name.
        field: &'static str,
        /// Its length in bytes.
        length: usize,
        /// The most bytes it may have.
        limit: usize,
    },
    /// A field's value is not one of what it may be.
    #[error("field `{field}` is {found}, expected {expected}")]
    Unexpected {
        /// The field's name.
        field: &'static str,
        /// What was found, shortened.
        found: String,
        /// What would have been right.
        expected: &'static str,
    },
    /// A timestamp lies further in the future than is allowed.
    #[error("field `timestamp` is {found}, more than {limit_s} s after now ({now})")]
    Future {
        /// The timestamp found.
        found: String,
        /// How far in the future a timestamp may lie, in seconds.
        limit_s: i64,
        /// What the clock said.
        now: String,
    },
    /// The bytes are not UTF-8.
    #[error("invalid UTF-8 at byte {at}")]
    InvalidUtf8 {
        /// Offset of the first byte that is not.
        at: usize,
    },
    /// The text is not JSON.
    #[error("invalid JSON at column {column}: {reason}")]
    Json {
        /// Column of the first character that is wrong, from 1.
        column: usize,
        /// What the parser said.
        reason: String,
    },
    /// The JSON is not an object.
    #[error("expected a JSON object, found {found}")]
    NotAnObject {
        /// What was found.
        found: &'static str,
    },
}

impl RecordError {
    pub(crate) fn unexpected(
        field: &'static str,
        found: impl std::fmt::Display,
        expected: &'static str,
    ) -> Self {
        Self::Unexpected {
            field,
            found: shorten(&found.to_string()),
            expected,
        }
    }
}

/// Cuts a value that goes into a message, so that a message stays readable.
fn shorten(text: &str) -> String {
    const CHARS_MAX: usize = 60;
    match text.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
