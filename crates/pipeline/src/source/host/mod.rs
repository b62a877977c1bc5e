//! This machine's own metrics, as records.
//!
//! - Each poll: `cpu.{total_pct,core.N.pct}`, `memory.{used_bytes,total_bytes,used_pct}`,
//!   `swap.{used_bytes,used_pct}`, `load.{1m,5m,15m}`, `net.INTERFACE.{rx,tx}_bytes`, and the
//!   same `_per_s`.
//! - Each `slow_every`: `disk.MOUNT.{used_pct,used_bytes,total_bytes}`,
//!   `disk.MOUNT.{read,write}_bytes_per_s`, `temperature.SENSOR_c`, `uptime_s`.
//! - As often, or rarer: `process.count`, `process.top.K.{name,pid,cpu_pct,memory_bytes}`.
//!
//! A value that cannot be read is null with quality bad, never zero: the load of a processor
//! before there are two samples, a rate before there are two counts, a sensor without a reading.
//! What was there and is gone is null once, and then no longer reported. Of cores, interfaces,
//! disks, sensors and top processes at most [`THINGS_MAX`] each are reported.
//!
//! Listing processes costs in proportion to their number, so it pauses 4 ms for each of them: with
//! 5,000 processes they are listed every 20 s. Processor load changes every 200 ms at most. A poll
//! makes blocking system calls, and a network file system that hangs can hang it.

mod basics;
mod disks;
mod network;
mod processes;
mod readings;
mod sensors;

use std::time::{Duration, Instant};

use record::{Name, Record, Timestamp};

use basics::Basics;
use disks::DiskSet;
use network::Interfaces;
use processes::ProcessTable;
use readings::Readings;

/// The most cores, interfaces, disks, sensors and top processes that are reported.
pub const THINGS_MAX: usize = 64;

/// What is read of this machine, and how often.
#[derive(Clone, Debug)]
pub struct HostConfig {
    /// The source of all records.
    pub source: Name,
    /// How much time passes between two readings of what is expensive to read.
    pub slow_every: Duration,
    /// How many of the busiest processes are reported, at most [`THINGS_MAX`].
    pub top: usize,
}

impl Default for HostConfig {
    /// Source `host`, every 2 s, the top five.
    fn default() -> Self {
        Self {
            source: Name::new("source", "host").expect("`host` is a valid name"),
            slow_every: Duration::from_secs(2),
            top: 5,
        }
    }
}

/// Reads this machine's metrics. A source that cannot be read again: what was not polled is not
/// known.
///
/// ```
/// use std::time::Instant;
/// use pipeline::source::{HostConfig, HostSource};
/// use record::Timestamp;
/// let mut host = HostSource::new(HostConfig::default());
/// let records = host.poll(Instant::now(), Timestamp::from_system(std::time::SystemTime::now()));
/// assert!(records.iter().any(|record| record.tag.as_str() == "memory.used_bytes"));
/// ```
pub struct HostSource {
    config: HostConfig,
    basics: Basics,
    interfaces: Interfaces,
    disks: DiskSet,
    sensors: sensors::Sensors,
    processes: ProcessTable,
    slow_read: Option<Instant>,
    /// How many records the largest poll gave.
    largest: usize,
}

impl HostSource {
    /// A source that has not read anything yet.
    #[must_use]
    pub fn new(config: HostConfig) -> Self {
        Self {
            basics: Basics::new(),
            interfaces: Interfaces::default(),
            disks: DiskSet::default(),
            sensors: sensors::Sensors::default(),
            processes: ProcessTable::new(config.top.min(THINGS_MAX)),
            slow_read: None,
            largest: 0,
            config,
        }
    }

    /// Reads what is due at `now`. All records have `timestamp`; each tag occurs once.
    ///
    /// Blocks for some hundred microseconds, or some milliseconds when slow values are due.
    #[must_use]
    pub fn poll(&mut self, now: Instant, timestamp: Timestamp) -> Vec<Record> {
        let source = self.config.source.clone();
        let mut readings = Readings::new(source, timestamp, self.largest);
        let slow_every = self.config.slow_every;
        self.basics.read(&mut readings);
        self.interfaces.read(now, &mut readings);
        if is_due(&mut self.slow_read, now, slow_every) {
            self.disks.read(now, &mut readings);
            self.sensors.read(&mut readings);
            readings.whole("uptime_s", sysinfo::System::uptime().ok());
            self.processes.read(now, slow_every, &mut readings);
        }
        let records = readings.into_records();
        self.largest = self.largest.max(records.len());
        records
    }
}

/// Whether `every` has passed since `last`, which becomes `now` then. The first time is due.
fn is_due(last: &mut Option<Instant>, now: Instant, every: Duration) -> bool {
    let due = last.is_none_or(|last| now.saturating_duration_since(last) >= every);
    if due {
        *last = Some(now);
    }
    due
}
