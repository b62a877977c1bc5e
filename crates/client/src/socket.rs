//! Opening a connection: TCP, TLS, the WebSocket, and the server's welcome.

use std::time::Duration;

use futures_util::StreamExt;
use protocol::{DecodeError, Encoding, ServerMessage, VERSION, Welcome};
use serde::Deserialize;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::{Request, Response};
use tokio_tungstenite::tungstenite::http::{HeaderValue, header};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::builder::Options;
use crate::error::ConnectError;

/// The library's own choice is 128 KiB for each connection.
const READ_BUFFER_BYTES: usize = 16 << 10;
/// What is kept of a server's words in an error.
const REASON_CHARS_MAX: usize = 300;
/// The close code of a server that needs a token.
const UNAUTHORIZED: u16 = 4401;
/// What is wrong with `wss` where TLS was not built in.
const WITHOUT_TLS: &str = "`wss` needs the feature `tls` of the client";

pub(crate) type Socket = WebSocketStream<Box<dyn Stream>>;

/// TCP, or TLS over it.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin + std::fmt::Debug {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + std::fmt::Debug> Stream for T {}

/// A server that has welcomed this client.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) socket: Socket,
    pub(crate) encoding: Encoding,
    pub(crate) welcome: Welcome,
}

/// Connects, within the time that the options allow.
pub(crate) async fn open(options: &Options) -> Result<Connection, ConnectError> {
    let within = options.connect_within;
    let opened = tokio::time::timeout(within, open_unhurried(options)).await;
    opened.unwrap_or_else(|_| Err(silent(within)))
}

async fn open_unhurried(options: &Options) -> Result<Connection, ConnectError> {
    let request = request(options)?;
    let stream = connect(options, &request).await?;
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .max_message_size(Some(options.message_bytes_max))
        .max_frame_size(Some(options.message_bytes_max));
    let upgraded = tokio_tungstenite::client_async_with_config(request, stream, Some(config));
    let (mut socket, response) = upgraded.await.map_err(|error| refused(&error))?;
    let encoding = agreed_encoding(&response)?;
    let welcome = welcome(&mut socket, encoding).await?;
    Ok(Connection {
        socket,
        encoding,
        welcome,
    })
}

fn request(options: &Options) -> Result<Request, ConnectError> {
    let mut request = options
        .url
        .as_str()
        .into_client_request()
        .map_err(|error| address(options, &error.to_string()))?;
    let headers = request.headers_mut();
    if let Some(token) = &options.token {
        let mut value = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| {
            ConnectError::Unauthorized {
                message: "the token has characters that no header may have".to_owned(),
            }
        })?;
        value.set_sensitive(true);
        headers.insert(header::AUTHORIZATION, value);
    }
    // None means JSON, so a server that knows no subprotocols is asked for none.
    if options.encoding != Encoding::Json {
        let name = HeaderValue::from_static(options.encoding.subprotocol());
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, name);
    }
    Ok(request)
}

async fn connect(options: &Options, request: &Request) -> Result<Box<dyn Stream>, ConnectError> {
    let uri = request.uri();
    let (port, is_secure) = match uri.scheme_str() {
        Some("ws") => (80, false),
        Some("wss") if cfg!(feature = "tls") => (443, true),
        Some("wss") => return Err(address(options, WITHOUT_TLS)),
        _ => return Err(address(options, "expected ws://, or wss://")),
    };

    let host = uri.host().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let stream = TcpStream::connect((host, uri.port_u16().unwrap_or(port)))
        .await
        .map_err(|error| network(&error))?;
    stream.set_nodelay(true).map_err(|error| network(&error))?;
    if is_secure {
        return secure(options, host, stream).await;
    }
    Ok(Box::new(stream))
}

#[cfg(not(feature = "tls"))]
async fn secure(
    options: &Options,
    _host: &str,
    _stream: TcpStream,
) -> Result<Box<dyn Stream>, ConnectError> {
    Err(address(options, WITHOUT_TLS))
}

#[cfg(feature = "tls")]
async fn secure(
    options: &Options,
    host: &str,
    stream: TcpStream,
) -> Result<Box<dyn Stream>, ConnectError> {
    let name = rustls::pki_types::ServerName::try_from(host.to_owned())
        .map_err(|error| address(options, &error.to_string()))?;
    let connector = tokio_rustls::TlsConnector::from(options.tls.clone());
    let stream = connector.connect(name, stream).await;
    Ok(Box::new(stream.map_err(|error| network(&error))?))
}

fn agreed_encoding(response: &Response) -> Result<Encoding, ConnectError> {
    let Some(name) = response.headers().get(header::SEC_WEBSOCKET_PROTOCOL) else {
        return Ok(Encoding::Json);
    };
    let known = name.to_str().ok().and_then(Encoding::from_subprotocol);
    known.ok_or_else(|| ConnectError::Malformed {
        reason: format!("the subprotocol {name:?} is not known"),
    })
}

