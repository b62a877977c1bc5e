//! What each kind of section holds, and what it holds when nobody says otherwise.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use record::Priority;

use crate::program::storage::{DATA_DIRECTORY, Patience, SinkUrl};

/// Everything that can be set.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Config {
    pub(crate) data: PathBuf,
    /// The sink [`MAIN`].
    pub(crate) sink: SinkConfig,
    /// The other sinks.
    pub(crate) sinks: BTreeMap<String, SinkConfig>,
    pub(crate) gateway: GatewayConfig,
    pub(crate) buffer: BufferConfig,
    pub(crate) flush: FlushConfig,
    /// What lanes of a class have in common, whatever their sink.
    pub(crate) lanes: LanesConfig,
    pub(crate) retry: RetryConfig,
    pub(crate) history: HistoryConfig,
    pub(crate) host: HostConfig,
    pub(crate) input: InputConfig,
    pub(crate) shutdown: ShutdownConfig,
    pub(crate) log: LogConfig,
    pub(crate) source: Vec<SourceConfig>,
    pub(crate) route: Vec<RouteConfig>,
    pub(crate) alert: Vec<AlertConfig>,
    pub(crate) token: Vec<TokenConfig>,
}

/// The name of the sink that `[sink]` describes.
pub(crate) const MAIN: &str = "main";

/// `[sink]` and `[sinks.NAME]`: where records go.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SinkConfig {
    /// The database in the data directory unless there is one.
    pub(crate) url: Option<SinkUrl>,
    pub(crate) patience: Patience,
    pub(crate) concurrency: usize,
    /// Those of `[retry]` unless there are any.
    pub(crate) retry_base: Option<Duration>,
    pub(crate) retry_max: Option<Duration>,
    pub(crate) lanes: LanesConfig,
}

/// `[lanes]`, and the same below a sink or a route: one section for each class of urgency.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct LanesConfig {
    pub(crate) critical: LaneConfig,
    pub(crate) high: LaneConfig,
    pub(crate) normal: LaneConfig,
    pub(crate) low: LaneConfig,
}

/// What a lane says; what it does not say is said elsewhere.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct LaneConfig {
    pub(crate) enabled: Option<bool>,
    pub(crate) max_size: Option<usize>,
    pub(crate) max_bytes: Option<usize>,
    pub(crate) size_min: Option<usize>,
    pub(crate) alert_threshold_pct: Option<f64>,
    pub(crate) recover_threshold_pct: Option<f64>,
    pub(crate) policy: Option<&'static str>,
    pub(crate) block_timeout: Option<Duration>,
    pub(crate) flush: FlushConfig,
    pub(crate) adaptive: AdaptiveConfig,
    pub(crate) batch_max: Option<usize>,
    pub(crate) weight: Option<usize>,
    pub(crate) reserved: Option<usize>,
    pub(crate) expires_after: Option<Option<Duration>>,
    pub(crate) parallel: Option<usize>,
    pub(crate) target: Option<Duration>,
}

/// `[flush]`, and a part of each lane: fixed bounds of a batch.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct FlushConfig {
    pub(crate) preset: Option<&'static str>,
    pub(crate) size: Option<usize>,
    pub(crate) age: Option<Option<Duration>>,
    pub(crate) interval: Option<Option<Duration>>,
}

/// A part of each lane: bounds between which the size of a batch adapts.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct AdaptiveConfig {
    pub(crate) batch_min: Option<usize>,
    pub(crate) batch_base: Option<usize>,
    pub(crate) wait: Option<Duration>,
    pub(crate) write_target: Option<Duration>,
}

/// `[gateway]`: the page and the API.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct GatewayConfig {
    pub(crate) listen: SocketAddr,
    pub(crate) allowed_origins: Vec<String>,
    pub(crate) max_body: usize,
    pub(crate) max_websockets: usize,
    pub(crate) max_connections: usize,
    pub(crate) max_connections_per_address: usize,
    pub(crate) allow_anonymous: bool,
    pub(crate) tls_certificate: Option<PathBuf>,
    pub(crate) tls_key: Option<PathBuf>,
    pub(crate) tick: Duration,
    pub(crate) channels: BTreeMap<String, ChannelConfig>,
}

/// `[gateway.channels.NAME]`: a name for what clients may subscribe to.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ChannelConfig {
    pub(crate) keys: Vec<String>,
}

/// `[[token]]`: somebody who is let in, and what they may do.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct TokenConfig {
    pub(crate) name: Option<String>,
    pub(crate) hash: Option<String>,
    pub(crate) read: Vec<String>,
    pub(crate) ingest: bool,
    pub(crate) act: bool,
    pub(crate) admin: bool,
}

/// `[buffer]`: what lanes hold that do not say it themselves.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct BufferConfig {
    pub(crate) max_size: usize,
    pub(crate) max_bytes: usize,
    pub(crate) alert_threshold_pct: f64,
    pub(crate) recover_threshold_pct: f64,
    /// That of each lane's class unless there is one.
    pub(crate) policy: Option<&'static str>,
    pub(crate) block_timeout: Duration,
}

/// `[retry]`: after a batch failed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RetryConfig {
    pub(crate) base: Duration,
    pub(crate) max: Duration,
}

/// `[history]`: what live views can see.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct HistoryConfig {
    pub(crate) depth: usize,
    pub(crate) max_keys: usize,
    pub(crate) memory_mb_max: usize,
    pub(crate) resume_updates: usize,
    pub(crate) idle_after_seconds: usize,
}

