//! Rows posted as JSON: NDJSON or an array, packed or not, under a key that retries repeat.
//!
//! Each batch is one `POST` with an `Idempotency-Key`, so that a receiver that knows it can take a
//! batch once whose answer was lost. What is refused row by row stands in the receipt; the other
//! answers become errors by their status. Nothing is sent of what was malformed. A receiver may be
//! another Forebay's `POST /api/ingest`.
//!
//! Redirects are never followed: a `POST` that goes elsewhere is a mistake of the URL, or somebody
//! else's idea. Nothing that is shown has more of the address than scheme, host and port. What is
//! sent is held in memory up to [`HttpOptions::body_bytes_max`], twice where it is packed; a batch
//! of more goes in several posts, and what they settled is not posted again when one fails.

mod answer;
mod body;
mod options;
mod unsettled;

use std::collections::HashMap;

use parking_lot::Mutex;
use record::Position;
use reqwest::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Client, Response, redirect, retry};
use url::Url;

use crate::{
    Batch, BatchWriter, ErrorKind, OpenScope, Receipt, Refused, Row, ScopeIndex, ScopeName,
    WriteError, tls,
};
use answer::{Answer, Sent, Verdict};
use body::Body;
use options::TokenSource;
pub use options::{HttpDoubt, HttpFormat, HttpOptions, HttpProxy, IdempotencyKey};
use unsettled::{Fate, Todo, Unsettled};

const KEY_HEADER: &str = "idempotency-key";

/// A sink that posts batches to a URL.
///
/// Making one neither connects nor reads files. A batch whose answer was lost is posted again
/// under the same key: it arrives once where the receiver honours the key, and at least once where
/// it does not.
///
/// ```no_run
/// use sinks::{Batch, BatchId, BatchWriter, HttpOptions, HttpWriter};
/// # async fn post(rows: Vec<sinks::Entry>) -> Result<(), Box<dyn std::error::Error>> {
/// let writer = HttpWriter::new(HttpOptions::new("http://127.0.0.1:8080/api/ingest")?);
/// let receipt = writer.write(&Batch::new(BatchId(1), rows)).await?;
/// println!("{} delivered, {} refused", receipt.delivered(), receipt.rejected().len());
/// # Ok(()) }
/// ```
pub struct HttpWriter<R = record::Record> {
    options: HttpOptions,
    /// Made at the first use, since a CA file is read for it.
    client: Mutex<Option<Client>>,
    names: Mutex<HashMap<ScopeIndex, ScopeName>>,
    unsettled: Unsettled,
    rows: std::marker::PhantomData<fn(&R)>,
}

impl<R: Row> HttpWriter<R> {
    /// A writer that posts to where the options say.
    #[must_use]
    pub fn new(options: HttpOptions) -> Self {
        Self {
            options,
            client: Mutex::new(None),
            names: Mutex::new(HashMap::new()),
            unsettled: Unsettled::default(),
            rows: std::marker::PhantomData,
        }
    }

    fn error(&self, kind: ErrorKind, why: impl std::fmt::Display) -> WriteError {
        let target = self.options.target();
        WriteError::new(kind, format!("cannot post to {target}: {why}"))
    }

    fn client(&self) -> Result<Client, WriteError> {
        if let Some(client) = &*self.client.lock() {
            return Ok(client.clone());
        }
        let options = &self.options;
        let fatal = |why: String| self.error(ErrorKind::Fatal, why);
        let tls = tls::client_config(options.ca_file.as_deref()).map_err(fatal)?;
        let builder = Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .referer(false)
            .connect_timeout(options.connect_timeout)
            .timeout(options.timeout);
        let builder = match options.proxy {
            HttpProxy::Off => builder.no_proxy(),
            HttpProxy::FromEnvironment => builder,
        };
        let client = builder.build();
        let client = client.map_err(|error| fatal(cause_of(&error)))?;
        *self.client.lock() = Some(client.clone());
        Ok(client)
    }

