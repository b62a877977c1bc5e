//! A client of the gateway's WebSocket, [`protocol`] version 1.
//!
//! - [`Client::builder`] connects. What is lost afterwards comes back by itself: the client
//!   reconnects with growing random waits, subscribes again, and goes on where a subscription to
//!   every value stopped. Only what waiting cannot mend ends it: see [`State::Ended`].
//! - [`Client::subscribe`] gives a [`Subscription`], whose [`Event`]s have whole values: patches
//!   are applied. What the program does not take in time is merged, never queued without end.
//! - [`Client::act`] asks the application behind the gateway to do something, and waits for what
//!   came of it. It is never sent twice.
//! - One task per client, started on the runtime that connects; it ends with [`Client::close`] or
//!   when the last `Client` is dropped.
//!
//! What it deliberately does not do: keep values, queue actions while there is no connection, or
//! write logs.
//!
//! ```no_run
//! use client::{Client, Event, Subscribe};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::builder("ws://127.0.0.1:8000/ws").connect().await?;
//! let mut load = client
//!     .subscribe(Subscribe {
//!         id: "load".to_owned(),
//!         keys: vec!["host/load.*".to_owned()],
//!         ..Subscribe::default()
//!     })
//!     .await?;
//! while let Some(event) = load.next().await {
//!     if let Event::Snapshot(frame) | Event::Update(frame) = event {
//!         for reading in frame.readings {
//!             println!("{} = {}", reading.key.tag, reading.value);
//!         }
//!     }
//! }
//! # Ok(()) }
//! ```

mod builder;
mod deltas;
mod error;
mod event;
mod handle;
mod inbox;
mod link;
mod liveness;
mod retry;
mod session;
mod socket;
mod subscribed;
mod subscription;

pub use builder::ClientBuilder;
pub use error::{ActError, ConnectError, NotConnected, SubscribeError};
pub use event::{Event, Frame, Reading, State};
pub use handle::{Client, Notifications};
pub use inbox::VALUES_MAX;
pub use protocol::{
    Encoding, Extract, Failure, KeyName, Level, Notification, Plot, Pong, Since, Subscribe,
};
pub use retry::{Decision, Retry, Wait};
#[cfg(feature = "tls")]
pub use rustls;
pub use subscription::Subscription;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(doctest)]
#[doc = include_str!("../../../docs/websocket.md")]
struct Page;
