//! Who administers, and from where.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::Extensions;
use axum::http::request::Parts;

use crate::access::RequireAdmin;
use crate::error::Refused;
use crate::state::App;

/// Somebody who may administer.
#[derive(Clone, Debug)]
pub(crate) struct Who {
    /// The name of the token.
    pub(crate) by: Arc<str>,
    /// The other end of the connection: behind a proxy, the proxy.
    pub(crate) from: SocketAddr,
}

impl FromRequestParts<App> for Who {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refused> {
        let RequireAdmin(principal) = RequireAdmin::from_request_parts(parts, app).await?;
        Ok(Self {
            by: principal.name,
            from: peer(&parts.extensions),
        })
    }
}

/// The other end of the connection of a request.
pub(super) fn peer(extensions: &Extensions) -> SocketAddr {
    let peer = extensions.get::<ConnectInfo<SocketAddr>>();
    let nowhere = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
    peer.map_or(nowhere, |peer| peer.0)
}
