//! One table for each kind of section: what stands in it, where it is kept, and what is allowed.

use std::time::Duration;

use super::sections::{
    AlertConfig, BufferConfig, ChannelConfig, CoalesceConfig, Config, FlushConfig, GatewayConfig,
    HistoryConfig, HostConfig, InputConfig, LaneConfig, LanesConfig, LogConfig, RetryConfig,
    RouteConfig, ShutdownConfig, SinkConfig, SourceConfig, TokenConfig,
};
use super::slot::{Form, Slot, is_label, is_origin};
use super::tree::At::{List, Named, Optional, Section, Value};
use super::tree::{Entry, Kind};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Most records of a lane.
const RECORDS_MAX: usize = 100_000_000;
/// Most records of a batch.
const BATCH_MAX: usize = 1_000_000;
/// Bytes of a lane.
const BYTES: std::ops::RangeInclusive<usize> = 1 << 20..=64 << 30;

/// Connections to the gateway.
const CONNECTIONS: std::ops::RangeInclusive<usize> = 1..=1_000_000;

const POLICIES: &[&str] = &[
    "drop-oldest",
    "drop-newest",
    "reject",
    "block",
    "drop-lowest-priority",
];
const PRESETS: &[&str] = &[
    "default",
    "high-volume",
    "low-latency",
    "development",
    "aggregation",
];
const WORDS_OF_PRIORITY: &[&str] = &["critical", "high", "normal", "low"];
const AGGREGATES: &[&str] = &[
    "last",
    "first",
    "count",
    "sum",
    "min-max",
    "stats",
    "success-failure",
    "append",
    "quantiles",
    "changes",
];
const FORMATS: &[&str] = &["human", "json"];
const LEVELS: &[&str] = &["off", "error", "warn", "info", "debug", "trace"];
const SOURCES: &[&str] = &["ndjson"];

const LABEL: Form = Form {
    expected: "1 to 64 letters, digits, `-`, `_` and `.`",
    is_met: is_label,
};
const SOURCE: Form = Form {
    expected: "a name of 1 to 256 bytes without control characters",
    is_met: |text| record::Name::new("source", text).is_ok(),
};
const ORIGIN: Form = Form {
    expected: "a list of origins with scheme and port, such as [\"https://example.org:8443\"]",
    is_met: is_origin,
};
const GLOB: Form = Form {
    expected: "a pattern of 1 to 1024 bytes with `*` and `?`, such as \"PLC*\"",
    is_met: |text| text.parse::<pipeline::Glob>().is_ok(),
};
const KEY: Form = Form {
    expected: "a text with {source}, {tag} or {quality}, such as \"{source}/{tag}\"",
    is_met: |text| text.parse::<pipeline::KeyTemplate>().is_ok(),
};
const COMMAND: Form = Form {
    expected: "a list of a program and its arguments, such as [\"notify\", \"--urgent\"]",
    is_met: |text| !text.contains('\0'),
};
const STATUSES: Form = Form {
    expected: "a list of \"healthy\", \"degraded\" and \"critical\"",
    is_met: |text| ["healthy", "degraded", "critical"].contains(&text),
};
const GLOBS: Form = Form {
    expected: "a list of patterns over source/tag, such as [\"PLC01/*\"]",
    is_met: |text| gateway::Rights::none().read([text]).is_ok(),
};
const HASH: Form = Form {
    expected: "`sha256:` and 64 hexadecimal digits, as `forebay token` prints them",
    is_met: |text| text.parse::<gateway::TokenHash>().is_ok(),
};
const PEM: &str = "the path of a PEM file";
const DIRECTORY: &str = "the path of a directory";
const INPUT: &str = "the path of a file, or \"-\" for standard input";

/// The entries of a table: each a name, and where it is kept.
macro_rules! entries {
    ($($key:literal, $section:ident => $at:expr;)+) => {
        &[$(Entry { key: $key, at: |$section| $at }),+]
    };
}

