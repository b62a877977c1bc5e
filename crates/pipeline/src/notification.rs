//! What the people in front of a page should hear of.

use record::Timestamp;
use serde::Serialize;

/// How serious a notification is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Things are well again.
    Info,
    /// Something needs attention.
    Warning,
    /// Something is broken.
    Error,
}

/// A message for people, sent once when something changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Notification {
    /// How serious it is.
    pub level: Level,
    /// What happened, in a sentence.
    pub message: String,
    /// When, by the wall clock.
    pub timestamp: Timestamp,
}
