//! What the fuzz targets share.
//!
//! Each target is a program of its own under `fuzz_targets`, and gives bytes as a stranger would
//! send them to the code that reads them in the running program. A finding is a panic, in
//! whichever thread, an answer that is no answer, or an input that takes longer than the fuzzer
//! allows.

#[cfg(feature = "gateway")]
pub mod server;
