//! The page in a real headless Chromium: it shows live charts, finds tags, looks back over long
//! ranges and at a time that is over, rests while nobody sees it, loses and regains the server,
//! asks for tokens, lets an administrator act, can be used by keyboard alone, and fits a phone.
//! Leaves screenshots in `$FOREBAY_SCREENSHOTS`, or `target/e2e`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod chromium;
mod keyboard;
mod live;
mod operate;
mod past;
mod protocol;
