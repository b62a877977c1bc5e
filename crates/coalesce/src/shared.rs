//! The inside of a coalescer: how an add gets on when its handle lacks something.
//!
//! The fast way is `Lane::add_known`. What it lacks is asked for at the [`hub`](crate::hub), and
//! then the add is tried again with a ticket that nobody collects. Owning and dropping keys and
//! values run outside every lock, while unwinding too, but for what a panicking aggregate drops
//! itself. The aggregate and the comparison of keys run in the handle's own container, which a take
//! waits for; where [`merge`](crate::merge) works under the hub's lock, so do hashing and cloning.

use std::hash::{BuildHasher, Hash as Hashed};

use crate::container::{Fast, KeyTicket, Step, Ticket};
use crate::credits::{Asking, Caps, KeyRoom};
use crate::hash::Hash;
use crate::hub::Hub;
use crate::lane::{OnLane, OpenLane, SharedLane};
use crate::named::{Bound, Named, Own};
use crate::sync::{AtomicU64, Mutex, thread_number, yield_now};
use crate::{
    AddError, AddResult, Added, Aggregate, Builder, InvalidUpdate, TakeReason, WhenFull,
    WhenKeysFull,
};

#[cfg(not(loom))]
const SHARED_LANES: usize = 16;
#[cfg(loom)]
const SHARED_LANES: usize = 1;

pub(crate) struct Shared<K, A: Aggregate, S> {
    pub(crate) aggregate: A,
    hasher: S,
    pub(crate) updates_max: Option<u64>,
    when_full: WhenFull,
    keys_max: Option<u64>,
    pub(crate) keys_full: KeysFull<K>,
    pub(crate) caps: Caps,
    pub(crate) hub: Mutex<Hub<K, A::Partial>>,
    shared_lanes: Box<[SharedLane<K, A::Partial>]>,
    /// Order of the last update on any of them.
    shared_clock: AtomicU64,
}

pub(crate) enum KeysFull<K> {
    Reject,
    FlushNow,
    Overflow { hash: Hash, key: K },
}

/// An update that waits for what its handle lacks.
struct Claims<'a, K, A: Aggregate, S> {
    shared: &'a Shared<K, A, S>,
    lane: usize,
    ticket: Ticket,
}