    /// The token, read anew so that one that was exchanged counts at once.
    async fn token(&self) -> Result<Option<String>, WriteError> {
        let (read, what) = match &self.options.bearer {
            None => return Ok(None),
            Some(TokenSource::Environment(variable)) => {
                let read = std::env::var(variable).map_err(|error| error.to_string());
                (read, format!("environment variable `{variable}`"))
            }
            Some(TokenSource::File(path)) => {
                let file = path.clone();
                let read = tokio::task::spawn_blocking(move || std::fs::read_to_string(file)).await;
                let read = read.map_err(|error| error.to_string());
                let read = read.and_then(|read| read.map_err(|error| error.to_string()));
                (read, format!("file {}", path.display()))
            }
        };
        let why = match read.as_deref().map(str::trim) {
            Ok("") => "it is empty",
            Ok(token) => return Ok(Some(token.to_owned())),
            // Of a variable that is no text the error would show the content.
            Err(_) if matches!(self.options.bearer, Some(TokenSource::Environment(_))) => {
                "it is not set, or not text"
            }
            Err(error) => error,
        };
        let why = format!("no bearer token in the {what}: {why}");
        Err(self.error(ErrorKind::Fatal, why))
    }

    fn headers(&self, body: &Body, token: Option<&str>) -> Result<HeaderMap, WriteError> {
        let mut headers = HeaderMap::new();
        let kind = match self.options.format {
            HttpFormat::NdJson => "application/x-ndjson",
            HttpFormat::Array => "application/json",
        };
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        if let Ok(key) = HeaderValue::from_str(&body.key) {
            headers.insert(KEY_HEADER, key);
        }
        for name in self.options.headers.keys() {
            let values = self.options.headers.get_all(name);
            // Those of the user replace ours, and one that is there twice stays so.
            for (index, value) in values.iter().enumerate() {
                match index {
                    0 => drop(headers.insert(name, value.clone())),
                    _ => drop(headers.append(name, value.clone())),
                }
            }
        }
        if let Some(token) = token {
            let value = HeaderValue::from_str(&format!("Bearer {token}"));
            let mut value = value.map_err(|_| {
                let why = "the bearer token has characters that no header may have";
                self.error(ErrorKind::Fatal, why)
            })?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        Ok(headers)
    }

    /// What went wrong on the way: nothing is known about the rows.
    fn lost(&self, error: &reqwest::Error) -> WriteError {
        let options = &self.options;
        let why = if error.is_timeout() && error.is_connect() {
            format!("no connection within {:?}", options.connect_timeout)
        } else if error.is_timeout() {
            format!("no answer within {:?}", options.timeout)
        } else if error.is_connect() {
            format!("no connection: {}", cause_of(error))
        } else {
            format!("the connection broke: {}", cause_of(error))
        };
        let kind = if error.is_builder() || tls::distrusts(error) {
            ErrorKind::Fatal
        } else {
            ErrorKind::Transient
        };
        self.error(kind, why)
    }

    /// The start of the answer's body, and whether there was more.
    async fn read(&self, response: &mut Response) -> Result<(Vec<u8>, bool), WriteError> {
        let most = self.options.answer_bytes_max;
        let mut body = Vec::new();
        while let Some(part) = response.chunk().await.map_err(|error| self.lost(&error))? {
            let room = most - body.len();
            body.extend_from_slice(&part[..part.len().min(room)]);
            if part.len() > room {
                return Ok((body, true));
            }
        }
        Ok((body, false))
    }

    /// Posts a body, in which these rows of the batch are.
    async fn post(&self, mut body: Body, rows: &[usize]) -> Result<Verdict, WriteError> {
        let client = self.client()?;
        let within = self.options.timeout;
        let token = tokio::time::timeout(within, self.token()).await;
        let token = token.map_err(|_| {
            let why = format!("the bearer token cannot be read within {within:?}");
            self.error(ErrorKind::Transient, why)
        })??;
        let mut headers = self.headers(&body, token.as_deref())?;
        let text = std::mem::take(&mut body.text);
        let (bytes, is_packed) = body::pack(text, &self.options).await.map_err(|error| {
            self.error(
                ErrorKind::Transient,
                format!("cannot pack the rows: {error}"),
            )
        })?;
        if is_packed {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        let request = client
            .post(self.options.url.clone())
            .headers(headers)
            .body(bytes);
        let mut response = request.send().await.map_err(|error| self.lost(&error))?;
        let (said, is_cut) = match self.read(&mut response).await {
            // Of a refusal the status says enough.
            Err(_) if !response.status().is_success() => (Vec::new(), true),
            read => read?,
        };
        let target = self.options.target();
        let sent = Sent {
            target: &target,
            url: &self.options.url,
            rows,
            retry_after_max: self.options.retry_after_max,
            secrets: self.options.secrets(token.as_deref()),
        };
        sent.settle(&Answer {
            status: response.status(),
            headers: response.headers(),
            body: &said,
            is_cut,
        })
    }
}

impl<R: Row> BatchWriter for HttpWriter<R> {
    type Row = R;

    fn name(&self) -> &str {
        "http"
    }

    /// Keeps the name for the key. The receiver knows nothing of scopes, so that the watermark is
    /// always [`Position::START`].
    async fn open_scope(
        &self,
        index: ScopeIndex,
        name: &ScopeName,
    ) -> Result<OpenScope, WriteError> {
        self.names.lock().insert(index, name.clone());
        Ok(OpenScope::new(Position::START, 0))
    }

    /// Data errors may come when earlier parts of the batch were taken: what is settled is known
    /// and not posted again, whether the batch comes whole or in slices.
    async fn write(&self, batch: &Batch<R>) -> Result<Receipt, WriteError> {
        let todo = self.unsettled.todo(batch);
        let todo = todo.map_err(|why| self.error(ErrorKind::Fatal, why))?;
        let Todo {
            mut left,
            mut rejected,
        } = todo;
        let mut done = 0;
        while done < left.len() {
            let name_of = |scope| self.names.lock().get(&scope).cloned();
            let body = Body::new(batch, &left[done..], &self.options, name_of);
            let end = done + body.rows;
            let sent = &left[done..end];
            let refused = match self.post(body, sent).await? {
                Verdict::Taken(refused) => {
                    if end < left.len() {
                        self.unsettled.note(batch, (sent, &Fate::Taken), &refused);
                    }
                    done = end;
                    refused
                }
                Verdict::Blamed(refused) => {
                    self.unsettled.note(batch, (&[], &Fate::Taken), &refused);
                    let is_named =
                        |row: &usize| refused.binary_search_by_key(row, |it| it.row).is_ok();
                    left.retain(|row| !is_named(row));
                    refused
                }
                Verdict::Doubtful(refused, why) if self.options.doubt == HttpDoubt::Stop => {
                    let fate = Fate::Doubtful(why.as_str().into());
                    self.unsettled.note(batch, (sent, &fate), &refused);
                    return Err(self.error(ErrorKind::Fatal, why));
                }
                Verdict::Doubtful(mut refused, why) => {
                    let is_named =
                        |row: &usize| refused.binary_search_by_key(row, |it| it.row).is_ok();
                    let others = sent.iter().filter(|row| !is_named(row)).map(|row| Refused {
                        row: *row,
                        reason: format!("in doubt: {why}"),
                    });
                    let others: Vec<Refused> = others.collect();
                    refused.extend(others);
                    if end < left.len() {
                        self.unsettled.note(batch, (&[], &Fate::Taken), &refused);
                    }
                    done = end;
                    refused
                }
            };
            rejected.extend(refused);
        }
        self.unsettled.forget(batch);
        rejected.sort_unstable_by_key(|refused| refused.row);
        Ok(Receipt::new(batch.len(), 0, Vec::new()).with_rejected(rejected))
    }
}

impl<R> std::fmt::Debug for HttpWriter<R> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "HttpWriter({})", self.options.target())
    }
}

/// Scheme, host and port of an address: what messages may show of it.
fn origin(url: &Url) -> String {
    let host = url.host_str().unwrap_or("?");
    match url.port() {
        Some(port) => format!("{}://{host}:{port}", url.scheme()),
        None => format!("{}://{host}", url.scheme()),
    }
}

/// The innermost cause, which says what happened; the outer ones repeat the address.
fn cause_of(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    if std::ptr::addr_eq(cause, error) {
        return if error.is_builder() {
            "the request cannot be made"
        } else {
            "it failed"
        }
        .into();
    }
    cause.to_string()
}
