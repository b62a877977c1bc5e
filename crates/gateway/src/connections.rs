//! Who is connected, for administrators.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::Notify;

/// What is known of a connection.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ConnectionStats {
    /// Its number, as in `welcome`.
    pub connection_id: u64,
    /// Whose it is: the name of the token, or `anonymous`.
    pub name: String,
    /// From where.
    pub address: String,
    /// `json` or `msgpack`.
    pub encoding: &'static str,
    /// Seconds since it was made.
    pub connected_s: f64,
    /// Subscriptions it has.
    pub subscriptions: usize,
    /// Commits that it has not been sent, of the subscription that is furthest behind.
    pub lag: u64,
    /// Frames that it was not sent, since a later one had the newest values.
    pub conflated: u64,
    /// Updates that subscriptions to every one of them did not get.
    pub missed: u64,
    /// Frames sent.
    pub frames: u64,
    /// Bytes sent.
    pub bytes: u64,
    /// Seconds for which it has taken nothing though there was something.
    pub blocked_s: f64,
}

/// All connections, by number.
#[derive(Default)]
pub(crate) struct Connections(Mutex<BTreeMap<u64, Arc<dyn Connected>>>);

/// A connection, as administrators see it.
pub(crate) trait Connected: Send + Sync {
    /// What is known of it now.
    fn stats(&self) -> ConnectionStats;
    /// Told when it shall end.
    fn end(&self) -> &Notify;
}

impl Connections {
    pub(crate) fn enter(&self, id: u64, connection: Arc<dyn Connected>) {
        self.0.lock().insert(id, connection);
    }

    pub(crate) fn leave(&self, id: u64) {
        let left = self.0.lock().remove(&id);
        // Not under the lock.
        drop(left);
    }

    /// All of them, by number.
    pub(crate) fn list(&self) -> Vec<ConnectionStats> {
        let all: Vec<_> = self.0.lock().values().cloned().collect();
        all.iter().map(|connection| connection.stats()).collect()
    }

    /// Ends one; whether there is such a number.
    pub(crate) fn disconnect(&self, id: u64) -> bool {
        let connection = self.0.lock().get(&id).cloned();
        match connection {
            Some(connection) => {
                connection.end().notify_one();
                true
            }
            None => false,
        }
    }
}
