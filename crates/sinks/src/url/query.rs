//! The parameters of a URL, each read once, and all mistakes said together.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use url::{Url, form_urlencoded};

use super::units::{parse_duration, parse_size, show_duration, show_size};
use super::{InvalidUrl, secret};

/// How much of a value stands in a message.
const SHOWN_CHARS_MAX: usize = 60;

/// The parameters of a URL on their way into options.
///
/// Each is asked for by its name, which makes it known. [`finish`](Self::finish) then refuses what
/// nobody asked for, what is there twice, and what is not allowed. A `+` means itself, and a space
/// is written `%20`.
///
/// ```
/// use std::time::Duration;
/// use sinks::url::Query;
/// let url = url::Url::parse("http://host/rows?timeout=5s&gzip=on&colour=red").expect("a URL");
/// let mut query = Query::new(&url);
/// assert_eq!(query.duration("timeout"), Some(Duration::from_secs(5)));
/// assert_eq!(query.switch("gzip"), Some(true));
/// let error = query.finish().expect_err("nobody asked for a colour");
/// assert_eq!(
///     error.to_string(),
///     "parameter `colour` is unknown, expected one of timeout, gzip"
/// );
/// ```
#[derive(Debug)]
pub struct Query {
    /// What nobody has asked for yet.
    left: Vec<Parameter>,
    known: Vec<&'static str>,
    mistakes: Vec<String>,
}

struct Parameter {
    name: String,
    value: String,
}

/// A value may be a password.
impl std::fmt::Debug for Parameter {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.name)
    }
}

impl Query {
    /// The parameters behind the `?`.
    #[must_use]
    pub fn new(url: &Url) -> Self {
        Self::of(url.query())
    }

    /// The parameters behind the `#`, for adapters whose address has a query of its own that goes
    /// to the server.
    #[must_use]
    pub fn of_fragment(url: &Url) -> Self {
        Self::of(url.fragment())
    }

    fn of(text: Option<&str>) -> Self {
        // In forms a plus is a space; in a URL that a person writes it is a plus.
        let text = text.unwrap_or_default().replace('+', "%2B");
        let left = form_urlencoded::parse(text.as_bytes())
            .map(|(name, value)| Parameter {
                name: name.into_owned(),
                value: value.into_owned(),
            })
            .collect();
        Self {
            left,
            known: Vec::new(),
            mistakes: Vec::new(),
        }
    }

    /// A text that is not empty; `None` when it is not given, as for all of these.
    #[must_use]
    pub fn text(&mut self, name: &'static str) -> Option<String> {
        let text = self.take(name)?;
        if text.is_empty() {
            self.refuse(name, &text, "a text that is not empty");
            return None;
        }
        Some(text)
    }

    /// The same for a text that no message may show.
    #[must_use]
    pub fn secret(&mut self, name: &'static str) -> Option<String> {
        let text = self.take(name)?;
        if text.is_empty() {
            let what = format!("parameter `{name}` is empty");
            self.mistakes.push(what);
            return None;
        }
        Some(text)
    }

    /// A value of any type; `expected` says what is allowed, such as `a port`.
    #[must_use]
    pub fn parsed<T: FromStr>(&mut self, name: &'static str, expected: &str) -> Option<T> {
        let text = self.take(name)?;
        let value = text.parse().ok();
        if value.is_none() {
            self.refuse(name, &text, expected);
        }
        value
    }

    /// A value that `check` takes over from its text, or says what would have been allowed.
    #[must_use]
    pub fn checked<T>(
        &mut self,
        name: &'static str,
        check: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let text = self.take(name)?;
        match check(&text) {
            Ok(value) => Some(value),
            Err(expected) => {
                self.refuse(name, &text, &expected);
                None
            }
        }
    }

    /// A whole number within these bounds.
    #[must_use]
    pub fn number(&mut self, name: &'static str, range: RangeInclusive<u64>) -> Option<u64> {
        self.checked(name, |text| {
            let number = text.parse().ok().filter(|number| range.contains(number));
            number.ok_or_else(|| between("a whole number", range.start(), range.end(), ""))
        })
    }

    /// A duration with its unit, such as `5s` or `500ms`.
    #[must_use]
    pub fn duration(&mut self, name: &'static str) -> Option<Duration> {
        self.duration_in(name, Duration::ZERO..=Duration::MAX)
    }

