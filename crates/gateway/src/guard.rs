//! Whom a request comes from, and whether it gets further: the outermost layer.
//!
//! In this order: `Host` and `Origin` are known, no token stands in the address, a token that is
//! shown is known, and who shows it has the right that the request needs. What comes through
//! carries its [`Principal`]. Every answer, also the refusal, carries the headers that keep a page
//! from loading, embedding or being embedded by anything else.
//!
//! The sockets are let through without a token, since a browser can show one in the first message
//! alone; they ask [`App::recognize`] themselves.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use parking_lot::Mutex;
use serde::Serialize;

use crate::access::{Failure, Failures, Need, Origins, Principal, Strange, has_token};
use crate::error::{Refused, one_shape};
use crate::listen::Seats;
use crate::state::App;

/// What requests are checked against, and how many did not pass.
#[derive(Debug)]
pub(crate) struct Guard {
    origins: Origins,
    failures: Mutex<Failures>,
    hosts: AtomicU64,
    foreign_origins: AtomicU64,
    tokens: AtomicU64,
    tokens_in_addresses: AtomicU64,
    rights: AtomicU64,
}

/// Requests and connections that were refused, by the reason, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Refusals {
    /// There were too many connections, in all or of the address.
    pub(crate) connection: u64,
    /// The `Host` is not the gateway.
    pub(crate) host: u64,
    /// The `Origin` is another site.
    pub(crate) origin: u64,
    /// Nobody has the token.
    pub(crate) token: u64,
    /// A token stood in the address.
    pub(crate) token_in_address: u64,
    /// The right is missing, with a token or without.
    pub(crate) right: u64,
}

impl Guard {
    pub(crate) fn new(origins: Origins) -> Self {
        Self {
            origins,
            failures: Mutex::default(),
            hosts: AtomicU64::new(0),
            foreign_origins: AtomicU64::new(0),
            tokens: AtomicU64::new(0),
            tokens_in_addresses: AtomicU64::new(0),
            rights: AtomicU64::new(0),
        }
    }

    /// What was refused so far.
    pub(crate) fn refusals(&self, seats: &Seats) -> Refusals {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Refusals {
            connection: seats.refused(),
            host: count(&self.hosts),
            origin: count(&self.foreign_origins),
            token: count(&self.tokens),
            token_in_address: count(&self.tokens_in_addresses),
            right: count(&self.rights),
        }
    }

    fn check_origin(&self, request: &Request) -> Result<(), Refused> {
        let checked = self
            .origins
            .check(request.method(), request.uri().path(), request.headers());
        checked.map_err(|(strange, refused)| {
            let counter = match strange {
                Strange::Host => &self.hosts,
                Strange::Origin => &self.foreign_origins,
            };
            counter.fetch_add(1, Ordering::Relaxed);
            refused
        })
    }

    fn check_address(&self, uri: &Uri) -> Result<(), Refused> {
        if !shows_token(uri) {
            return Ok(());
        }
        self.tokens_in_addresses.fetch_add(1, Ordering::Relaxed);
        Err(Refused::bad_request(
            "a token does not belong into an address, which ends up in logs: send it as \
             `Authorization: Bearer`, or as `token` in the `hello` that begins a WebSocket; take \
             this one out of use",
        ))
    }
}

impl App {
    /// Who shows this token from this address. A wrong one is counted and logged, without the
    /// token.
    ///
    /// # Errors
    /// 401 when nobody has it, 429 when there were too many wrong ones from there.
    pub(crate) fn recognize(
        &self,
        now: Instant,
        address: IpAddr,
        token: &str,
    ) -> Result<Principal, Refused> {
        if let Some(principal) = self.options.access.by_token(token) {
            return Ok(principal);
        }
        self.guard.tokens.fetch_add(1, Ordering::Relaxed);
        let failure = self.guard.failures.lock().fail(now, address);
        match failure {
            Failure::Wrong => {
                tracing::warn!(%address, "a token is refused that nobody has");
                Err(Refused::new(
                    StatusCode::UNAUTHORIZED,
                    "nobody has this token",
                ))
            }
            Failure::TooMany { wait_s, first } => {
                if first {
                    tracing::warn!(%address, "too many wrong tokens; more are not logged");
                }
                let message = format!("too many wrong tokens from {address}; wait {wait_s} s");
                let refused = Refused::new(StatusCode::TOO_MANY_REQUESTS, message);
                Err(refused.retry_after_s(wait_s))
            }
        }
    }

