//! Which hosts and origins are the gateway's own: a check of `Host` and of the exact `Origin`.
//!
//! A page of a foreign site can make a browser send requests here. The browser then names that
//! site as the `Origin`, and a request that opens a WebSocket or changes state is refused unless
//! the origin is the gateway's own or an allowed one. A site that points its own name at this
//! address is refused by the `Host` header. What a browser itself calls a request of another site
//! reads nothing of the interface either. Programs other than browsers send no `Origin` and may.

use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};

use crate::error::Refused;
use crate::listen::Tls;

/// What the gateway answers to.
#[derive(Clone, Debug)]
pub(crate) struct Origins {
    listen: SocketAddr,
    scheme: Scheme,
    /// Allowed origins, lower case, without a trailing slash.
    origins: Vec<String>,
}

/// How the gateway itself is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    Http,
    Https,
}

impl Scheme {
    pub(crate) fn of(tls: Option<&Tls>) -> Self {
        tls.map_or(Self::Http, |_| Self::Https)
    }

    fn prefix(self) -> &'static str {
        match self {
            Self::Http => "http://",
            Self::Https => "https://",
        }
    }

    /// The port that addresses leave out.
    fn port(self) -> &'static str {
        match self {
            Self::Http => "80",
            Self::Https => "443",
        }
    }
}

/// Why a request comes from where it should not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Strange {
    Host,
    Origin,
}

impl Origins {
    pub(crate) fn new(listen: SocketAddr, scheme: Scheme, allowed_origins: &[String]) -> Self {
        let origins = allowed_origins
            .iter()
            .map(|origin| origin.trim_end_matches('/').to_ascii_lowercase())
            .collect();
        Self {
            listen,
            scheme,
            origins,
        }
    }

    /// Whether `host`, as in the `Host` header, means this gateway: by its address, or as the
    /// name in an allowed origin, under which a proxy passes requests on.
    fn knows_host(&self, host: &str) -> bool {
        let named = |origin: &String| {
            origin
                .split_once("://")
                .is_some_and(|(_, name)| name.eq_ignore_ascii_case(host))
        };
        self.is_own_address(host) || self.origins.iter().any(named)
    }

    /// Whether `host` is an address, or `localhost`, at which this gateway listens.
    fn is_own_address(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        let (name, port) = match host.rsplit_once(':') {
            Some((name, port)) if !name.is_empty() && !port.ends_with(']') => (name, port),
            _ => (host.as_str(), self.scheme.port()),
        };
        if port.parse() != Ok(self.listen.port()) {
            return false;
        }
        if name == "localhost" {
            return self.answers_loopback();
        }
        match name
            .trim_start_matches('[')
            .trim_end_matches(']')
            .parse::<IpAddr>()
        {
            Ok(address) if address.is_loopback() => self.answers_loopback(),
            Ok(address) => self.listen.ip().is_unspecified() || address == self.listen.ip(),
            Err(_) => false,
        }
    }

    fn answers_loopback(&self) -> bool {
        self.listen.ip().is_loopback() || self.listen.ip().is_unspecified()
    }

    /// Whether a page of this origin may connect and change state: one that came from the very
    /// address that the request is for, or one of an allowed origin.
    fn knows_origin(&self, origin: &str, host: &str) -> bool {
        let origin = origin.to_ascii_lowercase();
        let own = self.is_own_address(host)
            && origin.strip_prefix(self.scheme.prefix())
                == Some(host.to_ascii_lowercase().as_str());
        own || self.origins.contains(&origin)
    }

