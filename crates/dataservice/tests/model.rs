//! The service against a naive model that keeps every update of every commit.

#![cfg(not(loom))]
#![allow(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

use std::time::{Duration, Instant};

use dataservice::{
    DataService, Extractor, FullHistory, KeyId, LatestValue, Requirement, SinceLast, Spec,
    Subscription, WindowByCount,
};
use proptest::prelude::*;
use std::sync::Arc;

const KEYS: usize = 4;
const GRACE: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Copy)]
enum Kind {
    Latest,
    Count(usize),
    All(usize),
    Since(usize),
}

#[derive(Debug, Clone)]
enum Action {
    Commit(Vec<usize>),
    RollBack(Vec<usize>),
    Savepoint {
        kept: Vec<usize>,
        dropped: Vec<usize>,
    },
    Remove(usize),
    Subscribe(Vec<(usize, Kind)>),
    Unsubscribe(usize),
    Add(usize, usize, Kind),
    TakeOut(usize, usize),
    Poll(usize),
    Snapshot(usize),
    Advance(u64),
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        Just(Kind::Latest),
        (0..12_usize).prop_map(Kind::Count),
        (1..30_usize).prop_map(Kind::All),
        (1..30_usize).prop_map(Kind::Since),
    ]
}

fn action() -> impl Strategy<Value = Action> {
    let updates = || prop::collection::vec(0..KEYS, 0..20);
    prop_oneof![
        6 => updates().prop_map(Action::Commit),
        1 => updates().prop_map(Action::RollBack),
        1 => (updates(), updates())
            .prop_map(|(kept, dropped)| Action::Savepoint { kept, dropped }),
        1 => (0..KEYS).prop_map(Action::Remove),
        2 => prop::collection::vec((0..KEYS, kind()), 0..6).prop_map(Action::Subscribe),
        1 => any::<usize>().prop_map(Action::Unsubscribe),
        1 => (any::<usize>(), 0..KEYS, kind()).prop_map(|(s, k, kind)| Action::Add(s, k, kind)),
        1 => (any::<usize>(), 0..KEYS).prop_map(|(s, k)| Action::TakeOut(s, k)),
        6 => any::<usize>().prop_map(Action::Poll),
        2 => any::<usize>().prop_map(Action::Snapshot),
        1 => (0..40_u64).prop_map(Action::Advance),
    ]
}

fn extractor(kind: Kind) -> Arc<dyn Extractor<u64>> {
    match kind {
        Kind::Latest => Arc::new(LatestValue),
        Kind::Count(count) => Arc::new(WindowByCount::new(count)),
        Kind::All(count) => Arc::new(FullHistory::new(count, usize::MAX)),
        Kind::Since(count) => Arc::new(SinceLast::new(count)),
    }
}

fn need(kind: Kind) -> usize {
    match kind {
        Kind::Latest => 1,
        Kind::Count(count) | Kind::All(count) | Kind::Since(count) => count.max(1),
    }
}

/// Everything ever committed to a key; values are unique over all keys.
struct Key {
    id: KeyId,
    all: Vec<u64>,
    gone: usize,
    depth: usize,
    too_deep_since: Option<Instant>,
}

struct Watch {
    key: usize,
    kind: Kind,
    cursor: usize,
}

struct Subscriber {
    subscription: Subscription<u64>,
    watches: Vec<Watch>,
}

struct World {
    service: DataService<usize, u64>,
    keys: Vec<Key>,
    subscribers: Vec<Subscriber>,
    next: u64,
    commits: u64,
    now: Instant,
}

impl World {
    fn new() -> Self {
        let service: DataService<usize, u64> =
            DataService::builder().shrink_after(GRACE).build().unwrap();
        let keys = (0..KEYS).map(|key| Key {
            id: service.register(key).unwrap(),
            all: Vec::new(),
            gone: 0,
            depth: 1,
            too_deep_since: None,
        });
        let keys = keys.collect();
        Self {
            service,
            keys,
            subscribers: Vec::new(),
            next: 0,
            commits: 0,
            now: Instant::now(),
        }
    }

