//! The choices a client is built from.

use std::fmt;
use std::time::Duration;

use protocol::Encoding;

use crate::error::ConnectError;
use crate::handle::Client;
use crate::inbox::VALUES_MAX;
use crate::link;
use crate::retry::Wait;
use crate::socket;

/// The shortest time that any of the times may be.
const TIME_MIN: Duration = Duration::from_millis(10);
/// The longest.
const TIME_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Builds a [`Client`]; made by [`Client::builder`].
#[derive(Debug)]
#[must_use = "nothing happens before `connect` or `start`"]
pub struct ClientBuilder {
    options: Options,
}

#[derive(Clone)]
pub(crate) struct Options {
    pub(crate) url: String,
    pub(crate) token: Option<String>,
    pub(crate) encoding: Encoding,
    pub(crate) connect_within: Duration,
    pub(crate) ping_every: Duration,
    pub(crate) pong_within: Duration,
    pub(crate) act_within: Duration,
    pub(crate) wait: Wait,
    pub(crate) values_max: usize,
    pub(crate) message_bytes_max: usize,
    #[cfg(feature = "tls")]
    pub(crate) tls: std::sync::Arc<rustls::ClientConfig>,
}

impl ClientBuilder {
    pub(crate) fn new(url: String) -> Self {
        Self {
            options: Options {
                url,
                token: None,
                encoding: Encoding::Json,
                connect_within: Duration::from_secs(10),
                ping_every: Duration::from_secs(15),
                pong_within: Duration::from_secs(10),
                act_within: Duration::from_secs(35),
                wait: Wait::default(),
                values_max: VALUES_MAX,
                message_bytes_max: 64 << 20,
                #[cfg(feature = "tls")]
                tls: web_roots(),
            },
        }
    }

    /// The token, which is sent in the header `Authorization` and nowhere else. Over `ws://` it
    /// can be read on the way: use `wss://` but on loopback.
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.options.token = Some(token.into());
        self
    }

    /// How frames lie on the wire; JSON at first. A server that does not speak `MessagePack` is an
    /// error of `connect`.
    pub fn encoding(mut self, encoding: Encoding) -> Self {
        self.options.encoding = encoding;
        self
    }

    /// How long connecting may take, up to the server's welcome; 10 s at first.
    pub fn connect_within(mut self, time: Duration) -> Self {
        self.options.connect_within = time.clamp(TIME_MIN, TIME_MAX);
        self
    }

    /// How often the server is asked whether it is there; every 15 s at first.
    pub fn ping_every(mut self, time: Duration) -> Self {
        self.options.ping_every = time.clamp(TIME_MIN, TIME_MAX);
        self
    }

    /// How long nothing at all may come after a ping before the connection counts as dead, and how
    /// long a frame may take to be sent; 10 s at first.
    pub fn pong_within(mut self, time: Duration) -> Self {
        self.options.pong_within = time.clamp(TIME_MIN, TIME_MAX);
        self
    }

    /// How long [`Client::act`] waits for an answer; 35 s at first, a little more than the server
    /// gives an application.
    pub fn act_within(mut self, time: Duration) -> Self {
        self.options.act_within = time.clamp(TIME_MIN, TIME_MAX);
        self
    }

    /// How long to wait between connections.
    pub fn wait(mut self, wait: Wait) -> Self {
        self.options.wait = Wait {
            base: wait.base.min(TIME_MAX),
            cap: wait.cap.min(TIME_MAX),
            held: wait.held.min(TIME_MAX),
            asked_max: wait.asked_max.min(TIME_MAX),
        };
        self
    }

    /// How many values of a `since_last` subscription may wait for the program, 1 at least;
    /// [`VALUES_MAX`] at first.
    pub fn values_max(mut self, values: usize) -> Self {
        self.options.values_max = values.max(1);
        self
    }

    /// How long a message of the server may be; 64 MiB at first. A longer one breaks the
    /// connection.
    pub fn message_bytes_max(mut self, bytes: usize) -> Self {
        self.options.message_bytes_max = bytes;
        self
    }

    /// Whom to trust as a server of `wss://`, for one with a certificate of one's own; the roots
    /// of the Mozilla programme at first.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, config: std::sync::Arc<rustls::ClientConfig>) -> Self {
        self.options.tls = config;
        self
    }

    /// Connects, and starts the task that keeps the client connected on this runtime.
    ///
    /// # Errors
    /// When the first connection fails. Later ones are tried again.
    ///
    /// Cancellation: nothing is left behind.
    pub async fn connect(self) -> Result<Client, ConnectError> {
        let connection = socket::open(&self.options).await?;
        Ok(link::start(self.options, Some(connection)))
    }

    /// Starts the task that connects and stays connected, and does not wait for it: for a program
    /// that may start before its server. Call it on a tokio runtime.
    #[must_use = "the client ends when it is dropped"]
    pub fn start(self) -> Client {
        link::start(self.options, None)
    }
}

impl fmt::Debug for Options {
    /// Without the token.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Options")
            .field("url", &self.url)
            .field("has_token", &self.token.is_some())
            .field("encoding", &self.encoding)
            .finish_non_exhaustive()
    }
}

#[cfg(feature = "tls")]
fn web_roots() -> std::sync::Arc<rustls::ClientConfig> {
    let roots = rustls::RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider knows the default versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    std::sync::Arc::new(config)
}
