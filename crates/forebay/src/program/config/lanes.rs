//! What a lane comes to: what its route says, else its sink, else its class, else `[buffer]` and
//! `[flush]`, else what is usual for its class.

use std::time::Duration;

use buffer_core::Watermark;
use flush_policy::{AdaptiveSpec, FlushSpec, Preset};
use pipeline::{BufferOptions, LaneSpec, WhenFull};
use record::Priority;

use super::sections::{
    AdaptiveConfig, BufferConfig, Config, FlushConfig, LaneConfig, PRIORITIES, RouteConfig,
};
use crate::program::units::{show_duration, show_size};

/// The size and age of a batch where its bounds are fixed and only the other one is said.
const SIZE_DEFAULT: usize = 500;
const AGE_DEFAULT: Duration = Duration::from_millis(500);

/// How batches of a class adapt: records at the most and at first, the longest wait, and what a
/// write may take, both in milliseconds.
fn adapting(priority: Priority) -> (usize, usize, u64, u64) {
    match priority {
        Priority::Critical | Priority::High => (500, 200, 10, 20),
        Priority::Normal => (5_000, 2_000, 25, 25),
        Priority::Low => (5_000, 2_000, 250, 100),
    }
}

impl Config {
    /// What is said of a lane of a sink, and of a route into it.
    pub(crate) fn lane(
        &self,
        sink: &str,
        route: Option<&RouteConfig>,
        priority: Priority,
    ) -> LaneConfig {
        let common = LaneConfig {
            flush: match priority {
                Priority::Normal | Priority::Low => self.flush.clone(),
                Priority::Critical | Priority::High => FlushConfig::default(),
            },
            ..LaneConfig::default()
        };
        let mut lane = self.lanes.of(priority).over(&common);
        if let Some(sink) = self.sink_named(sink) {
            lane = sink.lanes.of(priority).over(&lane);
        }
        match route {
            Some(route) => route.lanes.of(priority).over(&lane),
            None => lane,
        }
    }

    /// The lanes that a sink has, and a route into it.
    pub(crate) fn lane_specs(&self, sink: &str, route: Option<&RouteConfig>) -> Vec<LaneSpec> {
        let lanes = PRIORITIES.map(|priority| (priority, self.lane(sink, route, priority)));
        lanes
            .iter()
            .filter(|(_, lane)| lane.is_enabled())
            .map(|(priority, lane)| lane.spec(*priority, &self.buffer))
            .collect()
    }
}

impl Config {
    /// What the lanes come to, as comments of a file: one line each.
    pub(crate) fn lanes_in_words(&self) -> String {
        let mut text = String::new();
        let owners: Vec<(String, &str, Option<&RouteConfig>)> = match self.route.as_slice() {
            [] => {
                let sinks = self.all_sinks().into_iter();
                sinks
                    .map(|(name, _)| (name.to_owned(), name, None))
                    .collect()
            }
            routes => routes
                .iter()
                .map(|route| {
                    let name = route.name.as_deref().unwrap_or("default");
                    let owner = format!("{}/{name}", route.sink);
                    (owner, route.sink.as_str(), Some(route))
                })
                .collect(),
        };
        for (owner, sink, route) in owners {
            for priority in PRIORITIES {
                let lane = self.lane(sink, route, priority);
                if lane.is_enabled() {
                    let words = lane.in_words(priority, &self.buffer);
                    text.push_str(&format!("# {owner}/{}: {words}\n", priority.as_str()));
                }
            }
        }
        text
    }
}

impl LaneConfig {
    /// Its memory and its batches.
    fn in_words(&self, priority: Priority, buffer: &BufferConfig) -> String {
        let records = self.max_size.unwrap_or(buffer.max_size);
        let bytes = show_size(self.bytes_max(buffer));
        let policy = self.policy.or(buffer.policy).unwrap_or(match priority {
            Priority::Critical | Priority::High => "drop-lowest-priority",
            Priority::Normal | Priority::Low => "drop-oldest",
        });
        let batches = if self.flush.is_given() {
            let fixed = self.flush.spec(records);
            let size = fixed.items_min().unwrap_or(SIZE_DEFAULT);
            let after = [fixed.age_max(), fixed.interval_max()]
                .into_iter()
                .flatten()
                .min();
            match after {
                Some(after) => format!("batches of {size} or after {}", show_duration(after)),
                None => format!("batches of {size}"),
            }
        } else if priority == Priority::Critical && !self.adaptive.is_given() {
            "delivered at once".to_owned()
        } else {
            let (min, _, max) = self.batches(priority);
            let (.., wait, _) = adapting(priority);
            let wait = self.adaptive.wait.unwrap_or(Duration::from_millis(wait));
            format!("batches of {min} to {max} or after {}", show_duration(wait))
        };
        let expires = match self.expires_after.flatten() {
            Some(age) => format!(", for {}", show_duration(age)),
            None => String::new(),
        };
        format!("{records} records or {bytes}, {policy}; {batches}{expires}")
    }

