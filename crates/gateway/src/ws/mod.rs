//! The WebSocket: one task per client, which is a set of cursors on the data service.
//!
//! Nothing is queued for a client. While one is slow to read, its task waits in the send, and its
//! cursors lag; once it has read what the system had on its way to it, some 128 KiB at the most,
//! it gets the newest state in one frame. One that does not read at all is cut off after a
//! deadline, as is one that has sent nothing for a minute, not even the answer to a ping.

mod extract;
mod protocol;
mod session;
mod socket;
mod subscribed;

pub(crate) use socket::connect;
