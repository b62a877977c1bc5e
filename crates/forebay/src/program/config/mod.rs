//! What the program does when nobody says otherwise, and what a file or the environment says.
//!
//! Each setting stands once, in [`settings`]: its name, its place here, and what is allowed. The
//! file, the environment, the errors and `check-config` all go by that table. What the command line
//! says wins over the environment, that over the file, and that over the defaults. All mistakes are
//! reported at once, each with file and line or variable, key, value and what is allowed.

mod environment;
mod error;
mod file;
mod settings;
mod slot;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use buffer_core::Watermark;
use clap::ValueEnum;
use flush_policy::Preset;
use pipeline::WhenFull;

use super::logs::{LogFormat, LogLevel};
use super::storage::{DATA_DIRECTORY, Patience, SinkUrl};
use error::{Mistake, Mistakes};
use settings::{SETTINGS, Setting};
use slot::Given;

/// Everything that can be set.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Config {
    pub(crate) data: PathBuf,
    pub(crate) sink: SinkConfig,
    pub(crate) gateway: GatewayConfig,
    pub(crate) buffer: BufferConfig,
    pub(crate) flush: FlushConfig,
    pub(crate) retry: RetryConfig,
    pub(crate) history: HistoryConfig,
    pub(crate) host: HostConfig,
    pub(crate) max_future: Duration,
    pub(crate) shutdown_deadline: Duration,
    log_format: &'static str,
    log_level: &'static str,
}

/// `[sink]`: where records go.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct SinkConfig {
    /// The database in the data directory unless there is one.
    pub(crate) url: Option<SinkUrl>,
    pub(crate) patience: Patience,
}

/// `[gateway]`: the page and the API.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct GatewayConfig {
    pub(crate) listen: SocketAddr,
    pub(crate) allowed_origins: Vec<String>,
    pub(crate) max_body: usize,
    pub(crate) max_websockets: usize,
}

/// `[buffer]`: between the sources and the database.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct BufferConfig {
    pub(crate) max_size: usize,
    pub(crate) max_bytes: usize,
    alert_threshold_pct: f64,
    recover_threshold_pct: f64,
    policy: &'static str,
    block_timeout: Duration,
}

/// `[flush]`: when a batch goes to the database.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FlushConfig {
    preset: Option<Preset>,
    size: usize,
    pub(crate) age: Option<Duration>,
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
    memory_mb_max: usize,
    pub(crate) resume_updates: usize,
    idle_after_seconds: usize,
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

impl Default for Config {
    fn default() -> Self {
        Self {
            data: DATA_DIRECTORY.into(),
            sink: SinkConfig::default(),
            gateway: GatewayConfig {
                listen: SocketAddr::from(([127, 0, 0, 1], 8000)),
                allowed_origins: Vec::new(),
                max_body: 8 << 20,
                max_websockets: 1_000,
            },
            buffer: BufferConfig {
                max_size: 10_000,
                max_bytes: 64 << 20,
                alert_threshold_pct: 80.0,
                recover_threshold_pct: 70.0,
                policy: "drop-oldest",
                block_timeout: Duration::from_secs(5),
            },
            flush: FlushConfig {
                preset: None,
                size: 500,
                age: Some(Duration::from_millis(500)),
            },
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
            max_future: Duration::from_secs(24 * 60 * 60),
            shutdown_deadline: Duration::from_secs(10),
            log_format: "human",
            log_level: "info",
        }
    }
}

impl Config {
    /// The configuration of a file, if there is one, with what the environment says.
    pub(crate) fn load(file: Option<&Path>) -> Result<Self> {
        let text = match file {
            Some(path) => Some(
                std::fs::read_to_string(path)
                    .with_context(|| format!("cannot read the configuration {}", path.display()))?,
            ),
            None => None,
        };
        let file = file.zip(text.as_deref());
        Self::build(file, std::env::vars_os()).map_err(|mistakes| anyhow!(mistakes))
    }

