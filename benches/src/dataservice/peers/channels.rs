//! A channel per key, which knows the newest value alone, and one channel for all keys. None of
//! them knows transactions.

use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::{broadcast, watch};

use crate::dataservice::every_update::{EveryUpdate, See, Update};
use crate::dataservice::store::{Snapshots, Store, TakeSnapshot, Write};

/// A `watch` per key; the key is the place in the list.
pub(crate) struct WatchPerKey(Vec<watch::Sender<(i64, f64)>>);

impl Store for WatchPerKey {
    type Writer<'a> = &'a Self;

    fn new(keys: u32, _depth: usize) -> Self {
        Self((0..keys).map(|_| watch::Sender::new((0, 0.0))).collect())
    }

    fn writer(&self) -> &Self {
        self
    }

    fn newest(&self, key: u32) -> Option<f64> {
        self.0.get(key as usize).map(|sender| sender.borrow().1)
    }
}

impl Write for &WatchPerKey {
    #[inline(always)]
    fn put(&mut self, key: u32, time_us: i64, value: f64) {
        self.0[key as usize].send_replace((time_us, value));
    }

    fn commit(&mut self) {}
}

/// Receivers of some keys.
pub(crate) struct WatchReader(Vec<(u32, watch::Receiver<(i64, f64)>)>);

impl Snapshots for WatchPerKey {
    type Reader<'a> = WatchReader;

    fn reader(&self, keys: &[u32]) -> WatchReader {
        let receiver = |key: &u32| (*key, self.0[*key as usize].subscribe());
        WatchReader(keys.iter().map(receiver).collect())
    }
}

impl TakeSnapshot for WatchReader {
    fn take(&mut self, mut look: impl FnMut(u32, f64)) {
        for (key, receiver) in &mut self.0 {
            look(*key, receiver.borrow_and_update().1);
        }
    }
}

/// Updates that a receiver may lag behind before it loses some.
const CAPACITY: usize = 65_536;

/// A `broadcast` of all keys. Who lags loses updates: it cannot hold a sender up.
pub(crate) struct Broadcast(broadcast::Sender<Update>);

/// It sends at once: the writer is to be dropped before readers can end.
pub(crate) struct BroadcastWriter(broadcast::Sender<Update>);

pub(crate) struct BroadcastReader(Option<broadcast::Receiver<Update>>);

impl EveryUpdate for Broadcast {
    type Writer<'a> = BroadcastWriter;
    type Reader = BroadcastReader;

    fn new(_keys: u32, readers: usize) -> (Self, Vec<BroadcastReader>) {
        let (sender, receiver) = broadcast::channel(CAPACITY);
        let reader = |_| BroadcastReader(Some(receiver.resubscribe()));
        let readers = (0..readers).map(reader).collect();
        (Self(sender), readers)
    }

    fn writer(&self) -> BroadcastWriter {
        BroadcastWriter(self.0.clone())
    }
}

impl Write for BroadcastWriter {
    #[inline(always)]
    fn put(&mut self, key: u32, time_us: i64, value: f64) {
        // It fails when no receiver is left, and then nobody has to be told.
        let _ = self.0.send((key, time_us, value));
    }

    fn commit(&mut self) {}
}

impl Drop for BroadcastWriter {
    fn drop(&mut self) {
        let _ = self.0.send((u32::MAX, 0, 0.0));
    }
}

impl See for BroadcastReader {
    fn see(&mut self, mut each: impl FnMut(Update)) -> bool {
        let Some(receiver) = &mut self.0 else {
            return false;
        };
        let update = match receiver.try_recv() {
            Ok(update) => Ok(update),
            Err(TryRecvError::Empty) => receiver.blocking_recv(),
            Err(TryRecvError::Lagged(_)) => return true,
            Err(TryRecvError::Closed) => Err(RecvError::Closed),
        };
        match update {
            Ok(update) if update.0 != u32::MAX => each(update),
            Err(RecvError::Lagged(_)) => {}
            Ok(_) | Err(RecvError::Closed) => self.0 = None,
        }
        true
    }
}
