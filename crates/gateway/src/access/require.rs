//! What a request needs, and that whoever asks has it.
//!
//! [`Need::of`] knows for every method and path, and refuses what it does not know to everybody
//! but administrators; the guard asks it before anything else sees the request. Handlers say the
//! same once more by what they take, [`RequireAdmin`] and the others, and are given who asks.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};

use super::{Access, Principal};
use crate::error::Refused;
use crate::state::App;

/// The right that something takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// None: it says nothing about anybody's data, or asks by itself, as the sockets do.
    Nothing,
    /// To read anything at all; what exactly is up to the answer.
    Read,
    /// To hand in records.
    Ingest,
    /// To administer.
    Admin,
}

impl Need {
    /// What a request needs.
    pub(crate) fn of(method: &Method, path: &str) -> Self {
        let asks = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
        match path {
            "/" | "/api/live" | "/api/ready" | "/api/health" | "/ws" | "/ws/admin" if asks => {
                Self::Nothing
            }
            // How to ask is the same for everybody.
            "/api/docs" | "/api/openapi.json" if asks => Self::Nothing,
            _ if asks && path.starts_with("/assets/") => Self::Nothing,
            "/api/audit" | "/api/connections" => Self::Admin,
            _ if path.starts_with("/api/connections/") => Self::Admin,
            _ if asks => Self::Read,
            "/api/ingest" => Self::Ingest,
            _ => Self::Admin,
        }
    }

    /// Whether somebody may.
    ///
    /// # Errors
    /// 401 when they showed no token, 403 when theirs does not have the right.
    pub(crate) fn check(self, access: &Access, principal: &Principal) -> Result<(), Refused> {
        let rights = &principal.rights;
        let (may, right) = match self {
            Self::Nothing => return Ok(()),
            Self::Read => (rights.reads_something(), "read"),
            Self::Ingest => (rights.ingests(), "ingest"),
            Self::Admin => (rights.administers(), "admin"),
        };
        if may {
            return Ok(());
        }
        if !principal.is_anonymous() {
            let message = format!(
                "the token {:?} does not have the right `{right}` that this takes",
                principal.name
            );
            return Err(Refused::new(StatusCode::FORBIDDEN, message));
        }
        let make = if self == Self::Admin && !access.knows_admin() {
            "; none is known, so make one with `forebay token --admin`"
        } else {
            ""
        };
        let message = format!(
            "this takes a token with the right `{right}`: send it as `Authorization: Bearer`{make}"
        );
        Err(Refused::new(StatusCode::UNAUTHORIZED, message))
    }
}

macro_rules! requirement {
    ($(#[$doc:meta])* $name:ident, $need:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        #[allow(dead_code, reason = "not every handler wants to know who it is")]
        pub(crate) struct $name(pub(crate) Principal);

        impl FromRequestParts<App> for $name {
            type Rejection = Refused;

            async fn from_request_parts(
                parts: &mut Parts,
                app: &App,
            ) -> Result<Self, Refused> {
                let access = &app.options.access;
                let known = parts.extensions.get::<Principal>().cloned();
                let principal = known.unwrap_or_else(|| access.nobody());
                $need.check(access, &principal)?;
                Ok(Self(principal))
            }
        }
    };
}

requirement! {
    /// Whoever it is.
    Caller, Need::Nothing
}
requirement! {
    /// Somebody who may read something; an answer has to leave out what they may not.
    RequireRead, Need::Read
}
requirement! {
    /// Somebody who may hand in records.
    RequireIngest, Need::Ingest
}
requirement! {
    /// Somebody who may administer.
    RequireAdmin, Need::Admin
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{Rights, Token};

    #[test]
    fn everything_needs_a_right_that_is_not_known_to_need_none() {
        let post = Method::POST;
        for (method, path, need) in [
            (Method::GET, "/", Need::Nothing),
            (Method::GET, "/assets/app.js", Need::Nothing),
            (Method::HEAD, "/api/live", Need::Nothing),
            (Method::GET, "/api/ready", Need::Nothing),
            (Method::GET, "/api/health", Need::Nothing),
            (Method::GET, "/ws", Need::Nothing),
            (Method::GET, "/ws/admin", Need::Nothing),
            (Method::GET, "/api/metrics", Need::Read),
            (Method::GET, "/metrics", Need::Read),
            (Method::GET, "/api/history/a/b", Need::Read),
            (Method::GET, "/assets", Need::Read),
            (Method::GET, "/api/whatever", Need::Read),
            (Method::GET, "/api/connections", Need::Admin),
            (Method::DELETE, "/api/connections/7", Need::Admin),
            (Method::GET, "/api/connections/7", Need::Admin),
            (Method::GET, "/api/audit", Need::Admin),
            (Method::GET, "/api/docs", Need::Nothing),
            (post.clone(), "/api/docs", Need::Admin),
            (post.clone(), "/api/ingest", Need::Ingest),
            (Method::GET, "/api/ingest", Need::Read),
            (post.clone(), "/api/flush", Need::Admin),
            (post.clone(), "/api/purge", Need::Admin),
            (post.clone(), "/api/breaker/reset", Need::Admin),
            (post.clone(), "/api/reload", Need::Admin),
            (post.clone(), "/api/notify", Need::Admin),
            (post.clone(), "/api/connections/1/disconnect", Need::Admin),
            (post.clone(), "/api/live", Need::Admin),
            (post.clone(), "/assets/app.js", Need::Admin),
            (post, "/api/whatever", Need::Admin),
            (Method::from_bytes(b"BREW").unwrap(), "/", Need::Admin),
        ] {
            assert_eq!(Need::of(&method, path), need, "{method} {path}");
        }
    }

    #[test]
    fn without_a_token_it_is_401_and_without_the_right_403() {
        let [reader, admin] = [(); 2].map(|()| Token::generate().unwrap());
        let open = Access::open()
            .token("reader", reader.hash(), Rights::none().read_all())
            .unwrap();
        let refused = |access: &Access, need: Need, principal: &Principal| {
            let refused = need.check(access, principal).unwrap_err();
            (refused.status.as_u16(), refused.message)
        };
        let (status, message) = refused(&open, Need::Admin, &open.nobody());
        assert!(
            status == 401 && message.contains("forebay token --admin"),
            "{message}"
        );
        let reader = open.by_token(reader.as_str()).unwrap();
        let (status, message) = refused(&open, Need::Ingest, &reader);
        assert!(status == 403 && message.contains("\"reader\""), "{message}");
        assert!(message.contains("`ingest`"), "{message}");
        let closed = Access::new()
            .token("admin", admin.hash(), Rights::none().admin())
            .unwrap();
        let (status, message) = refused(&closed, Need::Admin, &closed.nobody());
        assert!(
            status == 401 && !message.contains("forebay token"),
            "{message}"
        );
        let admin = closed.by_token(admin.as_str()).unwrap();
        assert!(Need::Admin.check(&closed, &admin).is_ok());
        for (need, status) in [(Need::Read, 403), (Need::Ingest, 403)] {
            assert_eq!(refused(&closed, need, &admin).0, status, "{need:?}");
        }
        for need in [Need::Nothing, Need::Read, Need::Ingest] {
            assert!(need.check(&open, &open.nobody()).is_ok(), "{need:?}");
        }
    }
}