async fn welcome(socket: &mut Socket, encoding: Encoding) -> Result<Welcome, ConnectError> {
    loop {
        let received = socket.next().await;
        match receive(received, encoding)? {
            Received::Message(ServerMessage::Welcome(welcome)) if welcome.protocol == VERSION => {
                return Ok(welcome);
            }
            Received::Message(ServerMessage::Welcome(welcome)) => {
                return Err(ConnectError::Version {
                    server: welcome.protocol,
                    ours: VERSION,
                });
            }
            Received::Message(ServerMessage::Error(failure)) if failure.code == "unauthorized" => {
                return Err(ConnectError::Unauthorized {
                    message: failure.message,
                });
            }
            Received::Unreadable(Unreadable { reason, .. }) => {
                return Err(ConnectError::Malformed { reason });
            }
            // Nothing else is for a client that is not welcome yet.
            _ => {}
        }
    }
}

/// What was received.
#[derive(Debug)]
pub(crate) enum Received {
    Message(ServerMessage),
    Unreadable(Unreadable),
    /// Nothing that concerns a client.
    Nothing,
}

/// A message of a known type that cannot be read, and what can be read of it.
#[derive(Debug)]
pub(crate) struct Unreadable {
    pub(crate) is_update: bool,
    pub(crate) id: Option<String>,
    pub(crate) seq: Option<u64>,
    pub(crate) reason: String,
}

/// The fields that say what a message is about.
#[derive(Debug, Default, Deserialize)]
struct Head {
    #[serde(default, rename = "type")]
    kind: Value,
    #[serde(default)]
    id: Value,
    #[serde(default)]
    seq: Value,
}

/// What was received.
///
/// # Errors
/// When the connection is over, or what is said on it is in another encoding.
pub(crate) fn receive(
    received: Option<Result<Message, Error>>,
    encoding: Encoding,
) -> Result<Received, ConnectError> {
    let bytes = match received {
        None => {
            return Err(ConnectError::Network {
                reason: "the connection ended without a close frame".to_owned(),
            });
        }
        Some(Err(error)) => return Err(network(&error)),
        Some(Ok(Message::Text(text))) if encoding.is_text() => text.into(),
        Some(Ok(Message::Binary(bytes))) if !encoding.is_text() => bytes,
        Some(Ok(Message::Text(_) | Message::Binary(_))) => {
            return Err(ConnectError::Malformed {
                reason: format!("a frame that is not in {}", encoding.name()),
            });
        }
        Some(Ok(Message::Close(frame))) => return Err(closed(frame)),
        Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {
            return Ok(Received::Nothing);
        }
    };
    Ok(match encoding.decode(&bytes) {
        Ok(message) => Received::Message(message),
        Err(error) => unknown(encoding, &bytes, &error),
    })
}

/// A message of a newer server is passed over; one of a known type should be readable.
fn unknown(encoding: Encoding, bytes: &[u8], error: &DecodeError) -> Received {
    const KNOWN: [&str; 9] = [
        "welcome",
        "snapshot",
        "update",
        "removed",
        "reset",
        "notification",
        "action_result",
        "pong",
        "error",
    ];
    let head: Head = encoding.decode(bytes).unwrap_or_default();
    let kind = head.kind.as_str();
    if kind.is_some_and(|kind| !KNOWN.contains(&kind)) {
        return Received::Nothing;
    }
    Received::Unreadable(Unreadable {
        is_update: kind == Some("update"),
        id: head.id.as_str().map(str::to_owned),
        seq: head.seq.as_u64(),
        reason: error.to_string(),
    })
}

/// Nothing came for so long.
pub(crate) fn silent(within: Duration) -> ConnectError {
    ConnectError::Silent {
        within_ms: u64::try_from(within.as_millis()).unwrap_or(u64::MAX),
    }
}

pub(crate) fn network(error: &dyn std::error::Error) -> ConnectError {
    ConnectError::Network {
        reason: error.to_string(),
    }
}

fn address(options: &Options, reason: &str) -> ConnectError {
    ConnectError::Address {
        url: options.url.clone(),
        reason: reason.to_owned(),
    }
}

fn closed(frame: Option<CloseFrame>) -> ConnectError {
    let (code, reason) = frame.map_or((1005, String::new()), |frame| {
        (u16::from(frame.code), short(frame.reason.as_str()))
    });
    match code {
        UNAUTHORIZED => ConnectError::Unauthorized { message: reason },
        _ => ConnectError::ClosedByServer { code, reason },
    }
}

/// What the server answered instead of opening a WebSocket.
fn refused(error: &Error) -> ConnectError {
    let Error::Http(response) = error else {
        return network(error);
    };
    let status = response.status().as_u16();
    let body = response.body().as_deref().unwrap_or_default();
    let message = || explained(body).unwrap_or_else(|| response.status().to_string());
    match status {
        401 => ConnectError::Unauthorized { message: message() },
        403 => ConnectError::Forbidden { message: message() },
        _ => {
            let retry_after = response.headers().get(header::RETRY_AFTER);
            let seconds = retry_after.and_then(|value| value.to_str().ok()?.parse().ok());
            ConnectError::Status {
                status,
                retry_after: seconds.map(Duration::from_secs),
            }
        }
    }
}

/// The sentence in the body of an answer.
fn explained(body: &[u8]) -> Option<String> {
    let body: serde_json::Value = serde_json::from_slice(body).ok()?;
    let sentence = ["detail", "error", "title"]
        .into_iter()
        .find_map(|name| body[name].as_str())?;
    Some(short(sentence))
}

fn short(text: &str) -> String {
    text.chars().take(REASON_CHARS_MAX).collect()
}
