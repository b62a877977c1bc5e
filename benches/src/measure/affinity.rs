//! A processor of its own for a thread whose pauses are measured.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The processors of this process, divided between one thread and the rest. Undivided if there is
/// one only, or if the system does not say.
pub(crate) struct Processors {
    divided: Option<(CpuSet, CpuSet)>,
}

impl Processors {
    pub(crate) fn divided() -> Self {
        let divided = sched_getaffinity(None).ok().and_then(divide);
        Self { divided }
    }

    /// Keeps the calling thread to the processor that nobody else uses.
    pub(crate) fn keep_to_own(&self) {
        keep_to(self.divided.as_ref().map(|(own, _)| own));
    }

    /// Keeps the calling thread to the others.
    pub(crate) fn keep_to_shared(&self) {
        keep_to(self.divided.as_ref().map(|(_, shared)| shared));
    }
}

/// The last processor, and the others.
fn divide(all: CpuSet) -> Option<(CpuSet, CpuSet)> {
    let last = (0..CpuSet::MAX_CPU).rev().find(|cpu| all.is_set(*cpu))?;
    let (mut own, mut shared) = (CpuSet::new(), all);
    own.set(last);
    shared.unset(last);
    (shared.count() > 0).then_some((own, shared))
}

fn keep_to(set: Option<&CpuSet>) {
    if let Some(set) = set {
        // Without it, pauses are those of the scheduler too: worse figures, not better ones.
        if let Err(error) = sched_setaffinity(None, set) {
            eprintln!("a thread cannot be kept to a processor: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_processor_is_set_apart_if_there_are_more() {
        let mut all = CpuSet::new();
        all.set(1);
        assert!(divide(all).is_none());
        all.set(5);
        let (own, shared) = divide(all).unwrap();
        assert!(own.is_set(5) && own.count() == 1);
        assert!(shared.is_set(1) && shared.count() == 1);
    }
}