    /// A duration within these bounds.
    #[must_use]
    pub fn duration_in(
        &mut self,
        name: &'static str,
        range: RangeInclusive<Duration>,
    ) -> Option<Duration> {
        self.checked(name, |text| {
            let duration = parse_duration(text).filter(|duration| range.contains(duration));
            duration.ok_or_else(|| {
                let kind = "a duration with its unit (ms, s, m, h or d)";
                match (range.start(), range.end()) {
                    (&Duration::ZERO, &Duration::MAX) => format!("{kind}, such as 500ms"),
                    (least, &Duration::MAX) => {
                        format!("{kind} of at least {}", show_duration(*least))
                    }
                    (least, most) => {
                        let (least, most) = (show_duration(*least), show_duration(*most));
                        between(kind, &least, &most, ", such as 500ms")
                    }
                }
            })
        })
    }

    /// A duration, or `off`, which is `Some(None)`.
    #[must_use]
    pub fn duration_or_off(&mut self, name: &'static str) -> Option<Option<Duration>> {
        self.checked(name, |text| match text {
            "off" => Ok(None),
            text => parse_duration(text).map(Some).ok_or_else(|| {
                "a duration with its unit (ms, s, m, h or d), such as 500ms, or off".to_owned()
            }),
        })
    }

    /// A number of bytes with its unit, such as `64MB` or `1GiB`.
    #[must_use]
    pub fn size(&mut self, name: &'static str) -> Option<u64> {
        self.size_in(name, 0..=u64::MAX)
    }

    /// A number of bytes within these bounds.
    #[must_use]
    pub fn size_in(&mut self, name: &'static str, range: RangeInclusive<u64>) -> Option<u64> {
        self.checked(name, |text| {
            let size = parse_size(text).filter(|size| range.contains(size));
            size.ok_or_else(|| {
                let kind = "a size with its unit (B, KiB, MiB, GiB, kB, MB or GB)";
                match (*range.start(), *range.end()) {
                    (0, u64::MAX) => format!("{kind}, such as 64MB"),
                    (least, u64::MAX) => format!("{kind} of at least {}", show_size(least)),
                    (least, most) => {
                        between(kind, &show_size(least), &show_size(most), ", such as 64MB")
                    }
                }
            })
        })
    }

    /// `on` or `off`.
    #[must_use]
    pub fn switch(&mut self, name: &'static str) -> Option<bool> {
        self.word(name, &[("on", true), ("off", false)])
    }

    /// One of these words, and what it means.
    #[must_use]
    pub fn word<T: Clone>(&mut self, name: &'static str, words: &[(&str, T)]) -> Option<T> {
        self.checked(name, |text| {
            let found = words.iter().find(|(word, _)| *word == text);
            found.map(|(_, meaning)| meaning.clone()).ok_or_else(|| {
                let words: Vec<_> = words.iter().map(|(word, _)| *word).collect();
                match words.split_last() {
                    Some((last, rest)) if !rest.is_empty() => {
                        format!("{} or {last}", rest.join(", "))
                    }
                    _ => words.concat(),
                }
            })
        })
    }

