//! What somebody who knows axum writes: a broadcast channel of texts that are encoded once, and a
//! task for each client.
//!
//! A client that lags by the whole channel loses updates, which is what the channel is for.

use anyhow::Result;
use axum::Router;
use axum::extract::State;
use axum::extract::ws::{Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use super::timestamp;
use crate::fanout::plan::{Due, Schedule};
use crate::fanout::update;

/// Updates that the slowest client may be behind.
const CHANNEL: usize = 4_096;

pub(super) struct Server {
    port: u16,
    updates: broadcast::Sender<Utf8Bytes>,
}

pub(super) async fn start() -> Result<Server> {
    let updates = broadcast::Sender::new(CHANNEL);
    let router = Router::new()
        .route("/ws", get(connect))
        .with_state(updates.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(Server { port, updates })
}

impl Server {
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn publish(&self, schedule: &Schedule, due: &[Due]) -> Result<()> {
        for due in due {
            let text = update::text(*due, timestamp(), schedule.bytes)?;
            // Without clients there is nobody to tell.
            let _ = self.updates.send(text.into());
        }
        Ok(())
    }
}

async fn connect(
    State(updates): State<broadcast::Sender<Utf8Bytes>>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let receiver = updates.subscribe();
    upgrade.on_upgrade(move |socket| forward(socket, receiver))
}

async fn forward(mut socket: WebSocket, mut updates: broadcast::Receiver<Utf8Bytes>) {
    loop {
        tokio::select! {
            update = updates.recv() => match update {
                Ok(text) => {
                    if socket.send(Message::Text(text)).await.is_err() {
                        return;
                    }
                }
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            },
            said = socket.recv() => {
                if !matches!(said, Some(Ok(_))) {
                    return;
                }
            }
        }
    }
}
