//! The model: every update of every commit, and what is true of histories after each step.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant};

use dataservice::{DataService, KeyId, Requirement, Transaction};
use proptest::prelude::*;

use crate::actions::{Action, End, KEYS, Part};
use crate::feeds::Follower;
use crate::subscribers::Subscriber;
use crate::values::{GRACE, Setup, Value};

pub(crate) type Checked<T = ()> = Result<T, TestCaseError>;

/// One update of the log that the model keeps.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Committed {
    pub(crate) key: usize,
    /// The number in the key.
    pub(crate) nth: u64,
    pub(crate) number: u64,
    pub(crate) commit: u64,
}

pub(crate) struct Key {
    pub(crate) id: KeyId,
    /// The number of every value that was ever committed.
    pub(crate) all: Vec<u64>,
    /// How many of them are held: measured, but never less than they have to be.
    pub(crate) len: usize,
    depth: usize,
    last_put: Instant,
}

pub(crate) struct World<V: Value> {
    pub(crate) service: DataService<usize, V>,
    pub(crate) setup: Setup,
    pub(crate) keys: Vec<Key>,
    pub(crate) log: Vec<Committed>,
    /// Which key was cleared by which commit.
    pub(crate) clears: Vec<(u64, usize)>,
    pub(crate) commits: u64,
    pub(crate) subscribers: Vec<Subscriber<V>>,
    pub(crate) followers: Vec<Follower<V>>,
    next: u64,
    now: Instant,
    bytes_of_names: usize,
}

pub(crate) fn time_us(number: u64) -> i64 {
    // Nearly in order, as from a clock that jitters.
    (number * 10 + number % 7 * 3).cast_signed()
}

impl<V: Value> World<V> {
    pub(crate) fn new(setup: Setup) -> Self {
        let builder = DataService::builder()
            .shrink_after(GRACE)
            .depth_default(setup.depth_default)
            .resume_updates(setup.resume_updates)
            .idle_after(setup.idle_after)
            .memory_max(setup.memory_max.unwrap_or(1 << 30));
        let service = V::builder(builder).build().unwrap();
        let now = Instant::now();
        let keys = (0..KEYS).map(|key| Key {
            id: service.register(key).unwrap(),
            all: Vec::new(),
            len: 0,
            depth: 1,
            last_put: now,
        });
        let keys: Vec<Key> = keys.collect();
        let of_slots = keys
            .iter()
            .map(|it| service.key_stats(it.id).unwrap().bytes);
        let bytes_of_names = service.stats().bytes - of_slots.sum::<usize>();
        Self {
            service,
            setup,
            keys,
            log: Vec::new(),
            clears: Vec::new(),
            commits: 0,
            subscribers: Vec::new(),
            followers: Vec::new(),
            next: 0,
            now,
            bytes_of_names,
        }
    }

    pub(crate) fn is_short(&self) -> bool {
        self.setup.memory_max.is_some()
    }

