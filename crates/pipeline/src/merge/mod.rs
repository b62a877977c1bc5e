//! Coalescing lanes.

/// How a route merges its records.
#[derive(Clone, Debug, PartialEq)]
pub struct CoalesceSpec {}
