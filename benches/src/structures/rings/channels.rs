//! Bounded channels as lossless peers: the receiver waits for one item and then takes what is
//! there, in the quickest way that each offers.

use super::CAPACITY;
use super::lossless::{Lossless, Offer, Receive};
use crate::structures::item::{InOrder, Item};

/// Fails loudly: the receiver outlives the senders in every run.
const ALIVE: &str = "the receiver lives until all senders are gone";

/// A channel that is received from item by item.
macro_rules! channel {
    ($name:ident, $sender:ty, $receiver:ty, $open:expr) => {
        pub(super) struct $name;

        impl Lossless for $name {
            type Sender = $sender;
            type Receiver = $receiver;

            fn open(capacity: usize, senders: usize) -> (Vec<$sender>, $receiver) {
                let (sender, receiver) = $open(capacity);
                (vec![sender; senders], receiver)
            }
        }

        impl Offer for $sender {
            #[inline(always)]
            fn offer(&mut self, item: Item) {
                self.send(item).expect(ALIVE);
            }
        }

        impl Receive for $receiver {
            fn receive(&mut self, seen: &mut InOrder) -> bool {
                let Ok(item) = self.recv() else { return false };
                seen.see(&item);
                for _ in 1..CAPACITY {
                    let Ok(item) = self.try_recv() else {
                        return true;
                    };
                    seen.see(&item);
                }
                true
            }
        }
    };
}

channel!(
    StdChannel,
    std::sync::mpsc::SyncSender<Item>,
    std::sync::mpsc::Receiver<Item>,
    std::sync::mpsc::sync_channel
);
channel!(
    Crossbeam,
    crossbeam_channel::Sender<Item>,
    crossbeam_channel::Receiver<Item>,
    crossbeam_channel::bounded
);
channel!(
    Crossfire,
    crossfire::MTx<crossfire::mpsc::Array<Item>>,
    crossfire::Rx<crossfire::mpsc::Array<Item>>,
    crossfire::mpsc::bounded_blocking
);

pub(super) struct Flume;

impl Lossless for Flume {
    type Sender = flume::Sender<Item>;
    type Receiver = flume::Receiver<Item>;

    fn open(capacity: usize, senders: usize) -> (Vec<Self::Sender>, Self::Receiver) {
        let (sender, receiver) = flume::bounded(capacity);
        (vec![sender; senders], receiver)
    }
}

impl Offer for flume::Sender<Item> {
    #[inline(always)]
    fn offer(&mut self, item: Item) {
        self.send(item).expect(ALIVE);
    }
}

impl Receive for flume::Receiver<Item> {
    fn receive(&mut self, seen: &mut InOrder) -> bool {
        let Ok(item) = self.recv() else { return false };
        seen.see(&item);
        // One lock for all.
        for item in self.drain() {
            seen.see(&item);
        }
        true
    }
}

pub(super) struct Kanal;

impl Lossless for Kanal {
    type Sender = kanal::Sender<Item>;
    type Receiver = (kanal::Receiver<Item>, Vec<Item>);

    fn open(capacity: usize, senders: usize) -> (Vec<Self::Sender>, Self::Receiver) {
        let (sender, receiver) = kanal::bounded(capacity);
        (vec![sender; senders], (receiver, Vec::new()))
    }
}

impl Offer for kanal::Sender<Item> {
    #[inline(always)]
    fn offer(&mut self, item: Item) {
        self.send(item).expect(ALIVE);
    }
}

impl Receive for (kanal::Receiver<Item>, Vec<Item>) {
    fn receive(&mut self, seen: &mut InOrder) -> bool {
        let (receiver, batch) = self;
        let Ok(item) = receiver.recv() else {
            return false;
        };
        seen.see(&item);
        // It takes what is there whether or not the channel has ended meanwhile.
        if receiver.drain_into(batch).is_ok() {
            for item in batch.drain(..) {
                seen.see(&item);
            }
        }
        true
    }
}

pub(super) struct Tokio;

impl Lossless for Tokio {
    type Sender = tokio::sync::mpsc::Sender<Item>;
    type Receiver = (tokio::sync::mpsc::Receiver<Item>, Vec<Item>);

    fn open(capacity: usize, senders: usize) -> (Vec<Self::Sender>, Self::Receiver) {
        let (sender, receiver) = tokio::sync::mpsc::channel(capacity);
        (vec![sender; senders], (receiver, Vec::new()))
    }
}

impl Offer for tokio::sync::mpsc::Sender<Item> {
    #[inline(always)]
    fn offer(&mut self, item: Item) {
        self.blocking_send(item).expect(ALIVE);
    }
}

impl Receive for (tokio::sync::mpsc::Receiver<Item>, Vec<Item>) {
    fn receive(&mut self, seen: &mut InOrder) -> bool {
        let (receiver, batch) = self;
        let received = receiver.blocking_recv_many(batch, CAPACITY);
        for item in batch.drain(..) {
            seen.see(&item);
        }
        received > 0
    }
}
