//! What somebody may do.

use std::sync::Arc;

use record::Key;

use crate::globs::Globs;

/// What somebody may do: read keys, hand in records, ask for actions, administer.
#[derive(Clone, Debug)]
pub struct Rights {
    reads: Reads,
    ingests: bool,
    acts: bool,
    administers: bool,
}

#[derive(Clone, Debug)]
enum Reads {
    Nothing,
    All,
    Matching(Arc<Globs>),
}

impl Rights {
    /// Nothing.
    #[must_use]
    pub fn none() -> Self {
        Self {
            reads: Reads::Nothing,
            ingests: false,
            acts: false,
            administers: false,
        }
    }

    /// Also reads all keys.
    #[must_use]
    pub fn read_all(mut self) -> Self {
        self.reads = Reads::All;
        self
    }

    /// Also hands in records.
    #[must_use]
    pub fn ingest(mut self) -> Self {
        self.ingests = true;
        self
    }

    /// Also asks for actions.
    #[must_use]
    pub fn act(mut self) -> Self {
        self.acts = true;
        self
    }

    /// Also administers.
    #[must_use]
    pub fn admin(mut self) -> Self {
        self.administers = true;
        self
    }

    pub(crate) fn reads(&self, key: &Key) -> bool {
        match &self.reads {
            Reads::Nothing => false,
            Reads::All => true,
            Reads::Matching(globs) => globs.matches(key),
        }
    }

    /// Whether it may read anything at all.
    pub(crate) fn reads_something(&self) -> bool {
        !matches!(self.reads, Reads::Nothing)
    }

    pub(crate) fn ingests(&self) -> bool {
        self.ingests
    }

    pub(crate) fn acts(&self) -> bool {
        self.acts
    }

    pub(crate) fn administers(&self) -> bool {
        self.administers
    }
}
