//! `GET /ws`: checks the handshake, answers it, and hands the socket to a loop.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use protocol::Encoding;
use tungstenite::handshake::derive_accept_key;

use super::obey::is_welcome;
use super::socket::Passing;
use crate::access::Principal;
use crate::error::Refused;
use crate::listen::{Patient, Seat, Stranger, Strangers, Stream};
use crate::state::App;

/// The version of RFC 6455.
const VERSION: &str = "13";
/// The least and the most that there may be at a time of those who have not said who they are.
const STRANGERS_MIN: usize = 16;
const STRANGERS_MAX: usize = 256;
/// What is said when there is no place for a client.
pub(super) const TOO_MANY: &str = "there are too many clients";

/// A client whose handshake is done, on its way to its loop.
#[derive(Debug)]
pub(super) struct Newcomer {
    pub(super) id: u64,
    pub(super) passing: Passing,
    /// What it has sent already.
    pub(super) first: Bytes,
    pub(super) encoding: Encoding,
    pub(super) address: SocketAddr,
    pub(super) principal: Principal,
    pub(super) place: Place,
}

/// One of the places for clients, or for strangers, and the seat of the connection; free again when
/// it is dropped.
pub(super) struct Place {
    app: App,
    _seat: Option<Arc<Seat>>,
    /// There until it is known who it is.
    stranger: Option<Stranger>,
}

impl Place {
    fn take(app: &App, seat: Option<Arc<Seat>>) -> Option<Self> {
        count(app).then(|| Self {
            app: app.clone(),
            _seat: seat,
            stranger: None,
        })
    }

    /// One for somebody who still has to say who it is.
    fn wait(app: &App, seat: Option<Arc<Seat>>, address: IpAddr) -> Self {
        Self {
            app: app.clone(),
            _seat: seat,
            stranger: Some(app.strangers.take(address)),
        }
    }

    /// Makes it a place for clients, since it is known who it is; false when there is none.
    pub(super) fn settle(&mut self) -> bool {
        let is_settled = self.stranger.is_none() || count(&self.app);
        if is_settled {
            self.stranger = None;
        }
        is_settled
    }

    /// Whether somebody else needs it.
    pub(super) fn has_to_go(&mut self) -> bool {
        self.stranger.as_mut().is_some_and(Stranger::has_to_go)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.stranger.is_none() {
            self.app.websockets.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Room for a quarter as many as there may be clients, half of them from one address.
pub(crate) fn strangers(websockets_max: usize) -> Strangers {
    let all_max = (websockets_max / 4).clamp(STRANGERS_MIN, STRANGERS_MAX);
    Strangers::new(all_max, all_max / 2)
}

/// Counts one client more, unless there are as many as there may be.
fn count(app: &App) -> bool {
    let limit = app.options.websockets_max;
    let more = |taken| (taken < limit).then_some(taken + 1);
    let counted = app
        .websockets
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
    counted.is_ok()
}

impl std::fmt::Debug for Place {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Place").finish_non_exhaustive()
    }
}

/// `GET /ws`
pub(crate) async fn connect(State(app): State<App>, mut request: Request) -> Response {
    let (key, protocol) = match check(request.method(), request.headers()) {
        Ok(checked) => checked,
        Err(refused) => return *refused,
    };
    let seat = request.extensions().get::<Arc<Seat>>().cloned();
    let extensions = request.extensions();
    let Some(ConnectInfo(address)) = extensions.get::<ConnectInfo<SocketAddr>>().copied() else {
        let message = "the connection has no address";
        return Refused::new(StatusCode::INTERNAL_SERVER_ERROR, message).into_response();
    };
    let principal = extensions.get::<Principal>().cloned();
    let principal = principal.unwrap_or_else(|| app.options.access.nobody());
    let place = if is_welcome(&principal) {
        Place::take(&app, seat)
    } else {
        Some(Place::wait(&app, seat, address.ip()))
    };
    let Some(place) = place else {
        return Refused::unavailable(TOO_MANY)
            .retry_after_s(10)
            .into_response();
    };
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        // A client that goes away during the handshake is no matter of ours.
        let Ok(upgraded) = upgrade.await else { return };
        let Some((stream, first)) = parts(upgraded) else {
            return;
        };
        let Ok(passing) = Passing::new(stream) else {
            return;
        };
        let newcomer = Newcomer {
            id: app.connections.fetch_add(1, Ordering::Relaxed) + 1,
            passing,
            first,
            encoding: protocol.unwrap_or_default(),
            address,
            principal,
            place,
        };
        app.fanout.hand_over(newcomer);
    });
    switch(&key, protocol)
}

/// The key of the handshake, and the subprotocol that was chosen, if any was offered.
pub(crate) fn check(
    method: &Method,
    headers: &HeaderMap,
) -> Result<(HeaderValue, Option<Encoding>), Box<Response>> {
    let bad = |message: &str| Box::new(Refused::bad_request(message).into_response());
    let is_upgrade = names(headers, &header::CONNECTION, "upgrade")
        && names(headers, &header::UPGRADE, "websocket");
    if method != Method::GET || !is_upgrade {
        return Err(bad(
            "this is a WebSocket: a GET with `Upgrade: websocket` opens it",
        ));
    }
    if headers.get(header::SEC_WEBSOCKET_VERSION) != Some(&HeaderValue::from_static(VERSION)) {
        let message = "`Sec-WebSocket-Version` is not 13";
        let mut response = Refused::new(StatusCode::UPGRADE_REQUIRED, message).into_response();
        let version = HeaderValue::from_static(VERSION);
        let headers = response.headers_mut();
        headers.insert(header::SEC_WEBSOCKET_VERSION, version);
        return Err(Box::new(response));
    }
    // Sixteen bytes in base 64.
    let key = headers.get(header::SEC_WEBSOCKET_KEY);
    let key = key.filter(|key| key.len() == 24);
    let key = key.ok_or_else(|| bad("`Sec-WebSocket-Key` is missing, or not of 24 characters"))?;
    let offered: Vec<&str> = listed(headers, &header::SEC_WEBSOCKET_PROTOCOL).collect();
    let chosen = offered
        .iter()
        .find_map(|name| Encoding::from_subprotocol(name));
    if !offered.is_empty() && chosen.is_none() {
        let known = Encoding::ALL.map(Encoding::subprotocol).join(" or ");
        let message = format!("`Sec-WebSocket-Protocol` has none that is known: {known}");
        return Err(bad(&message));
    }
    Ok((key.clone(), chosen))
}

/// The items of a header that is a list.
fn listed<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(name).into_iter();
    let lines = lines.filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim)
}

fn names(headers: &HeaderMap, name: &HeaderName, item: &str) -> bool {
    listed(headers, name).any(|found| found.eq_ignore_ascii_case(item))
}

/// The answer after which the connection is a WebSocket.
pub(crate) fn switch(key: &HeaderValue, protocol: Option<Encoding>) -> Response {
    let mut response = StatusCode::SWITCHING_PROTOCOLS.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    if let Ok(accept) = HeaderValue::from_str(&derive_accept_key(key.as_bytes())) {
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    }
    if let Some(protocol) = protocol {
        let name = HeaderValue::from_static(protocol.subprotocol());
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, name);
    }
    response
}

/// The socket, and what was read of it beyond the request.
fn parts(upgraded: Upgraded) -> Option<(Stream, Bytes)> {
    let parts = upgraded.downcast::<TokioIo<Patient<Stream>>>().ok()?;
    Some((parts.io.into_inner().into_inner(), parts.read_buf))
}
