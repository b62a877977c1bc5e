//! The class of urgency a record asks for.

use serde::{Deserialize, Serialize};

use crate::RecordError;

/// The class of urgency a record asks for; the most urgent is the greatest.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// May wait.
    Low,
    /// The ordinary case.
    #[default]
    Normal,
    /// Before the ordinary.
    High,
    /// At once.
    Critical,
}

impl Priority {
    /// The word used in files and on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Normal => "normal",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

impl std::str::FromStr for Priority {
    type Err = RecordError;

    /// Reads the word in any case.
    fn from_str(text: &str) -> Result<Self, RecordError> {
        [Self::Low, Self::Normal, Self::High, Self::Critical]
            .into_iter()
            .find(|priority| priority.as_str().eq_ignore_ascii_case(text))
            .ok_or_else(|| {
                RecordError::unexpected(
                    "priority",
                    format_args!("{text:?}"),
                    "critical, high, normal or low in any case",
                )
            })
    }
}