    fn let_in(&self, request: &mut Request) -> Result<(), Refused> {
        self.guard.check_origin(request)?;
        self.guard.check_address(request.uri())?;
        let principal = match bearer(request.headers())? {
            Some(token) => self.recognize(Instant::now(), peer(request), token)?,
            None => self.options.access.nobody(),
        };
        let need = Need::of(request.method(), request.uri().path());
        let checked = need.check(&self.options.access, &principal);
        if checked.is_err() {
            self.guard.rights.fetch_add(1, Ordering::Relaxed);
            if need == Need::Admin {
                self.admin.refused(&principal.name, request);
            }
        }
        checked?;
        request.extensions_mut().insert(principal);
        Ok(())
    }
}

/// What every answer carries, so that a page can load nothing but its own files, and no other page
/// can take it in. Styles may be inline: the chart library makes them while it draws.
const HEADERS: [(HeaderName, &str); 6] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
         img-src 'self' data: blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
];

/// The outermost layer: refuses strangers, and gives every answer its headers.
pub(crate) async fn guard(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let mut response = match app.let_in(&mut request) {
        Ok(()) => one_shape(next.run(request).await).await,
        Err(refused) => {
            let mut response = refused.into_response();
            // Who guesses begins anew each time. Who hands in more than there is room for keeps its
            // connection.
            if response.status() == StatusCode::TOO_MANY_REQUESTS {
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(header::CONNECTION, close);
            }
            response
        }
    };
    let status = response.status();
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // What an answer is made of may be for this caller alone; files say themselves how long they
    // keep.
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    if status == StatusCode::UNAUTHORIZED {
        let scheme = HeaderValue::from_static("Bearer");
        headers.insert(header::WWW_AUTHENTICATE, scheme);
    }
    response
}

/// The token that a request shows. Other schemes than `Bearer` are between others, such as a
/// browser and a proxy.
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Refused> {
    let mut tokens = headers
        .get_all(header::AUTHORIZATION)
        .iter()
        .filter_map(|value| {
            let value = value.as_bytes().trim_ascii();
            let end = value.iter().position(|byte| *byte == b' ');
            let (scheme, token) = value.split_at(end.unwrap_or(value.len()));
            scheme
                .eq_ignore_ascii_case(b"bearer")
                // What is no text is no token.
                .then(|| std::str::from_utf8(token).unwrap_or_default().trim())
        });
    match (tokens.next(), tokens.next()) {
        (token, None) => Ok(token),
        (_, Some(_)) => Err(Refused::bad_request(
            "there is more than one `Authorization: Bearer`",
        )),
    }
}

/// Whether an address has a token in it, by the name of a parameter or by its form.
fn shows_token(uri: &Uri) -> bool {
    let names = uri.query().unwrap_or_default().split('&');
    let named = names
        .map(|parameter| parameter.split('=').next().unwrap_or_default())
        .any(|name| {
            ["token", "access_token"]
                .iter()
                .any(|token| name.eq_ignore_ascii_case(token))
        });
    named || has_token(uri.path()) || uri.query().is_some_and(has_token)
}

/// From where a request comes.
fn peer(request: &Request) -> IpAddr {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.0.ip())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Token;

    fn headers(values: &[&[u8]]) -> HeaderMap {
        values
            .iter()
            .map(|value| {
                let value = HeaderValue::from_bytes(value).unwrap();
                (header::AUTHORIZATION, value)
            })
            .collect()
    }

    #[test]
    fn a_bearer_is_found_and_other_schemes_are_left_to_others() {
        for (values, token) in [
            (&[][..], None),
            (&[&b"Bearer abc"[..]], Some("abc")),
            (&[b"bearer  abc "], Some("abc")),
            (&[b"Bearer "], Some("")),
            (&[b"Bearer"], Some("")),
            (&[b"Bearer \xff"], Some("")),
            (&[b"Basic YTpi"], None),
            (&[b"Bearerabc"], None),
            (&[b"Basic YTpi", b"Bearer abc"], Some("abc")),
        ] {
            assert_eq!(bearer(&headers(values)).unwrap(), token, "{values:?}");
        }
        assert!(bearer(&headers(&[b"Bearer a", b"Bearer b"])).is_err());
    }

    #[test]
    fn a_token_in_an_address_is_seen() {
        let token = Token::generate().unwrap();
        let token = token.as_str();
        for address in [
            "/ws?token=",
            "/ws?a=b&Access_Token=x",
            "/api/keys?token",
            &format!("/ws?t={token}"),
            &format!("/{token}"),
        ] {
            assert!(shows_token(&address.parse().unwrap()), "{address}");
        }
        for address in ["/", "/api/history/token/access_token?last=3", "/?tokens=1"] {
            assert!(!shows_token(&address.parse().unwrap()), "{address}");
        }
    }
}
