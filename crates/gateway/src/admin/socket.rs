//! `/ws/admin`: JSON text frames, one answer for each request, in their order.
//!
//! Whoever shows a token with the right to administer, in the header or in a `hello` within 5 s, is
//! welcome; 16 of them at a time. Who has not said it yet goes when others come, of whom there are
//! 16 at most. The next request is read when the last is answered, and [paced](super::pace); a
//! request has at most 16 KiB. A socket that does not take an answer within 10 s, or from which
//! nothing came for 60 s though it was pinged, is cut off.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use futures_util::{SinkExt, StreamExt};
use protocol::{AdminAnswer, AdminOrder, AdminRequest, Failure, Welcome};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::pace::Pace;
use super::upgrade::{Socket, Upgrade};
use super::{SOCKETS_MAX, Who, acts, who};
use crate::access::{Need, Principal};
use crate::error::Refused;
use crate::listen::{Seat, Stranger};
use crate::state::{App, wall_time};

/// How long a client has for saying who it is.
const HELLO_WITHIN: Duration = Duration::from_secs(5);
/// How long a client has for taking an answer.
const SEND_WITHIN: Duration = Duration::from_secs(10);
/// How long it has for a farewell, when it is closed anyway.
const CLOSE_WITHIN: Duration = Duration::from_secs(1);
/// How often a silent client is asked whether it is there, and how long it may stay silent.
const PING_EVERY: Duration = Duration::from_secs(20);
const SILENT_MAX: Duration = Duration::from_secs(60);
/// Bytes that the `id` of a request may have.
const ID_BYTES_MAX: usize = 64;

/// No token, or one that nobody has.
const UNAUTHORIZED: CloseCode = CloseCode::Library(4401);
/// A token without the right.
const FORBIDDEN: CloseCode = CloseCode::Library(4403);

/// Why a socket is closed from here.
type Farewell = (CloseCode, String);

/// `GET /ws/admin`
pub(crate) async fn connect(State(app): State<App>, mut request: Request) -> Response {
    match open(app, &mut request) {
        Ok(response) => response,
        Err(response) => response,
    }
}

#[allow(clippy::result_large_err, reason = "what is wrong is an answer too")]
fn open(app: App, request: &mut Request) -> Result<Response, Response> {
    let from = who::peer(request.extensions());
    let principal = request.extensions().get::<Principal>().cloned();
    // Nobody yet may still say hello; somebody else is told at once.
    let who = match principal.filter(|principal| !principal.is_anonymous()) {
        None => None,
        Some(principal) => {
            if let Err(refused) = Need::Admin.check(&app.options.access, &principal) {
                app.admin.refused(&principal.name, request);
                return Err(refused.into_response());
            }
            let by = principal.name;
            Some(Who { by, from })
        }
    };
    let upgrade = Upgrade::of(request)?;
    let comer = match who {
        Some(who) => match take(&app.admin.sockets) {
            Some(place) => Comer::Known(who, place),
            None => {
                let refused = Refused::unavailable(full());
                return Err(refused.retry_after_s(10).into_response());
            }
        },
        None => Comer::Stranger(app.admin.waiting.take(from.ip())),
    };
    // The connection counts as one until the socket is gone.
    let seat = request.extensions().get::<Arc<Seat>>().cloned();
    let (response, socket) = upgrade.accept();
    tokio::spawn(async move {
        let _seat = seat;
        if let Some(socket) = socket.await {
            let mut socket = Open { socket, app, from };
            if let Err(farewell) = socket.serve(comer).await {
                socket.close(farewell).await;
            }
        }
    });
    Ok(response)
}

fn take(places: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
    Arc::clone(places).try_acquire_owned().ok()
}

fn full() -> String {
    format!("{SOCKETS_MAX} administrators are connected, and no more are let in")
}

/// Who opens a socket, and the place that it has.
enum Comer {
    Known(Who, OwnedSemaphorePermit),
    Stranger(Stranger),
}

/// A socket that is open.
struct Open {
    socket: Socket,
    app: App,
    from: SocketAddr,
}

impl Open {
    /// Comes when the client has gone.
    ///
    /// # Errors
    /// When it shall be closed, with what it is told.
    async fn serve(&mut self, comer: Comer) -> Result<(), Farewell> {
        let (who, _place) = match comer {
            Comer::Known(who, place) => (who, place),
            Comer::Stranger(mut stranger) => {
                let said = tokio::select! {
                    biased;
                    said = tokio::time::timeout(HELLO_WITHIN, self.hello()) => said,
                    () = stranger.goes() => {
                        let message = "others came that have not said who they are either";
                        return Err((CloseCode::Again, message.to_owned()));
                    }
                };
                let none = || (UNAUTHORIZED, "no token came within 5 s".to_owned());
                let Some(who) = said.unwrap_or_else(|_| Err(none()))? else {
                    return Ok(());
                };
                let own = take(&self.app.admin.sockets);
                (who, own.ok_or_else(|| (CloseCode::Again, full()))?)
            }
        };
        self.app.admin.audit.opened(&who);
        let welcome = AdminAnswer::Welcome(Welcome {
            protocol: protocol::VERSION,
            instance: self.app.live.instance().to_string(),
            connection_id: self.app.connections.fetch_add(1, Ordering::Relaxed) + 1,
            timestamp: wall_time().micros(),
        });
        if !self.answer(&welcome).await {
            return Ok(());
        }
        self.obey(&who).await
    }