    fn stage(&mut self, transaction: &mut dataservice::Transaction<u64>, updates: &[usize]) {
        for key in updates {
            self.next += 1;
            transaction.put(self.keys[*key].id, 0, self.next).unwrap();
        }
    }

    fn commit(&mut self, kept: &[usize], dropped: &[usize]) {
        let mut transaction = self.service.begin();
        self.stage(&mut transaction, kept);
        let mut value = self.next - kept.len() as u64;
        let savepoint = transaction.len();
        self.stage(&mut transaction, dropped);
        transaction.truncate(savepoint);
        self.commits += u64::from(!kept.is_empty());
        assert_eq!(transaction.commit().number(), self.commits);
        for key in kept {
            value += 1;
            let key = &mut self.keys[*key];
            key.all.push(value);
            key.gone = key.gone.max(key.all.len().saturating_sub(key.depth));
        }
    }

    fn needed(&self, key: usize) -> usize {
        let watches = self
            .subscribers
            .iter()
            .flat_map(|subscriber| &subscriber.watches);
        watches
            .filter(|watch| watch.key == key)
            .map(|watch| need(watch.kind))
            .max()
            .unwrap_or(1)
    }

    fn watch(&mut self, at: usize, key: usize, kind: Kind) {
        self.keys[key].depth = self.keys[key].depth.max(need(kind));
        let cursor = self.keys[key].gone;
        let watches = &mut self.subscribers[at].watches;
        match watches.iter_mut().find(|watch| watch.key == key) {
            Some(watch) => watch.kind = kind,
            None => watches.push(Watch { key, kind, cursor }),
        }
        self.refresh();
    }

    /// A history that is needed again is no longer on its way to shrinking.
    fn refresh(&mut self) {
        for key in 0..KEYS {
            if self.needed(key) * 4 > self.keys[key].depth {
                self.keys[key].too_deep_since = None;
            }
        }
    }

    fn advance(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        self.service.maintain(self.now);
        for at in 0..KEYS {
            let needed = self.needed(at);
            let key = &mut self.keys[at];
            if needed * 4 > key.depth {
                continue;
            }
            let since = *key.too_deep_since.get_or_insert(self.now);
            if self.now - since >= GRACE {
                key.depth = needed;
                key.gone = key.gone.max(key.all.len().saturating_sub(needed));
                key.too_deep_since = None;
            }
        }
    }

    fn poll(&mut self, at: usize, all: bool) -> Result<(), TestCaseError> {
        let Self {
            keys,
            subscribers,
            commits,
            ..
        } = self;
        let Subscriber {
            subscription,
            watches,
        } = &mut subscribers[at];
        let changed = |watch: &&mut Watch| all || watch.cursor < keys[watch.key].all.len();
        let mut expected: Vec<_> = watches.iter_mut().filter(changed).collect();
        let pending = expected
            .iter()
            .any(|watch| watch.cursor < keys[watch.key].all.len());
        prop_assert_eq!(subscription.wait(Duration::ZERO), pending);
        let snapshot = if all {
            Some(subscription.snapshot())
        } else {
            subscription.poll()
        };
        prop_assert_eq!(snapshot.is_some(), all || !expected.is_empty());
        let Some(snapshot) = snapshot else {
            return Ok(());
        };
        prop_assert_eq!(snapshot.commit_seq().number(), *commits);
        prop_assert_eq!(snapshot.updates().len(), expected.len());
        for watch in &mut expected {
            let key = &keys[watch.key];
            let update = snapshot.update(key.id).unwrap();
            let start = match watch.kind {
                Kind::Since(_) => watch.cursor.max(key.gone),
                Kind::Count(0) => key.all.len(),
                kind => key.all.len().saturating_sub(need(kind)).max(key.gone),
            };
            prop_assert_eq!(update.values(), &key.all[start..]);
            prop_assert_eq!(update.range().start.number(), start as u64 + 1);
            prop_assert_eq!(update.range().end.number(), key.all.len() as u64 + 1);
            prop_assert_eq!(update.missed(), start.saturating_sub(watch.cursor) as u64);
            watch.cursor = key.all.len();
        }
        prop_assert!(subscription.poll().is_none());
        Ok(())
    }

