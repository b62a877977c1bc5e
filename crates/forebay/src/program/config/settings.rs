//! The table of all settings.

use std::time::Duration;

use sinks::url::hide_password;

use super::Config;
use super::slot::Slot;

/// One setting: its name, and where it is kept.
pub(crate) struct Setting {
    /// The section it stands in; empty at the top of the file.
    pub(crate) section: &'static str,
    /// Its name there.
    pub(crate) key: &'static str,
    /// Its place, with what is allowed.
    pub(crate) slot: for<'a> fn(&'a mut Config) -> Slot<'a>,
}

impl Setting {
    /// A value for it, fit to be shown. Path and query are secrets in the URL of a sink alone.
    pub(crate) fn without_secrets(&self, value: &str) -> String {
        match self.section == "sink" || value.contains('@') {
            true => hide_password(value),
            false => value.to_owned(),
        }
    }

    /// Its full name, such as `buffer.max_size`.
    pub(crate) fn name(&self) -> String {
        match self.section {
            "" => self.key.to_owned(),
            section => format!("{section}.{}", self.key),
        }
    }
}

/// The sections, in order.
pub(crate) fn sections() -> Vec<&'static str> {
    let mut sections: Vec<_> = SETTINGS.iter().map(|setting| setting.section).collect();
    sections.dedup();
    sections.retain(|section| !section.is_empty());
    sections
}

/// The keys of a section, in order.
pub(crate) fn keys_of(section: &str) -> Vec<&'static str> {
    SETTINGS
        .iter()
        .filter(|setting| setting.section == section)
        .map(|setting| setting.key)
        .collect()
}

/// The index of a setting in [`SETTINGS`].
pub(crate) fn find(section: &str, key: &str) -> Option<usize> {
    SETTINGS
        .iter()
        .position(|setting| setting.section == section && setting.key == key)
}

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

const POLICIES: &[&str] = &["drop-oldest", "drop-newest", "reject", "block"];
const FORMATS: &[&str] = &["human", "json"];
const LEVELS: &[&str] = &["off", "error", "warn", "info", "debug", "trace"];

macro_rules! setting {
    ($section:literal, $key:literal, $config:ident => $slot:expr) => {
        Setting {
            section: $section,
            key: $key,
            slot: |$config| $slot,
        }
    };
}

/// All settings, by section.
pub(crate) const SETTINGS: &[Setting] = &[
    setting!("", "data", c => Slot::Directory(&mut c.data)),
    setting!("sink", "url", c => Slot::Sink(&mut c.sink.url)),
    setting!("sink", "timeout", c => Slot::Duration(&mut c.sink.patience.timeout, ms(10)..=HOUR)),
    setting!("sink", "breaker_failures", c => {
        Slot::Whole(&mut c.sink.patience.breaker_failures, 1..=1_000)
    }),
    setting!("sink", "breaker_open", c => {
        Slot::Duration(&mut c.sink.patience.breaker_open, ms(1)..=HOUR)
    }),
    setting!("sink", "breaker_open_max", c => {
        Slot::Duration(&mut c.sink.patience.breaker_open_max, ms(1)..=DAY)
    }),
    setting!("gateway", "listen", c => Slot::Address(&mut c.gateway.listen)),
    setting!("gateway", "allowed_origins", c => Slot::Origins(&mut c.gateway.allowed_origins)),
    setting!("gateway", "max_body", c => {
        Slot::Size(&mut c.gateway.max_body, 1 << 10..=1 << 30)
    }),
    setting!("gateway", "max_websockets", c => {
        Slot::Whole(&mut c.gateway.max_websockets, 1..=100_000)
    }),
    setting!("buffer", "max_size", c => Slot::Whole(&mut c.buffer.max_size, 1..=100_000_000)),
    setting!("buffer", "max_bytes", c => {
        Slot::Size(&mut c.buffer.max_bytes, 1 << 20..=64 << 30)
    }),
    setting!("buffer", "alert_threshold_pct", c => {
        Slot::Percent(&mut c.buffer.alert_threshold_pct)
    }),
    setting!("buffer", "recover_threshold_pct", c => {
        Slot::Percent(&mut c.buffer.recover_threshold_pct)
    }),
    setting!("buffer", "policy", c => Slot::Word(&mut c.buffer.policy, POLICIES)),
    setting!("buffer", "block_timeout", c => {
        Slot::Duration(&mut c.buffer.block_timeout, ms(1)..=HOUR)
    }),
    setting!("flush", "preset", c => Slot::Preset(&mut c.flush)),
    setting!("flush", "size", c => Slot::Whole(&mut c.flush.size, 1..=1_000_000)),
    setting!("flush", "age", c => Slot::Age(&mut c.flush.age, ms(1)..=DAY)),
    setting!("retry", "base", c => Slot::Duration(&mut c.retry.base, ms(1)..=HOUR)),
    setting!("retry", "max", c => Slot::Duration(&mut c.retry.max, ms(1)..=DAY)),
    setting!("history", "depth", c => Slot::Whole(&mut c.history.depth, 1..=1_000_000)),
    setting!("history", "max_keys", c => Slot::Whole(&mut c.history.max_keys, 1..=10_000_000)),
    setting!("history", "memory_mb_max", c => {
        Slot::Whole(&mut c.history.memory_mb_max, 16..=1 << 20)
    }),
    setting!("history", "resume_updates", c => {
        Slot::Whole(&mut c.history.resume_updates, 0..=10_000_000)
    }),
    setting!("history", "idle_after_seconds", c => {
        Slot::Whole(&mut c.history.idle_after_seconds, 0..=31_536_000)
    }),
    setting!("host", "enabled", c => Slot::Truth(&mut c.host.enabled)),
    setting!("host", "interval", c => Slot::Duration(&mut c.host.interval, ms(10)..=HOUR)),
    setting!("host", "slow_interval", c => {
        Slot::Duration(&mut c.host.slow_interval, ms(100)..=DAY)
    }),
    setting!("host", "top", c => {
        Slot::Whole(&mut c.host.top, 0..=pipeline::source::THINGS_MAX)
    }),
    setting!("host", "source", c => Slot::Name(&mut c.host.source)),
    setting!("input", "max_future", c => Slot::Duration(&mut c.max_future, ms(0)..=DAY * 3650)),
    setting!("shutdown", "deadline", c => {
        Slot::Duration(&mut c.shutdown_deadline, ms(100)..=HOUR)
    }),
    setting!("log", "format", c => Slot::Word(&mut c.log_format, FORMATS)),
    setting!("log", "level", c => Slot::Word(&mut c.log_level, LEVELS)),
];
