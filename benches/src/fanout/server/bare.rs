//! The least that an HTTP server of ours could do: one axum handler, and JSON that is constant.

use anyhow::Result;
use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use tokio::net::TcpListener;

use crate::fanout::load::STATUS_PATH;

/// Serves a body of that length, and returns the port.
pub(super) async fn start(body_bytes: usize) -> Result<u16> {
    let padding = body_bytes.saturating_sub(r#"{"x":""}"#.len());
    let body: &'static str = format!(r#"{{"x":"{:x<padding$}"}}"#, "").leak();
    let answer = move || async move { ([(CONTENT_TYPE, "application/json")], body) };
    let router = Router::new().route(STATUS_PATH, get(answer));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(port)
}