    /// Adds a mistake: this value of this parameter is not what is `expected`. For what only shows
    /// when several parameters are looked at together.
    pub fn refuse(&mut self, name: &'static str, value: &str, expected: &str) {
        let value = shown(name, value);
        self.mistakes.push(format!(
            "parameter `{name}` is {value}, expected {expected}"
        ));
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// With everything that was wrong: parameters that are unknown, repeated, or not allowed.
    pub fn finish(mut self) -> Result<(), InvalidUrl> {
        let mut unknown: Vec<_> = self.left.iter().map(|left| left.name.as_str()).collect();
        unknown.sort_unstable();
        unknown.dedup();
        for name in unknown {
            let name: String = name.chars().take(SHOWN_CHARS_MAX).collect();
            let expected = match self.known.as_slice() {
                [] => "none is".to_owned(),
                known => format!("expected one of {}", known.join(", ")),
            };
            let what = format!("parameter `{}` is unknown, {expected}", name.escape_debug());
            self.mistakes.push(what);
        }
        match self.mistakes.is_empty() {
            true => Ok(()),
            false => Err(InvalidUrl::new(self.mistakes.join("; "))),
        }
    }

    /// The value of a parameter, which is known from now on.
    fn take(&mut self, name: &'static str) -> Option<String> {
        if !self.known.contains(&name) {
            self.known.push(name);
        }
        let (found, left): (Vec<_>, Vec<_>) = std::mem::take(&mut self.left)
            .into_iter()
            .partition(|parameter| parameter.name == name);
        self.left = left;
        if found.len() > 1 {
            let what = format!(
                "parameter `{name}` is there {} times, expected once",
                found.len()
            );
            self.mistakes.push(what);
        }
        found.into_iter().next().map(|parameter| parameter.value)
    }
}

fn between(kind: &str, least: &dyn Display, most: &dyn Display, example: &str) -> String {
    format!("{kind} from {least} to {most}{example}")
}

/// A value as a message may have it.
fn shown(name: &str, value: &str) -> String {
    if secret::is_secret(name) {
        return "not allowed".to_owned();
    }
    let mut start: String = value.chars().take(SHOWN_CHARS_MAX).collect();
    if start.len() < value.len() {
        start.push('…');
    }
    format!("`{}`", start.escape_debug())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> Query {
        Query::new(&Url::parse(&format!("sink://host/?{text}")).expect("a URL"))
    }

    #[track_caller]
    fn check<T>(text: &str, read: impl FnOnce(&mut Query) -> Option<T>, expected: &str) {
        let mut query = query(text);
        assert!(read(&mut query).is_none(), "{text} was taken");
        let error = query.finish().expect_err("refused");
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn values_are_read_by_their_kind() {
        let mut query = query(
            "table=my%20rows&port=5432&timeout=1.5s&size=64MB&gzip=off&age=off&mode=new&token=a+b",
        );
        assert_eq!(query.text("table").as_deref(), Some("my rows"));
        assert_eq!(query.parsed::<u16>("port", "a port"), Some(5432));
        let timeout = query.duration("timeout");
        assert_eq!(timeout, Some(Duration::from_millis(1500)));
        assert_eq!(query.size("size"), Some(64_000_000));
        assert_eq!(query.switch("gzip"), Some(false));
        assert_eq!(query.duration_or_off("age"), Some(None));
        assert_eq!(query.word("mode", &[("old", 1), ("new", 2)]), Some(2));
        assert_eq!(query.secret("token").as_deref(), Some("a+b"));
        assert_eq!(query.text("schema"), None);
        assert_eq!(query.finish(), Ok(()));
    }

    #[test]
    fn what_is_not_allowed_is_named_with_its_value_and_what_is() {
        check(
            "timeout=5",
            |query| query.duration("timeout"),
            "parameter `timeout` is `5`, expected a duration with its unit (ms, s, m, h or d), \
             such as 500ms",
        );
        check(
            "batch=0",
            |query| query.number("batch", 1..=10),
            "parameter `batch` is `0`, expected a whole number from 1 to 10",
        );
        check(
            "size=1B",
            |query| query.size_in("size", 1 << 10..=u64::MAX),
            "parameter `size` is `1B`, expected a size with its unit (B, KiB, MiB, GiB, kB, MB or \
             GB) of at least 1KiB",
        );
        check(
            "gzip=yes",
            |query| query.switch("gzip"),
            "parameter `gzip` is `yes`, expected on or off",
        );
        check(
            "table=",
            |query| query.text("table"),
            "parameter `table` is ``, expected a text that is not empty",
        );
    }

    #[test]
    fn all_mistakes_are_said_at_once() {
        let mut query = query("tabel=x&timeout=soon&mode=a&mode=b&zip=1");
        assert_eq!(query.text("table"), None);
        assert_eq!(query.duration("timeout"), None);
        assert_eq!(query.text("mode").as_deref(), Some("a"));
        let error = query.finish().expect_err("refused").to_string();
        let parts: Vec<_> = error.split("; ").collect();
        assert_eq!(
            parts,
            [
                "parameter `timeout` is `soon`, expected a duration with its unit (ms, s, m, h or \
                 d), such as 500ms",
                "parameter `mode` is there 2 times, expected once",
                "parameter `tabel` is unknown, expected one of table, timeout, mode",
                "parameter `zip` is unknown, expected one of table, timeout, mode",
            ]
        );
    }

    #[test]
    fn secrets_are_never_shown() {
        let mut query = query("password=hunter2&password=hunter3&auth_token=hunter4");
        assert_eq!(query.secret("password").as_deref(), Some("hunter2"));
        let number = query.parsed::<u8>("auth_token", "a number");
        assert_eq!(number, None);
        assert!(!format!("{query:?}").contains("hunter"));
        let error = query.finish().expect_err("refused").to_string();
        assert!(!error.contains("hunter"), "{error}");
    }

    #[test]
    fn a_fragment_is_read_like_a_query() {
        let url = Url::parse("http://host/?theirs=1#ours=2s").expect("a URL");
        let mut query = Query::of_fragment(&url);
        assert_eq!(query.duration("ours"), Some(Duration::from_secs(2)));
        assert_eq!(query.finish(), Ok(()));
    }
}
