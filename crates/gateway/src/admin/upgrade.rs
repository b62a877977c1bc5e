//! From a request to a WebSocket, where there are few of them and each message is awaited.

use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use crate::error::Refused;

/// Bytes that a message of a client may have.
const MESSAGE_BYTES_MAX: usize = 16 << 10;
/// The library's own choice is 128 KiB.
const READ_BUFFER_BYTES: usize = 4 << 10;

/// A WebSocket on the server's side.
pub(super) type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// A request for a WebSocket that can become one.
#[derive(Debug)]
pub(super) struct Upgrade {
    accept: String,
    on_upgrade: OnUpgrade,
}

impl Upgrade {
    /// # Errors
    /// When the request is none for a WebSocket, or for a version other than 13.
    pub(super) fn of(parts: &mut Parts) -> Result<Self, Refused> {
        let headers = &parts.headers;
        if !has_word(headers, header::CONNECTION, "upgrade")
            || !has_word(headers, header::UPGRADE, "websocket")
        {
            let message = "this is a WebSocket: the request must ask for an upgrade to `websocket`";
            return Err(Refused::new(StatusCode::UPGRADE_REQUIRED, message));
        }
        if !has_word(headers, header::SEC_WEBSOCKET_VERSION, "13") {
            let message = "`Sec-WebSocket-Version` must be 13";
            return Err(Refused::bad_request(message));
        }
        let Some(key) = headers.get(header::SEC_WEBSOCKET_KEY) else {
            return Err(Refused::bad_request("`Sec-WebSocket-Key` is missing"));
        };
        let accept = derive_accept_key(key.as_bytes());
        let Some(on_upgrade) = parts.extensions.remove() else {
            return Err(Refused::bad_request("this connection cannot be upgraded"));
        };
        Ok(Self { accept, on_upgrade })
    }

    /// The answer that makes the client go on, and what becomes the socket once it is sent.
    pub(super) fn accept(self) -> (Response, impl Future<Output = Option<Socket>> + Send) {
        let headers = [
            (header::CONNECTION, "upgrade".to_owned()),
            (header::UPGRADE, "websocket".to_owned()),
            (header::SEC_WEBSOCKET_ACCEPT, self.accept),
        ];
        let response = (StatusCode::SWITCHING_PROTOCOLS, headers).into_response();
        let mut config = WebSocketConfig::default();
        config.read_buffer_size = READ_BUFFER_BYTES;
        config.write_buffer_size = 0;
        config.max_message_size = Some(MESSAGE_BYTES_MAX);
        config.max_frame_size = Some(MESSAGE_BYTES_MAX);
        let socket = async move {
            // A client that is gone in the meantime is no matter of ours.
            let upgraded = TokioIo::new(self.on_upgrade.await.ok()?);
            let socket = WebSocketStream::from_raw_socket(upgraded, Role::Server, Some(config));
            Some(socket.await)
        };
        (response, socket)
    }
}

/// Whether a header that is a list has this word.
fn has_word(headers: &HeaderMap, name: header::HeaderName, word: &str) -> bool {
    let values = headers.get_all(name);
    let mut words = values
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    words.any(|found| found.trim().eq_ignore_ascii_case(word))
}
