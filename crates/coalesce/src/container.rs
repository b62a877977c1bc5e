//! What a writer fills and a taker takes: a table, and credits for what may still be put in.
//!
//! Each handle has two, of which the hand-over of `buffer-core` gives one to the writer and the
//! other to the taker. A container that was taken has neither credits nor updates, so the writer's
//! next add goes to the [`hub`](crate::hub) first, which hands out both.

use crate::hash::Hash;
use crate::named::Named;
use crate::table::Table;
use crate::{Aggregate, Stamp};

pub(crate) struct Container<K, P> {
    pub(crate) table: Table<K, P>,
    pub(crate) account: Account,
    /// The handle that it belongs to.
    pub(crate) lane: usize,
}

/// What a container may still hold, and what happened in it since it was last taken.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Account {
    /// Updates that may still be put in, of the `granted` ones.
    pub(crate) credits: u64,
    pub(crate) granted: u64,
    /// Keys that may still get their first update, of the `charged` ones.
    pub(crate) key_credits: u64,
    pub(crate) charged: u64,
    /// Tickets for keys that were used.
    pub(crate) key_tickets: u64,
    /// Order of the last update.
    pub(crate) clock: u64,
    /// The take that its credits are from, or 0.
    pub(crate) epoch: u64,
    /// Whether these updates are beyond the number at which a flush is due.
    pub(crate) is_due: bool,
    pub(crate) invalid: u64,
    pub(crate) overflowed: u64,
}

/// A claim to put in one update, which no taker collects.
#[derive(Debug, Default)]
pub(crate) struct Ticket {
    pub(crate) has_update: bool,
    pub(crate) is_due: bool,
    pub(crate) clock: u64,
    pub(crate) key: KeyTicket,
    /// Whether the update goes to the overflow key instead of its own.
    pub(crate) is_overflow: bool,
}

/// A claim to make one key live.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyTicket {
    #[default]
    None,
    /// A place of its own.
    Paid,
    /// Its place is reserved.
    Reserved,
    /// The key is in the buffer already, if nothing was taken since this epoch.
    Known(u64),
}

/// How far an add came on the fast way.
pub(crate) enum Fast<U> {
    /// The update is in, and something has to be dropped.
    Done { displaced: Option<U>, is_due: bool },
    /// Something is lacking.
    Lacking(U),
}

/// How far an add came.
pub(crate) enum Step<U> {
    /// The update is in. What it left behind is dropped by whoever is outside of the container.
    Done { _displaced: Option<U>, is_due: bool },
    /// The container has no credit for an update.
    NeedsUpdate(U),
    /// The container has no credit for a key that gets its first update.
    NeedsKey(U),
    /// The key is not in the table, and has to be owned first.
    NeedsOwned(U),
}

impl<K, P> Container<K, P> {
    pub(crate) const fn new(lane: usize) -> Self {
        Self {
            table: Table::new(),
            account: Account::NONE,
            lane,
        }
    }

    /// Adds an update to a key that is in the table, if the container has the credits for it.
    ///
    /// If the aggregate panics, nothing is used up and nothing is counted.
    #[inline(always)]
    pub(crate) fn add_known<A, N>(
        &mut self,
        aggregate: &A,
        writer: u32,
        hash: Hash,
        named: &N,
        update: A::Update,
    ) -> Fast<A::Update>
    where
        A: Aggregate<Partial = P>,
        N: Named<K>,
    {
        let account = &mut self.account;
        if account.credits == 0 {
            return Fast::Lacking(update);
        }
        let stamp = Stamp::new(account.clock + 1, writer);
        let displaced = match self.table.find(hash, named) {
            Some(slot) if slot.is_live() => slot.absorb(aggregate, update, stamp),
            Some(slot) if account.key_credits > 0 => {
                slot.start(aggregate.start(update, stamp), 1);
                self.table.count_start();
                account.key_credits -= 1;
                None
            }
            _ => return Fast::Lacking(update),
        };
        account.clock += 1;
        account.credits -= 1;
        Fast::Done {
            displaced,
            is_due: account.is_due,
        }
    }

