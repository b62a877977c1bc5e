//! What is wrong with a configuration.

use std::fmt;
use std::path::PathBuf;

/// Where a setting was given.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Origin {
    File { path: PathBuf, line: usize },
    Variable(String),
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mistake {
    origin: Origin,
    what: String,
}

/// Everything that is wrong; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mistakes(Vec<Mistake>);

impl Mistake {
    pub(crate) fn new(origin: Origin, what: String) -> Self {
        Self { origin, what }
    }
}

impl Mistakes {
    /// In the order of the file; `None` when there are none.
    pub(crate) fn new(mut mistakes: Vec<Mistake>) -> Option<Self> {
        mistakes.sort();
        // One setting may be wrong for several lanes in the same way.
        mistakes.dedup();
        (!mistakes.is_empty()).then_some(Self(mistakes))
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Origin::File { path, line } => write!(out, "{}:{line}: ", path.display())?,
            Origin::Variable(name) => write!(out, "{name}: ")?,
        }
        out.write_str(&self.what)
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [mistake] => mistake.fmt(out),
            mistakes => {
                write!(out, "{} mistakes in the configuration", mistakes.len())?;
                mistakes
                    .iter()
                    .try_for_each(|mistake| write!(out, "\n  {mistake}"))
            }
        }
    }
}

impl std::error::Error for Mistakes {}