    /// Who it is, from its first message; none when it has gone.
    async fn hello(&mut self) -> Result<Option<Who>, Farewell> {
        let text = loop {
            match self.socket.next().await {
                Some(Ok(Message::Text(text))) => break text,
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Binary(_) | Message::Frame(_))) => {
                    return Err((UNAUTHORIZED, "the first message is no `hello`".to_owned()));
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => return Ok(None),
            }
        };
        let said = match serde_json::from_str(text.as_str()) {
            Ok(AdminRequest {
                order: AdminOrder::Hello(said),
                ..
            }) => said,
            _ => return Err((UNAUTHORIZED, "the first message is no `hello`".to_owned())),
        };
        let Some(token) = said.token else {
            return Err((UNAUTHORIZED, "the `hello` has no token".to_owned()));
        };
        let now = Instant::now();
        let known = self.app.recognize(now, self.from.ip(), &token);
        let principal = known.map_err(|refused| (UNAUTHORIZED, refused.message))?;
        if !principal.rights.administers() {
            let audit = &self.app.admin.audit;
            audit.refused(now, &principal.name, self.from, "hello on /ws/admin");
            let message = "the token does not have the right `admin` that this takes";
            return Err((FORBIDDEN, message.to_owned()));
        }
        Ok(Some(Who {
            by: principal.name,
            from: self.from,
        }))
    }

    /// Answers until the client has gone.
    async fn obey(&mut self, who: &Who) -> Result<(), Farewell> {
        let mut closing = self.app.closing.clone();
        let mut heard = Instant::now();
        let mut pace = Pace::new(heard);
        let mut pulse = tokio::time::interval(PING_EVERY);
        loop {
            let next = pace.next(Instant::now());
            let received = tokio::select! {
                biased;
                _ = closing.wait_for(|closing| *closing) => return Err(stopping()),
                _ = pulse.tick() => None,
                received = async {
                    tokio::time::sleep_until(next.into()).await;
                    self.socket.next().await
                } => Some(received),
            };
            let Some(received) = received else {
                if heard.elapsed() > SILENT_MAX
                    || !self.send(Message::Ping(Vec::new().into())).await
                {
                    return Ok(());
                }
                continue;
            };
            heard = Instant::now();
            let answer = match received {
                Some(Ok(Message::Text(text))) => {
                    pace.read(heard);
                    tokio::select! {
                        biased;
                        answer = answer(&self.app, who, text.as_str()) => answer,
                        _ = closing.wait_for(|closing| *closing) => return Err(stopping()),
                    }
                }
                Some(Ok(Message::Binary(_))) => {
                    pace.read(heard);
                    failure("binary", "requests are JSON text".to_owned(), None)
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {
                    pace.read(heard);
                    continue;
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => return Ok(()),
            };
            // An act may have taken longer than a client may stay silent.
            heard = Instant::now();
            if !self.answer(&answer).await {
                return Ok(());
            }
        }
    }

    /// Whether the client took it.
    async fn answer(&mut self, answer: &AdminAnswer) -> bool {
        match serde_json::to_string(answer) {
            Ok(text) => self.send(Message::text(text)).await,
            Err(_) => false,
        }
    }

    async fn send(&mut self, message: Message) -> bool {
        let sent = tokio::time::timeout(SEND_WITHIN, self.socket.send(message)).await;
        matches!(sent, Ok(Ok(())))
    }

    async fn close(&mut self, (code, reason): Farewell) {
        let reason = shortened(reason).into();
        let close = self.socket.close(Some(CloseFrame { code, reason }));
        // It is closed either way.
        let _ = tokio::time::timeout(CLOSE_WITHIN, close).await;
    }
}

/// What a request is answered.
async fn answer(app: &App, who: &Who, text: &str) -> AdminAnswer {
    let AdminRequest { id, order } = match serde_json::from_str(text) {
        Ok(request) => request,
        Err(error) => return failure("malformed", error.to_string(), id_of(text)),
    };
    if id.len() > ID_BYTES_MAX {
        let message = format!("`id` has {} bytes, the limit is {ID_BYTES_MAX}", id.len());
        return failure("bad_id", message, None);
    }
    if let AdminOrder::Hello(_) = order {
        let message = "it is known already who this is".to_owned();
        return failure("bad_request", message, Some(id));
    }
    match acts::act(app, who.clone(), order).await {
        Ok(value) => AdminAnswer::Result { id, value },
        Err(undone) => {
            let mut message = undone.message;
            for mistake in &undone.mistakes {
                message.push_str("; ");
                message.push_str(mistake);
            }
            failure(code(undone.status), message, Some(id))
        }
    }
}

/// The `id` of a request that is not understood, if it has one.
fn id_of(text: &str) -> Option<String> {
    let request: serde_json::Value = serde_json::from_str(text).ok()?;
    let id = request.get("id")?.as_str()?;
    (id.len() <= ID_BYTES_MAX).then(|| id.to_owned())
}

fn failure(code: &str, message: String, id: Option<String>) -> AdminAnswer {
    AdminAnswer::Error(Failure {
        code: code.to_owned(),
        message,
        id,
    })
}

/// The word for a status of REST.
fn code(status: StatusCode) -> &'static str {
    match status {
        StatusCode::BAD_REQUEST => "bad_request",
        StatusCode::NOT_FOUND => "not_found",
        StatusCode::UNPROCESSABLE_ENTITY => "refused",
        StatusCode::NOT_IMPLEMENTED => "not_implemented",
        StatusCode::SERVICE_UNAVAILABLE => "unavailable",
        _ => "failed",
    }
}

fn stopping() -> Farewell {
    (CloseCode::Away, "the server stops".to_owned())
}

/// The reason of a close frame has at most 123 bytes.
fn shortened(mut reason: String) -> String {
    reason.truncate(reason.floor_char_boundary(123));
    reason
}
