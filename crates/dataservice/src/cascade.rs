//! How deep a chain of callbacks that cause each other has become.
//!
//! While a callback runs, its thread remembers the depth of the wake that caused it. A wake that is
//! raised there, by a commit that the callback makes, is one deeper; a wake from anywhere else has
//! depth 1. A service refuses a commit that would go too deep: two callbacks that write to each
//! other's keys end in an error and not in a livelock. Of several wakes before a callback runs, the
//! deepest counts that the subscriber was told of: one that is woken already is not told again.

use std::cell::Cell;

#[derive(Debug, Clone, Copy)]
struct Level {
    depth: u32,
    /// How deep the dispatcher of this callback allows it to go.
    limit: u32,
    /// Whether a commit was made since the callback's turn began.
    committed: bool,
}

const OUTSIDE: Level = Level {
    depth: 0,
    limit: u32::MAX,
    committed: false,
};

#[cfg(not(loom))]
thread_local! {
    static LEVEL: Cell<Level> = const { Cell::new(OUTSIDE) };
}

#[cfg(loom)]
loom::thread_local! {
    static LEVEL: Cell<Level> = Cell::new(OUTSIDE);
}

/// As [`cascade_depth`], for this crate.
pub(crate) fn depth() -> u32 {
    level().depth
}

/// How many callbacks caused one another up to the one that is running in this thread, counting
/// that one; 0 outside of callbacks.
#[must_use]
pub fn cascade_depth() -> u32 {
    depth()
}

/// A commit that would go too deep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooDeep {
    pub(crate) depth: u32,
    pub(crate) limit: u32,
}

/// Asked by every commit before it takes a lock: whether it would go deeper than the service, or
/// the dispatcher whose callback this is, allows.
pub(crate) fn check(limit: u32) -> Result<(), TooDeep> {
    let level = level();
    if level.depth == 0 {
        return Ok(());
    }
    let limit = limit.min(level.limit);
    if level.depth > limit {
        let depth = level.depth;
        return Err(TooDeep { depth, limit });
    }
    set(Level {
        committed: true,
        ..level
    });
    Ok(())
}

/// A callback's turn in this thread; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    before: Level,
}

impl Turn {
    pub(crate) fn begin(depth: u32, limit: u32) -> Self {
        let before = level();
        set(Level {
            depth,
            limit,
            committed: false,
        });
        Self { before }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        set(self.before);
    }
}

/// Leaves a waker that may be used at once. Such a wake is part of the cascade if this turn made a
/// commit already, and otherwise was caused by somebody else, who must not make it look deeper.
pub(crate) fn rearm(leave: impl FnOnce()) {
    let inside = level();
    if inside.committed {
        leave();
    } else {
        let _outside = Turn::begin(0, u32::MAX);
        leave();
    }
}

// A thread that is ending and has no locals any more runs no callback.
#[cfg(not(loom))]
fn level() -> Level {
    LEVEL.try_with(Cell::get).unwrap_or(OUTSIDE)
}

#[cfg(not(loom))]
fn set(level: Level) {
    let _ = LEVEL.try_with(|current| current.set(level));
}

#[cfg(loom)]
fn level() -> Level {
    LEVEL.with(Cell::get)
}

#[cfg(loom)]
fn set(level: Level) {
    LEVEL.with(|current| current.set(level));
}
