//! What a pipeline is made of: sinks, their lanes, and the routes into them.
//!
//! The same things stand in a configuration file, by the same names. Nothing here does anything:
//! it is all looked at together, and refused together, when a pipeline is started or changed.

mod lane;
mod plan;
mod route;
mod sink;

pub use lane::{BufferOptions, LaneSpec, WhenFull};
pub(crate) use plan::check_expiry;
pub use plan::{InvalidPlan, Plan};
pub use route::RouteSpec;
pub use sink::SinkSpec;
