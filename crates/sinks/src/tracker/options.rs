//! What the caller says about a tracker with a snapshot.

use std::path::{Path, PathBuf};
use std::time::Duration;

use trust::{Builder, Decay, TrustTracker};
use url::Url;

use super::TrackerKey;
use crate::InvalidUrl;
use crate::url::{Query, path_of};

/// How often a snapshot may be asked for.
pub(super) const SNAPSHOT_EVERY: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(86_400);

/// Where the snapshot of a tracker is, how often it is written, and how the tracker counts.
///
/// ```
/// use std::time::Duration;
/// use sinks::{TrackerKey, TrackerOptions};
/// use trust::{Decay, TrustTracker};
/// let day = Duration::from_secs(86_400);
/// let settings = TrustTracker::builder().prior(0.5, 0.5).decay(Decay::half_life(7 * day));
/// let options = TrackerOptions::new("trust.json")
///     .key(TrackerKey::Source)
///     .settings(settings)
///     .snapshot_every(Duration::from_secs(10));
/// let url = "tracker:trust.json?per=source&prior=0.5,0.5&decay_half_life=7d&snapshot_every=10s";
/// let read = TrackerOptions::from_url(&url::Url::parse(url)?)?;
/// assert_eq!(format!("{options:?}"), format!("{read:?}"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct TrackerOptions {
    pub(super) path: PathBuf,
    pub(super) key: TrackerKey,
    pub(super) settings: Builder<String>,
    pub(super) snapshot_every: Duration,
}

impl TrackerOptions {
    /// A snapshot in this file, at most a minute old while evidence comes, of a tracker with the
    /// settings that `trust` has by default. Its directory has to be there.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            key: TrackerKey::default(),
            settings: TrustTracker::builder(),
            snapshot_every: Duration::from_secs(60),
        }
    }

    /// Reads `tracker:relative/file.json` or `tracker:///absolute/file.json`, with the parameters
    /// `per` (`source/tag`, `source` or `tag`), `snapshot_every` (1s to 1d), `prior` (alpha and
    /// beta, `0.5,0.5`), `decay_half_life`, `decay_floor`, `history` and `keys_max`.
    ///
    /// # Errors
    /// When the scheme is another one, there is no file, or a parameter is unknown or wrong.
    pub fn from_url(url: &Url) -> Result<Self, InvalidUrl> {
        if url.scheme() != "tracker" {
            return Err(InvalidUrl::new(format!(
                "the scheme is `{}`, expected `tracker`",
                url.scheme()
            )));
        }
        let path = path_of(url)?;
        if url.path().ends_with('/') || path.file_name().is_none() {
            return Err(InvalidUrl::new(format!(
                "`{}` names a directory, expected a file such as tracker:trust.json",
                url.path()
            )));
        }
        let mut options = Self::new(path);
        let mut query = Query::new(url);
        let keys = [
            ("source/tag", TrackerKey::SourceAndTag),
            ("source", TrackerKey::Source),
            ("tag", TrackerKey::Tag),
        ];
        options.key = query.word("per", &keys).unwrap_or_default();
        let every = query.duration_in("snapshot_every", SNAPSHOT_EVERY);
        options.snapshot_every = every.unwrap_or(options.snapshot_every);
        options.settings = settings_from(&mut query);
        query.finish()?;
        // The tracker has the last word on what may be set.
        let built = options.settings.clone().build();
        built.map_err(|error| InvalidUrl::new(error.to_string()))?;
        Ok(options)
    }

    /// What of a record is its key; the source and the tag by default.
    #[must_use]
    pub fn key(self, key: TrackerKey) -> Self {
        Self { key, ..self }
    }

    /// How the tracker counts, and how many keys it takes. A snapshot is only read by a tracker
    /// with the prior of the one that wrote it, and room for its keys; the rest may be changed.
    #[must_use]
    pub fn settings(self, settings: Builder<String>) -> Self {
        Self { settings, ..self }
    }

    /// How old a snapshot becomes at most while evidence comes, from a second to a day; a
    /// minute by default.
    #[must_use]
    pub fn snapshot_every(self, every: Duration) -> Self {
        Self {
            snapshot_every: every,
            ..self
        }
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn settings_from(query: &mut Query) -> Builder<String> {
    let mut settings = TrustTracker::builder();
    let prior = query.checked("prior", |text| {
        let parts = text.split_once(',');
        let parts = parts.and_then(|(alpha, beta)| {
            let parameter = |text: &str| number_in(text, 1e-6..=1e9);
            Some((parameter(alpha)?, parameter(beta)?))
        });
        parts.ok_or_else(|| "two numbers from 1e-6 to 1e9, such as 0.5,0.5".to_owned())
    });
    if let Some((alpha, beta)) = prior {
        settings = settings.prior(alpha, beta);
    }
    let half_life = query.duration_in("decay_half_life", Duration::from_secs(1)..=Duration::MAX);
    let floor = query.checked("decay_floor", |text| {
        let floor = number_in(text, 1e-6..=1e12);
        floor.ok_or_else(|| "a number from 1e-6 to 1e12".to_owned())
    });
    match (half_life.map(Decay::half_life), floor) {
        (Some(decay), Some(floor)) => settings = settings.decay(decay.floor(floor)),
        (Some(decay), None) => settings = settings.decay(decay),
        (None, Some(floor)) => {
            let expected = "none without a `decay_half_life` that is allowed";
            query.refuse("decay_floor", &floor.to_string(), expected);
        }
        (None, None) => {}
    }
    let limit = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    if let Some(points) = query.number("history", 0..=65_536) {
        settings = settings.history(limit(points));
    }
    if let Some(keys) = query.number("keys_max", 1..=u64::MAX) {
        settings = settings.keys_max(limit(keys));
    }
    settings
}

fn number_in(text: &str, range: std::ops::RangeInclusive<f64>) -> Option<f64> {
    let number = text.trim().parse().ok()?;
    range.contains(&number).then_some(number)
}
