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
    /// The token by which the sink tells this opening from later ones.
    pub fence: u64,
}
