//! Sinks by URL: which there are, and how each is opened with the layers that belong around it.
//!
//! | scheme | ledger | bad rows | layers |
//! |---|---|---|---|
//! | `sqlite` | its own | table | none |
//! | `postgres`, `mysql`, `oracle` | their own | table | breaker, timeout |
//! | `redis` | its own | file | bisection with a quarantine, breaker, timeout |
//! | `csv`, `parquet` | their own | file | bisection with a quarantine |
//! | `http` | file | file | ledger, quarantine, bisection, breaker, timeout |
//! | `tracker` | none | file | quarantine |
//!
//! Retries are not among them: whoever reads the buffer retries, so that a batch that waits costs
//! nobody else anything.

mod adapters;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use record::Record;
use serde::Serialize;
use url::Url;

use crate::url::hide_password;
use crate::{
    BatchWriter, BoxWriter, BreakerHandle, BreakerSpec, Guarantee, HistoryReader, InvalidSetting,
    InvalidUrl, WriteError,
};
use adapters::ADAPTERS;

/// What holds for every sink that is opened by its URL.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenOptions {
    directory: PathBuf,
    timeout: Duration,
    breaker: BreakerSpec,
}

impl OpenOptions {
    /// `directory` is where layers keep what a sink has no place for: rows in quarantine, and
    /// watermarks. It is made when it is needed. An operation may take 30 s, and the breaker opens
    /// after five failures in a row, for 5 s at first and up to a minute.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            timeout: Duration::from_secs(30),
            breaker: BreakerSpec::default().open(Duration::from_secs(5), Duration::from_secs(60)),
        }
    }

    /// How long one operation of a server may take, its own timeouts aside.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }
}

impl OpenOptions {
    /// When a server is left alone for a while, and for how long.
    #[must_use]
    pub fn breaker(self, breaker: BreakerSpec) -> Self {
        Self { breaker, ..self }
    }

    /// Where layers keep what a sink has no place for.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }
}

/// A sink that was opened by its URL.
#[derive(Debug)]
#[non_exhaustive]
pub struct OpenedSink {
    /// It, with its layers.
    pub writer: BoxWriter,
    /// What is known of its kind.
    pub about: About,
    /// Its URL, fit to be shown: without its password.
    pub address: String,
    /// The breaker among its layers, if there is one.
    pub breaker: Option<BreakerHandle>,
}

/// A kind of sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct About {
    /// The word for it in statistics and messages.
    pub name: &'static str,
    /// The schemes of its URLs.
    pub schemes: &'static [&'static str],
    /// What it is.
    pub what: &'static str,
    /// An example of a URL.
    pub example: &'static str,
    /// What it promises about rows that are offered again.
    #[serde(serialize_with = "as_text")]
    pub guarantee: Guarantee,
    /// Where rows go that it cannot take.
    pub quarantine: &'static str,
    /// The feature of the crate that it needs.
    pub feature: &'static str,
    /// Whether this build has it.
    pub built_in: bool,
}

fn as_text<S: serde::Serializer>(guarantee: &Guarantee, out: S) -> Result<S::Ok, S::Error> {
    out.collect_str(guarantee)
}

