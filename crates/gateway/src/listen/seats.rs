//! How many connections there may be, in all and from one address.
//!
//! A connection has a [`Seat`] from the moment in which it is accepted until its last part is gone,
//! the WebSocket that came out of it included. Where none is free it is closed at once, before it
//! costs more than that. All addresses are treated alike, loopback too; an IPv6 address counts by
//! its network of 64 bits. Behind a proxy everybody has one address, so that there the second limit
//! has to be as high as the first.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::access::network;
use crate::options::GatewayOptions;

/// Files that the process needs for other things than connections.
const FILES_RESERVED: u64 = 256;

/// The seats of a gateway; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Seats(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    all_max: usize,
    per_address_max: usize,
    taken: Mutex<Taken>,
    refused: AtomicU64,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// One seat; free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    seats: Seats,
    address: IpAddr,
}

impl Seats {
    pub(crate) fn new(all_max: usize, per_address_max: usize) -> Self {
        Self(Arc::new(Shared {
            all_max,
            per_address_max,
            taken: Mutex::default(),
            refused: AtomicU64::new(0),
        }))
    }

    /// A seat for a connection from this address; `None` when there are too many.
    pub(crate) fn take(&self, address: IpAddr) -> Option<Seat> {
        let address = network(address);
        let mut taken = self.0.taken.lock();
        let here = taken.by_address.get(&address).copied().unwrap_or(0);
        if taken.all >= self.0.all_max || here >= self.0.per_address_max {
            drop(taken);
            self.0.refused.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        taken.all += 1;
        taken.by_address.insert(address, here + 1);
        Some(Seat {
            seats: self.clone(),
            address,
        })
    }

    /// Connections at this moment.
    pub(crate) fn taken(&self) -> usize {
        self.0.taken.lock().all
    }

    /// Connections that were closed because there were too many.
    pub(crate) fn refused(&self) -> u64 {
        self.0.refused.load(Ordering::Relaxed)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.0.taken.lock();
        taken.all -= 1;
        if let Some(here) = taken.by_address.get_mut(&self.address) {
            *here -= 1;
            // Nobody is remembered who is gone.
            if *here == 0 {
                taken.by_address.remove(&self.address);
            }
        }
    }
}

/// So many connections as were asked for, or as the process may have files.
pub(crate) fn within_files(connections_max: usize) -> usize {
    let files = files_max().map(|files| files.saturating_sub(FILES_RESERVED).max(1));
    let files = files.map_or(usize::MAX, |files| {
        usize::try_from(files).unwrap_or(usize::MAX)
    });
    // Of the default it is no news that it is more than many systems allow.
    let is_asked_for = connections_max != GatewayOptions::default().connections_max;
    if files < connections_max && is_asked_for {
        tracing::warn!(
            "the process may open few files: {files} connections are taken at a time, not \
             {connections_max}; raise the limit (`ulimit -n`), or lower max_connections"
        );
    }
    connections_max.min(files)
}

#[cfg(unix)]
fn files_max() -> Option<u64> {
    rustix::process::getrlimit(rustix::process::Resource::Nofile).current
}

#[cfg(not(unix))]
fn files_max() -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn seats_are_limited_in_all_and_by_address_and_free_when_dropped() {
        let seats = Seats::new(3, 2);
        let [one, other, third] = ["10.0.0.1", "10.0.0.2", "10.0.0.3"].map(address);
        let held = [one, one, other].map(|address| seats.take(address).unwrap());
        assert!(seats.take(third).is_none(), "all are taken");
        drop(held);
        assert_eq!((seats.taken(), seats.refused()), (0, 1));
        let held = [one, one].map(|address| seats.take(address).unwrap());
        assert!(seats.take(one).is_none(), "this address has two");
        assert!(seats.take(other).is_some());
        assert_eq!((seats.taken(), seats.refused()), (2, 2));
        drop(held);
        assert!(seats.0.taken.lock().by_address.is_empty());
    }

    #[test]
    fn a_host_with_many_addresses_is_one() {
        let seats = Seats::new(100, 1);
        let held = seats.take(address("2001:db8::1"));
        assert!(held.is_some() && seats.take(address("2001:db8::2")).is_none());
        assert!(seats.take(address("2001:db8:0:1::1")).is_some());
        assert!(seats.take(address("::ffff:10.0.0.1")).is_some());
    }
}
