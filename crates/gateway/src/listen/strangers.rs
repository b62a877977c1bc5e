//! Sockets that have not said yet who they are.
//!
//! They take no place of those that have. There is only so much room for them, in all and of one
//! address, and whoever comes always gets in: the oldest goes for it, of the same address when that
//! has too many, else of the address that has the most. So one that says at once who it is gets
//! through, however many others never do. An IPv6 address counts by its network of 64 bits.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;

use crate::access::network;

/// The room for strangers; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Strangers(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    all_max: usize,
    per_address_max: usize,
    here: Mutex<Here>,
}

#[derive(Debug, Default)]
struct Here {
    next: u64,
    /// The oldest first.
    all: Vec<One>,
}

#[derive(Debug)]
struct One {
    id: u64,
    address: IpAddr,
    /// Dropped when it has to go.
    _stays: oneshot::Sender<()>,
}

/// A place of one stranger; free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Stranger {
    strangers: Strangers,
    id: u64,
    stays: oneshot::Receiver<()>,
}

impl Strangers {
    pub(crate) fn new(all_max: usize, per_address_max: usize) -> Self {
        Self(Arc::new(Shared {
            all_max,
            per_address_max,
            here: Mutex::default(),
        }))
    }

    /// A place for somebody from this address, for which somebody else may have to go.
    pub(crate) fn take(&self, address: IpAddr) -> Stranger {
        let address = network(address);
        let (stays, told) = oneshot::channel();
        let mut here = self.0.here.lock();
        let gone = here.make_room(address, &self.0);
        let id = here.next;
        here.next += 1;
        here.all.push(One {
            id,
            address,
            _stays: stays,
        });
        drop(here);
        // Whom it wakes is not woken under the lock.
        drop(gone);
        Stranger {
            strangers: self.clone(),
            id,
            stays: told,
        }
    }
}

impl Here {
    /// Who has to go for one of this address.
    fn make_room(&mut self, address: IpAddr, limits: &Shared) -> Option<One> {
        let mut by_address: HashMap<IpAddr, usize> = HashMap::new();
        for one in &self.all {
            *by_address.entry(one.address).or_default() += 1;
        }
        let from = if by_address.get(&address).copied().unwrap_or(0) >= limits.per_address_max {
            address
        } else if self.all.len() >= limits.all_max {
            by_address.into_iter().max_by_key(|(_, count)| *count)?.0
        } else {
            return None;
        };
        let oldest = self.all.iter().position(|one| one.address == from)?;
        Some(self.all.remove(oldest))
    }
}

impl Stranger {
    /// Whether it has to go.
    pub(crate) fn has_to_go(&mut self) -> bool {
        self.stays.try_recv() == Err(TryRecvError::Closed)
    }

    /// Comes when it has to go.
    pub(crate) async fn goes(&mut self) {
        // Nothing is ever sent.
        let _ = (&mut self.stays).await;
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let mut here = self.strangers.0.here.lock();
        let at = here.all.iter().position(|one| one.id == self.id);
        let one = at.map(|at| here.all.remove(at));
        drop(here);
        drop(one);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_comes_gets_in_and_the_oldest_of_those_who_have_most_goes() {
        let strangers = Strangers::new(4, 3);
        let [many, one, new] = ["10.0.0.1", "10.0.0.2", "10.0.0.3"].map(|it| it.parse().unwrap());
        let mut first = strangers.take(one);
        let mut held = [(); 3].map(|()| strangers.take(many));
        assert!(!held.iter_mut().any(Stranger::has_to_go));
        // The address has three already.
        let mut fourth = strangers.take(many);
        assert!(held[0].has_to_go() && !held[1].has_to_go() && !first.has_to_go());
        // All places are taken.
        let mut newcomer = strangers.take(new);
        assert!(held[1].has_to_go() && !held[2].has_to_go());
        assert!(
            ![&mut first, &mut fourth, &mut newcomer]
                .map(Stranger::has_to_go)
                .contains(&true)
        );
        drop(fourth);
        let next = strangers.take(new);
        assert!(!held[2].has_to_go() && !first.has_to_go() && !newcomer.has_to_go());
        drop((first, held, newcomer, next));
        assert!(strangers.0.here.lock().all.is_empty());
    }
}
