//! The place of a setting, and what is allowed there.

use std::fmt::Display;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::given::GivenValue;
use crate::program::storage::SinkUrl;
use crate::program::units::{parse_duration, parse_size, show_duration, show_size};

/// A place for a value: one that always has one, or one that may be empty.
pub(crate) trait Room<T> {
    fn put(&mut self, value: T);
    fn look(&self) -> Option<&T>;
}

impl<T> Room<T> for T {
    fn put(&mut self, value: T) {
        *self = value;
    }

    fn look(&self) -> Option<&T> {
        Some(self)
    }
}

impl<T> Room<T> for Option<T> {
    fn put(&mut self, value: T) {
        *self = Some(value);
    }

    fn look(&self) -> Option<&T> {
        self.as_ref()
    }
}

/// What a text has to be.
#[derive(Clone, Copy)]
pub(crate) struct Form {
    /// What is allowed, in words.
    pub(crate) expected: &'static str,
    /// Whether it is that.
    pub(crate) is_met: fn(&str) -> bool,
}

/// The place of a setting, with what is allowed there.
pub(crate) enum Slot<'a> {
    Whole(&'a mut dyn Room<usize>, RangeInclusive<usize>),
    Percent(&'a mut dyn Room<f64>),
    Duration(&'a mut dyn Room<Duration>, RangeInclusive<Duration>),
    /// A duration that can be switched off.
    Age(&'a mut dyn Room<Option<Duration>>, RangeInclusive<Duration>),
    Size(&'a mut dyn Room<usize>, RangeInclusive<usize>),
    Word(&'a mut dyn Room<&'static str>, &'static [&'static str]),
    Truth(&'a mut dyn Room<bool>),
    Text(&'a mut dyn Room<String>, Form),
    List(&'a mut dyn Room<Vec<String>>, Form),
    Address(&'a mut dyn Room<SocketAddr>),
    Path(&'a mut dyn Room<PathBuf>, &'static str),
    /// The URL of a sink that this build has.
    Sink(&'a mut dyn Room<SinkUrl>),
    /// The URL of something that is told, whose path and query may be secrets.
    Web(&'a mut dyn Room<String>),
}

impl Slot<'_> {
    /// Takes a value over, or says what is allowed.
    pub(crate) fn set(self, given: &GivenValue<'_>) -> Result<(), String> {
        let expected = self.expected();
        let taken = match self {
            Self::Whole(place, range) => store(place, given.whole(), |n| range.contains(n)),
            Self::Percent(place) => store(place, given.number(), |n| (0.0..=100.0).contains(n)),
            Self::Duration(place, range) => {
                store(place, duration_of(given), |age| range.contains(age))
            }
            Self::Age(place, range) => {
                let age = match given.text() {
                    Some("off") => Some(None),
                    _ => duration_of(given)
                        .filter(|age| range.contains(age))
                        .map(Some),
                };
                store(place, age, |_| true)
            }
            Self::Size(place, range) => {
                let size = given.text().and_then(|text| parse_size(text).ok());
                store(place, size, |size| range.contains(size))
            }
            Self::Word(place, words) => {
                let text = given.text();
                let word = text.and_then(|text| words.iter().copied().find(|word| *word == text));
                store(place, word, |_| true)
            }
            Self::Truth(place) => store(place, given.truth(), |_| true),
            Self::Text(place, form) => {
                let text = given.text().map(str::to_owned);
                store(place, text, |text| (form.is_met)(text))
            }
            Self::List(place, form) => store(place, given.list(), |items| {
                items.iter().all(|text| (form.is_met)(text))
            }),
            Self::Address(place) => {
                let address = given.text().and_then(|text| text.trim().parse().ok());
                store(place, address, |_| true)
            }
            Self::Path(place, _) => {
                let path = given.text().filter(|text| !text.is_empty());
                store(place, path.map(PathBuf::from), |_| true)
            }
            Self::Sink(place) => {
                let Some(url) = given.text() else {
                    return Err(expected);
                };
                place.put(SinkUrl::new(url).map_err(|error| format!("{expected}: {error}"))?);
                Some(())
            }
            Self::Web(place) => {
                let url = given.text().map(str::to_owned);
                store(place, url, |url| is_web(url))
            }
        };
        taken.ok_or(expected)
    }

    /// The value as it would stand in a file; `None` when nothing is set.
    pub(crate) fn show(&self) -> Option<String> {
        Some(match self {
            Self::Whole(place, _) => look(place)?.to_string(),
            Self::Percent(place) => look(place)?.to_string(),
            Self::Duration(place, _) => quoted(&show_duration(*look(place)?)),
            Self::Age(place, _) => quoted(&look(place)?.map_or("off".to_owned(), show_duration)),
            Self::Size(place, _) => quoted(&show_size(*look(place)?)),
            Self::Word(place, _) => quoted(look(place)?),
            Self::Truth(place) => look(place)?.to_string(),
            Self::Text(place, _) => quoted(look(place)?),
            Self::List(place, _) => {
                let items: Vec<_> = look(place)?.iter().map(|item| quoted(item)).collect();
                format!("[{}]", items.join(", "))
            }
            Self::Address(place) => quoted(&look(place)?.to_string()),
            Self::Path(place, _) => quoted(&look(place)?.display().to_string()),
            Self::Sink(place) => quoted(&look(place)?.shown()),
            Self::Web(place) => quoted(&sinks::url::hide_password(look(place)?)),
        })
    }

    /// The value with its secrets, to be compared and never shown.
    pub(crate) fn secret(&self) -> Option<String> {
        match self {
            Self::Sink(place) => Some(look(place)?.secret().to_owned()),
            Self::Web(place) => look(place).cloned(),
            _ => self.show(),
        }
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
            Self::Word(_, words) => one_of(words),
            Self::Truth(_) => "true or false".to_owned(),
            Self::Text(_, form) | Self::List(_, form) => form.expected.to_owned(),
            Self::Address(_) => "an address and a port, such as \"127.0.0.1:8000\"".to_owned(),
            Self::Path(_, expected) => (*expected).to_owned(),
            Self::Sink(_) => "the URL of a sink, such as \"sqlite:data/plant.sqlite\"".to_owned(),
            Self::Web(_) => "a URL with http or https, such as \"https://host/hook\"".to_owned(),
        }
    }
}

/// What is in a place. As a method it could be that of the reference, which is a place as well.
fn look<'p, T>(place: &'p &mut dyn Room<T>) -> Option<&'p T> {
    (**place).look()
}

/// Stores a value that is there and allowed.
fn store<T>(place: &mut dyn Room<T>, value: Option<T>, allowed: impl Fn(&T) -> bool) -> Option<()> {
    place.put(value.filter(|value| allowed(value))?);
    Some(())
}

fn duration_of(given: &GivenValue<'_>) -> Option<Duration> {
    given.text().and_then(|text| parse_duration(text).ok())
}

fn one_of(words: &[&'static str]) -> String {
    let words: Vec<_> = words.iter().map(|word| quoted(word)).collect();
    match words.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => words.concat(),
    }
}

pub(crate) fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

/// What sinks, routes and the like may be called.
pub(crate) fn is_label(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=64).contains(&name.len()) && name.bytes().all(is_allowed)
}

/// A scheme and an authority, with nothing behind them, as browsers send it.
pub(crate) fn is_origin(text: &str) -> bool {
    after_scheme(text).is_some_and(|rest| {
        let is_allowed = |byte: u8| byte.is_ascii_graphic() && !b"/?#@*".contains(&byte);
        !rest.is_empty() && rest.bytes().all(is_allowed)
    })
}

fn is_web(text: &str) -> bool {
    after_scheme(text).is_some_and(|rest| {
        !rest.is_empty()
            && !rest.starts_with('/')
            && rest.bytes().all(|byte| byte.is_ascii_graphic())
    })
}

fn after_scheme(text: &str) -> Option<&str> {
    let mut schemes = ["http://", "https://"].iter();
    schemes.find_map(|scheme| text.strip_prefix(scheme))
}
