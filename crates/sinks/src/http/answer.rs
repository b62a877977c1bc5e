//! What an answer says of the rows that were sent.
//!
//! A status of 200 to 299 means that they were taken, but for those that the answer names:
//! `{"errors": [{"row": 3, "reason": "…"}]}`, or `rejected` in the place of `errors`, with rows
//! counted from 0; or as a gateway of Forebay answers, `{"accepted": 9, "malformed": [{"line": 4,
//! "reason": "…"}]}`, with lines counted from 1. Where it says that rows were refused and not
//! which, those that may have been taken are in doubt. With 400, 413 and 422 none was taken, and
//! the rows that are named are to blame.

use std::time::{Duration, SystemTime};

use reqwest::StatusCode;
use reqwest::header::{CONTENT_TYPE, DATE, HeaderMap, LOCATION, RETRY_AFTER};
use serde_json::Value;

use crate::{ErrorKind, Refused, WriteError};

/// How much of an answer a message repeats.
const EXCERPT_CHARS_MAX: usize = 200;

/// An answer, read up to the cap.
pub(super) struct Answer<'a> {
    pub(super) status: StatusCode,
    pub(super) headers: &'a HeaderMap,
    pub(super) body: &'a [u8],
    /// There was more than the cap.
    pub(super) is_cut: bool,
}

/// What was sent: the index in the batch of each row in the body.
pub(super) struct Sent<'a> {
    pub(super) target: &'a str,
    pub(super) url: &'a reqwest::Url,
    pub(super) rows: &'a [usize],
    pub(super) retry_after_max: Duration,
    /// What no message may repeat, should the receiver send it back; the longest first.
    pub(super) secrets: Vec<String>,
}

/// What became of the rows, by their index in the batch and in order.
#[derive(Debug)]
pub(super) enum Verdict {
    /// These were refused, and all others taken.
    Taken(Vec<Refused>),
    /// None was taken, and these are to blame; at least one.
    Blamed(Vec<Refused>),
    /// These were refused; some of the others too, and nobody knows which, for this reason.
    Doubtful(Vec<Refused>, String),
}

