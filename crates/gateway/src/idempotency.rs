//! Posts that may come twice: what a key was answered is remembered a while, and answered again.
//!
//! A key belongs to whoever sent it. While the first post with it is under way, another is told so;
//! after it, the same body is answered as before, and another body is a mistake. Only what took
//! records is remembered: a post that took nothing may simply be made again under its key.
//!
//! Everything is in memory and bounded, and one owner has a quarter of it at most. When there is no
//! more room, posts with new keys are refused: forgetting a key early would break the promise that
//! nothing is taken twice. A restart forgets all.

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

/// The part of both that one owner may have.
const OWNER_SHARE: usize = 4;

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
    total: Used,
    by_owner: HashMap<Arc<str>, Used>,
}

/// Room that is taken.
#[derive(Clone, Copy, Debug, Default)]
struct Used {
    keys: usize,
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
        let own = table.by_owner.get(owner).copied().unwrap_or_default();
        let share = self.keys_max.div_ceil(OWNER_SHARE);
        if own.is_full(share, BYTES_MAX / OWNER_SHARE) {
            return Begun::Full(table.room_in_s(now, Some(owner)));
        }
        if table.total.is_full(self.keys_max, BYTES_MAX) {
            return Begun::Full(table.room_in_s(now, None));
        }
        table.begin(owned.clone());
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
            self.forget(&owned);
        }
    }

    fn begin(&mut self, owned: Owned) {
        self.total.keys += 1;
        self.by_owner.entry(Arc::clone(&owned.0)).or_default().keys += 1;
        self.entries.insert(owned, Entry::UnderWay);
    }

    fn answered(&mut self, now: Instant, owned: Owned, answered: Answered) {
        let bytes = weight(&owned, &answered.told);
        self.total.bytes += bytes;
        let own = self.by_owner.entry(Arc::clone(&owned.0)).or_default();
        own.bytes += bytes;
        self.answered.push_back((now, owned.clone()));
        self.entries.insert(owned, Entry::Answered(answered));
    }

    fn forget(&mut self, owned: &Owned) {
        let bytes = match self.entries.remove(owned) {
            None => return,
            Some(Entry::UnderWay) => 0,
            Some(Entry::Answered(answered)) => weight(owned, &answered.told),
        };
        self.total.give_back(bytes);
        if let Some(own) = self.by_owner.get_mut(&owned.0) {
            own.give_back(bytes);
            // Nobody is remembered who has no key.
            if own.keys == 0 {
                self.by_owner.remove(&owned.0);
            }
        }
    }

    /// In how many seconds the oldest answer is forgotten, of an owner or of all.
    fn room_in_s(&self, now: Instant, owner: Option<&Arc<str>>) -> u32 {
        let is_of = |(_, owned): &&(Instant, Owned)| owner.is_none_or(|owner| *owner == owned.0);
        let oldest = self.answered.iter().find(is_of);
        let age = oldest.map_or(REMEMBERED, |(at, _)| now.saturating_duration_since(*at));
        u32::try_from(REMEMBERED.saturating_sub(age).as_secs()).unwrap_or(u32::MAX) + 1
    }
}

impl Used {
    fn is_full(self, keys_max: usize, bytes_max: usize) -> bool {
        self.keys >= keys_max || self.bytes >= bytes_max
    }

    /// One key with so many bytes.
    fn give_back(&mut self, bytes: usize) {
        self.keys -= 1;
        self.bytes -= bytes;
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
        let answered = Answered { print, told };
        self.keys.table.lock().answered(now, owned, answered);
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if let Some(owned) = self.owned.take() {
            self.keys.table.lock().forget(&owned);
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
        let table = keys.table.lock();
        assert_eq!((table.total.bytes, table.total.keys), (0, 1));
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
        let (keys, start) = (Arc::new(Keys::with_room(8)), Instant::now());
        first(&keys, start, b"1").answered(start, b"body", told());
        let later = start + Duration::from_secs(100);
        let under_way = first(&keys, later, b"2");
        let begin = |now, key: &[u8]| keys.begin(now, &"somebody".into(), key);
        assert!(matches!(begin(later, b"3"), Begun::Full(501)));
        assert!(matches!(begin(later, b"1"), Begun::Again(_)));
        // Others are not touched, while there is room for all.
        let begin_other = |owner: usize, key| {
            let owner: Arc<str> = owner.to_string().into();
            keys.begin(later, &owner, key)
        };
        let held = [0, 1, 2].map(|owner| [b"1", b"2"].map(|key| begin_other(owner, key)));
        let is_first = |begun: &Begun| matches!(begun, Begun::First(_));
        assert!(held.iter().flatten().all(is_first));
        assert!(matches!(begin_other(3, b"1"), Begun::Full(501)));
        drop(held);
        drop(under_way);
        assert!(matches!(begin(later, b"3"), Begun::First(_)));
    }
}
