//! Counters of network interfaces, and their rates.

use std::collections::BTreeMap;
use std::time::Instant;

use sysinfo::Networks;

use super::readings::{Present, Readings, Sample, named};

#[derive(Default)]
pub(super) struct Interfaces {
    before: BTreeMap<String, [Sample; 2]>,
    present: Present,
}

impl Interfaces {
    pub(super) fn read(&mut self, now: Instant, readings: &mut Readings) {
        // A new list each time: an old one would keep what can no longer be read.
        let networks = Networks::new_with_refreshed_list();
        let counts = networks.iter().flat_map(|networks| networks.iter());
        let things = counts.map(|(name, data)| {
            let counts = [data.total_received(), data.total_transmitted()];
            let samples = counts.map(|count| Sample { count, at: now });
            (name.to_string_lossy().into_owned(), samples)
        });
        let mut before = std::mem::take(&mut self.before);
        for (name, samples) in named(things.collect()) {
            report(&name, Some((samples, before.remove(&name))), readings);
            self.before.insert(name, samples);
        }
        for gone in self.present.replace(self.before.keys().cloned().collect()) {
            report(&gone, None, readings);
        }
    }
}

/// Now, and before.
type Counts = ([Sample; 2], Option<[Sample; 2]>);

fn report(name: &str, counts: Option<Counts>, readings: &mut Readings) {
    for (index, direction) in ["rx", "tx"].into_iter().enumerate() {
        let sample = counts.map(|(now, _)| now[index]);
        let before = counts.and_then(|(_, before)| Some(before?[index]));
        let tag = format!("net.{name}.{direction}_bytes");
        readings.whole(&tag, sample.map(|sample| sample.count));
        let rate = sample.and_then(|sample| sample.rate_since(before));
        readings.number(&format!("{tag}_per_s"), rate);
    }
}
