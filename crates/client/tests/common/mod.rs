//! A server that says what a test tells it to.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "each test uses a part")]
#![allow(
    clippy::result_large_err,
    reason = "the library's callback has this type"
)]

use std::time::Duration;

use client::{Client, ClientBuilder, Subscribe, Wait};
use futures_util::{SinkExt, StreamExt};
use protocol::{
    Change, Changes, ClientMessage, Content, Encoding, ServerMessage, VERSION, Welcome,
};
use record::{Name, Priority, Quality};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

/// Long enough for a machine that does other things too.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Server(TcpListener);

pub(crate) struct Peer {
    socket: WebSocketStream<TcpStream>,
    encoding: Encoding,
    /// The `Authorization` of the request.
    pub(crate) authorization: Option<String>,
    /// What was asked for.
    pub(crate) path: String,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}/ws", self.0.local_addr().unwrap())
    }

    /// A client that does not wait long between connections.
    pub(crate) fn client(&self) -> ClientBuilder {
        Client::builder(self.url()).wait(Wait {
            base: Duration::from_millis(1),
            cap: Duration::from_millis(5),
            ..Wait::default()
        })
    }

    /// The next connection, which is not welcomed yet.
    pub(crate) async fn accept(&self) -> Peer {
        let (stream, _) = soon(self.0.accept()).await.unwrap();
        let (mut encoding, mut authorization, mut path) = (Encoding::Json, None, String::new());
        let callback = |request: &Request, mut response: Response| {
            let header = |name: &str| request.headers().get(name)?.to_str().ok();
            path = request.uri().to_string();
            authorization = header("authorization").map(str::to_owned);
            if let Some(asked) = header("sec-websocket-protocol") {
                encoding = Encoding::from_subprotocol(asked).unwrap();
                response.headers_mut().insert(
                    "sec-websocket-protocol",
                    HeaderValue::from_static(encoding.subprotocol()),
                );
            }
            Ok(response)
        };
        let socket = soon(tokio_tungstenite::accept_hdr_async(stream, callback)).await;
        Peer {
            socket: socket.unwrap(),
            encoding,
            authorization,
            path,
        }
    }

    /// The next connection, welcomed by this instance.
    pub(crate) async fn welcome(&self, instance: &str) -> Peer {
        let mut peer = self.accept().await;
        peer.say(ServerMessage::Welcome(Welcome {
            protocol: VERSION,
            instance: instance.to_owned(),
            connection_id: 7,
            timestamp: 1,
        }))
        .await;
        peer
    }

    /// Answers the next request with these bytes instead of a WebSocket.
    pub(crate) async fn answer(&self, answer: &str) {
        let (mut stream, _) = soon(self.0.accept()).await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(stream.read_u8().await.unwrap());
        }
        stream.write_all(answer.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
    }

    /// A connected client with one subscription, which was asked for and not answered.
    pub(crate) async fn subscribed(
        &self,
        builder: ClientBuilder,
        subscribe: Subscribe,
    ) -> (Client, client::Subscription, Peer) {
        let (client, mut peer) = tokio::join!(builder.connect(), self.welcome("one"));
        let client = client.unwrap();
        let id = subscribe.id.clone();
        let subscription = client.subscribe(subscribe).await.unwrap();
        assert_eq!(peer.subscribe().await.id, id);
        (client, subscription, peer)
    }
}

impl Peer {
    pub(crate) async fn say(&mut self, message: ServerMessage) {
        self.say_bytes(self.encoding.encode(&message).unwrap())
            .await;
    }

    /// Says something that the types do not know.
    pub(crate) async fn say_any(&mut self, message: Value) {
        self.say_bytes(self.encoding.encode(&message).unwrap())
            .await;
    }

    async fn say_bytes(&mut self, bytes: Vec<u8>) {
        let frame = if self.encoding.is_text() {
            Message::text(String::from_utf8(bytes).unwrap())
        } else {
            Message::binary(bytes)
        };
        soon(self.socket.send(frame)).await.unwrap();
    }

    /// The next message of the client; none when it has gone.
    pub(crate) async fn hear(&mut self) -> Option<ClientMessage> {
        loop {
            let bytes = match soon(self.socket.next()).await {
                Some(Ok(Message::Text(text))) => text.into(),
                Some(Ok(Message::Binary(bytes))) => bytes,
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                _ => return None,
            };
            return Some(self.encoding.decode(&bytes).unwrap());
        }
    }

    /// The next message but pings, which are answered with this commit.
    pub(crate) async fn hear_at(&mut self, seq: u64) -> Option<ClientMessage> {
        loop {
            match self.hear().await {
                Some(ClientMessage::Ping { echo }) => {
                    let pong = protocol::Pong {
                        seq,
                        echo,
                        timestamp: 1,
                    };
                    self.say(ServerMessage::Pong(pong)).await;
                }
                other => return other,
            }
        }
    }

    /// What it asks for.
    pub(crate) async fn subscribe(&mut self) -> Subscribe {
        match self.hear().await {
            Some(ClientMessage::Subscribe(subscribe)) => subscribe,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn close(mut self, code: u16, reason: &str) {
        let frame = CloseFrame {
            code: code.into(),
            reason: reason.to_owned().into(),
        };
        soon(self.socket.close(Some(frame))).await.unwrap();
    }
}

/// What happens in good time.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap()
}

pub(crate) fn latest(id: &str) -> Subscribe {
    Subscribe {
        id: id.to_owned(),
        keys: vec!["*".to_owned()],
        ..Subscribe::default()
    }
}

pub(crate) fn changes(id: &str, seq: u64, values: &[(&str, Value)]) -> Changes {
    let change = |(tag, value): &(&str, Value)| Change {
        source: Name::new("source", "plc").unwrap(),
        tag: Name::new("tag", tag).unwrap(),
        timestamp: 1,
        content: Content::Whole(value.clone()),
        quality: Quality::Good,
        priority: Priority::Normal,
        rev: Some(seq),
    };
    Changes {
        id: id.to_owned(),
        seq,
        timestamp: 1,
        changes: values.iter().map(change).collect(),
        ..Changes::default()
    }
}

/// The tags and values of a frame.
pub(crate) fn said(frame: &client::Frame) -> Vec<(&str, Value)> {
    let readings = frame.readings.iter();
    readings
        .map(|reading| (reading.key.tag.as_str(), reading.value.clone()))
        .collect()
}