    fn step(&mut self, action: &Action) -> Result<(), TestCaseError> {
        let pick = |at: usize| (!self.subscribers.is_empty()).then(|| at % self.subscribers.len());
        match action {
            Action::Commit(updates) => self.commit(updates, &[]),
            Action::Savepoint { kept, dropped } => self.commit(kept, dropped),
            Action::RollBack(updates) => {
                let mut transaction = self.service.begin();
                self.stage(&mut transaction, updates);
            }
            Action::Remove(key) => {
                let model = &mut self.keys[*key];
                let newest = model.all[model.gone..].last().copied();
                model.gone = model.all.len();
                self.commits += u64::from(newest.is_some());
                prop_assert_eq!(self.service.remove(key), newest);
                // A removal is a change: what was seen is no longer there. The model says so by a
                // poll before the next comparison.
                for at in 0..self.subscribers.len() {
                    self.subscribers[at].subscription.snapshot();
                    for watch in &mut self.subscribers[at].watches {
                        watch.cursor = self.keys[watch.key].all.len();
                    }
                }
            }
            Action::Subscribe(watches) => {
                let spec = watches.iter().fold(Spec::new(), |spec, (key, kind)| {
                    spec.key(self.keys[*key].id, extractor(*kind))
                });
                let subscription = self.service.subscribe(spec).unwrap();
                self.subscribers.push(Subscriber {
                    subscription,
                    watches: Vec::new(),
                });
                for (key, kind) in watches {
                    self.watch(self.subscribers.len() - 1, *key, *kind);
                }
            }
            Action::Unsubscribe(at) => {
                if let Some(at) = pick(*at) {
                    self.subscribers.remove(at);
                }
            }
            Action::Add(at, key, kind) => {
                if let Some(at) = pick(*at) {
                    let id = self.keys[*key].id;
                    self.subscribers[at]
                        .subscription
                        .add(id, extractor(*kind))
                        .unwrap();
                    self.watch(at, *key, *kind);
                }
            }
            Action::TakeOut(at, key) => {
                if let Some(at) = pick(*at) {
                    let Subscriber {
                        subscription,
                        watches,
                    } = &mut self.subscribers[at];
                    let len = watches.len();
                    watches.retain(|watch| watch.key != *key);
                    let removed = subscription.remove(self.keys[*key].id);
                    prop_assert_eq!(removed, watches.len() < len);
                }
            }
            Action::Poll(at) => {
                if let Some(at) = pick(*at) {
                    self.poll(at, false)?;
                }
            }
            Action::Snapshot(at) => {
                if let Some(at) = pick(*at) {
                    self.poll(at, true)?;
                }
            }
            Action::Advance(seconds) => self.advance(*seconds),
        }
        self.check()
    }

    fn check(&self) -> Result<(), TestCaseError> {
        let mut retained = 0;
        for (at, key) in self.keys.iter().enumerate() {
            let view = self
                .service
                .read(key.id, Requirement::Count(usize::MAX))
                .unwrap();
            prop_assert_eq!(view.values(), &key.all[key.gone..]);
            prop_assert_eq!(self.service.get(&at), key.all[key.gone..].last().copied());
            retained += view.len();
        }
        let stats = self.service.stats();
        let updates: usize = self.keys.iter().map(|key| key.all.len()).sum();
        prop_assert_eq!(
            (stats.updates, stats.commits),
            (updates as u64, self.commits)
        );
        prop_assert_eq!(stats.updates, stats.displaced + retained as u64);
        prop_assert_eq!(stats.subscribers, self.subscribers.len());
        prop_assert_eq!(stats.values, self.service.iter().len());
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn windows_are_suffixes_and_accounts_are_exact(
        actions in prop::collection::vec(action(), 1..80),
    ) {
        let mut world = World::new();
        for action in &actions {
            world.step(action)?;
        }
    }
}