impl Kind for Config {
    const ENTRIES: &'static [Entry<Self>] = entries! {
        "data", c => Value(Slot::Path(&mut c.data, DIRECTORY));
        "sink", c => Section(&mut c.sink);
        "sinks", c => Named(&mut c.sinks);
        "gateway", c => Section(&mut c.gateway);
        "buffer", c => Section(&mut c.buffer);
        "flush", c => Section(&mut c.flush);
        "lanes", c => Section(&mut c.lanes);
        "retry", c => Section(&mut c.retry);
        "history", c => Section(&mut c.history);
        "host", c => Section(&mut c.host);
        "input", c => Section(&mut c.input);
        "shutdown", c => Section(&mut c.shutdown);
        "log", c => Section(&mut c.log);
        "source", c => List(&mut c.source);
        "route", c => List(&mut c.route);
        "alert", c => List(&mut c.alert);
        "token", c => List(&mut c.token);
    };
}

impl Kind for SinkConfig {
    const ENTRIES: &'static [Entry<Self>] = entries! {
        "url", s => Value(Slot::Sink(&mut s.url));
        "timeout", s => Value(Slot::Duration(&mut s.patience.timeout, ms(10)..=HOUR));
        "breaker_failures", s => Value(Slot::Whole(&mut s.patience.breaker_failures, 1..=1_000));
        "breaker_open", s => Value(Slot::Duration(&mut s.patience.breaker_open, ms(1)..=HOUR));
        "breaker_open_max", s => {
            Value(Slot::Duration(&mut s.patience.breaker_open_max, ms(1)..=DAY))
        };
        "concurrency", s => Value(Slot::Whole(&mut s.concurrency, 1..=1_024));
        "retry_base", s => Value(Slot::Duration(&mut s.retry_base, ms(1)..=HOUR));
        "retry_max", s => Value(Slot::Duration(&mut s.retry_max, ms(1)..=DAY));
        "lanes", s => Section(&mut s.lanes);
    };
}

impl Kind for LanesConfig {
    const ENTRIES: &'static [Entry<Self>] = entries! {
        "critical", l => Section(&mut l.critical);
        "high", l => Section(&mut l.high);
        "normal", l => Section(&mut l.normal);
        "low", l => Section(&mut l.low);
    };
}

impl Kind for LaneConfig {
    const ENTRIES: &'static [Entry<Self>] = entries! {
        "enabled", l => Value(Slot::Truth(&mut l.enabled));
        "max_size", l => Value(Slot::Whole(&mut l.max_size, 1..=RECORDS_MAX));
        "max_bytes", l => Value(Slot::Size(&mut l.max_bytes, BYTES));
        "size_min", l => Value(Slot::Whole(&mut l.size_min, 1..=RECORDS_MAX));
        "alert_threshold_pct", l => Value(Slot::Percent(&mut l.alert_threshold_pct));
        "recover_threshold_pct", l => Value(Slot::Percent(&mut l.recover_threshold_pct));
        "policy", l => Value(Slot::Word(&mut l.policy, POLICIES));
        "block_timeout", l => Value(Slot::Duration(&mut l.block_timeout, ms(1)..=HOUR));
        "preset", l => preset(&mut l.flush);
        "size", l => size(&mut l.flush);
        "age", l => age(&mut l.flush);
        "interval", l => interval(&mut l.flush);
        "batch_min", l => Value(Slot::Whole(&mut l.adaptive.batch_min, 1..=BATCH_MAX));
        "batch_base", l => Value(Slot::Whole(&mut l.adaptive.batch_base, 1..=BATCH_MAX));
        "batch_max", l => Value(Slot::Whole(&mut l.batch_max, 1..=BATCH_MAX));
        "wait", l => Value(Slot::Duration(&mut l.adaptive.wait, ms(1)..=DAY));
        "write_target", l => Value(Slot::Duration(&mut l.adaptive.write_target, ms(1)..=HOUR));
        "weight", l => Value(Slot::Whole(&mut l.weight, 1..=1_000));
        "reserved", l => Value(Slot::Whole(&mut l.reserved, 0..=1_024));
        "expires_after", l => Value(Slot::Age(&mut l.expires_after, ms(1)..=YEAR));
        "parallel", l => Value(Slot::Whole(&mut l.parallel, 1..=64));
        "target", l => Value(Slot::Duration(&mut l.target, ms(1)..=HOUR));
    };
}

