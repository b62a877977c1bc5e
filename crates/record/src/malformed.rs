//! What a source hands on when a piece of its input is not a record.

/// The most bytes of an original that are kept.
pub const ORIGINAL_BYTES_MAX: usize = 1 << 20;

/// A piece of input that is not a record, with the reason. It is accepted, counted and quarantined
/// like a record is delivered: at its own position, and never lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    reason: String,
    original: Box<[u8]>,
}

impl Malformed {
    /// Keeps the first [`ORIGINAL_BYTES_MAX`] bytes of `original`; what is cut off is said in the
    /// reason.
    ///
    /// ```
    /// use record::Malformed;
    /// let malformed = Malformed::new("line 3: field `tag` is missing", b"{}");
    /// assert_eq!(malformed.original(), b"{}");
    /// ```
    #[must_use]
    pub fn new(reason: impl Into<String>, original: &[u8]) -> Self {
        let mut reason = reason.into();
        let kept = &original[..original.len().min(ORIGINAL_BYTES_MAX)];
        if kept.len() < original.len() {
            reason.push_str(&format!("; the first {} bytes are kept", kept.len()));
        }
        Self {
            reason,
            original: kept.into(),
        }
    }

    /// Why it is not a record, with the place where it stands.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// The input, as it came.
    #[must_use]
    pub fn original(&self) -> &[u8] {
        &self.original
    }

    /// Bytes that it takes.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        size_of::<Self>() + self.reason.len() + self.original.len()
    }
}
