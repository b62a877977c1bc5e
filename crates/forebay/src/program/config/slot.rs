//! The place of a setting, what is allowed there, and what was given for it.

use std::fmt::Display;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use flush_policy::{FlushSpec, Preset};
use toml::de::DeValue;

use super::FlushConfig;
use super::error::{Mistake, Origin};
use super::settings::SETTINGS;
use crate::program::storage::SinkUrl;
use crate::program::units::{parse_duration, parse_size, show_duration, show_size};

/// What was given for a setting.
pub(crate) struct Given<'a> {
    /// Index of the setting.
    pub(crate) setting: usize,
    /// Where it was given.
    pub(crate) origin: Origin,
    /// As it stands there.
    pub(crate) shown: String,
    /// What it is.
    pub(crate) value: GivenValue<'a>,
}

/// A value of a file, or the text of a variable.
pub(crate) enum GivenValue<'a> {
    /// Has a type already.
    Toml(DeValue<'a>),
    /// Is of the type that the setting has.
    Text(String),
}

impl Given<'_> {
    /// It is not what is allowed.
    pub(crate) fn mistake(&self, expected: &str) -> Mistake {
        let name = SETTINGS[self.setting].name();
        let what = format!("{name} is {}, expected {expected}", self.shown);
        Mistake::new(self.origin.clone(), what)
    }

    /// It does not go with something else.
    pub(crate) fn conflict(&self, what: &str) -> Mistake {
        Mistake::new(self.origin.clone(), what.to_owned())
    }
}

impl GivenValue<'_> {
    fn text(&self) -> Option<&str> {
        match self {
            Self::Toml(value) => value.as_str(),
            Self::Text(text) => Some(text),
        }
    }

    fn whole(&self) -> Option<usize> {
        match self {
            Self::Toml(value) => {
                let number = value.as_integer()?;
                usize::from_str_radix(number.as_str(), number.radix()).ok()
            }
            Self::Text(text) => text.trim().parse().ok(),
        }
    }

    fn number(&self) -> Option<f64> {
        match self {
            Self::Toml(DeValue::Float(number)) => number.as_str().parse().ok(),
            Self::Toml(_) => self.whole().map(|whole| whole as f64),
            Self::Text(text) => text.trim().parse().ok(),
        }
    }

    fn truth(&self) -> Option<bool> {
        match self {
            Self::Toml(value) => value.as_bool(),
            Self::Text(text) => text.trim().parse().ok(),
        }
    }

    fn list(&self) -> Option<Vec<String>> {
        match self {
            Self::Toml(value) => value
                .as_array()?
                .iter()
                .map(|item| item.get_ref().as_str().map(str::to_owned))
                .collect(),
            Self::Text(text) => {
                let parts = text.split(',').map(str::trim);
                Some(
                    parts
                        .filter(|part| !part.is_empty())
                        .map(str::to_owned)
                        .collect(),
                )
            }
        }
    }
}

