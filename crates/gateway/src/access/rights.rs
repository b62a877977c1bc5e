//! What somebody may do.
//!
//! Four rights, none of which includes another: who administers does not thereby read.

use std::sync::Arc;

use record::Key;

use super::AccessError;
use crate::globs::Globs;

/// What somebody may do: read keys, hand in records, ask for actions, administer.
///
/// ```
/// use gateway::Rights;
///
/// let operator = Rights::none().read(["PLC01/*", "PLC02/D*"])?.act();
/// let collector = Rights::none().ingest();
/// # Ok::<(), gateway::AccessError>(())
/// ```
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
    Matching(Vec<String>, Arc<Globs>),
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

    /// Also reads the keys that match one of these globs over `source/tag`.
    ///
    /// # Errors
    /// [`AccessError::BadGlob`] when one is not a glob, or there are too many.
    pub fn read<G: Into<String>>(
        mut self,
        globs: impl IntoIterator<Item = G>,
    ) -> Result<Self, AccessError> {
        let mut patterns = match self.reads {
            Reads::All => return Ok(self),
            Reads::Nothing => Vec::new(),
            Reads::Matching(patterns, _) => patterns,
        };
        patterns.extend(globs.into_iter().map(Into::into));
        let globs = Globs::new(&patterns).map_err(|error| AccessError::BadGlob {
            message: error.to_string(),
        })?;
        self.reads = Reads::Matching(patterns, Arc::new(globs));
        Ok(self)
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

    pub(super) fn without_admin(mut self) -> Self {
        self.administers = false;
        self
    }

    pub(crate) fn reads(&self, key: &Key) -> bool {
        match &self.reads {
            Reads::Nothing => false,
            Reads::All => true,
            Reads::Matching(_, globs) => globs.matches(key),
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

    /// Whether it may do anything at all.
    pub(crate) fn any(&self) -> bool {
        self.reads_something() || self.ingests || self.acts || self.administers
    }
}