impl Sent<'_> {
    fn error(&self, kind: ErrorKind, why: impl std::fmt::Display) -> WriteError {
        WriteError::new(kind, format!("cannot post to {}: {why}", self.target))
    }

    /// What became of the rows.
    pub(super) fn settle(self, answer: &Answer<'_>) -> Result<Verdict, WriteError> {
        if answer.status.is_success() {
            return self.taken(answer);
        }
        Err(match answer.status.as_u16() {
            300..=399 => return Err(self.redirected(answer)),
            400 | 413 | 422 => return self.refused(answer),
            408 | 409 | 425 | 429 | 500..=599 => {
                let error = self.error(ErrorKind::Transient, self.described(answer));
                match retry_after(answer.headers, SystemTime::now()) {
                    Some(delay) => error.with_retry_after(delay.min(self.retry_after_max)),
                    None => error,
                }
            }
            _ => self.error(ErrorKind::Fatal, self.described(answer)),
        })
    }

    fn taken(self, answer: &Answer<'_>) -> Result<Verdict, WriteError> {
        if answer.is_cut {
            if !answer.is_json() {
                return Ok(Verdict::Taken(Vec::new()));
            }
            let why = format!(
                "the rows were taken, but the answer has more than {} bytes, so that rows which \
                 it names as refused cannot be read; raise `answer_max`",
                answer.body.len()
            );
            return Ok(Verdict::Doubtful(Vec::new(), why));
        }
        self.counted(&Said::read(answer.body))
    }

    /// Rows that were taken, but for those that the answer names or counts.
    fn counted(self, said: &Said) -> Result<Verdict, WriteError> {
        let rows = self.rows.len();
        let count = said.refused_of(rows);
        let named = self.named(said);
        let problem = match &named {
            Err(problem) => Some(problem.clone()),
            Ok(named) if named.len() < count => Some(format!(
                "the answer says that {count} of {rows} rows were refused, but names only {}",
                named.len()
            )),
            Ok(_) => None,
        };
        let named = named.unwrap_or_default();
        let Some(problem) = problem else {
            return Ok(Verdict::Taken(named));
        };
        match self.rows {
            _ if count < rows => {
                let why = format!(
                    "{problem}; nobody knows which rows were taken. A smaller `body_max` makes \
                     answers shorter; `doubt=reject` sets such rows aside"
                );
                Ok(Verdict::Doubtful(named, why))
            }
            _ if !named.is_empty() => Ok(Verdict::Blamed(named)),
            [only] => Err(self.error(ErrorKind::Data, problem).at_row(*only)),
            // A receiver that takes nothing at all would have the whole stream refused.
            _ => Err(self.error(ErrorKind::Fatal, format!("{problem}; none was taken"))),
        }
    }

    fn refused(self, answer: &Answer<'_>) -> Result<Verdict, WriteError> {
        let said = Said::read(answer.body);
        if said.accepted.is_some_and(|accepted| accepted > 0) {
            // Whatever the status says, posting all of them again would double these.
            return self.counted(&said);
        }
        let mut why = self.described(answer);
        match self.named(&said) {
            Ok(named) if !named.is_empty() => return Ok(Verdict::Blamed(named)),
            Ok(_) => {}
            Err(problem) => why = format!("{why}; {problem}"),
        }
        let error = self.error(ErrorKind::Data, why);
        Err(match self.rows {
            [only] => error.at_row(*only),
            _ => error,
        })
    }

    /// The rows that the answer names, by their index in the batch, in order; or what of it names
    /// none.
    fn named(&self, said: &Said) -> Result<Vec<Refused>, String> {
        if let Some(unclear) = &said.unclear {
            let unclear = self.shown(unclear);
            return Err(format!(
                "the answer has `{unclear}`, which names no row that was sent"
            ));
        }
        let mut refused = Vec::with_capacity(said.named.len());
        for (row, reason) in &said.named {
            let Some(&index) = self.rows.get(*row) else {
                let count = self.rows.len();
                return Err(format!(
                    "the answer names row {row}, counted from 0, of {count}"
                ));
            };
            let reason = self.shown(reason);
            refused.push(Refused { row: index, reason });
        }
        refused.sort_by_key(|refused| refused.row);
        refused.dedup_by_key(|refused| refused.row);
        Ok(refused)
    }

    fn redirected(self, answer: &Answer<'_>) -> WriteError {
        let location = answer.headers.get(LOCATION).and_then(|at| at.to_str().ok());
        let to = location.and_then(|location| self.url.join(location).ok());
        let to = to.map_or_else(|| "nowhere".to_owned(), |url| super::origin(&url));
        let status = answer.status.as_u16();
        let why = format!(
            "it answers {status} and sends to {to}; redirects are not followed, so put the new \
             address into the URL"
        );
        self.error(ErrorKind::Fatal, why)
    }

    /// The status and what the receiver said about it.
    fn described(&self, answer: &Answer<'_>) -> String {
        let said = serde_json::from_slice::<Value>(answer.body).ok();
        let said = said.as_ref().and_then(|said| {
            let words = ["error", "message", "reason", "detail", "title"];
            words.iter().find_map(|word| said.get(word)?.as_str())
        });
        let text = match said {
            Some(said) => said.to_owned(),
            None => String::from_utf8_lossy(answer.body).into_owned(),
        };
        let text = self.shown(text.trim());
        let advice = match answer.status.as_u16() {
            401 | 403 => "; check the token",
            404 | 405 => "; check the path of the URL",
            413 => "; send fewer rows at a time",
            415 => "; the receiver takes another `format`, or does not unpack gzip",
            _ => "",
        };
        match text.is_empty() {
            true => format!("it answers {}{advice}", answer.status),
            false => format!("it answers {}: {text}{advice}", answer.status),
        }
    }

    /// A text of the receiver as messages may have it: short, on one line, without secrets.
    fn shown(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in &self.secrets {
            text = text.replace(secret.as_str(), "***");
        }
        let mut shown: String = text
            .chars()
            .take(EXCERPT_CHARS_MAX)
            .map(|letter| if letter.is_control() { ' ' } else { letter })
            .collect();
        if shown.len() < text.len() {
            shown.push('…');
        }
        shown
    }
}

