//! What administrators say on `/ws/admin`, and what they are answered.
//!
//! - [`AdminRequest`]: an `id` of the client's own, and an [`AdminOrder`].
//! - [`AdminAnswer`]: one for each request, in their order, with its `id`.
//!
//! Frames are JSON text. The values of results are those of the REST paths of the same name; they
//! grow, and so are not typed here. An empty `id` is allowed, for clients that ask one thing at a
//! time.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::client_message::Hello;
use crate::server_message::{Failure, Level, Welcome};

/// The most bytes that the message of a notification may have.
pub const NOTIFICATION_BYTES_MAX: usize = 1000;

/// What an administrator says on `/ws/admin`.
///
/// ```
/// use protocol::{AdminOrder, AdminRequest, Lanes};
///
/// let text = r#"{"id": "7", "type": "purge", "lane": "low"}"#;
/// let request: AdminRequest = serde_json::from_str(text)?;
/// assert_eq!(request.id, "7");
/// assert_eq!(request.order, AdminOrder::Purge { lane: Lanes::Low });
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AdminRequest {
    /// The client's own name for it, which the answer bears; at most 64 bytes.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// What is wanted.
    #[serde(flatten)]
    pub order: AdminOrder,
}

/// What an administrator wants. The names that begin with `get_` mean the same as those without.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum AdminOrder {
    /// Who it is: needed first, unless the request for the socket had a token in its header.
    Hello(Hello),
    /// How well the pipeline is doing, as `GET /api/health`.
    #[serde(alias = "get_health")]
    Health,
    /// Everything that is counted, as `GET /api/metrics`.
    #[serde(alias = "get_metrics")]
    Metrics,
    /// Who is connected to `/ws`, as `GET /api/connections`.
    #[serde(alias = "get_connections")]
    Connections,
    /// What administrators have done, as `GET /api/audit`.
    #[serde(alias = "get_audit")]
    Audit,
    /// Closes the breakers of all sinks.
    ResetCircuitBreaker,
    /// Delivers what is buffered now.
    Flush,
    /// Throws away what waits in lanes.
    Purge {
        /// In which.
        lane: Lanes,
    },
    /// Has the configuration read again.
    Reload,
    /// Tells everybody who is connected.
    Notify {
        /// How serious it is.
        level: Level,
        /// What happened, in a sentence; 1 to 1,000 bytes.
        message: String,
    },
    /// Ends a connection.
    Disconnect {
        /// Its number, as in `welcome` and in the list of connections.
        connection_id: u64,
    },
}

/// The lanes of one class of urgency, or all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Lanes {
    /// Those of class critical.
    Critical,
    /// Those of class high.
    High,
    /// Those of class normal.
    Normal,
    /// Those of class low.
    Low,
    /// All of them.
    All,
}

/// What an administrator is answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum AdminAnswer {
    /// The client may go on: the first message, once it is known who it is.
    Welcome(Welcome),
    /// It is done.
    Result {
        /// As in the request.
        id: String,
        /// What came of it.
        value: Value,
    },
    /// It is not done; the connection goes on.
    Error(Failure),
}

impl AdminOrder {
    /// The word for it on the wire.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Hello(_) => "hello",
            Self::Health => "health",
            Self::Metrics => "metrics",
            Self::Connections => "connections",
            Self::Audit => "audit",
            Self::ResetCircuitBreaker => "reset_circuit_breaker",
            Self::Flush => "flush",
            Self::Purge { .. } => "purge",
            Self::Reload => "reload",
            Self::Notify { .. } => "notify",
            Self::Disconnect { .. } => "disconnect",
        }
    }

    /// Whether it only asks, and changes nothing.
    #[must_use]
    pub fn only_asks(&self) -> bool {
        matches!(
            self,
            Self::Hello(_) | Self::Health | Self::Metrics | Self::Connections | Self::Audit
        )
    }
}

impl Lanes {
    /// The word for them on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::High => "high",
            Self::Normal => "normal",
            Self::Low => "low",
            Self::All => "all",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn orders() -> Vec<AdminOrder> {
        vec![
            AdminOrder::Hello(Hello::default()),
            AdminOrder::Health,
            AdminOrder::Metrics,
            AdminOrder::Connections,
            AdminOrder::Audit,
            AdminOrder::ResetCircuitBreaker,
            AdminOrder::Flush,
            AdminOrder::Purge { lane: Lanes::All },
            AdminOrder::Reload,
            AdminOrder::Notify {
                level: Level::Error,
                message: "m".to_owned(),
            },
            AdminOrder::Disconnect { connection_id: 7 },
        ]
    }

    #[test]
    fn every_order_goes_over_the_wire_by_its_name_and_comes_back() {
        for order in orders() {
            let name = order.name();
            let request = AdminRequest {
                id: "1".to_owned(),
                order,
            };
            let wire = serde_json::to_value(&request).unwrap();
            assert_eq!((&wire["type"], &wire["id"]), (&json!(name), &json!("1")));
            assert_eq!(
                serde_json::from_value::<AdminRequest>(wire).unwrap(),
                request
            );
        }
    }

    #[test]
    fn the_names_of_the_old_system_mean_the_same() {
        for (old, order) in [
            ("get_health", AdminOrder::Health),
            ("get_metrics", AdminOrder::Metrics),
            ("get_connections", AdminOrder::Connections),
            ("reset_circuit_breaker", AdminOrder::ResetCircuitBreaker),
        ] {
            let request: AdminRequest = serde_json::from_value(json!({ "type": old })).unwrap();
            assert_eq!((request.id.as_str(), request.order), ("", order));
        }
    }

    #[test]
    fn a_lane_has_one_word() {
        for lanes in [
            Lanes::Critical,
            Lanes::High,
            Lanes::Normal,
            Lanes::Low,
            Lanes::All,
        ] {
            assert_eq!(serde_json::to_value(lanes).unwrap(), json!(lanes.as_str()));
        }
    }
}