    /// Adds an update to any key, if the container has the credits for it or the ticket does; the
    /// key is taken out of `named` if it is new.
    ///
    /// If the aggregate panics, nothing is used up and nothing is counted.
    pub(crate) fn add<A, N>(
        &mut self,
        aggregate: &A,
        writer: u32,
        hash: Hash,
        named: &mut Option<N>,
        update: A::Update,
        ticket: &mut Ticket,
    ) -> Step<A::Update>
    where
        A: Aggregate<Partial = P>,
        N: Named<K>,
    {
        let account = &mut self.account;
        // Whoever calls keeps the key: it must not be dropped here, should the aggregate panic.
        let Some(key) = named.as_ref() else {
            return Step::NeedsOwned(update);
        };
        if account.credits == 0 && !ticket.has_update {
            return Step::NeedsUpdate(update);
        }
        account.clock = account.clock.max(ticket.clock);
        let stamp = Stamp::new(account.clock + 1, writer);
        let displaced = match self.table.find(hash, key) {
            Some(slot) if slot.is_live() => slot.absorb(aggregate, update, stamp),
            None if !N::OWNED => return Step::NeedsOwned(update),
            _ if !account.can_start(ticket) => return Step::NeedsKey(update),
            Some(slot) => {
                slot.start(aggregate.start(update, stamp), 1);
                self.table.count_start();
                account.pay_key(ticket);
                None
            }
            None => {
                let partial = aggregate.start(update, stamp);
                if let Some(key) = named.take() {
                    self.table.insert(hash, key.own(), partial, 1);
                }
                account.pay_key(ticket);
                None
            }
        };
        account.clock += 1;
        Step::Done {
            _displaced: displaced,
            is_due: account.pay_update(ticket),
        }
    }
}

impl Account {
    pub(crate) const NONE: Self = Self {
        credits: 0,
        granted: 0,
        key_credits: 0,
        charged: 0,
        key_tickets: 0,
        clock: 0,
        epoch: 0,
        is_due: false,
        invalid: 0,
        overflowed: 0,
    };

    /// Updates that were put in.
    pub(crate) fn accepted(&self) -> u64 {
        self.granted - self.credits
    }

    /// Makes a ticket of a credit, if the ticket needs one and there is one.
    pub(crate) fn issue(&mut self, ticket: &mut Ticket) {
        if !ticket.has_update && self.credits > 0 {
            self.credits -= 1;
            self.granted -= 1;
            ticket.has_update = true;
            ticket.is_due = self.is_due;
            ticket.clock = self.clock;
        }
    }

    /// Whether one more key may get its first update.
    fn can_start(&self, ticket: &Ticket) -> bool {
        match ticket.key {
            KeyTicket::Paid | KeyTicket::Reserved => true,
            KeyTicket::Known(epoch) if self.epoch == epoch => true,
            KeyTicket::Known(_) | KeyTicket::None => self.key_credits > 0,
        }
    }

    fn pay_key(&mut self, ticket: &mut Ticket) {
        match std::mem::take(&mut ticket.key) {
            KeyTicket::Paid => {
                self.charged += 1;
                self.key_tickets += 1;
            }
            KeyTicket::Reserved => {}
            KeyTicket::Known(epoch) if self.epoch == epoch => {}
            KeyTicket::Known(_) | KeyTicket::None => self.key_credits -= 1,
        }
    }

    /// Says whether a flush is due.
    fn pay_update(&mut self, ticket: &mut Ticket) -> bool {
        self.overflowed += u64::from(std::mem::take(&mut ticket.is_overflow));
        if std::mem::take(&mut ticket.has_update) {
            self.granted += 1;
            return ticket.is_due;
        }
        self.credits -= 1;
        self.is_due
    }
}
