//! The hand-over: each writer fills a container of its own, and a taker swaps it for another.
//!
//! A [`Slot`] is a writer's side: two containers, of which a phase says which one is written. A
//! write announces itself, reads the phase, and changes that container; no other thread's cache
//! line is written, and no atomic read-modify-write is made. [`Slots`] is the taker's side: it
//! flips the phase of every slot that was written, waits for the write that is in flight, if there
//! is one, and then owns what had been filled, while writers go on with the other container.
//!
//! - **Exact**: everything written before [`Slots::take`] began is taken, and nothing twice.
//! - **Cheap for writers**: two plain stores and a load; the taker pays, with one barrier for all
//!   slots ([`Barrier`]).
//! - **Not wait-free for the taker**: it waits for a write in flight, so writes have to be short, a
//!   take inside a write of the same thread waits for ever, and so does a forked child whose parent
//!   was in a write.
//!
//! [`Ring`](crate::Ring) hands over stripes of items this way; a keyed aggregation hands over
//! tables. There is no lock inside: whoever takes has `&mut Slots`, and locks it if it is shared.

mod barrier;
mod slot;
mod slots;

pub use barrier::Barrier;
pub use slot::{Slot, Write};
pub use slots::Slots;