/// The place of a setting, with what is allowed there.
pub(crate) enum Slot<'a> {
    Whole(&'a mut usize, RangeInclusive<usize>),
    Percent(&'a mut f64),
    Duration(&'a mut Duration, RangeInclusive<Duration>),
    /// A duration that can be switched off.
    Age(&'a mut Option<Duration>, RangeInclusive<Duration>),
    Size(&'a mut usize, RangeInclusive<usize>),
    Word(&'a mut &'static str, &'static [&'static str]),
    Truth(&'a mut bool),
    /// The name of a source.
    Name(&'a mut String),
    Origins(&'a mut Vec<String>),
    Address(&'a mut SocketAddr),
    Directory(&'a mut PathBuf),
    /// The URL of a sink that this build has, or none.
    Sink(&'a mut Option<SinkUrl>),
    /// Sets other settings, which stand behind it.
    Preset(&'a mut FlushConfig),
}

impl Slot<'_> {
    /// Takes a value over, or says what is allowed.
    pub(crate) fn set(self, given: &GivenValue<'_>) -> Result<(), String> {
        let expected = self.expected();
        let taken = match self {
            Self::Whole(place, range) => store(place, given.whole(), |n| range.contains(n)),
            Self::Percent(place) => store(place, given.number(), |n| (0.0..=100.0).contains(n)),
            Self::Duration(place, range) => {
                let duration = given.text().and_then(|text| parse_duration(text).ok());
                store(place, duration, |duration| range.contains(duration))
            }
            Self::Age(place, range) => match given.text() {
                Some("off") => store(place, Some(None), |_| true),
                text => {
                    let age = text.and_then(|text| parse_duration(text).ok());
                    let age = age.filter(|age| range.contains(age));
                    store(place, age.map(Some), |_| true)
                }
            },
            Self::Size(place, range) => {
                let size = given.text().and_then(|text| parse_size(text).ok());
                store(place, size, |size| range.contains(size))
            }
            Self::Word(place, words) => {
                let word = given
                    .text()
                    .and_then(|text| words.iter().copied().find(|word| *word == text));
                store(place, word, |_| true)
            }
            Self::Truth(place) => store(place, given.truth(), |_| true),
            Self::Name(place) => {
                let name = given.text().map(str::to_owned);
                store(place, name, |name| {
                    record::Name::new("source", name).is_ok()
                })
            }
            Self::Origins(place) => store(place, given.list(), |origins| {
                origins.iter().all(|text| is_origin(text))
            }),
            Self::Address(place) => {
                let address = given.text().and_then(|text| text.trim().parse().ok());
                store(place, address, |_| true)
            }
            Self::Directory(place) => {
                let path = given.text().filter(|text| !text.is_empty());
                store(place, path.map(PathBuf::from), |_| true)
            }
            Self::Sink(place) => {
                let Some(url) = given.text() else {
                    return Err(expected);
                };
                *place = Some(SinkUrl::new(url).map_err(|error| format!("{expected}: {error}"))?);
                Some(())
            }
            Self::Preset(flush) => {
                let named = |text: &str| presets().find(|preset| preset.as_str() == text);
                let preset = given.text().and_then(named);
                preset.map(|preset| flush.preset(preset))
            }
        };
        taken.ok_or(expected)
    }

    /// The value as it would stand in a file; `None` when nothing is set.
    pub(crate) fn show(self) -> Option<String> {
        Some(match self {
            Self::Whole(place, _) => place.to_string(),
            Self::Percent(place) => place.to_string(),
            Self::Duration(place, _) => quoted(&show_duration(*place)),
            Self::Age(place, _) => quoted(&place.map_or("off".to_owned(), show_duration)),
            Self::Size(place, _) => quoted(&show_size(*place)),
            Self::Word(place, _) => quoted(place),
            Self::Truth(place) => place.to_string(),
            Self::Name(place) => quoted(place),
            Self::Origins(place) => {
                let origins: Vec<_> = place.iter().map(|origin| quoted(origin)).collect();
                format!("[{}]", origins.join(", "))
            }
            Self::Address(place) => quoted(&place.to_string()),
            Self::Directory(place) => quoted(&place.display().to_string()),
            Self::Sink(place) => quoted(&place.as_ref()?.shown()),
            Self::Preset(flush) => quoted(flush.preset?.as_str()),
        })
    }

    fn expected(&self) -> String {
        let between = |kind: &str, least: &dyn Display, most: &dyn Display, example: &str| {
            format!("{kind} from {least} to {most}{example}")
        };
        match self {
            Self::Whole(_, range) => between("a whole number", range.start(), range.end(), ""),
            Self::Percent(_) => "a number from 0 to 100".to_owned(),
            Self::Duration(_, range) | Self::Age(_, range) => {
                let (least, most) = (show_duration(*range.start()), show_duration(*range.end()));
                let example = match self {
                    Self::Age(..) => ", such as \"500ms\", or \"off\"",
                    _ => ", such as \"500ms\"",
                };
                let kind = "a duration with its unit (ms, s, m, h or d)";
                between(kind, &least, &most, example)
            }
            Self::Size(_, range) => {
                let (least, most) = (show_size(*range.start()), show_size(*range.end()));
                let kind = "a size with its unit (B, KiB, MiB, GiB, kB, MB or GB)";
                between(kind, &least, &most, ", such as \"64 MiB\"")
            }
            Self::Word(_, words) => one_of(words.iter().copied()),
            Self::Truth(_) => "true or false".to_owned(),
            Self::Name(_) => format!(
                "a name of 1 to {} bytes without control characters",
                record::NAME_BYTES_MAX
            ),
            Self::Origins(_) => {
                "a list of origins with scheme and port, such as [\"https://example.org:8443\"]"
                    .to_owned()
            }
            Self::Address(_) => "an address and a port, such as \"127.0.0.1:8000\"".to_owned(),
            Self::Directory(_) => "the path of a directory".to_owned(),
            Self::Sink(_) => "the URL of a sink, such as \"sqlite:data/plant.sqlite\"".to_owned(),
            Self::Preset(_) => one_of(presets().map(Preset::as_str)),
        }
    }
}

/// The presets that the section can express, which has a size and an age: an interval would be
/// ignored.
fn presets() -> impl Iterator<Item = Preset> {
    let by_age = |preset: &Preset| FlushSpec::from(*preset).interval_max().is_none();
    Preset::ALL.iter().copied().filter(by_age)
}

/// Stores a value that is there and allowed.
fn store<T>(place: &mut T, value: Option<T>, allowed: impl Fn(&T) -> bool) -> Option<()> {
    *place = value.filter(|value| allowed(value))?;
    Some(())
}

fn one_of(words: impl Iterator<Item = &'static str>) -> String {
    let words: Vec<_> = words.map(quoted).collect();
    match words.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => words.concat(),
    }
}

fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

/// A scheme and an authority, with nothing behind them, as browsers send it.
fn is_origin(text: &str) -> bool {
    ["http://", "https://"]
        .iter()
        .filter_map(|scheme| text.strip_prefix(scheme))
        .any(|rest| {
            !rest.is_empty()
                && rest
                    .bytes()
                    .all(|byte| byte.is_ascii_graphic() && !b"/?#@*".contains(&byte))
        })
}