    /// The same from the text of a file and from given variables.
    fn build(
        file: Option<(&Path, &str)>,
        variables: impl IntoIterator<Item = (std::ffi::OsString, std::ffi::OsString)>,
    ) -> Result<Self, Mistakes> {
        let mut mistakes = Vec::new();
        let mut given = Vec::new();
        if let Some((path, text)) = file {
            given = file::read(path, text, &mut mistakes);
        }
        given.extend(environment::read(variables, &mut mistakes));
        let mut config = Self::default();
        // In the order of the table: a preset comes before what it presets.
        for (index, setting) in SETTINGS.iter().enumerate() {
            // The environment was read last, and wins.
            let last = given.iter().rev().find(|given| given.setting == index);
            if let Some(given) = last
                && let Err(expected) = (setting.slot)(&mut config).set(&given.value)
            {
                mistakes.push(given.mistake(&expected));
            }
        }
        config.check_pairs(&given, &mut mistakes);
        match Mistakes::new(mistakes) {
            None => Ok(config),
            Some(mistakes) => Err(mistakes),
        }
    }

    /// What is allowed alone, and impossible together.
    fn check_pairs(&self, given: &[Given<'_>], mistakes: &mut Vec<Mistake>) {
        let buffer = &self.buffer;
        let mut refuse = |sound: bool, names: [&str; 2], what: &str| {
            let blamed = given.iter().rev().find(|given| {
                let name = SETTINGS[given.setting].name();
                names.contains(&name.as_str())
            });
            if let (false, Some(blamed)) = (sound, blamed) {
                mistakes.push(blamed.conflict(what));
            }
        };
        let (high, low) = (buffer.alert_threshold_pct, buffer.recover_threshold_pct);
        refuse(
            low < high,
            ["buffer.alert_threshold_pct", "buffer.recover_threshold_pct"],
            &format!(
                "buffer.recover_threshold_pct is {low} and buffer.alert_threshold_pct is {high}, \
                 expected the first to be lower"
            ),
        );
        let show = super::units::show_duration;
        refuse(
            self.retry.base <= self.retry.max,
            ["retry.base", "retry.max"],
            &format!(
                "retry.base is {} and retry.max is {}, expected the first to be no longer",
                show(self.retry.base),
                show(self.retry.max)
            ),
        );
        let patience = &self.sink.patience;
        refuse(
            patience.breaker_open <= patience.breaker_open_max,
            ["sink.breaker_open", "sink.breaker_open_max"],
            &format!(
                "sink.breaker_open is {} and sink.breaker_open_max is {}, expected the first to be \
                 no longer",
                show(patience.breaker_open),
                show(patience.breaker_open_max)
            ),
        );
        refuse(
            self.host.interval <= self.host.slow_interval,
            ["host.interval", "host.slow_interval"],
            &format!(
                "host.interval is {} and host.slow_interval is {}, expected the first to be no \
                 longer",
                show(self.host.interval),
                show(self.host.slow_interval)
            ),
        );
    }

    /// What is in effect, as a file that says the same.
    pub(crate) fn to_toml(&self) -> String {
        let mut config = self.clone();
        let mut text = String::new();
        let mut section = "";
        for setting @ Setting { key, slot, .. } in SETTINGS {
            let Some(value) = slot(&mut config).show() else {
                continue;
            };
            if setting.section != section {
                section = setting.section;
                text.push_str(&format!("\n[{section}]\n"));
            }
            text.push_str(&format!("{key} = {value}\n"));
        }
        text
    }

    /// How log lines look.
    pub(crate) fn log_format(&self) -> LogFormat {
        LogFormat::from_str(self.log_format, false).unwrap_or(LogFormat::Human)
    }

    /// How much is logged.
    pub(crate) fn log_level(&self) -> LogLevel {
        LogLevel::from_str(self.log_level, false).unwrap_or(LogLevel::Info)
    }

    /// The records of a batch; never more than the buffer holds.
    pub(crate) fn flush_size(&self) -> usize {
        self.flush.size.min(self.buffer.max_size)
    }
}

impl BufferConfig {
    /// What happens to a record for which there is no room.
    pub(crate) fn overflow_policy(&self) -> WhenFull {
        match self.policy {
            "drop-newest" => WhenFull::DropNewest,
            "reject" => WhenFull::Reject,
            "block" => WhenFull::Block(self.block_timeout),
            _ => WhenFull::DropOldest,
        }
    }

    /// When a filling buffer is reported.
    pub(crate) fn watermark(&self) -> Watermark {
        Watermark::new(self.alert_threshold_pct, self.recover_threshold_pct).unwrap_or_default()
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

impl FlushConfig {
    /// Takes over what a preset says.
    fn preset(&mut self, preset: Preset) {
        let spec = flush_policy::FlushSpec::from(preset);
        self.preset = Some(preset);
        self.size = spec.items_min().unwrap_or(self.size);
        self.age = spec.age_max();
    }
}

#[cfg(test)]
mod tests;