/// A sink cannot be opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Its URL names none, or says something that is not understood.
    #[error(transparent)]
    Url(#[from] InvalidUrl),
    /// A setting of the breaker cannot be.
    #[error(transparent)]
    Setting(#[from] InvalidSetting),
    /// It refuses; only SQLite files and snapshots of trackers are opened at once.
    #[error(transparent)]
    Sink(#[from] WriteError),
}

/// All kinds of sinks, those that this build does not have included.
///
/// ```
/// let names: Vec<_> = sinks::known().map(|about| about.name).collect();
/// assert!(names.contains(&"postgres"));
/// ```
pub fn known() -> impl Iterator<Item = About> {
    ADAPTERS.iter().map(|adapter| adapter.about)
}

/// Checks a URL as far as that is possible without connecting or touching a file.
///
/// # Errors
/// When it names no sink of this build, or a parameter is unknown or not allowed.
pub fn check(url: &str) -> Result<About, InvalidUrl> {
    let (adapter, url) = find(url)?;
    (adapter.check)(&url)?;
    Ok(adapter.about)
}

/// Makes the writer for a URL, with the layers that belong around it.
///
/// Servers are not connected to before they are needed, and one that is down is no error here. May
/// block for some seconds where a file is locked.
///
/// ```
/// # let folder = tempfile::tempdir().expect("a folder");
/// # let path = folder.path().join("plant.sqlite");
/// use sinks::{BatchWriter, OpenOptions};
/// let url = format!("sqlite://{}", path.display());
/// let sink = sinks::open(&url, &OpenOptions::new(folder.path())).expect("a new file");
/// assert_eq!((sink.writer.name(), sink.about.name), ("sqlite", "sqlite"));
/// let error = sinks::open("carrier-pigeon://home", &OpenOptions::new(".")).expect_err("unknown");
/// assert!(error.to_string().starts_with("`carrier-pigeon` is no kind of sink"));
/// ```
///
/// # Errors
/// When the URL names no sink of this build, a parameter is unknown or not allowed, or a file
/// cannot be opened.
pub fn open(url: &str, options: &OpenOptions) -> Result<OpenedSink, OpenError> {
    let (adapter, parsed) = find(url)?;
    let Layered { writer, breaker } = (adapter.open)(&parsed, options)?;
    Ok(OpenedSink {
        writer,
        about: adapter.about,
        address: hide_password(url),
        breaker,
    })
}

/// Makes what reads the records that the sink of a URL has, on connections of its own, which are
/// not made before they are needed; `None` where the kind of sink cannot be read.
///
/// ```
/// assert!(sinks::open_reader("sqlite:plant.sqlite").expect("a URL").is_some());
/// assert!(sinks::open_reader("carrier-pigeon://home").is_err());
/// ```
///
/// # Errors
/// When the URL names no sink of this build, or a parameter is unknown or not allowed.
pub fn open_reader(url: &str) -> Result<Option<Arc<dyn HistoryReader>>, OpenError> {
    let (adapter, parsed) = find(url)?;
    adapters::reader(adapter.about.name, &parsed)
}

/// One kind of sink.
struct Adapter {
    about: About,
    check: fn(&Url) -> Result<(), InvalidUrl>,
    open: fn(&Url, &OpenOptions) -> Result<Layered, OpenError>,
}

/// A writer with its layers.
struct Layered {
    writer: BoxWriter,
    breaker: Option<BreakerHandle>,
}

impl Layered {
    /// One without a breaker.
    #[allow(dead_code, reason = "a build without SQLite and files needs none")]
    fn plain(writer: impl BatchWriter<Row = Record>) -> Self {
        Self {
            writer: BoxWriter::new(writer),
            breaker: None,
        }
    }

    /// One that has this breaker among its layers.
    #[allow(dead_code, reason = "a build without servers needs none")]
    fn guarded(breaker: BreakerHandle, writer: impl BatchWriter<Row = Record>) -> Self {
        Self {
            writer: BoxWriter::new(writer),
            breaker: Some(breaker),
        }
    }
}

fn find(url: &str) -> Result<(&'static Adapter, Url), InvalidUrl> {
    let shown = hide_password(url);
    let parsed = Url::parse(url).map_err(|error| {
        let example = ADAPTERS[0].about.example;
        let reason = error.to_string();
        InvalidUrl::new(format!(
            "`{shown}` is not a URL ({reason}), expected one such as `{example}`"
        ))
    })?;
    let scheme = parsed.scheme();
    let named = |adapter: &&Adapter| adapter.about.schemes.contains(&scheme);
    let Some(adapter) = ADAPTERS.iter().find(named) else {
        let there: Vec<_> = known()
            .filter(|about| about.built_in)
            .flat_map(|about| about.schemes)
            .copied()
            .collect();
        return Err(InvalidUrl::new(format!(
            "`{scheme}` is no kind of sink, this build has {}",
            there.join(", ")
        )));
    };
    if !adapter.about.built_in {
        return Err(InvalidUrl::new(format!(
            "this build cannot write to `{scheme}`: build it with the feature `{}`",
            adapter.about.feature
        )));
    }
    Ok((adapter, parsed))
}