    /// Whether a request comes from where it may.
    ///
    /// # Errors
    /// 403, and which of both is strange.
    pub(crate) fn check(
        &self,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
    ) -> Result<(), (Strange, Refused)> {
        let is_api = path.starts_with("/api/") || path == "/metrics";
        let forbid = |strange: Strange, what: &str, found: &HeaderValue| {
            let found = String::from_utf8_lossy(found.as_bytes()).into_owned();
            let refused = Refused::new(
                StatusCode::FORBIDDEN,
                format!("{what} {found:?} is not allowed; see [gateway] allowed_origins"),
            );
            (strange, refused)
        };
        let host = headers.get(header::HOST);
        if let Some(host) = host
            && !host.to_str().is_ok_and(|host| self.knows_host(host))
        {
            return Err(forbid(Strange::Host, "host", host));
        }
        let host = host.and_then(|host| host.to_str().ok()).unwrap_or_default();
        let opens_socket = headers.contains_key(header::UPGRADE);
        let changes_state = !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
        if (opens_socket || changes_state)
            && let Some(origin) = headers.get(header::ORIGIN)
            && !origin
                .to_str()
                .is_ok_and(|origin| self.knows_origin(origin, host))
        {
            return Err(forbid(Strange::Origin, "origin", origin));
        }
        // A browser says so by itself, and a page cannot take it away: what is asked for in the
        // name of another site would cost as much as if somebody read the answer.
        let site = HeaderName::from_static("sec-fetch-site");
        if let Some(site) = headers.get(site).filter(|site| *site == "cross-site")
            && is_api
            && !headers
                .get(header::ORIGIN)
                .and_then(|origin| origin.to_str().ok())
                .is_some_and(|origin| self.knows_origin(origin, host))
        {
            return Err(forbid(Strange::Origin, "a request that is", site));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(listen: &str) -> Origins {
        Origins::new(
            listen.parse().unwrap(),
            Scheme::Http,
            &["https://plant.example/".to_owned()],
        )
    }

    #[test]
    fn only_hosts_that_mean_this_gateway_are_known() {
        let local = guard("127.0.0.1:8000");
        for host in [
            "127.0.0.1:8000",
            "localhost:8000",
            "LOCALHOST:8000",
            "[::1]:8000",
            "plant.example",
        ] {
            assert!(local.knows_host(host), "{host}");
        }
        for host in [
            "127.0.0.1",
            "localhost",
            "evil.example:8000",
            "localhost.evil.example:8000",
            "127.0.0.1:8001",
            "10.0.0.1:8000",
            "",
            ":8000",
            "[::1]",
        ] {
            assert!(!local.knows_host(host), "{host}");
        }
        let open = guard("0.0.0.0:8000");
        assert!(open.knows_host("10.0.0.1:8000") && open.knows_host("localhost:8000"));
        assert!(!open.knows_host("evil.example:8000"));
    }

    #[test]
    fn origins_are_compared_exactly() {
        let local = guard("127.0.0.1:8000");
        for (origin, host) in [
            ("http://127.0.0.1:8000", "127.0.0.1:8000"),
            ("HTTP://LOCALHOST:8000", "localhost:8000"),
            ("https://plant.example", "127.0.0.1:8000"),
            ("https://plant.example", "plant.example"),
        ] {
            assert!(local.knows_origin(origin, host), "{origin} at {host}");
        }
        for (origin, host) in [
            ("null", "127.0.0.1:8000"),
            ("http://evil.example", "127.0.0.1:8000"),
            ("http://localhost:8000", "127.0.0.1:8000"),
            ("https://127.0.0.1:8000", "127.0.0.1:8000"),
            ("http://127.0.0.1:80001", "127.0.0.1:8000"),
            ("http://127.0.0.1:8000.evil.example", "127.0.0.1:8000"),
            ("https://plant.example.evil", "plant.example"),
            ("http://plant.example", "plant.example"),
            ("http://127.0.0.1:8000", ""),
        ] {
            assert!(!local.knows_origin(origin, host), "{origin} at {host}");
        }
        // A page of another machine is not our own because we listen everywhere.
        let open = guard("0.0.0.0:8000");
        assert!(!open.knows_origin("http://10.9.9.9:8000", "10.0.0.1:8000"));
        assert!(open.knows_origin("http://10.0.0.1:8000", "10.0.0.1:8000"));
    }

    #[test]
    fn behind_a_certificate_the_own_origin_is_https() {
        let listen = "127.0.0.1:443".parse().unwrap();
        let local = Origins::new(listen, Scheme::Https, &[]);
        assert!(local.knows_host("127.0.0.1") && local.knows_host("localhost:443"));
        assert!(!local.knows_host("127.0.0.1:80"));
        assert!(local.knows_origin("https://127.0.0.1", "127.0.0.1"));
        assert!(!local.knows_origin("http://127.0.0.1", "127.0.0.1"));
    }
}
