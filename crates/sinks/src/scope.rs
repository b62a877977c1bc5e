//! What a watermark belongs to.

use record::Position;

/// The durable name of a scope: source, route and lane, such as `host/normal`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ScopeName(String);

impl ScopeName {
    /// A scope's name; sinks keep it as text.
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for ScopeName {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.0)
    }
}

/// A pipeline's own small number for one of its scopes, as its rows carry it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ScopeIndex(pub u16);

/// A scope that this writer may write to until somebody else opens it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenScope {
    /// The highest position that is delivered or quarantined; the next may be anything above.
    pub watermark: Position,
    /// The token by which the sink tells this opening from later ones; 0 of a sink without a
    /// ledger.
    pub fence: u64,
    /// The highest position that any sink behind this writer knows, at least the watermark: rows
    /// whose source gives them no positions are numbered behind it, since a sink takes a row at or
    /// below its own watermark for one that it has.
    pub numbered_to: Position,
}

impl OpenScope {
    /// A scope of one sink, whose rows are numbered behind its watermark.
    #[must_use]
    pub fn new(watermark: Position, fence: u64) -> Self {
        Self {
            watermark,
            fence,
            numbered_to: watermark,
        }
    }
}
