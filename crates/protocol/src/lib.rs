//! What a gateway and its clients say to each other, version 1.
//!
//! - [`ClientMessage`]: what a client says on `/ws`. [`ServerMessage`]: what it is told.
//! - [`AdminRequest`], [`AdminAnswer`]: the same for administrators, on `/ws/admin`.
//! - The types are the protocol: the server writes them, clients read them, and the schema in the
//!   docs is made of them. Fields that a reader does not know are ignored, so that either side may
//!   be newer.
//! - [`Encoding`]: how a message lies in a frame, as JSON or `MessagePack`. [`merge_patch`]: what
//!   became different in a value.
//!
//! Times are microseconds since 1970, UTC. Nothing here knows a socket or a clock.

mod admin;
mod change;
mod client_message;
mod encoding;
pub mod merge_patch;
mod schema;
mod server_message;

pub use admin::{AdminAnswer, AdminOrder, AdminRequest, Lanes, NOTIFICATION_BYTES_MAX};
pub use change::{Change, Content, KeyName};
pub use client_message::{Action, ClientMessage, Extract, Hello, Since, Subscribe};
pub use encoding::{DEPTH_MAX, DecodeError, EncodeError, Encoding};
pub use schema::schema;
pub use server_message::{
    ActionResult, Changes, Failure, Level, Notification, Plot, Pong, Removed, Reset, ServerMessage,
    Welcome,
};

/// The version of the protocol.
pub const VERSION: u32 = 1;
