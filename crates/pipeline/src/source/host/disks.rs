//! Space on disks, and what is read from and written to them.
//!
//! A file system that is mounted in several places is one disk, with the name of its shortest
//! mount point. The system counts reads and writes of devices; where it does not (an overlay, a
//! network file system), or has counted nothing since it started, the rates are null.

use std::collections::BTreeMap;
use std::time::Instant;

use sysinfo::{DiskRefreshKind, Disks};

use super::readings::{Present, Readings, Sample, named, percent};

#[derive(Default)]
pub(super) struct DiskSet {
    before: BTreeMap<String, [Sample; 2]>,
    present: Present,
}

#[derive(Clone, Copy)]
struct Space {
    total: u64,
    used: u64,
}

impl DiskSet {
    pub(super) fn read(&mut self, now: Instant, readings: &mut Readings) {
        let mut before = std::mem::take(&mut self.before);
        for (name, (space, counts)) in named(disks()) {
            let samples = counts.map(|count| Sample { count, at: now });
            let earlier = before.remove(&name);
            // The system counts for this device when anything was ever counted.
            let rate = |index: usize| {
                let counted = counts != [0, 0];
                let earlier = earlier.filter(|_| counted)?;
                samples[index].rate_since(Some(earlier[index]))
            };
            report(
                &name,
                (space.total > 0).then_some(space),
                [rate(0), rate(1)],
                readings,
            );
            self.before.insert(name, samples);
        }
        for gone in self.present.replace(self.before.keys().cloned().collect()) {
            report(&gone, None, [None, None], readings);
        }
    }
}

/// Every disk once: its shortest mount point, its space, and the bytes read and written.
fn disks() -> Vec<(String, (Space, [u64; 2]))> {
    let kind = DiskRefreshKind::nothing().with_storage().with_io_usage();
    // A new list each time: an old one would keep what can no longer be read.
    let Ok(disks) = Disks::new_with_refreshed_list_specifics(kind) else {
        return Vec::new();
    };
    let mut list: Vec<_> = disks.iter().collect();
    list.sort_by_key(|disk| (disk.mount_point().as_os_str().len(), disk.mount_point()));
    let mut seen = std::collections::HashSet::new();
    list.retain(|disk| {
        disk.name().is_empty() || seen.insert((disk.name().to_owned(), disk.total_space()))
    });
    let describe = |disk: &sysinfo::Disk| {
        let total = disk.total_space();
        let used = total.saturating_sub(disk.available_space());
        let usage = disk.usage();
        let counts = [usage.total_read_bytes, usage.total_written_bytes];
        let name = disk.mount_point().to_string_lossy().into_owned();
        (name, (Space { total, used }, counts))
    };
    list.into_iter().map(describe).collect()
}

fn report(name: &str, space: Option<Space>, rates: [Option<f64>; 2], readings: &mut Readings) {
    let used_pct = space.and_then(|space| percent(space.used, space.total));
    readings.number(&format!("disk.{name}.used_pct"), used_pct);
    readings.whole(
        &format!("disk.{name}.used_bytes"),
        space.map(|space| space.used),
    );
    readings.whole(
        &format!("disk.{name}.total_bytes"),
        space.map(|space| space.total),
    );
    readings.number(&format!("disk.{name}.read_bytes_per_s"), rates[0]);
    readings.number(&format!("disk.{name}.write_bytes_per_s"), rates[1]);
}
