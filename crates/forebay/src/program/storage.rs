//! The data directory, and the sink that rows go to: the database in it, or what a URL names.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use sinks::url::hide_password;
use sinks::{
    About, BoxWriter, BreakerHandle, BreakerSpec, Guarantee, HistoryReader, OpenOptions,
    SqliteOptions, SqliteWriter,
};

/// The directory that is used when none is named.
pub(crate) const DATA_DIRECTORY: &str = "forebay-data";
/// The database in the data directory.
const DATABASE_FILE: &str = "forebay.sqlite";
/// The variable that names the sink where no argument does.
const SINK_VARIABLE: &str = "FOREBAY_SINK__URL";

/// The URL of a sink, whose password is never shown.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SinkUrl(String);

impl SinkUrl {
    /// A URL that this build has a sink for.
    ///
    /// # Errors
    /// When it has none, or a parameter is unknown or not allowed; without the password.
    pub(crate) fn new(url: &str) -> Result<Self, sinks::InvalidUrl> {
        sinks::check(url)?;
        Ok(Self(url.to_owned()))
    }

    /// The URL of the argument, or else of the environment; `None` means the default sink.
    pub(crate) fn from_argument(argument: Option<&str>) -> Result<Option<Self>> {
        let (url, origin) = match (argument, std::env::var(SINK_VARIABLE)) {
            (Some(url), _) => (url.to_owned(), "--sink"),
            (None, Ok(url)) => (url, SINK_VARIABLE),
            (None, Err(std::env::VarError::NotPresent)) => return Ok(None),
            (None, Err(_)) => bail!("{SINK_VARIABLE} is not UTF-8"),
        };
        Self::new(&url).map(Some).with_context(|| origin.to_owned())
    }

    /// With its password, not to be shown.
    pub(crate) fn secret(&self) -> &str {
        &self.0
    }

    /// Fit to be shown.
    pub(crate) fn shown(&self) -> String {
        hide_password(&self.0)
    }
}

impl std::fmt::Debug for SinkUrl {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.shown())
    }
}

/// How patient to be with a sink.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Patience {
    /// How long one operation of a server may take.
    pub(crate) timeout: Duration,
    /// Failures in a row after which a server is left alone.
    pub(crate) breaker_failures: usize,
    /// For how long at first, and at most.
    pub(crate) breaker_open: Duration,
    pub(crate) breaker_open_max: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(30),
            breaker_failures: 5,
            breaker_open: Duration::from_secs(5),
            breaker_open_max: Duration::from_secs(60),
        }
    }
}

/// Where rows go, fit to be shown.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    about: About,
    data: PathBuf,
    /// Without its password; `None` for the database in the data directory.
    url: Option<String>,
    breaker: Option<BreakerHandle>,
}

impl Place {
    /// The word for the kind of sink.
    pub(crate) fn name(&self) -> &'static str {
        self.about.name
    }

    /// Where rows go that the sink cannot take.
    pub(crate) fn quarantine(&self) -> &'static str {
        self.about.quarantine
    }

    /// What the sink promises about rows that are offered again.
    pub(crate) fn guarantee(&self) -> Guarantee {
        self.about.guarantee
    }

    /// The breaker that leaves it alone for a while, if it has one.
    pub(crate) fn breaker(&self) -> Option<&BreakerHandle> {
        self.breaker.as_ref()
    }

    /// `database` or `sink`.
    pub(crate) fn word(&self) -> &'static str {
        match self.url {
            None => "database",
            Some(_) => "sink",
        }
    }

    /// Whether its URL is shown without its password.
    pub(crate) fn hides_password(&self) -> bool {
        self.url.as_ref().is_some_and(|url| url.contains(":***@"))
    }

    /// The options that name the same place on a command line, with a space before each.
    pub(crate) fn arguments(&self) -> String {
        let data = match self.data.to_str() {
            Some(DATA_DIRECTORY) => String::new(),
            _ => format!(" --data {}", self.data.display()),
        };
        match &self.url {
            None => data,
            Some(url) => format!("{data} --sink '{url}'"),
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.url {
            Some(url) => out.write_str(url),
            None => database_in(&self.data).display().fmt(out),
        }
    }
}

/// Makes the writer for a sink, and the data directory, which is created if it is missing. Blocks
/// for some seconds when another process has locked a file; a server is not connected to yet.
pub(crate) fn open(
    data: &Path,
    url: Option<&SinkUrl>,
    patience: &Patience,
) -> Result<(BoxWriter, Place)> {
    make_directory(data)?;
    let Some(url) = url else {
        let writer: SqliteWriter = SqliteWriter::open(SqliteOptions::new(database_in(data)))?;
        let place = Place {
            about: sinks::check("sqlite:forebay.sqlite")?,
            data: data.to_owned(),
            url: None,
            breaker: None,
        };
        return Ok((BoxWriter::new(writer), place));
    };
    let failures = u32::try_from(patience.breaker_failures).unwrap_or(u32::MAX);
    let breaker = BreakerSpec::consecutive(failures, patience.breaker_open)
        .open(patience.breaker_open, patience.breaker_open_max);
    let options = OpenOptions::new(data)
        .timeout(patience.timeout)
        .breaker(breaker);
    let opened = sinks::open(&url.0, &options)?;
    let place = Place {
        about: opened.about,
        data: data.to_owned(),
        url: Some(opened.address),
        breaker: opened.breaker,
    };
    Ok((opened.writer, place))
}

/// What reads the records of a sink, where its kind can be read. Nothing is connected to yet.
///
/// # Errors
/// When the URL is not one of a sink of this build.
pub(crate) fn open_reader(
    data: &Path,
    url: Option<&SinkUrl>,
) -> Result<Option<Arc<dyn HistoryReader>>> {
    match url {
        Some(url) => Ok(sinks::open_reader(&url.0)?),
        None => {
            let reader: SqliteWriter = SqliteWriter::lazy(SqliteOptions::new(database_in(data)))?;
            Ok(Some(Arc::new(reader)))
        }
    }
}

/// The database of a data directory.
fn database_in(data: &Path) -> PathBuf {
    data.join(DATABASE_FILE)
}

fn make_directory(data: &Path) -> Result<()> {
    if data.exists() && !data.is_dir() {
        bail!(
            "{} is not a directory; choose another data directory with --data DIR",
            data.display()
        );
    }
    std::fs::create_dir_all(data).with_context(|| {
        format!(
            "cannot create the data directory {} (choose another with --data DIR)",
            data.display()
        )
    })
}
