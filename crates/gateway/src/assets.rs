//! The page and its files, from the binary itself, and those of an application's own page.

use std::borrow::Cow;
use std::io::Read;
use std::sync::LazyLock;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use flate2::read::GzDecoder;

use crate::error::{InvalidOption, Refused};
use crate::options::GatewayOptions;
use crate::state::App;

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
const HTML: &str = "text/html; charset=utf-8";
/// Bytes that the name of an application's file may have.
const NAME_BYTES_MAX: usize = 64;
/// The name of the chart library.
const LIBRARY: &str = "plotly.min.js";
/// The chart library, as the build script compressed it.
const PLOTLY: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/plotly.min.js.gz"));
/// The library only changes with the binary, so a browser may keep it; the rest is small.
const KEEP: &str = "max-age=86400";

/// The page.
pub(crate) async fn page() -> Response {
    (
        [
            (header::CONTENT_TYPE, HTML),
            (header::CACHE_CONTROL, "no-cache"),
        ],
        PAGE,
    )
        .into_response()
}

/// One of its files, or one of the application's.
pub(crate) async fn file(
    State(app): State<App>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Response {
    if name == LIBRARY {
        return plotly(&headers);
    }
    let (kind, bytes) = match FILES.iter().find(|(known, ..)| *known == name) {
        Some((_, kind, bytes)) => (*kind, Bytes::from_static(bytes)),
        None => match app.options.assets.get(&name) {
            Some(Cow::Borrowed(bytes)) => (kind_of(&name), Bytes::from_static(bytes)),
            Some(Cow::Owned(bytes)) => (kind_of(&name), Bytes::copy_from_slice(bytes)),
            None => {
                let message = format!("there is no asset {name:?}");
                return Refused::new(StatusCode::NOT_FOUND, message).into_response();
            }
        },
    };
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, bytes).into_response()
}

/// Whether the application's files can be served.
pub(crate) fn check(options: &GatewayOptions) -> Result<(), InvalidOption> {
    for name in options.assets.keys() {
        let length = name.len();
        if !(1..=NAME_BYTES_MAX).contains(&length) || name.contains('/') {
            return Err(InvalidOption::new(format!(
                "the asset {name:?} has {length} bytes, expected 1 to {NAME_BYTES_MAX} without `/`"
            )));
        }
        if name == LIBRARY || FILES.iter().any(|(known, ..)| known == name) {
            return Err(InvalidOption::new(format!(
                "the asset {name:?} is one of the gateway's own; give it another name"
            )));
        }
    }
    Ok(())
}

/// The media type by the end of a name.
fn kind_of(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, end)| end) {
        Some("css") => STYLE,
        Some("html") => HTML,
        Some("js") => SCRIPT,
        Some("json") => "application/json",
        Some("png") => "image/png",
        Some("svg") => "image/svg+xml",
        Some("txt") => "text/plain; charset=utf-8",
        Some("woff2") => "font/woff2",
        _ => "application/octet-stream",
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
    // Asked for by anybody, so all share one copy, whether they take it or not.
    static PLAIN: LazyLock<Result<Bytes, String>> = LazyLock::new(|| {
        let mut plain = Vec::new();
        match GzDecoder::new(PLOTLY).read_to_end(&mut plain) {
            Ok(_) => Ok(plain.into()),
            Err(error) => Err(error.to_string()),
        }
    });
    match &*PLAIN {
        Ok(plain) => (kind, plain.clone()).into_response(),
        Err(error) => {
            Refused::new(StatusCode::INTERNAL_SERVER_ERROR, error.clone()).into_response()
        }
    }
}
