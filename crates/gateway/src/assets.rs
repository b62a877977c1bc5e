//! The page and its files, from the binary itself.

use std::io::Read;

use axum::body::Bytes;
use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use flate2::read::GzDecoder;

use crate::error::Refused;

const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

macro_rules! files {
    ($($name:literal: $kind:expr),* $(,)?) => {
        &[$(($name, $kind, include_bytes!(concat!("../assets/", $name)))),*]
    };
}

const FILES: &[(&str, &str, &[u8])] = files! {
    "api.css": STYLE,
    "api.js": SCRIPT,
    "app.js": SCRIPT,
    "appearance.js": SCRIPT,
    "base.css": STYLE,
    "chart-words.js": SCRIPT,
    "chart.js": SCRIPT,
    "charts.css": STYLE,
    "charts.js": SCRIPT,
    "clients.js": SCRIPT,
    "connection.js": SCRIPT,
    "format.js": SCRIPT,
    "lanes.css": STYLE,
    "lanes.js": SCRIPT,
    "latency.js": SCRIPT,
    "narrow.css": STYLE,
    "notifications.js": SCRIPT,
    "operate.css": STYLE,
    "operate.js": SCRIPT,
    "past.js": SCRIPT,
    "plot.js": SCRIPT,
    "plots.js": SCRIPT,
    "search.js": SCRIPT,
    "selection.js": SCRIPT,
    "series.js": SCRIPT,
    "session.js": SCRIPT,
    "sign-in.js": SCRIPT,
    "status.js": SCRIPT,
    "storage.js": SCRIPT,
    "theme.js": SCRIPT,
    "tiles.css": STYLE,
    "tiles.js": SCRIPT,
};

const PAGE: &str = include_str!("../assets/index.html");
/// The chart library, as the build script compressed it.
const PLOTLY: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/plotly.min.js.gz"));
/// The library only changes with the binary, so a browser may keep it; the rest is small.
const KEEP: &str = "max-age=86400";

/// The page.
pub(crate) async fn page() -> Response {
    (
        [
            (header::CONTENT_TYPE, "text/html; charset=utf-8"),
            (header::CACHE_CONTROL, "no-cache"),
        ],
        PAGE,
    )
        .into_response()
}

/// One of its files.
pub(crate) async fn file(Path(name): Path<String>, headers: HeaderMap) -> Response {
    if name == "plotly.min.js" {
        return plotly(&headers);
    }
    match FILES.iter().find(|(known, ..)| *known == name) {
        Some((_, kind, bytes)) => (
            [
                (header::CONTENT_TYPE, *kind),
                (header::CACHE_CONTROL, "no-cache"),
            ],
            Bytes::from_static(bytes),
        )
            .into_response(),
        None => Refused::new(StatusCode::NOT_FOUND, format!("there is no asset {name:?}"))
            .into_response(),
    }
}

fn plotly(headers: &HeaderMap) -> Response {
    let accepts_gzip = headers
        .get(header::ACCEPT_ENCODING)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.contains("gzip"));
    let kind = [
        (header::CONTENT_TYPE, SCRIPT),
        (header::CACHE_CONTROL, KEEP),
        (header::VARY, "accept-encoding"),
    ];
    if accepts_gzip {
        let packed = Bytes::from_static(PLOTLY);
        return (kind, [(header::CONTENT_ENCODING, "gzip")], packed).into_response();
    }
    let mut plain = Vec::new();
    match GzDecoder::new(PLOTLY).read_to_end(&mut plain) {
        Ok(_) => (kind, plain).into_response(),
        Err(error) => {
            Refused::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response()
        }
    }
}
