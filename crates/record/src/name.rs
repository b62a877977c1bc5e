//! Names of sources and tags.

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use crate::RecordError;

/// The most bytes a name may have.
pub const NAME_BYTES_MAX: usize = 256;

/// The name of a source or a tag: 1 to [`NAME_BYTES_MAX`] bytes, no control characters.
///
/// Up to 24 bytes are kept inline, so most names cost no allocation and no shared counter.
///
/// ```
/// use record::Name;
/// let tag = Name::new("tag", "D100")?;
/// assert_eq!(tag.as_str(), "D100");
/// assert_eq!(Name::new("tag", "").unwrap_err().to_string(), "field `tag` is empty");
/// # Ok::<(), record::RecordError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(CompactString);

impl Name {
    /// Checks `text`; `field` is the word used in the error.
    ///
    /// # Errors
    /// When the text is empty, longer than [`NAME_BYTES_MAX`], or has a control character.
    pub fn new(field: &'static str, text: &str) -> Result<Self, RecordError> {
        if text.is_empty() {
            return Err(RecordError::Empty { field });
        }
        if text.len() > NAME_BYTES_MAX {
            return Err(RecordError::TooLong {
                field,
                length: text.len(),
                limit: NAME_BYTES_MAX,
            });
        }
        if text.bytes().any(|byte| byte.is_ascii_control()) {
            return Err(RecordError::unexpected(
                field,
                format_args!("{text:?}"),
                "text without control characters",
            ));
        }
        Ok(Self(CompactString::new(text)))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.0)
    }
}

impl TryFrom<String> for Name {
    type Error = RecordError;

    fn try_from(text: String) -> Result<Self, RecordError> {
        Self::new("name", &text)
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0.into()
    }
}
