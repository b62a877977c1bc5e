//! Posts that may come twice: what a key was answered is remembered a while, and answered again.
//!
//! A key belongs to whoever sent it. While the first post with it is under way, another is told so;
//! after it, the same body is answered as before, and another body is a mistake. Only what took
//! records is remembered: a post that took nothing may simply be made again under its key.
//!
//! Everything is in memory and bounded. When there is no more room, posts with new keys are
//! refused: forgetting a key early would break the promise that nothing is taken twice. A restart
//! forgets all.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::error::Told;

/// How long an answer is remembered.
pub(crate) const REMEMBERED: Duration = Duration::from_secs(600);
/// Bytes that a key may have.
pub(crate) const KEY_BYTES_MAX: usize = 255;
/// Keys that are remembered or under way.
const KEYS_MAX: usize = 65_536;
/// Bytes of the answers that are remembered; beyond it no post with a key is begun.
const BYTES_MAX: usize = 32 << 20;

/// The keys of a gateway.
#[derive(Debug)]
pub(crate) struct Keys {
    table: Mutex<Table>,
    prints: RandomState,
    keys_max: usize,
}

/// Who sent a key, and the key.
type Owned = (Arc<str>, Arc<[u8]>);

#[derive(Debug, Default)]
struct Table {
    entries: HashMap<Owned, Entry>,
    /// Those that are answered, the oldest first.
    answered: VecDeque<(Instant, Owned)>,
    bytes: usize,
}

#[derive(Debug)]
enum Entry {
    UnderWay,
    Answered(Answered),
}

/// What a post with a key was answered.
#[derive(Clone, Debug)]
pub(crate) struct Answered {
    print: u64,
    pub(crate) told: Told,
}

/// What becomes of a post with a key.
#[derive(Debug)]
pub(crate) enum Begun {
    /// It is the first one.
    First(Attempt),
    /// It was answered already.
    Again(Answered),
    /// The first one is under way.
    UnderWay,
    /// There is no room before so many seconds.
    Full(u32),
}

impl Default for Keys {
    fn default() -> Self {
        Self::with_room(KEYS_MAX)
    }
}

impl Keys {
    fn with_room(keys_max: usize) -> Self {
        Self {
            table: Mutex::default(),
            prints: RandomState::new(),
            keys_max,
        }
    }

    /// Looks a key up, and takes it when it is new.
    pub(crate) fn begin(self: &Arc<Self>, now: Instant, owner: &Arc<str>, key: &[u8]) -> Begun {
        let owned: Owned = (Arc::clone(owner), key.into());
        let mut table = self.table.lock();
        table.forget_old(now);
        match table.entries.get(&owned) {
            Some(Entry::UnderWay) => return Begun::UnderWay,
            Some(Entry::Answered(answered)) => return Begun::Again(answered.clone()),
            None => {}
        }
        if table.entries.len() >= self.keys_max || table.bytes >= BYTES_MAX {
            return Begun::Full(table.room_in_s(now));
        }
        table.entries.insert(owned.clone(), Entry::UnderWay);
        Begun::First(Attempt {
            keys: Arc::clone(self),
            owned: Some(owned),
        })
    }

    /// Whether a body is the one that was answered so.
    pub(crate) fn is_same(&self, answered: &Answered, body: &[u8]) -> bool {
        answered.print == self.prints.hash_one(body)
    }
}

impl Table {
    fn forget_old(&mut self, now: Instant) {
        while let Some((at, _)) = self.answered.front()
            && now.saturating_duration_since(*at) >= REMEMBERED
        {
            let Some((_, owned)) = self.answered.pop_front() else {
                return;
            };
            if let Some(Entry::Answered(answered)) = self.entries.remove(&owned) {
                self.bytes -= weight(&owned, &answered.told);
            }
        }
    }

    /// In how many seconds the oldest answer is forgotten.
    fn room_in_s(&self, now: Instant) -> u32 {
        let oldest = self.answered.front();
        let age = oldest.map_or(REMEMBERED, |(at, _)| now.saturating_duration_since(*at));
        u32::try_from(REMEMBERED.saturating_sub(age).as_secs()).unwrap_or(u32::MAX) + 1
    }
}

fn weight(owned: &Owned, told: &Told) -> usize {
    owned.0.len() + owned.1.len() + told.bytes()
}

/// A post that is under way. Dropped without an answer, its key is free again.
#[derive(Debug)]
pub(crate) struct Attempt {
    keys: Arc<Keys>,
    /// Taken when it is answered.
    owned: Option<Owned>,
}

impl Attempt {
    /// Remembers what this body was answered.
    pub(crate) fn answered(mut self, now: Instant, body: &[u8], told: Told) {
        let Some(owned) = self.owned.take() else {
            return;
        };
        let print = self.keys.prints.hash_one(body);
        let mut table = self.keys.table.lock();
        table.bytes += weight(&owned, &told);
        table.answered.push_back((now, owned.clone()));
        let answered = Entry::Answered(Answered { print, told });
        table.entries.insert(owned, answered);
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if let Some(owned) = self.owned.take() {
            self.keys.table.lock().entries.remove(&owned);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(keys: &Arc<Keys>, now: Instant, key: &[u8]) -> Attempt {
        match keys.begin(now, &"somebody".into(), key) {
            Begun::First(attempt) => attempt,
            begun => panic!("{begun:?}"),
        }
    }

    fn told() -> Told {
        Told::json(&"taken")
    }

    #[test]
    fn a_key_is_under_way_then_answered_then_forgotten() {
        let (keys, start) = (Arc::new(Keys::default()), Instant::now());
        let attempt = first(&keys, start, b"k");
        let begin = |now| keys.begin(now, &"somebody".into(), b"k");
        assert!(matches!(begin(start), Begun::UnderWay));
        // The same key of somebody else is another key.
        let other = keys.begin(start, &"another".into(), b"k");
        assert!(matches!(other, Begun::First(_)));
        attempt.answered(start, b"body", told());
        let Begun::Again(answered) = begin(start + REMEMBERED - Duration::from_millis(1)) else {
            panic!("it is remembered");
        };
        assert!(keys.is_same(&answered, b"body") && !keys.is_same(&answered, b"other"));
        assert!(matches!(begin(start + REMEMBERED), Begun::First(_)));
        assert_eq!(keys.table.lock().bytes, 0);
    }

    #[test]
    fn a_post_that_ends_without_an_answer_frees_its_key() {
        let (keys, now) = (Arc::new(Keys::default()), Instant::now());
        drop(first(&keys, now, b"k"));
        drop(first(&keys, now, b"k"));
        assert!(keys.table.lock().entries.is_empty());
    }

    #[test]
    fn law_2_without_room_new_keys_are_refused_and_known_ones_are_kept() {
        let (keys, start) = (Arc::new(Keys::with_room(2)), Instant::now());
        first(&keys, start, b"1").answered(start, b"body", told());
        let later = start + Duration::from_secs(100);
        let under_way = first(&keys, later, b"2");
        let begin = |now, key: &[u8]| keys.begin(now, &"somebody".into(), key);
        assert!(matches!(begin(later, b"3"), Begun::Full(501)));
        assert!(matches!(begin(later, b"1"), Begun::Again(_)));
        drop(under_way);
        assert!(matches!(begin(later, b"3"), Begun::First(_)));
    }
}
