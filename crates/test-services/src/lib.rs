//! Database servers for tests, benchmarks and examples.
//!
//! [`Service::start`] starts a private instance in a temporary directory on a port of the
//! loopback interface that it alone has, with the settings that make a commit survive a crash. It
//! can be killed, restarted, stopped for a while and stopped for good, always by its process id. It
//! ends with its owner, and also when the process of its owner is killed; one that was paused then
//! stays behind.
//!
//! [`Disk`] is a small file system, to fill.
//!
//! Where the server is not installed [`Service::start`] says so loudly and gives `None`, so that a
//! test can skip itself; with `FOREBAY_REQUIRE_SERVICES` set it panics instead.

mod account;
mod disk;
mod keeper;
mod kind;
mod port;
mod service;

pub use disk::Disk;
pub use kind::Kind;
pub use service::Service;
