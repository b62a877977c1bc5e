//! The aggregates that come with the crate.

mod last;
mod stats;
mod success_failure;
mod sum;

pub use last::{Last, Newest};
pub use stats::{Moments, Stats};
pub use success_failure::{Evidence, SuccessFailure, Weights};
pub use sum::{Count, Sum};
