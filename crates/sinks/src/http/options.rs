//! Where to post, how, and what may be said about it.

use std::path::PathBuf;
use std::time::Duration;

use reqwest::header::{self, HeaderMap, HeaderName, HeaderValue};
use url::Url;

use crate::InvalidUrl;
use crate::url::Query;

/// How rows stand in the body of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HttpFormat {
    /// One JSON object per line, as `application/x-ndjson`.
    NdJson,
    /// One JSON array of objects, as `application/json`.
    Array,
}

/// What the header `Idempotency-Key` is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum IdempotencyKey {
    /// Of the names of the scopes, the positions and the content of the rows that are sent. So it
    /// is the same when another run of the process sends the same rows in the same batches. Rows
    /// of scopes that were never opened have no name that outlasts the process: for them the id
    /// of the batch, which no other run repeats, goes in as well.
    Rows,
    /// Of the same and the id of the batch: the same through all retries within one run, and
    /// never the same in another. For sources whose positions begin anew with each run and whose
    /// rows may be alike.
    Batch,
}

/// Whether the proxies that the environment names are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HttpProxy {
    /// Connections go straight to the host.
    Off,
    /// `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` count.
    FromEnvironment,
}

/// What follows when the receiver took rows and its answer does not make clear which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HttpDoubt {
    /// The write fails with [`ErrorKind::Fatal`](crate::ErrorKind::Fatal), now and at each further
    /// attempt with this writer, none of which posts them again.
    Stop,
    /// Those that may have been taken are refused in the receipt, so that a quarantine keeps them;
    /// some of them may be at the receiver as well.
    Reject,
}

/// Where a bearer token is kept. It is read again for each request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TokenSource {
    Environment(String),
    File(PathBuf),
}

/// Where rows are posted, and how.
///
/// ```
/// use std::time::Duration;
/// use sinks::{HttpFormat, HttpOptions};
/// let url = "https://host:8443/rows?tenant=7#format=array&gzip=6&timeout=10s&bearer_env=TOKEN";
/// let url = url::Url::parse(url).expect("a URL");
/// let options = HttpOptions::from_url(&url)?;
/// let same = HttpOptions::new("https://host:8443/rows?tenant=7")?
///     .format(HttpFormat::Array)
///     .gzip(6)
///     .timeout(Duration::from_secs(10))
///     .bearer_from_env("TOKEN");
/// assert_eq!(format!("{options:?}"), format!("{same:?}"));
/// # Ok::<(), sinks::InvalidUrl>(())
/// ```
#[derive(Clone)]
pub struct HttpOptions {
    pub(super) url: Url,
    pub(super) format: HttpFormat,
    pub(super) gzip: Option<u32>,
    pub(super) gzip_bytes_min: usize,
    pub(super) timeout: Duration,
    pub(super) connect_timeout: Duration,
    pub(super) headers: HeaderMap,
    pub(super) bearer: Option<TokenSource>,
    pub(super) ca_file: Option<PathBuf>,
    pub(super) proxy: HttpProxy,
    pub(super) answer_bytes_max: usize,
    pub(super) body_bytes_max: usize,
    pub(super) retry_after_max: Duration,
    pub(super) doubt: HttpDoubt,
    pub(super) key: IdempotencyKey,
}

const TIMEOUT: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const GZIP_BYTES_MIN: usize = 1024;
const GZIP_LEVEL_MAX: u32 = 9;
const ANSWER_BYTES_MAX: usize = 1 << 20;
const BODY_BYTES_MAX: usize = 8 << 20;
const SECRET_BYTES_MIN: usize = 4;
const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);

impl HttpOptions {
    /// Rows are posted to `url`, with its query, as NDJSON and not packed.
    ///
    /// # Errors
    /// When it is no URL, not one of `http` or `https`, or has credentials or a fragment in it.
    pub fn new(url: &str) -> Result<Self, InvalidUrl> {
        let url = Url::parse(url)
            .map_err(|error| InvalidUrl::new(format!("the address is no URL: {error}")))?;
        if url.fragment().is_some() {
            return Err(InvalidUrl::new(
                "the address has a fragment (`#…`), which no server ever sees",
            ));
        }
        Self::plain(url)
    }

