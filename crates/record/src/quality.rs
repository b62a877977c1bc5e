//! How far a reading can be trusted.

use serde::{Deserialize, Serialize};

use crate::RecordError;

/// How far a reading can be trusted, in the three classes that OPC uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Quality {
    /// The value is what the device says.
    #[default]
    Good,
    /// The value may be old or out of range.
    Uncertain,
    /// There is no usable value.
    Bad,
}

impl Quality {
    /// The word used in files, tables and on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Uncertain => "uncertain",
            Self::Bad => "bad",
        }
    }
}

impl std::str::FromStr for Quality {
    type Err = RecordError;

    /// Reads the word in any case.
    fn from_str(text: &str) -> Result<Self, RecordError> {
        [Self::Good, Self::Uncertain, Self::Bad]
            .into_iter()
            .find(|quality| quality.as_str().eq_ignore_ascii_case(text))
            .ok_or_else(|| {
                RecordError::unexpected(
                    "quality",
                    format_args!("{text:?}"),
                    "good, uncertain or bad in any case",
                )
            })
    }
}
