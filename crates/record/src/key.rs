//! The name of a history.

use serde::{Deserialize, Serialize};

use crate::Name;

/// Source and tag together: what a history belongs to. Displayed as `source/tag`, which is also
/// the text that globs are matched against.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Key {
    /// Who reads: a PLC, a host, an agent.
    pub source: Name,
    /// What is read: an address, a metric, a kind of state.
    pub tag: Name,
}

impl std::fmt::Display for Key {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}/{}", self.source, self.tag)
    }
}
