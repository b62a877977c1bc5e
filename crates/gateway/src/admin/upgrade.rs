//! From a request to a WebSocket of an administrator: the handshake of `/ws`, and then the library,
//! since these are few and each message is awaited.

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use protocol::Encoding;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use crate::error::Refused;
use crate::fanout::upgrade as handshake;

/// Bytes that a message of a client may have.
const MESSAGE_BYTES_MAX: usize = 16 << 10;
/// The library's own choice is 128 KiB.
const READ_BUFFER_BYTES: usize = 4 << 10;

/// A WebSocket on the server's side.
pub(super) type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// A request for a WebSocket that can become one.
#[derive(Debug)]
pub(super) struct Upgrade {
    switch: Response,
    on_upgrade: OnUpgrade,
}

impl Upgrade {
    /// # Errors
    /// When the request is none for a WebSocket of JSON, with the answer to it.
    #[allow(clippy::result_large_err, reason = "what is wrong is an answer too")]
    pub(super) fn of(request: &mut Request) -> Result<Self, Response> {
        let (key, encoding) =
            handshake::check(request.method(), request.headers()).map_err(|refused| *refused)?;
        if encoding.is_some_and(|encoding| encoding != Encoding::Json) {
            let json = Encoding::Json.subprotocol();
            let message = format!("administrators speak JSON: `Sec-WebSocket-Protocol` {json}");
            return Err(Refused::bad_request(message).into_response());
        }
        Ok(Self {
            switch: handshake::switch(&key, encoding),
            on_upgrade: hyper::upgrade::on(request),
        })
    }

    /// The answer that makes the client go on, and what becomes the socket once it is sent.
    pub(super) fn accept(self) -> (Response, impl Future<Output = Option<Socket>> + Send) {
        let mut config = WebSocketConfig::default();
        config.read_buffer_size = READ_BUFFER_BYTES;
        config.write_buffer_size = 0;
        config.max_message_size = Some(MESSAGE_BYTES_MAX);
        config.max_frame_size = Some(MESSAGE_BYTES_MAX);
        let socket = async move {
            // A client that goes away during the handshake is no matter of ours.
            let upgraded = TokioIo::new(self.on_upgrade.await.ok()?);
            let socket = WebSocketStream::from_raw_socket(upgraded, Role::Server, Some(config));
            Some(socket.await)
        };
        (self.switch, socket)
    }
}
