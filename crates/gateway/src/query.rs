//! What a handler takes out of the address of a request, refused in the shape of every refusal.

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{FromRequestParts, Path};
use axum::http::StatusCode;
use axum::http::request::Parts;
use record::{Key, Name, Timestamp};
use serde::de::DeserializeOwned;

use crate::access::Principal;
use crate::error::Refused;
use crate::globs::Globs;
use crate::past::Between;

/// The years 1000 to 9999, which every database knows.
const EARLIEST_US: i64 = -30_610_224_000_000_000;
const LATEST_US: i64 = 253_402_207_200_000_000;

/// The parameters behind the question mark; unknown ones are refused by `T`.
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refused> {
        let query = axum::extract::Query::<T>::from_request_parts(parts, state).await;
        let refuse = |error: QueryRejection| Refused::bad_request(error.body_text());
        query.map(|query| Self(query.0)).map_err(refuse)
    }
}

/// The key that `{source}/{tag}` in a path names.
pub(crate) struct KeyOf(pub(crate) Key);

impl<S: Send + Sync> FromRequestParts<S> for KeyOf {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refused> {
        let names = Path::<(String, String)>::from_request_parts(parts, state).await;
        let Path((source, tag)) = names.map_err(|error: PathRejection| {
            Refused::new(StatusCode::BAD_REQUEST, error.body_text())
        })?;
        let name = |field, text: &str| {
            Name::new(field, text).map_err(|error| Refused::bad_request(error.to_string()))
        };
        Ok(Self(Key {
            source: name("source", &source)?,
            tag: name("tag", &tag)?,
        }))
    }
}

/// A moment, as microseconds since 1970 or by RFC 3339.
///
/// # Errors
/// When it is neither.
fn moment(name: &str, text: &str) -> Result<Timestamp, Refused> {
    let moment = match text.parse::<i64>() {
        Ok(micros) => Timestamp::from_micros(micros),
        Err(_) => text.parse(),
    };
    moment.map_err(|_| {
        Refused::bad_request(format!(
            "`{name}` is {text:?}, expected RFC 3339 (2024-05-01T12:00:00Z) or microseconds since \
             1970, within the years -9999 to 9999"
        ))
    })
}

/// The pattern that `match` is.
///
/// # Errors
/// When it is none, or too long.
pub(crate) fn glob(pattern: &str) -> Result<Globs, Refused> {
    let globs = Globs::new(&[pattern.to_owned()]);
    globs.map_err(|error| Refused::bad_request(format!("`match`: {error}")))
}

/// The range between two moments, of which either may be missing.
///
/// # Errors
/// When one of them is none, or the second is not after the first.
pub(crate) fn between(from: Option<&str>, until: Option<&str>) -> Result<Between, Refused> {
    let from = from.map(|from| moment("from", from)).transpose()?;
    let until = until.map(|until| moment("until", until)).transpose()?;
    let far = |micros| Timestamp::from_micros(micros).unwrap_or_default();
    let range = Between {
        from: from.unwrap_or_else(|| far(EARLIEST_US)),
        until: until.unwrap_or_else(|| far(LATEST_US)),
    };
    for (name, moment) in [("from", range.from), ("until", range.until)] {
        if !(EARLIEST_US..=LATEST_US).contains(&moment.micros()) {
            let (earliest, latest) = (far(EARLIEST_US), far(LATEST_US));
            return Err(Refused::bad_request(format!(
                "`{name}` is {moment}, expected {earliest} to {latest}, which every database knows"
            )));
        }
    }
    if range.from < range.until {
        return Ok(range);
    }
    Err(Refused::bad_request(format!(
        "`until` is {}, expected a moment after `from`, {}",
        range.until, range.from
    )))
}

/// # Errors
/// When they may not read this key.
pub(crate) fn may_read(principal: &Principal, key: &Key) -> Result<(), Refused> {
    if principal.may_read(key) {
        return Ok(());
    }
    let message = format!("{:?} may not read {:?}", principal.name, key.to_string());
    let status = match principal.is_anonymous() {
        true => StatusCode::UNAUTHORIZED,
        false => StatusCode::FORBIDDEN,
    };
    Err(Refused::new(status, message))
}
