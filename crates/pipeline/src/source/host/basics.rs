//! Processors, memory and load: what is cheap enough for each poll.

use sysinfo::{MemoryRefreshKind, System};

use super::THINGS_MAX;
use super::readings::{Readings, percent};

pub(super) struct Basics {
    /// `None` on a platform that is not supported.
    system: Option<System>,
    /// What the processors' loads were after the first sample. They mean nothing until they have
    /// changed: a load is a difference of two samples.
    first: Option<Vec<u32>>,
    has_load: bool,
}

impl Basics {
    pub(super) fn new() -> Self {
        Self {
            system: System::new().ok(),
            first: None,
            has_load: false,
        }
    }

    pub(super) fn read(&mut self, readings: &mut Readings) {
        self.read_processors(readings);
        self.read_memory(readings);
        let load = System::load_average().ok();
        readings.number("load.1m", load.as_ref().map(|load| load.one));
        readings.number("load.5m", load.as_ref().map(|load| load.five));
        readings.number("load.15m", load.as_ref().map(|load| load.fifteen));
    }

    fn read_processors(&mut self, readings: &mut Readings) {
        let Some(system) = &mut self.system else {
            readings.number("cpu.total_pct", None);
            return;
        };
        system.refresh_cpu_usage();
        if !self.has_load {
            let total = system.global_cpu_usage();
            let cores = system.cpus().iter().map(sysinfo::Cpu::usage);
            let loads: Vec<u32> = std::iter::once(total)
                .chain(cores)
                .map(f32::to_bits)
                .collect();
            match &self.first {
                None => self.first = Some(loads),
                Some(first) => self.has_load = *first != loads,
            }
        }
        let load = |pct: f32| self.has_load.then_some(f64::from(pct));
        readings.number("cpu.total_pct", load(system.global_cpu_usage()));
        for (number, cpu) in system.cpus().iter().enumerate().take(THINGS_MAX) {
            readings.number(&format!("cpu.core.{number}.pct"), load(cpu.usage()));
        }
    }

    fn read_memory(&mut self, readings: &mut Readings) {
        let (mut memory, mut swap) = (None, None);
        if let Some(system) = &mut self.system {
            system.refresh_memory_specifics(MemoryRefreshKind::everything());
            let total = system.total_memory();
            // A machine without memory is one whose memory could not be read.
            if total > 0 {
                memory = Some((total, total.saturating_sub(system.available_memory())));
                let total = system.total_swap();
                swap = Some((total, total.saturating_sub(system.free_swap())));
            }
        }
        let used_pct = |(total, used): (u64, u64)| percent(used, total);
        readings.whole("memory.used_bytes", memory.map(|memory| memory.1));
        readings.whole("memory.total_bytes", memory.map(|memory| memory.0));
        readings.number("memory.used_pct", memory.and_then(used_pct));
        readings.whole("swap.used_bytes", swap.map(|swap| swap.1));
        // No swap is no failure to read it, and has no share that is used.
        if swap.is_none_or(|swap| swap.0 > 0) {
            readings.number("swap.used_pct", swap.and_then(used_pct));
        }
    }
}
