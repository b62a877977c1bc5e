//! The task of one client.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use tokio::sync::broadcast::error::RecvError;

use super::protocol::{ToClient, VERSION};
use super::session::{Session, encode};
use crate::error::Refused;
use crate::state::{App, wall_time};

/// Bytes that a message of a client may have.
const MESSAGE_BYTES_MAX: usize = 256 << 10;
/// What each client costs while it is idle; the library's own choice is 128 KiB.
const READ_BUFFER_BYTES: usize = 4 << 10;
/// A client that does not read for so long is cut off.
const SEND_WITHIN: Duration = Duration::from_secs(30);
/// How often a silent client is asked whether it is there, and how long it may stay silent.
const PING_EVERY: Duration = Duration::from_secs(20);
const SILENT_MAX: Duration = Duration::from_secs(60);

/// `GET /ws`
pub(crate) async fn connect(
    State(app): State<App>,
    upgrade: Result<WebSocketUpgrade, axum::extract::ws::rejection::WebSocketUpgradeRejection>,
) -> Response {
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade,
        Err(error) => return error.into_response(),
    };
    let Some(place) = Place::take(app) else {
        return Refused::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "there are too many clients",
        )
        .retry_after_s(10)
        .into_response();
    };
    upgrade
        .read_buffer_size(READ_BUFFER_BYTES)
        .max_message_size(MESSAGE_BYTES_MAX)
        .max_frame_size(MESSAGE_BYTES_MAX)
        .on_upgrade(move |socket| async move { serve(socket, &place.0).await })
}

/// One of the places for clients; free again when it is dropped.
struct Place(App);

impl Place {
    fn take(app: App) -> Option<Self> {
        let limit = app.options.websockets_max;
        let more = |taken| (taken < limit).then_some(taken + 1);
        app.websockets
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
            .ok()?;
        Some(Self(app))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.websockets.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What the task of a client woke up for.
enum Event {
    Received(Option<Result<Message, axum::Error>>),
    Changed,
    NewKeys,
    Notified(pipeline::Notification),
    Pulse,
    Closing,
}

async fn serve(mut socket: WebSocket, app: &App) {
    let mut session = Session::new(app.live.clone());
    let mut notifications = app.pipeline.notifications();
    let (mut keys, mut closing) = (app.keys.clone(), app.closing.clone());
    let mut pulse = tokio::time::interval(PING_EVERY);
    let mut heard = Instant::now();
    let welcome = encode(&ToClient::Welcome {
        protocol: VERSION,
        instance: app.live.instance().to_string(),
        connection_id: app.connections.fetch_add(1, Ordering::Relaxed) + 1,
        timestamp: wall_time(),
    });
    let mut frames = vec![Message::from(welcome)];
    loop {
        for frame in frames.drain(..) {
            if !send(&mut socket, frame).await {
                return;
            }
        }
        let event = tokio::select! {
            // What was asked for comes before what is new, so that a flood of updates cannot
            // keep a client from being heard.
            biased;
            _ = closing.wait_for(|closing| *closing) => Event::Closing,
            received = socket.recv() => Event::Received(received),
            _ = pulse.tick() => Event::Pulse,
            heard = notifications.recv() => match heard {
                Ok(notification) => Event::Notified(notification),
                // Missed ones are only news of old; without a pipeline there are no more.
                Err(RecvError::Lagged(_)) => continue,
                Err(RecvError::Closed) => Event::Closing,
            },
            _ = keys.changed() => Event::NewKeys,
            () = changed(&session) => Event::Changed,
        };
        match event {
            Event::Received(Some(Ok(message))) => {
                heard = Instant::now();
                match message {
                    Message::Text(text) => {
                        let answer = session.obey(heard, text.as_str());
                        frames.extend(answer.map(Message::from));
                    }
                    Message::Binary(_) => {
                        let message = "messages are JSON text".to_owned();
                        frames.push(super::session::refuse("binary", message, None).into());
                    }
                    Message::Close(_) => return,
                    Message::Ping(_) | Message::Pong(_) => {}
                }
            }
            Event::Received(Some(Err(_)) | None) => return,
            Event::Changed => {
                let mut last = None;
                while let Some((id, frame)) = session.update_after(last.as_deref(), Instant::now())
                {
                    app.updates.fetch_add(1, Ordering::Relaxed);
                    if !send(&mut socket, frame.into()).await {
                        return;
                    }
                    last = Some(id);
                }
            }
            Event::NewKeys => {
                frames.extend(session.find_keys().into_iter().map(Message::from));
            }
            Event::Notified(notification) => {
                frames.push(encode(&ToClient::Notification(notification)).into());
            }
            Event::Pulse if heard.elapsed() > SILENT_MAX => return,
            Event::Pulse => frames.push(Message::Ping(axum::body::Bytes::new())),
            Event::Closing => {
                let frame = CloseFrame {
                    code: close_code::AWAY,
                    reason: "the server stops".into(),
                };
                // It is closed either way.
                let _ = tokio::time::timeout(
                    Duration::from_secs(1),
                    socket.send(Message::Close(Some(frame))),
                )
                .await;
                return;
            }
        }
    }
}

/// Whether the client took the frame.
async fn send(socket: &mut WebSocket, frame: Message) -> bool {
    let sent = tokio::time::timeout(SEND_WITHIN, socket.send(frame)).await;
    matches!(sent, Ok(Ok(())))
}

/// Comes when a subscription has something to send that may be sent now.
async fn changed(session: &Session) {
    loop {
        let now = Instant::now();
        let ready = std::future::poll_fn(|context| session.poll_changed(now, context));
        match session.next_moment(now) {
            Some(moment) => {
                if tokio::time::timeout_at(moment.into(), ready).await.is_ok() {
                    return;
                }
            }
            None => return ready.await,
        }
    }
}
