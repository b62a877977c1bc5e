//! What the caller says about the directory.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use record::Timestamp;
use url::Url;

use crate::url::Query;
use crate::{InvalidUrl, row::is_identifier};

/// How finished files are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FileFormat {
    /// Comma separated values as in RFC 4180, with a header.
    Csv,
    /// Parquet, compressed by Snappy.
    #[cfg(feature = "parquet")]
    Parquet,
}

impl FileFormat {
    /// The end of the files' names, which is also the scheme of the URL.
    #[must_use]
    pub fn extension(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            #[cfg(feature = "parquet")]
            Self::Parquet => "parquet",
        }
    }
}

/// What happens when the directory holds as many finished files as it may.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WhenFull {
    /// Writes fail for the moment until files are moved away or removed; nothing is lost.
    #[default]
    Stop,
    /// The oldest files are removed; they are counted and each is logged.
    DeleteOldest,
}

type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Where the files are, when one is finished, and how many are kept.
///
/// ```
/// use sinks::{FileFormat, FileOptions};
/// let options = FileOptions::new("exports", FileFormat::Csv)
///     .rotate_bytes(16 << 20)
///     .files_max(100);
/// let url = url::Url::parse("csv:exports?rotate_bytes=16MiB&files_max=100")?;
/// assert_eq!(format!("{options:?}"), format!("{:?}", FileOptions::from_url(&url)?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct FileOptions {
    pub(super) directory: PathBuf,
    pub(super) format: FileFormat,
    pub(super) name: Option<String>,
    pub(super) rotate_bytes: u64,
    pub(super) rotate_rows: Option<u64>,
    pub(super) rotate_age: Option<Duration>,
    pub(super) files_max: u64,
    pub(super) bytes_max: Option<u64>,
    pub(super) age_max: Option<Duration>,
    pub(super) when_full: WhenFull,
    pub(super) clock: Clock,
}

impl FileOptions {
    /// Files of this format in this directory, which is created if there is none. A file is
    /// finished after 64 MiB or an hour; at most 10,000 are kept, and then writes stop.
    pub fn new(directory: impl Into<PathBuf>, format: FileFormat) -> Self {
        Self {
            directory: directory.into(),
            format,
            name: None,
            rotate_bytes: 64 << 20,
            rotate_rows: None,
            rotate_age: Some(Duration::from_secs(3600)),
            files_max: 10_000,
            bytes_max: None,
            age_max: None,
            when_full: WhenFull::Stop,
            clock: Arc::new(|| Timestamp::from_system(SystemTime::now())),
        }
    }

    /// Reads `csv:///path/of/directory`, `csv:relative/directory`, or the same with `parquet`,
    /// with the parameters `name`, `rotate_bytes`, `rotate_rows`, `rotate_age`, `files_max`,
    /// `bytes_max`, `age_max` and `when_full` (`stop` or `delete_oldest`).
    ///
    /// # Errors
    /// When the scheme is another one, there is no directory, or a parameter is unknown or wrong.
    pub fn from_url(url: &Url) -> Result<Self, InvalidUrl> {
        let format = match url.scheme() {
            "csv" => FileFormat::Csv,
            #[cfg(feature = "parquet")]
            "parquet" => FileFormat::Parquet,
            other => {
                return Err(InvalidUrl::new(format!(
                    "the scheme is `{other}`, expected `csv` or, with the feature `parquet`, \
                     `parquet`"
                )));
            }
        };
        let mut options = Self::new(directory(url)?, format);
        let mut query = Query::new(url);
        options.name = query.checked("name", |text| {
            if is_identifier(text) {
                return Ok(text.to_owned());
            }
            Err("lower-case letters, digits and underscores, of which the first is a letter".into())
        });
        let bytes = query.size_in("rotate_bytes", 1..=u64::MAX);
        options.rotate_bytes = bytes.unwrap_or(options.rotate_bytes);
        options.rotate_rows = query.number("rotate_rows", 1..=u64::MAX);
        if let Some(age) = query.duration_or_off("rotate_age") {
            options.rotate_age = age;
        }
        let files = query.number("files_max", 1..=u64::MAX);
        options.files_max = files.unwrap_or(options.files_max);
        options.bytes_max = query.size_in("bytes_max", 1..=u64::MAX);
        options.age_max = query.duration("age_max");
        let words = [
            ("stop", WhenFull::Stop),
            ("delete_oldest", WhenFull::DeleteOldest),
        ];
        options.when_full = query.word("when_full", &words).unwrap_or_default();
        if options.age_max.is_some() && options.when_full == WhenFull::Stop {
            query.refuse("when_full", "stop", "`delete_oldest`, because of `age_max`");
        }
        query.finish()?;
        Ok(options)
    }