    pub(crate) fn step(&mut self, action: &Action) -> Checked {
        let pending = |world: &Self| -> Vec<bool> {
            let subscribers = world.subscribers.iter().map(Subscriber::is_pending);
            subscribers
                .chain(world.followers.iter().map(Follower::is_pending))
                .collect()
        };
        let (before, wakes) = (pending(self), self.service.stats().wakes);
        match action {
            Action::Put(key) => {
                let number = self.number();
                let put = self
                    .service
                    .put(self.keys[*key].id, time_us(number), V::of(number));
                match put {
                    Ok(_) => self.committed(&[(*key, number)]),
                    Err(_) => prop_assert!(self.is_short()),
                }
            }
            Action::PutMany(key, count) => {
                let numbers: Vec<u64> = (0..*count).map(|_| self.number()).collect();
                let values = numbers.iter().map(|it| (time_us(*it), V::of(*it)));
                match self.service.put_many(self.keys[*key].id, values) {
                    Ok(_) => {
                        let staged: Vec<_> = numbers.iter().map(|it| (*key, *it)).collect();
                        self.committed(&staged);
                    }
                    Err(_) => prop_assert!(self.is_short()),
                }
            }
            Action::Transaction(parts, end) => self.transaction(parts, *end)?,
            Action::Remove(key) => {
                let newest = self.newest(*key).map(V::of);
                prop_assert_eq!(self.service.remove(key), newest);
                self.cleared(&[*key]);
            }
            Action::Clear(keys) => {
                let ids: Vec<KeyId> = keys.iter().map(|key| self.keys[*key].id).collect();
                self.service.clear(&ids);
                self.cleared(keys);
            }
            Action::Advance(seconds) => self.advance(*seconds)?,
            other => {
                self.step_subscriber(other)?;
                self.step_follower(other)?;
            }
        }
        let committed = matches!(
            action,
            Action::Put(_)
                | Action::PutMany(..)
                | Action::Transaction(..)
                | Action::Remove(_)
                | Action::Clear(_)
        );
        if committed {
            let after = pending(self);
            let woken = before
                .iter()
                .zip(&after)
                .filter(|it| !it.0 && *it.1)
                .count();
            let wakes = self.service.stats().wakes - wakes;
            prop_assert!(wakes <= woken as u64, "{} wakes for {}", wakes, woken);
        }
        self.check(action)
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// The number of the newest value of a key.
    pub(crate) fn newest(&self, key: usize) -> Option<u64> {
        let key = &self.keys[key];
        (key.len > 0).then(|| *key.all.last().unwrap())
    }

    fn committed(&mut self, staged: &[(usize, u64)]) {
        self.commits += u64::from(!staged.is_empty());
        for (at, number) in staged {
            let key = &mut self.keys[*at];
            key.all.push(*number);
            key.len += 1;
            key.last_put = self.now;
            self.log.push(Committed {
                key: *at,
                nth: key.all.len() as u64,
                number: *number,
                commit: self.commits,
            });
        }
    }

    fn cleared(&mut self, keys: &[usize]) {
        let commit = self.commits + 1;
        for at in keys {
            if std::mem::take(&mut self.keys[*at].len) == 0 {
                continue;
            }
            self.commits = commit;
            self.clears.push((commit, *at));
            for subscriber in &mut self.subscribers {
                subscriber.cleared(*at);
            }
        }
    }

    fn transaction(&mut self, parts: &[Part], end: End) -> Checked {
        let mut staged = Vec::new();
        let mut transaction = self.service.begin();
        self.stage(&mut transaction, parts, &mut staged)?;
        prop_assert_eq!(transaction.len(), staged.len());
        for (at, key) in self.keys.iter().enumerate() {
            let own = staged.iter().rev().find(|(key, _)| *key == at);
            let newest = own.map(|(_, number)| *number).or(self.newest(at));
            prop_assert_eq!(transaction.get(key.id), newest.map(V::of));
        }
        match end {
            End::Commit => match transaction.commit() {
                Ok(commit) => {
                    self.committed(&staged);
                    prop_assert_eq!(commit.number(), self.commits);
                }
                Err(error) => {
                    prop_assert!(self.is_short());
                    prop_assert_eq!(error.transaction.len(), staged.len());
                }
            },
            End::RollBack => drop(transaction),
            End::Panic => {
                let panicking = AssertUnwindSafe(|| {
                    let _transaction = transaction;
                    resume_unwind(Box::new(()));
                });
                prop_assert!(catch_unwind(panicking).is_err());
            }
        }
        Ok(())
    }

    fn stage(
        &mut self,
        transaction: &mut Transaction<V>,
        parts: &[Part],
        staged: &mut Vec<(usize, u64)>,
    ) -> Checked {
        for part in parts {
            match part {
                Part::Put(key) => {
                    let number = self.number();
                    let id = self.keys[*key].id;
                    transaction.put(id, time_us(number), V::of(number)).unwrap();
                    staged.push((*key, number));
                }
                Part::PutMany(key, count) => {
                    let numbers: Vec<u64> = (0..*count).map(|_| self.number()).collect();
                    let values = numbers.iter().map(|it| (time_us(*it), V::of(*it)));
                    let id = self.keys[*key].id;
                    prop_assert_eq!(transaction.put_many(id, values).unwrap(), *count);
                    staged.extend(numbers.iter().map(|number| (*key, *number)));
                }
                Part::Savepoint(parts, end) => {
                    let before = staged.len();
                    let mut savepoint = transaction.begin();
                    self.savepoint(&mut savepoint, parts, staged);
                    prop_assert_eq!(savepoint.len(), staged.len() - before);
                    if *end == End::Commit {
                        savepoint.commit();
                    } else {
                        drop(savepoint);
                        staged.truncate(before);
                    }
                }
            }
        }
        Ok(())
    }

    fn savepoint(
        &mut self,
        savepoint: &mut dataservice::Savepoint<'_, V>,
        parts: &[Part],
        staged: &mut Vec<(usize, u64)>,
    ) {
        for part in parts {
            match part {
                Part::Put(key) | Part::PutMany(key, _) => {
                    let number = self.number();
                    let id = self.keys[*key].id;
                    savepoint.put(id, time_us(number), V::of(number)).unwrap();
                    staged.push((*key, number));
                }
                Part::Savepoint(parts, end) => {
                    let before = staged.len();
                    let mut nested = savepoint.begin();
                    self.savepoint(&mut nested, parts, staged);
                    if *end == End::Commit {
                        nested.commit();
                    } else {
                        drop(nested);
                        staged.truncate(before);
                    }
                }
            }
        }
    }

    fn advance(&mut self, seconds: u64) -> Checked {
        self.now += Duration::from_secs(seconds);
        let overrun = self.overrun();
        let maintained = self.service.maintain(self.now);
        for id in &maintained.expired {
            let at = id.number() as usize;
            let idle = self.now - self.keys[at].last_put;
            prop_assert!(idle >= self.setup.idle_after.unwrap(), "{:?}", idle);
        }
        let expired: Vec<usize> = maintained
            .expired
            .iter()
            .map(|id| id.number() as usize)
            .collect();
        self.cleared(&expired);
        let mut lost = 0;
        for key in &mut self.keys {
            let stats = self.service.key_stats(key.id).unwrap();
            lost += (key.len - stats.values) as u64;
            key.len = stats.values;
        }
        prop_assert!(self.is_short() || lost == maintained.displaced);
        self.closed_by_maintenance(&overrun)
    }

    fn check(&mut self, action: &Action) -> Checked {
        let (mut retained, mut weight, mut of_slots) = (0, 0, 0);
        let is_advance = matches!(action, Action::Advance(_));
        for at in 0..KEYS {
            let short = self.is_short();
            let key = &mut self.keys[at];
            let stats = self.service.key_stats(key.id).unwrap();
            let view = self
                .service
                .read(key.id, Requirement::Count(usize::MAX))
                .unwrap();
            let was_held = key.len > 0;
            key.len = key.len.min(stats.depth);
            prop_assert_eq!(view.len(), key.len, "key {} of depth {}", at, stats.depth);
            prop_assert_eq!(!view.is_empty(), was_held, "the newest value stays");
            let kept = &key.all[key.all.len() - key.len..];
            prop_assert!(
                view.values()
                    .iter()
                    .eq(&kept.iter().map(|it| V::of(*it)).collect::<Vec<_>>())
            );
            prop_assert!(
                view.times_us()
                    .iter()
                    .copied()
                    .eq(kept.iter().map(|it| time_us(*it)))
            );
            prop_assert_eq!(view.range().end.number(), key.all.len() as u64 + 1);
            prop_assert_eq!(stats.updates, key.all.len() as u64);
            let may_shrink = is_advance || short || key.len == 0;
            prop_assert!(
                stats.depth >= key.depth || may_shrink,
                "it shrank by itself"
            );
            key.depth = stats.depth;
            if key.len > 0 {
                prop_assert!(stats.depth >= self.setup.depth_default || short);
            }
            let newest = self.newest(at).map(V::of);
            prop_assert_eq!(self.service.get(&at), newest);
            retained += view.len();
            weight += view.values().iter().map(V::weight).sum::<usize>();
            of_slots += stats.bytes;
            self.check_shape(at, view.generation().number(), view.uniform().len())?;
        }
        let stats = self.service.stats();
        prop_assert_eq!(
            (stats.updates, stats.commits),
            (self.log.len() as u64, self.commits)
        );
        prop_assert_eq!(stats.updates, stats.displaced + retained as u64);
        prop_assert_eq!(stats.values, self.service.iter().len());
        prop_assert_eq!(
            stats.subscribers,
            self.subscribers.len() + self.followers.len()
        );
        let measured = self.bytes_of_names + of_slots + weight;
        if stats.log_updates == 0 && self.followers.is_empty() && self.setup.resume_updates == 0 {
            let used = stats.bytes - stats.bytes_spare;
            prop_assert_eq!(used, measured, "what is charged is what is there");
        }
        prop_assert!(stats.bytes >= measured);
        prop_assert!(
            stats.bytes <= stats.bytes_max,
            "{} of {}",
            stats.bytes,
            stats.bytes_max
        );
        self.check_subscribers()?;
        self.check_followers()
    }

    fn check_shape(&self, at: usize, generation: u64, uniform: usize) -> Checked {
        let key = &self.keys[at];
        let shapes: Vec<_> = key.all.iter().map(|it| V::of(*it).schema()).collect();
        let changes = shapes.windows(2).filter(|it| it[0] != it[1]).count();
        prop_assert_eq!(generation, changes as u64);
        let same = shapes
            .iter()
            .rev()
            .take_while(|it| Some(*it) == shapes.last());
        prop_assert_eq!(
            uniform,
            same.count().min(key.len),
            "nothing is cleared by a new shape"
        );
        Ok(())
    }
}