impl Answer<'_> {
    /// Whether it may be one of the known shapes.
    fn is_json(&self) -> bool {
        let kind = self.headers.get(CONTENT_TYPE);
        let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let first = self.body.iter().find(|byte| !byte.is_ascii_whitespace());
        kind.to_ascii_lowercase().contains("json") || matches!(first, Some(b'{' | b'['))
    }
}

/// What an answer in a known shape says.
#[derive(Debug, Default)]
struct Said {
    accepted: Option<usize>,
    malformed_count: usize,
    /// Rows in the body, counted from 0, and why each was refused.
    named: Vec<(usize, String)>,
    /// What speaks of refused rows in no known way.
    unclear: Option<String>,
}

impl Said {
    fn read(body: &[u8]) -> Self {
        let Ok(answer) = serde_json::from_slice::<Value>(body) else {
            return Self::default();
        };
        let mut said = Self::default();
        match answer.get("accepted") {
            None | Some(Value::Null | Value::Bool(true)) => {}
            Some(accepted) => match number(accepted) {
                Some(accepted) => said.accepted = Some(accepted),
                None => said.unclear = Some(format!("\"accepted\":{accepted}")),
            },
        }
        match answer.get("malformed_count") {
            None | Some(Value::Null) => {}
            Some(count) => match number(count) {
                Some(count) => said.malformed_count = count,
                None => said.unclear = Some(format!("\"malformed_count\":{count}")),
            },
        }
        for name in ["errors", "rejected", "malformed"] {
            match answer.get(name) {
                None | Some(Value::Null | Value::Bool(false)) => {}
                Some(Value::Array(items)) => items.iter().for_each(|item| said.add(item)),
                Some(none) if none.as_u64() == Some(0) => {}
                Some(other) => said.unclear = Some(format!("\"{name}\":{other}")),
            }
        }
        said
    }

    /// An item of a list of refused rows.
    fn add(&mut self, item: &Value) {
        let row = match (item.get("row"), item.get("line")) {
            (Some(row), _) => number(row),
            (None, Some(line)) => number(line).and_then(|line| line.checked_sub(1)),
            (None, None) => None,
        };
        let words = ["reason", "message", "error"];
        let reason = words.iter().find_map(|word| item.get(word)?.as_str());
        match row {
            Some(row) => self.named.push((row, reason.unwrap_or("refused").into())),
            None => self.unclear = Some(item.to_string()),
        }
    }

    /// How many of so many rows it says were refused, named or not.
    fn refused_of(&self, rows: usize) -> usize {
        let left_out = self.accepted.map_or(0, |taken| rows.saturating_sub(taken));
        left_out.max(self.malformed_count)
    }
}

fn number(value: &Value) -> Option<usize> {
    value.as_u64().and_then(|number| number.try_into().ok())
}

/// How long the receiver asks to be left alone: seconds, or a date by its own clock where it
/// says what that shows.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text_of = |name| headers.get(name)?.to_str().ok().map(str::trim);
    let text = text_of(RETRY_AFTER)?;
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    let theirs = text_of(DATE).and_then(|date| httpdate::parse_http_date(date).ok());
    Some(
        date.duration_since(theirs.unwrap_or(now))
            .unwrap_or_default(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(text: &str) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, text.parse().expect("a header"));
        if text.contains("1995") {
            let theirs = "Fri, 06 Jan 1995 08:49:37 GMT";
            headers.insert(DATE, theirs.parse().expect("a header"));
        }
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").expect("a date");
        retry_after(&headers, now)
    }

    #[test]
    fn retry_after_is_read_in_seconds_and_as_a_date() {
        let seconds = |count| Some(Duration::from_secs(count));
        assert_eq!(after("7"), seconds(7));
        assert_eq!(after("Sun, 06 Nov 1994 08:50:37 GMT"), seconds(60));
        assert_eq!(after("Sun, 06 Nov 1994 08:00:00 GMT"), seconds(0));
        assert_eq!(after("999999999999"), seconds(999_999_999_999));
        // By the clock of the receiver, which is ahead.
        assert_eq!(after("Fri, 06 Jan 1995 08:49:47 GMT"), seconds(10));
        assert_eq!(after("soon"), None);
        assert_eq!(after("-1"), None);
    }
}
