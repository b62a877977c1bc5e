//! Who is told of changes of health, and what is wrong with that.

use std::collections::HashSet;
use std::time::Duration;

use sinks::{Breaker, BreakerSpec, HttpOptions, InvalidSetting, InvalidUrl, RetryPolicy};
use url::Url;

use crate::HealthStatus;

/// Where an alert goes.
///
/// Its `Debug` shows of a URL no more than scheme, host and port, and of a command the program:
/// the rest may be secret.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum AlertTarget {
    /// A POST to this address, of which the fragment holds options as those of an HTTP sink:
    /// `https://host/hook#bearer_env=TOKEN&ca=ca.pem`.
    Url(String),
    /// A program that is started and reads the alert from its standard input.
    Command {
        /// A path, or a name that is looked up in `PATH`.
        program: String,
        /// What it is given; no shell is involved.
        args: Vec<String>,
    },
}

impl AlertTarget {
    /// What messages may show of it.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Url(url) => match Url::parse(url) {
                Ok(url) => match (url.host_str(), url.port()) {
                    (None, _) => format!("{}:", url.scheme()),
                    (Some(host), None) => format!("{}://{host}", url.scheme()),
                    (Some(host), Some(port)) => format!("{}://{host}:{port}", url.scheme()),
                },
                Err(_) => "an address that is no URL".to_owned(),
            },
            Self::Command { program, .. } => format!("the command `{program}`"),
        }
    }
}

impl std::fmt::Debug for AlertTarget {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "AlertTarget({})", self.shown())
    }
}

/// Which changes are told to whom, and with how much patience.
///
/// ```
/// use std::time::Duration;
/// use pipeline::{AlertSpec, HealthStatus};
///
/// let chat = AlertSpec::url("chat", "https://chat.example/hook#bearer_env=CHAT_TOKEN")
///     .on([HealthStatus::Critical, HealthStatus::Healthy])
///     .min_interval(Duration::from_secs(300));
/// let page = AlertSpec::command("page", "/usr/local/bin/page", ["--team", "plant"])
///     .on([HealthStatus::Critical])
///     .timeout(Duration::from_secs(30));
/// assert!(chat.check().is_ok() && page.check().is_ok());
///
/// let nobody = AlertSpec::url("chat", "chat.example");
/// let error = nobody.check().unwrap_err().to_string();
/// assert!(error.starts_with("url of the alert `chat`"), "{error}");
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct AlertSpec {
    pub(super) name: String,
    pub(super) target: AlertTarget,
    pub(super) on: Vec<HealthStatus>,
    pub(super) timeout: Duration,
    pub(super) min_interval: Duration,
    pub(super) retry: RetryPolicy,
    pub(super) breaker: BreakerSpec,
}

const TIMEOUT: Duration = Duration::from_secs(10);
const TIMEOUT_MIN: Duration = Duration::from_millis(1);
const TIMEOUT_MAX: Duration = Duration::from_secs(600);
const MIN_INTERVAL: Duration = Duration::from_secs(60);
const MIN_INTERVAL_MAX: Duration = Duration::from_secs(24 * 60 * 60);
const RETRY_BASE: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(60);
const RETRIES_MAX: u32 = 9;
const NAME_BYTES_MAX: usize = 64;
const ARGS_MAX: usize = 256;
/// Each alert has a task of its own.
const ALERTS_MAX: usize = 64;

/// An alert is impossible.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidAlert {
    /// Two have the same name.
    #[error("two alerts have the name `{name}`")]
    SameName {
        /// The name.
        name: String,
    },
    /// There are too many.
    #[error("there are {count} alerts, expected at most {limit}")]
    TooMany {
        /// How many there are.
        count: usize,
        /// How many there may be.
        limit: usize,
    },
    /// A field is out of its range.
    #[error("{field} of the alert `{alert}` is {value}, expected {expected}")]
    OutOfRange {
        /// The alert's name.
        alert: String,
        /// The field's name.
        field: &'static str,
        /// What it is.
        value: String,
        /// What is allowed.
        expected: String,
    },
    /// The address is none.
    #[error("url of the alert `{alert}`: {error}")]
    Url {
        /// The alert's name.
        alert: String,
        /// What is wrong with it, without its secrets.
        error: InvalidUrl,
    },
    /// The breaker is impossible.
    #[error("breaker of the alert `{alert}`: {error}")]
    Breaker {
        /// The alert's name.
        alert: String,
        /// What is wrong with it.
        error: InvalidSetting,
    },
}

impl AlertSpec {
    /// Every change of the status goes to the target, which gets 10 s for each; one per minute at
    /// the most unless things got worse. What fails is tried up to ten times, behind a breaker that
    /// leaves the target alone for 30 s, and longer, after five failures in a row.
    pub fn new(name: impl Into<String>, target: AlertTarget) -> Self {
        Self {
            name: name.into(),
            target,
            on: HealthStatus::ALL.to_vec(),
            timeout: TIMEOUT,
            min_interval: MIN_INTERVAL,
            retry: RetryPolicy::new(RETRY_BASE, RETRY_MAX, Some(RETRIES_MAX)),
            breaker: BreakerSpec::default(),
        }
    }

