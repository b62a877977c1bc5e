//! Temperatures, where the machine tells them.

use sysinfo::Components;

use super::readings::{Present, Readings, named};

#[derive(Default)]
pub(super) struct Sensors {
    present: Present,
}

impl Sensors {
    pub(super) fn read(&mut self, readings: &mut Readings) {
        // A new list each time: an old one would keep what can no longer be read.
        let sensors = Components::new_with_refreshed_list();
        let list = sensors.iter().flat_map(|sensors| sensors.iter());
        let things = list.map(|sensor| (sensor.label().to_owned(), sensor.temperature()));
        let things = named(things.collect());
        for (name, temperature) in &things {
            let temperature = temperature.map(f64::from);
            readings.number(&format!("temperature.{name}_c"), temperature);
        }
        let names = things.into_iter().map(|(name, _)| name).collect();
        for gone in self.present.replace(names) {
            readings.number(&format!("temperature.{gone}_c"), None);
        }
    }
}