/// `[host]`: this machine's own metrics.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct HostConfig {
    pub(crate) enabled: bool,
    pub(crate) interval: Duration,
    pub(crate) slow_interval: Duration,
    pub(crate) top: usize,
    pub(crate) source: String,
}

/// `[input]`: what holds for all records from outside.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct InputConfig {
    pub(crate) max_future: Duration,
}

/// `[shutdown]`: how it ends.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ShutdownConfig {
    pub(crate) deadline: Duration,
    /// The data directory unless there is one.
    pub(crate) fallback: Option<PathBuf>,
}

/// `[log]`: what is logged, and how.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LogConfig {
    pub(crate) format: &'static str,
    pub(crate) level: &'static str,
}

/// `[[source]]`: an input beside this host and HTTP.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SourceConfig {
    pub(crate) kind: &'static str,
    pub(crate) name: Option<String>,
    pub(crate) path: Option<PathBuf>,
}

/// `[[route]]`: which records go to a sink.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RouteConfig {
    pub(crate) name: Option<String>,
    pub(crate) sink: String,
    pub(crate) sources: String,
    pub(crate) tags: String,
    pub(crate) priority: Option<&'static str>,
    pub(crate) coalesce: Option<CoalesceConfig>,
    pub(crate) lanes: LanesConfig,
}

/// `[route.coalesce]`: how a route merges.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CoalesceConfig {
    pub(crate) aggregate: Option<&'static str>,
    pub(crate) key: String,
    pub(crate) keys_max: usize,
    pub(crate) updates_max: usize,
}

/// `[[alert]]`: who is told of changes of health.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct AlertConfig {
    pub(crate) name: Option<String>,
    pub(crate) url: Option<String>,
    pub(crate) command: Option<Vec<String>>,
    pub(crate) on: Option<Vec<String>>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) min_interval: Option<Duration>,
}

/// All lanes, the most urgent first.
pub(crate) const PRIORITIES: [Priority; 4] = [
    Priority::Critical,
    Priority::High,
    Priority::Normal,
    Priority::Low,
];

impl LanesConfig {
    /// The lane of a class.
    pub(crate) fn of(&self, priority: Priority) -> &LaneConfig {
        match priority {
            Priority::Critical => &self.critical,
            Priority::High => &self.high,
            Priority::Normal => &self.normal,
            Priority::Low => &self.low,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data: DATA_DIRECTORY.into(),
            sink: SinkConfig::default(),
            sinks: BTreeMap::new(),
            gateway: GatewayConfig {
                listen: SocketAddr::from(([127, 0, 0, 1], 8000)),
                allowed_origins: Vec::new(),
                max_body: 8 << 20,
                max_websockets: 1_000,
                max_connections: 20_000,
                max_connections_per_address: 256,
                allow_anonymous: false,
                tls_certificate: None,
                tls_key: None,
                tick: Duration::from_millis(10),
                channels: BTreeMap::new(),
            },
            buffer: BufferConfig {
                max_size: 10_000,
                max_bytes: 64 << 20,
                alert_threshold_pct: 80.0,
                recover_threshold_pct: 70.0,
                policy: None,
                block_timeout: Duration::from_secs(5),
            },
            flush: FlushConfig::default(),
            lanes: LanesConfig::default(),
            retry: RetryConfig {
                base: Duration::from_millis(100),
                max: Duration::from_secs(5),
            },
            history: HistoryConfig {
                depth: 3_000,
                max_keys: 2_000,
                memory_mb_max: 1_024,
                resume_updates: 50_000,
                idle_after_seconds: 0,
            },
            host: HostConfig {
                enabled: true,
                interval: Duration::from_millis(100),
                slow_interval: Duration::from_secs(2),
                top: 5,
                source: "host".to_owned(),
            },
            input: InputConfig {
                max_future: Duration::from_secs(24 * 60 * 60),
            },
            shutdown: ShutdownConfig {
                deadline: Duration::from_secs(10),
                fallback: None,
            },
            log: LogConfig {
                format: "human",
                level: "info",
            },
            source: Vec::new(),
            route: Vec::new(),
            alert: Vec::new(),
            token: Vec::new(),
        }
    }
}

impl Default for SinkConfig {
    fn default() -> Self {
        Self {
            url: None,
            patience: Patience::default(),
            concurrency: 1,
            retry_base: None,
            retry_max: None,
            lanes: LanesConfig::default(),
        }
    }
}

impl Default for SourceConfig {
    fn default() -> Self {
        Self {
            kind: "ndjson",
            name: None,
            path: None,
        }
    }
}

impl Default for RouteConfig {
    fn default() -> Self {
        Self {
            name: None,
            sink: MAIN.to_owned(),
            sources: "*".to_owned(),
            tags: "*".to_owned(),
            priority: None,
            coalesce: None,
            lanes: LanesConfig::default(),
        }
    }
}

impl Default for CoalesceConfig {
    fn default() -> Self {
        Self {
            aggregate: None,
            key: "{source}/{tag}".to_owned(),
            keys_max: 10_000,
            updates_max: 1_000_000,
        }
    }
}

impl HistoryConfig {
    /// The bytes that all histories may take together.
    pub(crate) fn memory_bytes_max(&self) -> usize {
        self.memory_mb_max << 20
    }

    /// After what time without a record a key loses its values; `None` for never.
    pub(crate) fn idle_after(&self) -> Option<Duration> {
        let seconds = u64::try_from(self.idle_after_seconds).unwrap_or(u64::MAX);
        (seconds > 0).then(|| Duration::from_secs(seconds))
    }
}