    /// The options that a URL carries in its fragment, since its query belongs to the receiver:
    /// `https://host/rows?tenant=7#format=array&timeout=10s`.
    ///
    /// # Errors
    /// As for [`new`](Self::new), and when a parameter is unknown or not allowed.
    pub fn from_url(url: &Url) -> Result<Self, InvalidUrl> {
        let mut query = Query::of_fragment(url);
        let mut address = url.clone();
        address.set_fragment(None);
        let mut options = Self::plain(address)?;
        let formats = [("ndjson", HttpFormat::NdJson), ("array", HttpFormat::Array)];
        options.format = query.word("format", &formats).unwrap_or(options.format);
        let gzip = query.checked("gzip", |text| match text {
            "off" => Ok(None),
            level => match level.parse() {
                Ok(level @ 1..=GZIP_LEVEL_MAX) => Ok(Some(level)),
                _ => Err(format!("off or a level from 1 to {GZIP_LEVEL_MAX}")),
            },
        });
        options.gzip = gzip.unwrap_or(options.gzip);
        let size = |bytes: Option<u64>, default| {
            bytes.map_or(default, |bytes| {
                usize::try_from(bytes).unwrap_or(usize::MAX)
            })
        };
        options.gzip_bytes_min = size(query.size("gzip_min"), options.gzip_bytes_min);
        let least = Duration::from_millis(1);
        let timeouts = least..=Duration::from_secs(3600);
        let timeout = query.duration_in("timeout", timeouts.clone());
        options.timeout = timeout.unwrap_or(options.timeout);
        let timeout = query.duration_in("connect_timeout", timeouts);
        options.connect_timeout = timeout.unwrap_or(options.connect_timeout);
        let pauses = Duration::ZERO..=Duration::from_secs(24 * 3600);
        let pause = query.duration_in("retry_after_max", pauses);
        options.retry_after_max = pause.unwrap_or(options.retry_after_max);
        let bodies = query.size_in("body_max", 1024..=1 << 30);
        options.body_bytes_max = size(bodies, options.body_bytes_max);
        let doubts = [("stop", HttpDoubt::Stop), ("reject", HttpDoubt::Reject)];
        options.doubt = query.word("doubt", &doubts).unwrap_or(options.doubt);
        let answers = query.size_in("answer_max", 1024..=1 << 30);
        options.answer_bytes_max = size(answers, options.answer_bytes_max);
        let proxies = [("off", HttpProxy::Off), ("env", HttpProxy::FromEnvironment)];
        options.proxy = query.word("proxy", &proxies).unwrap_or(options.proxy);
        let keys = [
            ("rows", IdempotencyKey::Rows),
            ("batch", IdempotencyKey::Batch),
        ];
        options.key = query.word("key", &keys).unwrap_or(options.key);
        options.ca_file = query.text("ca").map(PathBuf::from);
        options.bearer = match (query.text("bearer_env"), query.text("bearer_file")) {
            (Some(_), Some(_)) => {
                return Err(InvalidUrl::new(
                    "parameters `bearer_env` and `bearer_file` are both given, expected one",
                ));
            }
            (Some(variable), None) => Some(TokenSource::Environment(variable)),
            (None, file) => file.map(|path| TokenSource::File(path.into())),
        };
        for line in query
            .secret("headers")
            .iter()
            .flat_map(|all| all.split(';'))
        {
            let Some((name, value)) = line.split_once(':') else {
                return Err(InvalidUrl::new(
                    "parameter `headers` has a part without a colon, expected `Name:value`, more \
                     of them behind `;`",
                ));
            };
            options = options.header(name.trim(), value.trim())?;
        }
        query.finish()?;
        Ok(options)
    }

    fn plain(url: Url) -> Result<Self, InvalidUrl> {
        if !matches!(url.scheme(), "http" | "https") {
            let scheme = url.scheme();
            return Err(InvalidUrl::new(format!(
                "the scheme is `{scheme}`, expected http or https"
            )));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(InvalidUrl::new(
                "the address has credentials in it, which end up in logs; give the variable or \
                 file that has the token by `#bearer_env=…` or `#bearer_file=…`",
            ));
        }
        Ok(Self {
            url,
            format: HttpFormat::NdJson,
            gzip: None,
            gzip_bytes_min: GZIP_BYTES_MIN,
            timeout: TIMEOUT,
            connect_timeout: CONNECT_TIMEOUT,
            headers: HeaderMap::new(),
            bearer: None,
            ca_file: None,
            proxy: HttpProxy::Off,
            answer_bytes_max: ANSWER_BYTES_MAX,
            body_bytes_max: BODY_BYTES_MAX,
            retry_after_max: RETRY_AFTER_MAX,
            doubt: HttpDoubt::Stop,
            key: IdempotencyKey::Rows,
        })
    }

    /// How rows stand in the body; NDJSON by default.
    #[must_use]
    pub fn format(self, format: HttpFormat) -> Self {
        Self { format, ..self }
    }

    /// Packs bodies by gzip at a level from 1 (fast) to 9 (small), which the receiver has to
    /// understand; off by default. Levels beyond are taken for the nearest.
    #[must_use]
    pub fn gzip(self, level: u32) -> Self {
        Self {
            gzip: Some(level.clamp(1, GZIP_LEVEL_MAX)),
            ..self
        }
    }

    /// Bodies of fewer bytes are not packed; 1 KiB by default.
    #[must_use]
    pub fn gzip_bytes_min(self, gzip_bytes_min: usize) -> Self {
        Self {
            gzip_bytes_min,
            ..self
        }
    }

    /// How long a request may take, from connecting to the end of the answer; 30 s by default.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// How long connecting may take; 5 s by default.
    #[must_use]
    pub fn connect_timeout(self, connect_timeout: Duration) -> Self {
        Self {
            connect_timeout,
            ..self
        }
    }

