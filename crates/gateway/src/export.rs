//! `GET /api/export/{source}/{tag}` and `GET /api/export?match=GLOB`: ranges as CSV or NDJSON.
//!
//! Rows are read from the sink and from memory as the client takes them: a few kilobytes wait in
//! between, and a client that goes away, or takes nothing for 30 s, ends the query. There is no
//! wrong answer that looks whole: a sink that fails at once is a 503, one that fails later breaks
//! the body off, and a row limit that is reached is told behind the last row. Keys come one after
//! the other, each by time; of a pattern, those that are in memory.
//!
//! CSV follows RFC 4180. A spreadsheet takes a cell that begins with one of `= + - @` for a
//! formula, so such text, which may come from strangers, is led by an apostrophe; numbers never
//! are, and NDJSON has everything as it is.

mod rows;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use hyper::body::Frame;
use record::{Key, Timestamp};
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use utoipa::IntoParams;

use self::rows::{Format, Rows};
use crate::access::RequireRead;
use crate::error::Refused;
use crate::globs::{GlobError, LOOK_STEPS_MAX};
use crate::history::no_key;
use crate::openapi::Problem;
use crate::past::{Between, Joined, Memory, stored};
use crate::query::{KeyOf, Query, between, glob, may_read};
use crate::state::App;

/// Exports at a time.
pub(crate) const EXPORTS_MAX: usize = 4;
/// Rows that an export has when nobody says how many, and at most.
const ROWS_DEFAULT: u64 = 1_000_000;
const ROWS_MAX: u64 = 100_000_000;
/// Bytes that are sent at once, and such pieces that wait for the client.
const PIECE_BYTES: usize = 16 << 10;
const PIECES_MAX: usize = 2;
/// How long the first rows may take to come.
const FIRST_WITHIN: Duration = Duration::from_secs(30);
/// How long a client may take for a piece.
const CLIENT_WITHIN: Duration = Duration::from_secs(30);

/// What of which keys is exported, and how.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExportQuery {
    /// The first moment, by RFC 3339 or as microseconds since 1970.
    from: Option<String>,
    /// The first moment behind the range.
    until: Option<String>,
    /// `csv`, as if nothing is said, or `ndjson`.
    #[serde(default)]
    #[param(inline)]
    format: Format,
    /// Rows at most, 1 to 100,000,000; a million if nothing is said.
    limit: Option<u64>,
}

/// The same of many keys.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExportManyQuery {
    /// A glob over `source/tag`; `*` also matches a slash.
    r#match: String,
    /// The first moment, by RFC 3339 or as microseconds since 1970.
    from: Option<String>,
    /// The first moment behind the range.
    until: Option<String>,
    /// `csv`, as if nothing is said, or `ndjson`.
    #[serde(default)]
    #[param(inline)]
    format: Format,
    /// Rows at most, 1 to 100,000,000; a million if nothing is said.
    limit: Option<u64>,
}

/// A range of one key as CSV or NDJSON.
#[utoipa::path(get, path = "/api/export/{source}/{tag}", tag = "values",
    params(
        ("source" = String, Path, description = "who read"),
        ("tag" = String, Path, description = "what was read"),
        ExportQuery,
    ),
    responses(
        (status = 200, description = "rows, as they are read; a body that breaks off is not whole",
            content((String = "text/csv"), (String = "application/x-ndjson"))),
        (status = 400, description = "a parameter is unknown or out of range", body = Problem,
            content_type = "application/problem+json"),
        (status = 403, description = "the token may not read this key", body = Problem,
            content_type = "application/problem+json"),
        (status = 404, description = "there is no such key, and no sink that could know it",
            body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "too many exports are running, or the sink cannot be read",
            body = Problem, content_type = "application/problem+json"),
    ))]
pub(crate) async fn export(
    State(app): State<App>,
    RequireRead(principal): RequireRead,
    KeyOf(key): KeyOf,
    Query(query): Query<ExportQuery>,
) -> Result<Response, Refused> {
    may_read(&principal, &key)?;
    if app.options.history.is_none() && app.live.id(&key).is_none() {
        return Err(no_key(&key));
    }
    let order = Order::new(vec![key], &query)?;
    order.start(&app).await
}

/// A range of all keys in memory that match, one after the other, as CSV or NDJSON.
#[utoipa::path(get, path = "/api/export", tag = "values", params(ExportManyQuery),
    responses(
        (status = 200, description = "rows, as they are read; a body that breaks off is not whole",
            content((String = "text/csv"), (String = "application/x-ndjson"))),
        (status = 400, description = "a parameter is unknown or out of range", body = Problem,
            content_type = "application/problem+json"),
        (status = 503, description = "too many exports are running, or the sink cannot be read",
            body = Problem, content_type = "application/problem+json"),
    ))]