    /// Changes are posted to a URL.
    pub fn url(name: impl Into<String>, url: impl Into<String>) -> Self {
        Self::new(name, AlertTarget::Url(url.into()))
    }

    /// For each change a program is started.
    pub fn command<A: Into<String>>(
        name: impl Into<String>,
        program: impl Into<String>,
        args: impl IntoIterator<Item = A>,
    ) -> Self {
        let (program, args) = (program.into(), args.into_iter().map(Into::into).collect());
        Self::new(name, AlertTarget::Command { program, args })
    }

    /// Only changes to one of these are told; to any unless said.
    pub fn on(mut self, statuses: impl IntoIterator<Item = HealthStatus>) -> Self {
        self.on = statuses.into_iter().collect();
        self
    }

    /// How long one attempt may take; 10 s unless said, from 1 ms to 10 min.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How far apart alerts are at least; 60 s unless said, at most a day. A change to a status
    /// that is worse than the one told last does not wait.
    pub fn min_interval(mut self, min_interval: Duration) -> Self {
        self.min_interval = min_interval;
        self
    }

    /// How often and how patiently a failed attempt is repeated; nine times unless said, with
    /// delays up to a second at first and up to a minute at last.
    pub fn retry(mut self, retry: RetryPolicy) -> Self {
        self.retry = retry;
        self
    }

    /// When the target is left alone.
    pub fn breaker(mut self, breaker: BreakerSpec) -> Self {
        self.breaker = breaker;
        self
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Looks at everything that can be told without starting anything.
    ///
    /// # Errors
    /// The first thing that is impossible.
    pub fn check(&self) -> Result<(), InvalidAlert> {
        let name = self.name.as_str();
        let bytes = name.len();
        let is_name = (1..=NAME_BYTES_MAX).contains(&bytes) && !name.contains(char::is_control);
        let expected = format!("1 to {NAME_BYTES_MAX} bytes without control characters");
        self.require(
            is_name,
            "name",
            format!("`{}`", name.escape_debug()),
            expected,
        )?;
        let expected = "at least one of healthy, degraded and critical".to_owned();
        self.require(!self.on.is_empty(), "on", "empty".to_owned(), expected)?;
        for (field, value, least, most) in [
            ("timeout", self.timeout, TIMEOUT_MIN, TIMEOUT_MAX),
            (
                "min_interval",
                self.min_interval,
                Duration::ZERO,
                MIN_INTERVAL_MAX,
            ),
        ] {
            let holds = (least..=most).contains(&value);
            let expected = format!("{least:?} to {most:?}");
            self.require(holds, field, format!("{value:?}"), expected)?;
        }
        match &self.target {
            AlertTarget::Url(url) => drop(self.http_options(url)?),
            AlertTarget::Command { program, args } => {
                let holds = !program.is_empty() && !program.contains('\0');
                let value = format!("`{}`", program.escape_debug());
                self.require(holds, "command", value, "a program".to_owned())?;
                let count = args.len();
                let holds = count <= ARGS_MAX && !args.iter().any(|arg| arg.contains('\0'));
                let expected = format!("at most {ARGS_MAX} without NUL");
                self.require(holds, "command", format!("{count} arguments"), expected)?;
            }
        }
        self.breaker.check().map_err(|error| self.no_breaker(error))
    }

    pub(super) fn http_options(&self, url: &str) -> Result<HttpOptions, InvalidAlert> {
        let refuse = |error| InvalidAlert::Url {
            alert: self.name.clone(),
            error,
        };
        let parsed = Url::parse(url);
        let parsed = parsed
            .map_err(|error| refuse(InvalidUrl::new(format!("the address is no URL: {error}"))))?;
        let options = HttpOptions::from_url(&parsed).map_err(refuse)?;
        let fragment = parsed.fragment().unwrap_or_default().to_ascii_lowercase();
        if fragment.contains("content-type") {
            return Ok(options);
        }
        options
            .header("Content-Type", "application/json")
            .map_err(refuse)
    }

    pub(super) fn breaker_at(
        &self,
        now: std::time::Instant,
        seed: u64,
    ) -> Result<Breaker, InvalidAlert> {
        Breaker::new(self.breaker, now, seed).map_err(|error| self.no_breaker(error))
    }

    fn no_breaker(&self, error: InvalidSetting) -> InvalidAlert {
        InvalidAlert::Breaker {
            alert: self.name.clone(),
            error,
        }
    }

    fn require(
        &self,
        holds: bool,
        field: &'static str,
        value: String,
        expected: String,
    ) -> Result<(), InvalidAlert> {
        if holds {
            return Ok(());
        }
        Err(InvalidAlert::OutOfRange {
            alert: self.name.clone(),
            field,
            value,
            expected,
        })
    }
}

/// Looks at all alerts together.
pub(super) fn check_all(specs: &[AlertSpec]) -> Result<(), InvalidAlert> {
    if specs.len() > ALERTS_MAX {
        return Err(InvalidAlert::TooMany {
            count: specs.len(),
            limit: ALERTS_MAX,
        });
    }
    let mut names = HashSet::new();
    for spec in specs {
        spec.check()?;
        if !names.insert(spec.name.as_str()) {
            return Err(InvalidAlert::SameName {
                name: spec.name.clone(),
            });
        }
    }
    Ok(())
}
