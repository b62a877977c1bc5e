//! What an answer says of the rows that were sent.
//!
//! A status of 200 to 299 means that they were taken, but for those that the answer names:
//! `{"errors": [{"row": 3, "reason": "…"}]}`, or `rejected` in the place of `errors`, with rows
//! counted from 0; or as a gateway of Forebay answers, `{"accepted": 9, "malformed": [{"line": 4,
//! "reason": "…"}]}`, with lines counted from 1. With 400, 413 and 422 none was taken, and the
//! row that is named first is to blame; when all are named, all of them are.

use std::time::{Duration, SystemTime};

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, LOCATION, RETRY_AFTER};
use serde_json::Value;

use crate::{ErrorKind, Receipt, Refused, WriteError};

/// How much of an answer a message repeats.
const EXCERPT_CHARS_MAX: usize = 200;
/// A receiver that asks for more is asked again after this.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 3600);

/// An answer, read up to the cap.
pub(super) struct Answer<'a> {
    pub(super) status: StatusCode,
    pub(super) headers: &'a HeaderMap,
    pub(super) body: &'a [u8],
    /// There was more than the cap.
    pub(super) is_cut: bool,
}

/// What was sent: the index in the batch of each row in the body, and what was not sent since it
/// was no row.
pub(super) struct Sent<'a> {
    pub(super) target: &'a str,
    pub(super) url: &'a reqwest::Url,
    pub(super) rows: &'a [usize],
    pub(super) malformed: Vec<Refused>,
    pub(super) now: SystemTime,
    /// What no message may repeat, should the receiver send it back.
    pub(super) token: Option<&'a str>,
}

impl Sent<'_> {
    fn error(&self, kind: ErrorKind, why: impl std::fmt::Display) -> WriteError {
        WriteError::new(kind, format!("cannot post to {}: {why}", self.target))
    }

    fn receipt(self, refused: Vec<Refused>) -> Receipt {
        let mut rejected = self.malformed;
        let rows = self.rows.len() + rejected.len();
        rejected.extend(refused);
        rejected.sort_unstable_by_key(|refused| refused.row);
        Receipt::new(rows, 0, Vec::new()).with_rejected(rejected)
    }

    /// What became of the rows.
    pub(super) fn settle(self, answer: &Answer<'_>) -> Result<Receipt, WriteError> {
        if answer.status.is_success() {
            return self.taken(answer);
        }
        Err(match answer.status.as_u16() {
            300..=399 => return Err(self.redirected(answer)),
            400 | 413 | 422 => return self.refused(answer),
            408 | 409 | 425 | 429 | 500..=599 => {
                let error = self.error(ErrorKind::Transient, self.described(answer));
                match retry_after(answer.headers, self.now) {
                    Some(delay) => error.with_retry_after(delay),
                    None => error,
                }
            }
            _ => self.error(ErrorKind::Fatal, self.described(answer)),
        })
    }

    fn taken(self, answer: &Answer<'_>) -> Result<Receipt, WriteError> {
        if answer.is_cut {
            // It may name rows that were refused, and sending all again would repeat the others.
            let why = format!(
                "the rows were taken, but the answer has more than {} bytes and cannot be read; \
                 raise `answer_max`",
                answer.body.len()
            );
            return Err(self.error(ErrorKind::Fatal, why));
        }
        let said = Said::read(answer.body);
        let refused = self.named(&said)?;
        let unnamed = said
            .refused_of(self.rows.len())
            .saturating_sub(refused.len());
        if unnamed > 0 {
            let why = format!(
                "the answer says that {} of {} rows were refused, but names only {}; fewer rows at \
                 a time will show which",
                refused.len() + unnamed,
                self.rows.len(),
                refused.len()
            );
            return Err(self.error(ErrorKind::Data, why));
        }
        Ok(self.receipt(refused))
    }

    fn refused(self, answer: &Answer<'_>) -> Result<Receipt, WriteError> {
        let refused = self.named(&Said::read(answer.body))?;
        if refused.len() == self.rows.len() {
            return Ok(self.receipt(refused));
        }
        let mut why = self.described(answer);
        if let Some(first) = refused.first() {
            why = format!("{why}: {}", first.reason);
        }
        let error = self.error(ErrorKind::Data, why);
        Err(match (refused.first(), self.rows) {
            (Some(first), _) => error.at_row(first.row),
            (None, [only]) => error.at_row(*only),
            (None, _) => error,
        })
    }

    /// The rows that the answer names, by their index in the batch, in order.
    fn named(&self, said: &Said) -> Result<Vec<Refused>, WriteError> {
        let mut refused = Vec::with_capacity(said.named.len());
        for (row, reason) in &said.named {
            let Some(&index) = self.rows.get(*row) else {
                let count = self.rows.len();
                let why = format!("the answer names row {row}, counted from 0, of {count}");
                return Err(self.error(ErrorKind::Fatal, why));
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

    /// A text of the receiver as messages may have it: short, on one line, without the token.
    fn shown(&self, text: &str) -> String {
        let text = match self.token {
            Some(token) if !token.is_empty() => text.replace(token, "***"),
            _ => text.to_owned(),
        };
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

/// What an answer in a known shape says.
#[derive(Debug, Default)]
struct Said {
    accepted: Option<usize>,
    /// Rows in the body, counted from 0, and why each was refused.
    named: Vec<(usize, String)>,
}

impl Said {
    fn read(body: &[u8]) -> Self {
        let Ok(answer) = serde_json::from_slice::<Value>(body) else {
            return Self::default();
        };
        let number = |value: &Value| value.as_u64().and_then(|number| number.try_into().ok());
        let mut said = Self {
            accepted: answer.get("accepted").and_then(number),
            named: Vec::new(),
        };
        let lists = ["errors", "rejected", "malformed"].map(|name| answer.get(name));
        for item in lists
            .into_iter()
            .flatten()
            .filter_map(Value::as_array)
            .flatten()
        {
            let row: Option<usize> = match (item.get("row"), item.get("line")) {
                (Some(row), _) => number(row),
                (None, Some(line)) => number(line).and_then(|line: usize| line.checked_sub(1)),
                (None, None) => None,
            };
            let words = ["reason", "message", "error"];
            let reason = words.iter().find_map(|word| item.get(word)?.as_str());
            if let Some(row) = row {
                said.named
                    .push((row, reason.unwrap_or("refused").to_owned()));
            }
        }
        said
    }

    /// How many of so many rows it says were refused, named or not.
    fn refused_of(&self, rows: usize) -> usize {
        self.accepted
            .map_or(0, |accepted| rows.saturating_sub(accepted))
    }
}

/// How long the receiver asks to be left alone: seconds, or a date.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let delay = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let date = httpdate::parse_http_date(text).ok()?;
            date.duration_since(now).unwrap_or_default()
        }
    };
    Some(delay.min(RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(text: &str) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, text.parse().expect("a header"));
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").expect("a date");
        retry_after(&headers, now)
    }

    #[test]
    fn retry_after_is_read_in_seconds_and_as_a_date() {
        let seconds = |count| Some(Duration::from_secs(count));
        assert_eq!(after("7"), seconds(7));
        assert_eq!(after("Sun, 06 Nov 1994 08:50:37 GMT"), seconds(60));
        assert_eq!(after("Sun, 06 Nov 1994 08:00:00 GMT"), seconds(0));
        assert_eq!(after("999999999999"), Some(RETRY_AFTER_MAX));
        assert_eq!(after("soon"), None);
        assert_eq!(after("-1"), None);
    }
}
