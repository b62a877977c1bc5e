//! A client of the WebSocket.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::Value as Json;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use super::Server;

pub(crate) struct Client(pub(crate) WebSocketStream<MaybeTlsStream<TcpStream>>);

pub(crate) async fn connect(server: &Server, origin: Option<&str>) -> Result<Client, u16> {
    let mut request = format!("ws://{}/ws", server.address)
        .into_client_request()
        .unwrap();
    if let Some(origin) = origin {
        request
            .headers_mut()
            .insert("origin", origin.parse().unwrap());
    }
    match tokio_tungstenite::connect_async(request).await {
        Ok((socket, _)) => Ok(Client(socket)),
        Err(Error::Http(response)) => Err(response.status().as_u16()),
        Err(error) => panic!("{error}"),
    }
}

/// One whose own buffer is small, so that what it does not read stays with the server.
pub(crate) async fn connect_small(server: &Server) -> Client {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4 << 10).unwrap();
    let stream = socket.connect(server.address).await.unwrap();
    let url = format!("ws://{}/ws", server.address);
    let stream = MaybeTlsStream::Plain(stream);
    let (socket, _) = tokio_tungstenite::client_async(url, stream).await.unwrap();
    Client(socket)
}

/// One that speaks a subprotocol, and the one that the server chose.
pub(crate) async fn connect_speaking(
    server: &Server,
    offered: &str,
) -> Result<(Client, String), u16> {
    let mut request = format!("ws://{}/ws", server.address)
        .into_client_request()
        .unwrap();
    let name = "sec-websocket-protocol";
    request.headers_mut().insert(name, offered.parse().unwrap());
    match tokio_tungstenite::connect_async(request).await {
        Ok((socket, response)) => {
            let chosen = response.headers()[name].to_str().unwrap().to_owned();
            Ok((Client(socket), chosen))
        }
        Err(Error::Http(response)) => Err(response.status().as_u16()),
        Err(error) => panic!("{error}"),
    }
}

impl Client {
    /// The code and the reason with which the server closes.
    pub(crate) async fn closed(&mut self) -> (u16, String) {
        loop {
            let next = tokio::time::timeout(Duration::from_secs(20), self.0.next()).await;
            if let Message::Close(Some(frame)) = next.unwrap().unwrap().unwrap() {
                return (frame.code.into(), frame.reason.to_string());
            }
        }
    }

    /// Whether the connection ends, with or without a word, before the time is over.
    pub(crate) async fn is_cut_off(&mut self) -> bool {
        let ended = async {
            while let Some(Ok(message)) = self.0.next().await {
                if message.is_close() {
                    break;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(20), ended)
            .await
            .is_ok()
    }

    pub(crate) async fn say(&mut self, message: Json) {
        self.0
            .send(Message::text(message.to_string()))
            .await
            .unwrap();
    }

    /// The next message of one of these types; others are passed over.
    pub(crate) async fn hear(&mut self, kinds: &[&str]) -> Json {
        loop {
            let next = tokio::time::timeout(Duration::from_secs(10), self.0.next()).await;
            let Message::Text(text) = next.unwrap().unwrap().unwrap() else {
                continue;
            };
            let message: Json = serde_json::from_str(&text).unwrap();
            if kinds.contains(&message["type"].as_str().unwrap()) {
                return message;
            }
        }
    }
}

pub(crate) fn values(message: &Json) -> Vec<(String, f64)> {
    let changes = message["changes"].as_array().unwrap();
    changes
        .iter()
        .map(|change| {
            (
                change["tag"].as_str().unwrap().to_owned(),
                change["value"].as_f64().unwrap(),
            )
        })
        .collect()
}
