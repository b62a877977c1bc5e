//! The barrier between a write that announces itself and a taker that flips the phase.
//!
//! Each side stores and then loads what the other stores: a writer announces itself and reads the
//! phase, the taker flips the phase and looks for announcements. If both loads could pass their
//! stores, a writer would go on in a container that the taker already empties.

#![allow(
    unsafe_code,
    reason = "the asymmetric barrier is a system call that no safe interface offers"
)]

use crate::sync::{Ordering, fence};

/// How the stores and loads of writers and taker are ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Barrier {
    /// Writers pay nothing. The taker asks the kernel to run a full barrier on every processor
    /// that runs a thread of this process (`membarrier`, Linux), in about a microsecond.
    Asymmetric,
    /// Both sides pay a full fence, which works everywhere.
    Symmetric,
}

impl Barrier {
    /// The asymmetric barrier where the system has it, else the symmetric one.
    #[must_use]
    pub fn detect() -> Self {
        if system::is_available() {
            Self::Asymmetric
        } else {
            Self::Symmetric
        }
    }

    /// Between a writer's announcement and its look at the phase.
    #[inline]
    pub(super) fn light(self) {
        match self {
            // The processor may still pass the load before the store. If the taker's barrier
            // interrupts this thread before the load, the load sees the flipped phase; if after
            // it, the announcement has become visible, and the taker waits for this write.
            Self::Asymmetric => std::sync::atomic::compiler_fence(Ordering::SeqCst),
            Self::Symmetric => fence(Ordering::SeqCst),
        }
    }

    /// Between the taker's flip and its look for writes in flight.
    pub(super) fn heavy(self) {
        match self {
            Self::Asymmetric => system::barrier(),
            Self::Symmetric => fence(Ordering::SeqCst),
        }
    }
}

#[cfg(all(target_os = "linux", not(loom), not(miri)))]
mod system {
    use std::sync::OnceLock;

    /// Registers this process for expedited barriers, once.
    pub(super) fn is_available() -> bool {
        static REGISTERED: OnceLock<bool> = OnceLock::new();
        *REGISTERED.get_or_init(|| membarrier(libc::MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) == 0)
    }

    pub(super) fn barrier() {
        if membarrier(libc::MEMBARRIER_CMD_PRIVATE_EXPEDITED) != 0 {
            // Writers rely on it, and cannot be told: going on would be a data race.
            eprintln!("buffer-core: the system refused a barrier that it had granted");
            std::process::abort();
        }
    }

    fn membarrier(command: libc::c_int) -> libc::c_long {
        // SAFETY: the call takes three integers and touches no memory of ours.
        unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) }
    }
}

#[cfg(not(all(target_os = "linux", not(loom), not(miri))))]
mod system {
    pub(super) fn is_available() -> bool {
        false
    }

    pub(super) fn barrier() {
        unreachable!("only a registered process asks for a barrier")
    }
}
