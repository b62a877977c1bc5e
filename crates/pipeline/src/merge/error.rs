//! Why a route cannot merge like that.

/// A setting of a coalescing route that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CoalesceError {
    /// There is no such aggregate.
    #[error("aggregate is {found:?}, expected one of {expected}")]
    Aggregate {
        /// What was asked for.
        found: String,
        /// The names that there are.
        expected: String,
    },
    /// The template of keys has a placeholder that there is not.
    #[error("key has the placeholder {{{found}}}, expected {{source}}, {{tag}} or {{quality}}")]
    Placeholder {
        /// The placeholder, without its braces.
        found: String,
    },
    /// The template of keys is no template.
    #[error("key is {found:?}, expected {expected}")]
    Key {
        /// The template.
        found: String,
        /// What would have been right.
        expected: &'static str,
    },
    /// A limit is out of its range.
    #[error("{field} is {value}, expected {min} to {max}")]
    Limit {
        /// The setting.
        field: &'static str,
        /// What was given.
        value: usize,
        /// The least accepted value.
        min: usize,
        /// The greatest accepted value.
        max: usize,
    },
}