    /// Adds a header to each request, whose value is never shown. `Content-Type` replaces that of
    /// the format.
    ///
    /// # Errors
    /// When it is no header, or one that the writer sets itself.
    pub fn header(mut self, name: &str, value: &str) -> Result<Self, InvalidUrl> {
        let refuse = |why: &str| InvalidUrl::new(format!("header `{}` {why}", name.escape_debug()));
        let parsed = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| refuse("is no name of a header, expected one such as `X-Tenant`"))?;
        let ours = [
            header::CONTENT_LENGTH,
            header::CONTENT_ENCODING,
            header::TRANSFER_ENCODING,
            header::CONNECTION,
            header::HOST,
        ];
        if ours.contains(&parsed) || parsed.as_str() == super::KEY_HEADER {
            return Err(refuse("is set by the writer itself"));
        }
        let mut value = HeaderValue::from_str(value)
            .map_err(|_| refuse("has a value that no header may have"))?;
        value.set_sensitive(true);
        self.headers.append(parsed, value);
        Ok(self)
    }

    /// Sends `Authorization: Bearer …` with the token that the environment variable holds at the
    /// time of the request.
    #[must_use]
    pub fn bearer_from_env(self, variable: impl Into<String>) -> Self {
        Self {
            bearer: Some(TokenSource::Environment(variable.into())),
            ..self
        }
    }

    /// Sends `Authorization: Bearer …` with the token that the file holds at the time of the
    /// request, without white space around it.
    #[must_use]
    pub fn bearer_from_file(self, path: impl Into<PathBuf>) -> Self {
        Self {
            bearer: Some(TokenSource::File(path.into())),
            ..self
        }
    }

    /// Trusts only the certificates in this PEM file, instead of the roots of Mozilla.
    #[must_use]
    pub fn ca_file(self, path: impl Into<PathBuf>) -> Self {
        Self {
            ca_file: Some(path.into()),
            ..self
        }
    }

    /// Whether proxies of the environment are used; off by default.
    #[must_use]
    pub fn proxy(self, proxy: HttpProxy) -> Self {
        Self { proxy, ..self }
    }

    /// How much of an answer is read, in bytes; 1 MiB by default.
    #[must_use]
    pub fn answer_bytes_max(self, answer_bytes_max: usize) -> Self {
        Self {
            answer_bytes_max,
            ..self
        }
    }

    /// How many bytes of rows, before packing, one post has at most; 8 MiB by default. More go in
    /// several posts, one after the other; a single row of more bytes goes alone.
    #[must_use]
    pub fn body_bytes_max(self, body_bytes_max: usize) -> Self {
        Self {
            body_bytes_max,
            ..self
        }
    }

    /// The longest pause that the receiver may ask for by `Retry-After`; 5 minutes by default. One
    /// that asks for more is asked again after this.
    #[must_use]
    pub fn retry_after_max(self, retry_after_max: Duration) -> Self {
        Self {
            retry_after_max,
            ..self
        }
    }

    /// What follows when it is not clear which rows were taken; the write stops by default.
    #[must_use]
    pub fn doubt(self, doubt: HttpDoubt) -> Self {
        Self { doubt, ..self }
    }

    /// What the idempotency key is made of; of the rows by default.
    #[must_use]
    pub fn key(self, key: IdempotencyKey) -> Self {
        Self { key, ..self }
    }

    /// What no message may repeat of a request, the longest first. Texts of a few letters are no
    /// secrets, and hiding them would garble what the receiver says.
    pub(super) fn secrets(&self, token: Option<&str>) -> Vec<String> {
        let url = &self.url;
        let mut secrets = vec![url.path().to_owned()];
        secrets.extend(url.query().map(str::to_owned));
        secrets.extend(url.query_pairs().map(|(_, value)| value.into_owned()));
        let segments = url.path_segments().into_iter().flatten();
        secrets.extend(segments.filter(|part| part.len() >= 8).map(str::to_owned));
        for value in self.headers.values() {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            secrets.extend(value.rsplit_once(' ').map(|(_, last)| last.to_owned()));
            secrets.push(value);
        }
        secrets.retain(|secret| secret.len() >= SECRET_BYTES_MIN);
        secrets.extend(token.filter(|token| !token.is_empty()).map(str::to_owned));
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        secrets
    }

    /// Scheme, host and port: what messages may show of the address.
    pub(super) fn target(&self) -> String {
        super::origin(&self.url)
    }
}

/// Without the path and the query of the address, which may hold secrets, and without the values
/// of headers.
impl std::fmt::Debug for HttpOptions {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("HttpOptions")
            .field("target", &self.target())
            .field("format", &self.format)
            .field("gzip", &self.gzip)
            .field("gzip_bytes_min", &self.gzip_bytes_min)
            .field("timeout", &self.timeout)
            .field("connect_timeout", &self.connect_timeout)
            .field("headers", &self.headers.keys().collect::<Vec<_>>())
            .field("bearer", &self.bearer)
            .field("ca_file", &self.ca_file)
            .field("proxy", &self.proxy)
            .field("answer_bytes_max", &self.answer_bytes_max)
            .field("body_bytes_max", &self.body_bytes_max)
            .field("retry_after_max", &self.retry_after_max)
            .field("doubt", &self.doubt)
            .field("key", &self.key)
            .finish()
    }
}
