//! The aggregates that come with the crate.

mod append;
mod last;
mod min_max;
#[cfg(feature = "quantiles")]
mod quantiles;
mod stats;
mod success_failure;
mod sum;

pub use append::{Append, Appended};
pub use last::{Change, Changes, First, Last, Stamped};
pub use min_max::{MinMax, Range};
#[cfg(feature = "quantiles")]
pub use quantiles::{Quantiles, Sketch};
pub use stats::{Moments, Stats};
pub use success_failure::{Evidence, SuccessFailure, Weights};
pub use sum::{Count, Sum};