    pub(crate) fn is_enabled(&self) -> bool {
        self.enabled.unwrap_or(true)
    }

    /// The bytes that it may take.
    pub(crate) fn bytes_max(&self, buffer: &BufferConfig) -> usize {
        self.max_bytes.unwrap_or(buffer.max_bytes)
    }

    /// This, and what it does not say itself from `under`. Fixed bounds of a batch replace ones
    /// that adapt, and the other way round.
    fn over(&self, under: &Self) -> Self {
        let flush = match self.adaptive.is_given() {
            true => self.flush.clone(),
            false => self.flush.over(&under.flush),
        };
        let adaptive = match self.flush.is_given() {
            true => self.adaptive.clone(),
            false => self.adaptive.over(&under.adaptive),
        };
        Self {
            enabled: self.enabled.or(under.enabled),
            max_size: self.max_size.or(under.max_size),
            max_bytes: self.max_bytes.or(under.max_bytes),
            size_min: self.size_min.or(under.size_min),
            alert_threshold_pct: self.alert_threshold_pct.or(under.alert_threshold_pct),
            recover_threshold_pct: self.recover_threshold_pct.or(under.recover_threshold_pct),
            policy: self.policy.or(under.policy),
            block_timeout: self.block_timeout.or(under.block_timeout),
            flush,
            adaptive,
            batch_max: self.batch_max.or(under.batch_max),
            weight: self.weight.or(under.weight),
            reserved: self.reserved.or(under.reserved),
            expires_after: self.expires_after.or(under.expires_after),
            parallel: self.parallel.or(under.parallel),
            target: self.target.or(under.target),
        }
    }

    /// The fill in percent at which it is reported, and at which that is over.
    pub(crate) fn thresholds(&self, buffer: &BufferConfig) -> (f64, f64) {
        (
            self.alert_threshold_pct
                .unwrap_or(buffer.alert_threshold_pct),
            self.recover_threshold_pct
                .unwrap_or(buffer.recover_threshold_pct),
        )
    }

    /// Records of the smallest batch, of the first, and of the largest, where its size adapts.
    pub(crate) fn batches(&self, priority: Priority) -> (usize, usize, usize) {
        let (max, usual_base, ..) = adapting(priority);
        let min = self.adaptive.batch_min.unwrap_or(1);
        let max = self.batch_max.unwrap_or_else(|| max.max(min));
        let base = self.adaptive.batch_base;
        (
            min,
            base.unwrap_or_else(|| usual_base.min(max).max(min)),
            max,
        )
    }

    /// The lane that this comes to.
    fn spec(&self, priority: Priority, buffer: &BufferConfig) -> LaneSpec {
        let mut spec = LaneSpec::new(priority);
        let max_size = self.max_size.unwrap_or(buffer.max_size);
        let (alert, recover) = self.thresholds(buffer);
        let policy = self.policy.or(buffer.policy);
        let block_timeout = self.block_timeout.unwrap_or(buffer.block_timeout);
        spec = spec.buffer(BufferOptions {
            max_size,
            max_bytes: self.bytes_max(buffer),
            policy: when_full(policy, block_timeout, priority),
            watermark: Watermark::new(alert, recover).unwrap_or_default(),
        });
        if self.flush.is_given() {
            let fixed = self.flush.spec(max_size);
            let batch_max = fixed.items_min().unwrap_or(SIZE_DEFAULT);
            spec = spec.flush(fixed).batch_max(batch_max);
        } else if self.adaptive.is_given() {
            let (min, base, max) = self.batches(priority);
            let (.., wait, write_target) = adapting(priority);
            let ms = Duration::from_millis;
            let adaptive = AdaptiveSpec::new()
                .sizes(min, max)
                .base(base)
                .wait(self.adaptive.wait.unwrap_or(ms(wait)))
                .write_target(self.adaptive.write_target.unwrap_or(ms(write_target)));
            spec = spec
                .flush(FlushSpec::new().adaptive(adaptive))
                .batch_max(max);
        }
        if let Some(records) = self.size_min {
            spec = spec.size_min(records);
        }
        if let Some(records) = self.batch_max {
            spec = spec.batch_max(records);
        }
        if let Some(weight) = self.weight {
            spec = spec.weight(u32::try_from(weight).unwrap_or(u32::MAX));
        }
        if let Some(writes) = self.reserved {
            spec = spec.reserved(writes);
        }
        if let Some(age) = self.expires_after {
            spec = spec.expires_after(age);
        }
        if let Some(queues) = self.parallel {
            spec = spec.parallel(queues);
        }
        if let Some(p99) = self.target {
            spec = spec.target(p99);
        }
        spec
    }
}