    /// What file names begin with; the table of the rows by default.
    #[must_use]
    pub fn name(self, name: impl Into<String>) -> Self {
        let name = Some(name.into());
        Self { name, ..self }
    }

    /// A file is finished at the batch with which its rows reach so many bytes, as CSV; 64 MiB by
    /// default.
    #[must_use]
    pub fn rotate_bytes(self, rotate_bytes: u64) -> Self {
        Self {
            rotate_bytes,
            ..self
        }
    }

    /// A file is finished at the batch with which it reaches so many rows; never for that by
    /// default.
    #[must_use]
    pub fn rotate_rows(self, rows: u64) -> Self {
        Self {
            rotate_rows: Some(rows),
            ..self
        }
    }

    /// A file is finished so long after its first row, whether rows arrive or not; an hour by
    /// default, never with `None`.
    #[must_use]
    pub fn rotate_age(self, rotate_age: Option<Duration>) -> Self {
        Self { rotate_age, ..self }
    }

    /// The most finished files that are kept; 10,000 by default.
    #[must_use]
    pub fn files_max(self, files_max: u64) -> Self {
        Self { files_max, ..self }
    }

    /// No file is begun while the finished ones have so many bytes; no limit by default.
    #[must_use]
    pub fn bytes_max(self, bytes: u64) -> Self {
        Self {
            bytes_max: Some(bytes),
            ..self
        }
    }

    /// Finished files are removed so long after the time in their names, whenever a file is begun,
    /// and only with [`WhenFull::DeleteOldest`]; never by default.
    #[must_use]
    pub fn age_max(self, age: Duration) -> Self {
        Self {
            age_max: Some(age),
            ..self
        }
    }

    /// What happens at these limits; [`WhenFull::Stop`] by default.
    #[must_use]
    pub fn when_full(self, when_full: WhenFull) -> Self {
        Self { when_full, ..self }
    }

    /// The wall clock that names files and tells their age; the system's by default.
    #[must_use]
    pub fn clock(self, clock: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self {
            clock: Arc::new(clock),
            ..self
        }
    }

    /// The directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }
}

impl std::fmt::Debug for FileOptions {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("FileOptions")
            .field("directory", &self.directory)
            .field("format", &self.format)
            .field("name", &self.name)
            .field("rotate_bytes", &self.rotate_bytes)
            .field("rotate_rows", &self.rotate_rows)
            .field("rotate_age", &self.rotate_age)
            .field("files_max", &self.files_max)
            .field("bytes_max", &self.bytes_max)
            .field("age_max", &self.age_max)
            .field("when_full", &self.when_full)
            .finish_non_exhaustive()
    }
}

fn directory(url: &Url) -> Result<PathBuf, InvalidUrl> {
    let scheme = url.scheme();
    let refused = |why: &str| {
        InvalidUrl::new(format!(
            "{why}; write `{scheme}:///absolute/directory` or `{scheme}:relative/directory`"
        ))
    };
    if let Some(host) = url.host_str().filter(|host| !host.is_empty()) {
        return Err(refused(&format!(
            "the directory would be on the host `{host}`"
        )));
    }
    let is_relative = url.cannot_be_a_base();
    let path = url.path();
    if path.trim_matches('/').is_empty() {
        return Err(refused("the URL names no directory"));
    }
    // The path of a file URL is decoded as the system's paths are.
    let slash = if is_relative { "/" } else { "" };
    let absolute = Url::parse(&format!("file://{slash}{path}"))
        .ok()
        .and_then(|file| file.to_file_path().ok())
        .ok_or_else(|| refused(&format!("`{path}` is no path of a directory")))?;
    if is_relative {
        // A relative path must not lose its leading `..` to the rules of URLs.
        if path.split('/').any(|part| part == "..") {
            return Ok(PathBuf::from(path));
        }
        let relative = absolute.strip_prefix("/").unwrap_or(&absolute);
        return Ok(relative.to_owned());
    }
    Ok(absolute)
}
