//! The usual record by itself: it goes to one lane, which has room, and nobody waits for just this
//! one. Everything else is `accept`'s, which does the same for such a record in more steps.

use std::time::Instant;

use record::Record;
use sinks::Entry;

use super::{Inner, State};

impl Inner {
    /// Takes a record if that is all there is to do. It comes back otherwise, and nothing has
    /// happened. A pipeline that shows its records takes none in this way.
    pub(super) fn accept_plainly(&self, now: Instant, record: Record) -> Result<(), Record> {
        if self.live.is_some() {
            return Err(record);
        }
        let mut guard = self.state.lock();
        let State { targets, keys, .. } = &mut *guard;
        let route = match targets.is_single {
            true => 0,
            false => match keys.only_route(&record) {
                Some(route) => route,
                None => return Err(record),
            },
        };
        let target = targets.of(route, record.priority);
        let target = &mut targets.all[target];
        let position = target.watermark.place(target.last).next();
        let row = Entry {
            scope: target.scope,
            position,
            arrival: now,
            content: Ok(record),
        };
        match target.queue.buffer.push_plainly(row) {
            Ok(()) => {
                target.last = position;
                Ok(())
            }
            Err(row) => {
                drop(guard);
                Err(row.content.expect("it was a record"))
            }
        }
    }
}