fn when_full(policy: Option<&str>, block_timeout: Duration, priority: Priority) -> WhenFull {
    match (policy, priority) {
        (Some("drop-oldest"), _) => WhenFull::DropOldest,
        (Some("drop-newest"), _) => WhenFull::DropNewest,
        (Some("reject"), _) => WhenFull::Reject,
        (Some("block"), _) => WhenFull::Block(block_timeout),
        (Some("drop-lowest-priority"), _) => WhenFull::DropLowestPriority,
        (_, Priority::Critical | Priority::High) => WhenFull::DropLowestPriority,
        (_, Priority::Normal | Priority::Low) => WhenFull::DropOldest,
    }
}

impl FlushConfig {
    /// Whether anything of it is said.
    pub(crate) fn is_given(&self) -> bool {
        *self != Self::default()
    }

    /// This, and what it does not say itself from `under`; a preset says everything.
    fn over(&self, under: &Self) -> Self {
        if self.preset.is_some() {
            return self.clone();
        }
        Self {
            preset: under.preset,
            size: self.size.or(under.size),
            age: self.age.or(under.age),
            interval: self.interval.or(under.interval),
        }
    }

    /// The bounds of a batch, which is never more than the buffer holds.
    fn spec(&self, max_size: usize) -> FlushSpec {
        let preset = self.preset.and_then(|name| name.parse::<Preset>().ok());
        let usual = match preset {
            Some(preset) => FlushSpec::from(preset),
            None => FlushSpec::new().size(SIZE_DEFAULT),
        };
        let interval = self.interval.unwrap_or(usual.interval_max());
        // Without a bound on time a remainder would wait for ever.
        let age = match (preset, interval) {
            (None, None) => Some(AGE_DEFAULT),
            _ => usual.age_max(),
        };
        let size = self.size.or(usual.items_min());
        FlushSpec::new()
            .size(size.map(|size| size.min(max_size)))
            .age(self.age.unwrap_or(age))
            .interval(interval)
    }
}

impl AdaptiveConfig {
    /// Whether anything of it is said.
    pub(crate) fn is_given(&self) -> bool {
        *self != Self::default()
    }

    fn over(&self, under: &Self) -> Self {
        Self {
            batch_min: self.batch_min.or(under.batch_min),
            batch_base: self.batch_base.or(under.batch_base),
            wait: self.wait.or(under.wait),
            write_target: self.write_target.or(under.write_target),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(said: &LaneConfig, priority: Priority) -> LaneSpec {
        said.spec(priority, &Config::default().buffer)
    }

    #[test]
    fn a_lane_of_which_nothing_is_said_is_the_usual_one() {
        for priority in PRIORITIES {
            let usual = LaneSpec::new(priority);
            assert_eq!(lane(&LaneConfig::default(), priority), usual);
        }
    }

    #[test]
    fn what_is_not_said_of_a_size_that_adapts_is_as_usual() {
        for priority in [Priority::High, Priority::Normal, Priority::Low] {
            let said = LaneConfig {
                adaptive: AdaptiveConfig {
                    batch_min: Some(1),
                    ..AdaptiveConfig::default()
                },
                ..LaneConfig::default()
            };
            assert_eq!(lane(&said, priority), LaneSpec::new(priority));
        }
    }
}