impl Kind for FlushConfig {
    const ENTRIES: &'static [Entry<Self>] = entries! {
        "preset", f => preset(f);
        "size", f => size(f);
        "age", f => age(f);
        "interval", f => interval(f);
    };
}

impl Kind for GatewayConfig {
    const ENTRIES: &'static [Entry<Self>] = entries! {
        "listen", g => Value(Slot::Address(&mut g.listen));
        "allowed_origins", g => Value(Slot::List(&mut g.allowed_origins, ORIGIN));
        "max_body", g => Value(Slot::Size(&mut g.max_body, 1 << 10..=1 << 30));
        "max_websockets", g => Value(Slot::Whole(&mut g.max_websockets, 1..=100_000));
        "max_connections", g => Value(Slot::Whole(&mut g.max_connections, CONNECTIONS));
        "max_connections_per_address",
            g => Value(Slot::Whole(&mut g.max_connections_per_address, CONNECTIONS));
        "allow_anonymous", g => Value(Slot::Truth(&mut g.allow_anonymous));
        "tls_certificate", g => Value(Slot::Path(&mut g.tls_certificate, PEM));
        "tls_key", g => Value(Slot::Path(&mut g.tls_key, PEM));
        "tick", g => Value(Slot::Duration(&mut g.tick, ms(1)..=ms(1_000)));
        "channels", g => Named(&mut g.channels);
    };
}

impl Kind for ChannelConfig {
    const ENTRIES: &'static [Entry<Self>] = entries! {
        "keys", c => Value(Slot::List(&mut c.keys, GLOBS));
    };
}

impl Kind for TokenConfig {
    const ENTRIES: &'static [Entry<Self>] = entries! {
        "name", t => Value(Slot::Text(&mut t.name, LABEL));
        "hash", t => Value(Slot::Text(&mut t.hash, HASH));
        "read", t => Value(Slot::List(&mut t.read, GLOBS));
        "ingest", t => Value(Slot::Truth(&mut t.ingest));
        "act", t => Value(Slot::Truth(&mut t.act));
        "admin", t => Value(Slot::Truth(&mut t.admin));
    };
}

impl Kind for BufferConfig {
    const ENTRIES: &'static [Entry<Self>] = entries! {
        "max_size", b => Value(Slot::Whole(&mut b.max_size, 1..=RECORDS_MAX));
        "max_bytes", b => Value(Slot::Size(&mut b.max_bytes, BYTES));
        "alert_threshold_pct", b => Value(Slot::Percent(&mut b.alert_threshold_pct));
        "recover_threshold_pct", b => Value(Slot::Percent(&mut b.recover_threshold_pct));
        "policy", b => Value(Slot::Word(&mut b.policy, POLICIES));
        "block_timeout", b => Value(Slot::Duration(&mut b.block_timeout, ms(1)..=HOUR));
    };
}

impl Kind for RetryConfig {
    const ENTRIES: &'static [Entry<Self>] = entries! {
        "base", r => Value(Slot::Duration(&mut r.base, ms(1)..=HOUR));
        "max", r => Value(Slot::Duration(&mut r.max, ms(1)..=DAY));
    };
}

impl Kind for HistoryConfig {
    const ENTRIES: &'static [Entry<Self>] = entries! {
        "depth", h => Value(Slot::Whole(&mut h.depth, 1..=1_000_000));
        "max_keys", h => Value(Slot::Whole(&mut h.max_keys, 1..=10_000_000));
        "memory_mb_max", h => Value(Slot::Whole(&mut h.memory_mb_max, 16..=1 << 20));
        "resume_updates", h => Value(Slot::Whole(&mut h.resume_updates, 0..=10_000_000));
        "idle_after_seconds", h => Value(Slot::Whole(&mut h.idle_after_seconds, 0..=31_536_000));
    };
}