pub(crate) async fn export_many(
    State(app): State<App>,
    RequireRead(principal): RequireRead,
    Query(query): Query<ExportManyQuery>,
) -> Result<Response, Refused> {
    let globs = glob(&query.r#match)?;
    let mut keys = Vec::new();
    let mut steps = 0;
    for (_, key) in app.live.keys_from(dataservice::KeyId::FIRST) {
        if globs.matches_counted(&key, &mut steps) && principal.may_read(&key) {
            keys.push(key);
        }
        if steps > LOOK_STEPS_MAX {
            let keys = app.live.keys_len();
            let slow = GlobError::Slow { keys };
            return Err(Refused::bad_request(format!("`match`: {slow}")));
        }
    }
    let query = ExportQuery {
        from: query.from,
        until: query.until,
        format: query.format,
        limit: query.limit,
    };
    let order = Order::new(keys, &query)?;
    order.start(&app).await
}

/// An export that can be made.
struct Order {
    keys: Vec<Key>,
    range: Between,
    format: Format,
    rows_max: u64,
}

/// How many rows an export still may have, and where it sends them; an empty piece is the end.
struct Export {
    app: App,
    rows: Rows,
    rows_left: u64,
    pieces: mpsc::Sender<Result<Bytes, String>>,
    _place: OwnedSemaphorePermit,
}

/// Why an export ended before its end.
enum Ended {
    /// Nobody reads it any more, or too slowly.
    Nobody,
    /// The sink failed.
    Failed(String),
}

impl Order {
    fn new(keys: Vec<Key>, query: &ExportQuery) -> Result<Self, Refused> {
        let rows_max = query.limit.unwrap_or(ROWS_DEFAULT);
        if !(1..=ROWS_MAX).contains(&rows_max) {
            return Err(Refused::bad_request(format!(
                "`limit` is {rows_max}, expected 1 to {ROWS_MAX}"
            )));
        }
        Ok(Self {
            keys,
            range: between(query.from.as_deref(), query.until.as_deref())?,
            format: query.format,
            rows_max,
        })
    }

    /// Answers once there are rows to send, or it is known that there are none.
    async fn start(self, app: &App) -> Result<Response, Refused> {
        let place = Arc::clone(&app.exports).try_acquire_owned();
        let place = place.map_err(|_| {
            let message = format!("{EXPORTS_MAX} exports are running; try again");
            Refused::unavailable(message).retry_after_s(5)
        })?;
        let (pieces, mut exported) = mpsc::channel(PIECES_MAX);
        let export = Export {
            app: app.clone(),
            rows: Rows::new(self.format),
            rows_left: self.rows_max,
            pieces,
            _place: place,
        };
        let format = self.format;
        tokio::spawn(export.run(self));
        let unavailable = |why: String| Refused::unavailable(why).retry_after_s(1);
        let first = tokio::time::timeout(FIRST_WITHIN, exported.recv()).await;
        let first = first.map_err(|_| {
            let within = FIRST_WITHIN.as_secs();
            unavailable(format!("the sink sent nothing within {within} s"))
        })?;
        let gone = || unavailable("the export ended before its first row".to_owned());
        let first = first.ok_or_else(gone)?.map_err(unavailable)?;
        let headers = [
            (header::CONTENT_TYPE, format.content_type()),
            (header::CONTENT_DISPOSITION, format.disposition()),
            (header::CACHE_CONTROL, "no-store"),
        ];
        let body = Body::new(Exported {
            first: Some(first),
            rest: exported,
        });
        Ok((headers, body).into_response())
    }
}

impl Export {
    async fn run(mut self, order: Order) {
        let mut ended = self.all(&order).await;
        if ended.is_ok() {
            ended = self.send().await;
        }
        // Whoever reads it may have gone in the meantime.
        let _ = match ended {
            Ok(()) => self.pieces.send(Ok(Bytes::new())).await,
            Err(Ended::Failed(why)) => self.pieces.send(Err(why)).await,
            Err(Ended::Nobody) => return,
        };
    }

    async fn all(&mut self, order: &Order) -> Result<(), Ended> {
        for key in &order.keys {
            if !self.one(key, order.range).await? {
                break;
            }
        }
        Ok(())
    }

    /// Sends one key, and says whether there was room for all of it.
    async fn one(&mut self, key: &Key, range: Between) -> Result<bool, Ended> {
        let memory = Memory::read(&self.app, key, range);
        let values_max = usize::try_from(self.rows_left).unwrap_or(usize::MAX);
        let stored = stored(&self.app, key, &memory, values_max.saturating_add(1));
        let mut joined = Joined::new(memory, stored);
        loop {
            let next = tokio::select! {
                next = joined.next() => next,
                () = self.pieces.closed() => return Err(Ended::Nobody),
            };
            let Some(past) = next else {
                return Ok(true);
            };
            let past = past.map_err(|error| Ended::Failed(error.to_string()))?;
            if self.rows_left == 0 {
                let next = Timestamp::from_micros(past.time_us).unwrap_or(range.from);
                self.rows.cut_off(key, next);
                return Ok(false);
            }
            self.rows_left -= 1;
            self.rows.add(key, &past);
            if self.rows.bytes() >= PIECE_BYTES {
                self.send().await?;
            }
        }
    }

    async fn send(&mut self) -> Result<(), Ended> {
        let piece = self.rows.take();
        if piece.is_empty() {
            return Ok(());
        }
        let sent = self.pieces.send(Ok(piece));
        match tokio::time::timeout(CLIENT_WITHIN, sent).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Ended::Nobody),
        }
    }
}

/// The pieces of an export as a body.
struct Exported {
    first: Option<Bytes>,
    rest: mpsc::Receiver<Result<Bytes, String>>,
}

impl hyper::body::Body for Exported {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        let piece = match self.first.take() {
            Some(first) => Some(Ok(first)),
            None => std::task::ready!(self.rest.poll_recv(context)),
        };
        Poll::Ready(match piece {
            Some(Ok(end)) if end.is_empty() => None,
            Some(Ok(piece)) => Some(Ok(Frame::data(piece))),
            Some(Err(why)) => Some(Err(std::io::Error::other(why))),
            // What is cut off must not look whole.
            None => Some(Err(std::io::Error::other("the export was cut off"))),
        })
    }
}