impl<K, A, S> Shared<K, A, S>
where
    K: Hashed + Eq + Clone,
    A: Aggregate,
    S: BuildHasher,
{
    pub(crate) fn new(settings: Builder<K, A, S>) -> Self {
        let flush_at = settings.flush_at_effective();
        let (keys_full, reserved) = match settings.when_keys_full {
            WhenKeysFull::Reject => (KeysFull::Reject, 0),
            WhenKeysFull::FlushNow => (KeysFull::FlushNow, 0),
            WhenKeysFull::OverflowKey(key) => {
                let hash = Hash::new(settings.hasher.hash_one(&key));
                (KeysFull::Overflow { hash, key }, 1)
            }
        };
        let caps = Caps {
            updates_max: settings.updates_max,
            keys_max: settings.keys_max.map(|max| max - reserved),
            flush_at,
            has_overflow_key: reserved > 0,
        };
        Self {
            aggregate: settings.aggregate,
            hasher: settings.hasher,
            updates_max: settings.updates_max,
            when_full: settings.when_full,
            keys_max: settings.keys_max,
            keys_full,
            caps,
            hub: Mutex::new(Hub::new()),
            shared_lanes: (0..SHARED_LANES).map(|_| SharedLane::new()).collect(),
            shared_clock: AtomicU64::new(0),
        }
    }

    #[inline(always)]
    pub(crate) fn hash<Q: Hashed + ?Sized>(&self, key: &Q) -> Hash {
        Hash::new(self.hasher.hash_one(key))
    }

    /// The lane of a thread that has no handle.
    pub(crate) fn open_lane(&self) -> OpenLane<'_, K, A::Partial> {
        let lane = &self.shared_lanes[thread_number() % SHARED_LANES];
        lane.open(&self.hub, &self.shared_clock)
    }

    /// Adds an update on the way that costs least if nothing is lacking.
    #[inline(always)]
    pub(crate) fn add<L, N>(
        &self,
        lane: &L,
        hash: Hash,
        named: N,
        update: A::Update,
    ) -> AddResult<K, A>
    where
        L: OnLane<K, A::Partial>,
        N: Named<K>,
    {
        if let Err(cause) = self.aggregate.check(&update) {
            return Err(self.refuse_invalid(lane, named, update, cause));
        }
        // What is left of key and update is dropped here, after unlocking.
        match lane.add_known(&self.aggregate, hash, &named, update) {
            Fast::Done { is_due, .. } => Ok(added(is_due)),
            Fast::Lacking(update) => self.add_lacking(lane, hash, named, update),
        }
    }

    #[cold]
    #[inline(never)]
    fn add_lacking<L, N>(
        &self,
        lane: &L,
        hash: Hash,
        named: N,
        update: A::Update,
    ) -> AddResult<K, A>
    where
        L: OnLane<K, A::Partial>,
        N: Named<K>,
    {
        let mut claims = self.claims(lane);
        let mut named = Some(named);
        let step = self.try_with(lane, hash, &mut named, update, &mut claims.ticket);
        self.add_slowly(lane, hash, named, step, claims)
    }

    #[cold]
    #[inline(never)]
    fn refuse_invalid<L, N>(
        &self,
        lane: &L,
        named: N,
        update: A::Update,
        cause: InvalidUpdate,
    ) -> AddError<K, A::Update>
    where
        L: OnLane<K, A::Partial>,
        N: Named<K>,
    {
        lane.write(|_, container| container.account.invalid += 1);
        let key = named.own();
        AddError::Invalid { key, update, cause }
    }

    /// Gets what is lacking, and adds, until nothing is.
    #[inline(never)]
    fn add_slowly<L, N>(
        &self,
        lane: &L,
        hash: Hash,
        mut named: Option<N>,
        mut step: Step<A::Update>,
        mut claims: Claims<'_, K, A, S>,
    ) -> AddResult<K, A>
    where
        L: OnLane<K, A::Partial>,
        N: Named<K>,
    {
        loop {
            // Only an update that is in took its key.
            let (update, key) = match (step, named.take()) {
                (Step::Done { is_due, .. }, _) => return Ok(added(is_due)),
                (Step::NeedsUpdate(update), Some(key)) => {
                    if !self.claim_update(lane, &mut claims.ticket) {
                        drop(claims);
                        return self.beyond_updates(hash, key.own(), update);
                    }
                    (update, key)
                }
                (Step::NeedsKey(update), Some(key)) => {
                    let ticket = self.claim_key(lane, hash, &key);
                    if ticket == KeyTicket::None {
                        return self.beyond_keys(lane, hash, key.own(), update, claims);
                    }
                    claims.ticket.key = ticket;
                    (update, key)
                }
                (Step::NeedsOwned(update), Some(key)) => {
                    let mut own = Some(Own(key.own()));
                    let step = self.try_with(lane, hash, &mut own, update, &mut claims.ticket);
                    return self.add_slowly(lane, hash, own, step, claims);
                }
                (_, None) => unreachable!("an update that is not in has its key"),
            };
            named = Some(key);
            step = self.try_with(lane, hash, &mut named, update, &mut claims.ticket);
        }
    }

    fn try_with<L, N>(
        &self,
        lane: &L,
        hash: Hash,
        named: &mut Option<N>,
        update: A::Update,
        ticket: &mut Ticket,
    ) -> Step<A::Update>
    where
        L: OnLane<K, A::Partial>,
        N: Named<K>,
    {
        lane.write(|lane, container| {
            let writer = lane.number as u32;
            let step = container.add(&self.aggregate, writer, hash, named, update, ticket);
            if let Step::Done { .. } = step {
                lane.count(1);
            }
            step
        })
    }

    /// Gets a credit for the update at hand, and a chunk for those that follow.
    fn claim_update<L: OnLane<K, A::Partial>>(&self, lane: &L, ticket: &mut Ticket) -> bool {
        let number = lane.number();
        let mut hub = self.hub.lock();
        let Some(grant) = hub.grant(&self.caps, asking(lane)) else {
            hub.held.counts.updates_full += u64::from(self.when_full == WhenFull::Reject);
            return false;
        };
        let (clock, epoch) = (hub.held.clock, hub.held.epoch);
        let spare = hub.held.spare(number);
        // A taker would need the hub's lock, so nothing comes between the grant and this.
        let (order, unused) = lane.write(|_, container| {
            let account = &mut container.account;
            account.credits += grant.chunk;
            account.granted += grant.chunk;
            account.is_due = grant.is_due;
            account.epoch = epoch;
            account.clock = account.clock.max(clock);
            let order = account.clock;
            match spare {
                Some(table) if !container.table.is_allocated() => {
                    container.table = table;
                    (order, None)
                }
                unused => (order, unused),
            }
        });
        if let Some(unused) = unused {
            // It is pushed back where it was popped.
            drop(hub.held.give_back(Some(number), unused));
        }
        hub.held.clock = order;
        drop(hub);
        ticket.has_update = true;
        ticket.is_due = grant.is_due;
        ticket.clock = order;
        true
    }

    /// Gets a place for a key that is to get its first update in this handle.
    fn claim_key<L, N>(&self, lane: &L, hash: Hash, named: &N) -> KeyTicket
    where
        L: OnLane<K, A::Partial>,
        N: Named<K>,
    {
        if let KeysFull::Overflow { hash: of, key } = &self.keys_full
            && *of == hash
            && named.is(key)
        {
            return KeyTicket::Reserved;
        }
        let number = lane.number();
        loop {
            let mut hub = self.hub.lock();
            let room = hub.held.key_room(&self.caps, asking(lane));
            if let KeyRoom::Chunk(chunk) = room {
                hub.held.charge(number, chunk);
                lane.write(|_, container| {
                    container.account.key_credits += chunk;
                    container.account.charged += chunk;
                });
                return KeyTicket::Paid;
            }
            if hub.held.central.table.find(hash, named).is_some() {
                let epoch = hub.held.epoch;
                lane.write(|_, container| container.account.epoch = epoch);
                return KeyTicket::Known(epoch);
            }
            match room {
                KeyRoom::Full => {
                    let is_refused = matches!(self.keys_full, KeysFull::Reject);
                    hub.held.counts.keys_full += u64::from(is_refused);
                    return KeyTicket::None;
                }
                KeyRoom::Unmerged => {
                    hub.park_all();
                    let is_merged = hub.held.parked.is_empty();
                    drop(hub);
                    if is_merged {
                        // Another add has the last place, and did not get to its table yet.
                        yield_now();
                    }
                    self.merge_parked(0);
                }
                KeyRoom::Last | KeyRoom::Chunk(_) => {
                    hub.held.charge(number, 0);
                    return KeyTicket::Paid;
                }
            }
        }
    }

    fn beyond_updates(&self, hash: Hash, key: K, update: A::Update) -> AddResult<K, A> {
        match self.when_full {
            WhenFull::Reject => Err(AddError::UpdatesFull {
                key,
                update,
                updates_max: self.updates_max.unwrap_or(u64::MAX),
            }),
            WhenFull::FlushNow => self.flush_with(hash, key, update),
        }
    }

    fn beyond_keys<L: OnLane<K, A::Partial>>(
        &self,
        lane: &L,
        hash: Hash,
        key: K,
        update: A::Update,
        mut claims: Claims<'_, K, A, S>,
    ) -> AddResult<K, A> {
        match &self.keys_full {
            KeysFull::Reject => Err(AddError::KeysFull {
                key,
                update,
                keys_max: self.keys_max.unwrap_or(u64::MAX),
            }),
            KeysFull::FlushNow => {
                drop(claims);
                self.flush_with(hash, key, update)
            }
            KeysFull::Overflow {
                hash: of,
                key: other,
            } => {
                // So that nothing can be lacking under the other key: a take may have come between.
                let ticket = &mut claims.ticket;
                lane.write(|_, container| container.account.issue(ticket));
                if !ticket.has_update && !self.claim_update(lane, ticket) {
                    drop(claims);
                    return self.beyond_updates(hash, key, update);
                }
                ticket.is_overflow = true;
                ticket.key = KeyTicket::Reserved;
                let mut named = Some(Bound(other));
                let step = self.try_with(lane, *of, &mut named, update, ticket);
                self.add_slowly(lane, *of, named, step, claims)
            }
        }
    }

    /// Takes everything out, this update with it, which needs no room.
    fn flush_with(&self, hash: Hash, key: K, update: A::Update) -> AddResult<K, A> {
        let flushed = self.take_with(TakeReason::Capacity, Some((hash, key, update)));
        Ok(Added::Flushed(flushed))
    }

    fn claims<L: OnLane<K, A::Partial>>(&self, lane: &L) -> Claims<'_, K, A, S> {
        Claims {
            shared: self,
            lane: lane.number(),
            ticket: Ticket::default(),
        }
    }
}

impl<K, A: Aggregate, S> Drop for Claims<'_, K, A, S> {
    /// Gives back what the update did not need, or could not use.
    fn drop(&mut self) {
        let is_paid = self.ticket.key == KeyTicket::Paid;
        if self.ticket.has_update || is_paid {
            let mut hub = self.shared.hub.lock();
            hub.held.used -= u64::from(self.ticket.has_update);
            if is_paid {
                hub.held.discharge(self.lane);
            }
        }
    }
}

fn asking<K, P, L: OnLane<K, P>>(lane: &L) -> Asking {
    if L::IS_SHARED {
        Asking::Shared(lane.number())
    } else {
        Asking::Own(lane.number())
    }
}

fn added<K, P>(is_due: bool) -> Added<K, P> {
    if is_due {
        Added::FlushDue
    } else {
        Added::Buffered
    }
}