impl Kind for HostConfig {
    const ENTRIES: &'static [Entry<Self>] = entries! {
        "enabled", h => Value(Slot::Truth(&mut h.enabled));
        "interval", h => Value(Slot::Duration(&mut h.interval, ms(10)..=HOUR));
        "slow_interval", h => Value(Slot::Duration(&mut h.slow_interval, ms(100)..=DAY));
        "top", h => Value(Slot::Whole(&mut h.top, 0..=pipeline::source::THINGS_MAX));
        "source", h => Value(Slot::Text(&mut h.source, SOURCE));
    };
}

impl Kind for InputConfig {
    const ENTRIES: &'static [Entry<Self>] = entries! {
        "max_future", i => Value(Slot::Duration(&mut i.max_future, ms(0)..=DAY * 3650));
    };
}

impl Kind for ShutdownConfig {
    const ENTRIES: &'static [Entry<Self>] = entries! {
        "deadline", s => Value(Slot::Duration(&mut s.deadline, ms(100)..=HOUR));
        "fallback", s => Value(Slot::Path(&mut s.fallback, DIRECTORY));
    };
}

impl Kind for LogConfig {
    const ENTRIES: &'static [Entry<Self>] = entries! {
        "format", l => Value(Slot::Word(&mut l.format, FORMATS));
        "level", l => Value(Slot::Word(&mut l.level, LEVELS));
    };
}

impl Kind for SourceConfig {
    const ENTRIES: &'static [Entry<Self>] = entries! {
        "kind", s => Value(Slot::Word(&mut s.kind, SOURCES));
        "name", s => Value(Slot::Text(&mut s.name, LABEL));
        "path", s => Value(Slot::Path(&mut s.path, INPUT));
    };
}

impl Kind for RouteConfig {
    const ENTRIES: &'static [Entry<Self>] = entries! {
        "name", r => Value(Slot::Text(&mut r.name, LABEL));
        "sink", r => Value(Slot::Text(&mut r.sink, LABEL));
        "sources", r => Value(Slot::Text(&mut r.sources, GLOB));
        "tags", r => Value(Slot::Text(&mut r.tags, GLOB));
        "priority", r => Value(Slot::Word(&mut r.priority, WORDS_OF_PRIORITY));
        "coalesce", r => Optional(&mut r.coalesce);
        "lanes", r => Section(&mut r.lanes);
    };
}

impl Kind for CoalesceConfig {
    const ENTRIES: &'static [Entry<Self>] = entries! {
        "aggregate", c => Value(Slot::Word(&mut c.aggregate, AGGREGATES));
        "key", c => Value(Slot::Text(&mut c.key, KEY));
        "keys_max", c => Value(Slot::Whole(&mut c.keys_max, 1..=10_000_000));
        "updates_max", c => Value(Slot::Whole(&mut c.updates_max, 1..=1_000_000_000));
    };
}

impl Kind for AlertConfig {
    const ENTRIES: &'static [Entry<Self>] = entries! {
        "name", a => Value(Slot::Text(&mut a.name, LABEL));
        "url", a => Value(Slot::Web(&mut a.url));
        "command", a => Value(Slot::List(&mut a.command, COMMAND));
        "on", a => Value(Slot::List(&mut a.on, STATUSES));
        "timeout", a => Value(Slot::Duration(&mut a.timeout, ms(1)..=HOUR / 6));
        "min_interval", a => Value(Slot::Duration(&mut a.min_interval, ms(0)..=DAY));
    };
}

fn preset(flush: &mut FlushConfig) -> super::tree::At<'_> {
    Value(Slot::Word(&mut flush.preset, PRESETS))
}

fn size(flush: &mut FlushConfig) -> super::tree::At<'_> {
    Value(Slot::Whole(&mut flush.size, 1..=BATCH_MAX))
}

fn age(flush: &mut FlushConfig) -> super::tree::At<'_> {
    Value(Slot::Age(&mut flush.age, ms(1)..=DAY))
}

fn interval(flush: &mut FlushConfig) -> super::tree::At<'_> {
    Value(Slot::Age(&mut flush.interval, ms(1)..=DAY))
}
