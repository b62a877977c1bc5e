//! Data services: writers with single puts and transactions, readers of every kind that stay, that
//! come and go, and that are called by a dispatcher, keys that are cleared, and too little memory.
//!
//! The two keys of a pair are only written together and add up to the same in every commit. All
//! other updates are numbered by their writer, per key and without gaps. So every reader can tell
//! whether a commit was torn, and whether it was shown each update exactly once or told that it
//! missed it.

mod callbacks;
mod follow;
mod reader;
mod value;
mod visitor;
mod writer;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use dataservice::{Callback, DataService, DispatcherStats, KeyId, Requirement};
use parking_lot::Mutex;

use crate::ledger::{Alive, Report, Tracked};
use reader::Reader;
use value::{Plain, Value};
use writer::Written;

/// How long a commit may wait for readers: they are never that slow.
const BLOCK: Duration = Duration::from_secs(40);

/// The keys of a round.
struct Keys {
    pairs: Vec<(KeyId, KeyId)>,
    /// Never cleared.
    streams: Vec<KeyId>,
    clearable: Vec<KeyId>,
    /// Only callbacks write to these.
    echoes: Vec<KeyId>,
    all: Vec<KeyId>,
}

/// What the threads of a round share.
struct Round<V> {
    service: DataService<u32, V>,
    keys: Keys,
    /// Whether values are lost on purpose: memory is short, or idle keys go.
    is_lossy: bool,
    /// Whether callbacks write, for which nobody is waited for.
    echoes: bool,
    alive: Alive,
    over: AtomicBool,
    /// Set when everything is put that ever will be.
    settled: AtomicBool,
    callbacks: Mutex<Vec<Callback>>,
    failure: Mutex<Option<anyhow::Error>>,
    echoed: Mutex<Written>,
    writers: AtomicU32,
    panics: AtomicU64,
    too_deep: AtomicU64,
    wakes_panicked: Arc<AtomicU64>,
}

impl Keys {
    fn register(
        service: &DataService<u32, impl Value>,
        random: &mut fastrand::Rng,
    ) -> Result<Self> {
        let counts = [
            2 * random.u32(1..=8),
            random.u32(1..=32),
            random.u32(1..=4),
            3,
        ];
        let all = service.register_all((0..counts.iter().sum()).collect())?;
        let mut rest = all.iter().copied();
        let mut take = |count: u32| rest.by_ref().take(count as usize).collect::<Vec<_>>();
        let [halves, streams, clearable, echoes] = counts.map(&mut take);
        let pairs = halves.chunks_exact(2).map(|pair| (pair[0], pair[1]));
        Ok(Self {
            pairs: pairs.collect(),
            streams,
            clearable,
            echoes,
            all,
        })
    }

    /// Whether its writers number their updates.
    fn is_numbered(&self, id: KeyId) -> bool {
        self.other_half(id).is_none()
    }

    fn other_half(&self, id: KeyId) -> Option<KeyId> {
        let (a, b) = self.pairs.get(id.number() as usize / 2)?;
        Some(if id == *a { *b } else { *a })
    }
}

impl<V: Value> Round<V> {
    fn new(
        service: DataService<u32, V>,
        is_lossy: bool,
        random: &mut fastrand::Rng,
    ) -> Result<Self> {
        let keys = Keys::register(&service, random)?;
        let echoed = Mutex::new(Written::of_keys(keys.all.len()));
        Ok(Self {
            service,
            keys,
            is_lossy,
            echoes: random.bool(),
            alive: Alive::default(),
            over: AtomicBool::new(false),
            settled: AtomicBool::new(false),
            callbacks: Mutex::default(),
            failure: Mutex::default(),
            echoed,
            writers: AtomicU32::new(0),
            panics: AtomicU64::new(0),
            too_deep: AtomicU64::new(0),
            wakes_panicked: Arc::default(),
        })
    }

    /// How many updates the service says that keys had.
    fn committed(&self, ids: &[KeyId]) -> u64 {
        let stats = ids.iter().filter_map(|id| self.service.key_stats(*id));
        stats.map(|stats| stats.updates).sum()
    }
}

impl<V> Round<V> {
    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    fn is_settled(&self) -> bool {
        self.settled.load(Ordering::Acquire)
    }
}

/// One service from its start until its last value is gone.
pub(crate) fn round(seed: u64) -> Result<Report> {
    let mut random = fastrand::Rng::with_seed(seed);
    if random.bool() {
        round_of::<Plain>(&mut random, |_| 16)
    } else {
        round_of::<Tracked>(&mut random, |value| 200 + value.number() as usize % 800)
    }
}

fn round_of<V: Value>(random: &mut fastrand::Rng, weigh: fn(&V) -> usize) -> Result<Report> {
    let is_lossy = random.bool();
    let resume_updates = [0, random.usize(1..20_000)][random.usize(0..2)];
    let depth_default = [1, random.usize(1..50)][random.usize(0..2)];
    let shrink_after = Duration::from_millis(random.u64(0..20));
    let mut builder = DataService::builder()
        .depth_default(depth_default)
        .resume_updates(resume_updates)
        .shrink_after(shrink_after)
        .cascade_max(random.u32(4..64));
    let memory_max = 1 << random.u32(14..21);
    let idle_after = random
        .bool()
        .then(|| Duration::from_millis(random.u64(1..50)));
    let is_weighed = random.bool();
    if is_lossy {
        builder = builder.memory_max(memory_max).idle_after(idle_after);
    }
    if is_weighed {
        builder = builder.weigh(weigh);
    } else if random.bool() {
        builder = builder.share_values();
    }
    let settings = format!(
        "lossy {is_lossy}, at most {memory_max} bytes, idle after {idle_after:?}, weighed \
         {is_weighed}, depth {depth_default}, {resume_updates} updates to resume"
    );
    let round = Arc::new(Round::new(builder.build()?, is_lossy, random)?);
    let report = play(&round, random).with_context(|| format!("service: {settings}"))?;
    let alive = round.alive.clone();
    let shares = Arc::strong_count(&round);
    ensure!(
        shares == 1,
        "{} callbacks are alive that nobody owns",
        shares - 1
    );
    drop(round);
    let alive = alive.count();
    ensure!(alive == 0, "{alive} values are alive that nobody owns");
    Ok(report)
}

fn play<V: Value>(round: &Arc<Round<V>>, random: &mut fastrand::Rng) -> Result<Report> {
    let length = Duration::from_millis(random.u64(30..250));
    let mut readers = Vec::new();
    for _ in 0..random.usize(1..=4) {
        readers.push((Reader::begin(round, random)?, random.fork()));
    }
    let writers: Vec<_> = (1..=random.u32(1..=3))
        .map(|it| (it, random.fork()))
        .collect();
    let visitors: Vec<_> = (0..random.usize(0..=2)).map(|_| random.fork()).collect();
    let (tending, upkeep) = (random.fork(), random.fork());
    let dispatcher = callbacks::start()?;
    thread::scope(|scope| {
        let readers: Vec<_> = readers
            .into_iter()
            .map(|((reader, ids), random)| scope.spawn(move || reader.run(round, &ids, random)))
            .collect();
        let writers: Vec<_> = writers
            .into_iter()
            .map(|(number, random)| scope.spawn(move || writer::run(round, number, random)))
            .collect();
        let visitors: Vec<_> = visitors
            .into_iter()
            .map(|random| scope.spawn(move || visitor::run(round, random)))
            .collect();
        let upkeep = scope.spawn(move || keep_up(round, upkeep));
        let dispatcher = scope.spawn(move || {
            let tended = callbacks::tend(round, &dispatcher, tending);
            (tended, dispatcher.stop())
        });
        thread::sleep(length);
        round.over.store(true, Ordering::Relaxed);
        let mut written = Written::of_keys(round.keys.all.len());
        let all_written: Vec<_> = writers.into_iter().map(ScopedJoinHandle::join).collect();
        let visited: Vec<_> = visitors.into_iter().map(ScopedJoinHandle::join).collect();
        let (upkeep, dispatched) = (upkeep.join(), dispatcher.join());
        // Nothing is committed from here on. Whatever failed, readers must learn of it.
        round.settled.store(true, Ordering::Release);
        let read: Vec<_> = readers.into_iter().map(ScopedJoinHandle::join).collect();
        let mut report = Report::default();
        for one in all_written {
            written.add(&ended(one)?);
        }
        written.add(&round.echoed.lock());
        for one in visited.into_iter().chain(read).chain([upkeep]) {
            report.add(&ended(one)?);
        }
        let (tended, stats) = ended(dispatched.map(Ok))?;
        tended?;
        report.add(&account(round, &written, &stats)?);
        Ok(report)
    })
}

fn ended<T>(outcome: thread::Result<Result<T>>) -> Result<T> {
    outcome.map_err(|_| anyhow!("a thread panicked"))?
}

/// Does what has to be done now and then, much more often than that, in a time that runs fast, and
/// looks at everything.
fn keep_up<V: Value>(round: &Round<V>, mut random: fastrand::Rng) -> Result<Report> {
    let (mut looks, mut expired, mut regrown) = (0, 0, 0);
    let service = &round.service;
    while !round.is_over() {
        let maintained = service.maintain(Instant::now());
        expired += maintained.expired.len() as u64;
        regrown += maintained.regrown as u64;
        let stats = service.stats();
        ensure!(
            stats.bytes <= stats.bytes_max && stats.values <= stats.keys,
            "there is more than there may be: {stats:?}"
        );
        let all: Vec<_> = service.iter().collect();
        let values = all
            .iter()
            .map(|(key, value)| (KeyId::from_number(*key), Some(value)));
        follow::check_pairs(&round.keys, values).context("all newest values")?;
        let id = round.keys.all[random.usize(..round.keys.all.len())];
        let requirement = Requirement::Count(random.usize(0..100));
        let view = service.read(id, requirement).context("a key is unknown")?;
        follow::check_run(&round.keys, id, view.values()).context("a read")?;
        looks += 1;
        thread::sleep(Duration::from_micros(random.u64(0..3_000)));
    }
    let mut report = Report::default();
    report.count("looks at everything", looks);
    report.count("keys expired", expired);
    report.count("keys that got memory back", regrown);
    Ok(report)
}

/// Whether every update that was put is one of its key, nobody stayed behind, and the statistics
/// say the same.
fn account<V: Value>(
    round: &Round<V>,
    written: &Written,
    dispatched: &DispatcherStats,
) -> Result<Report> {
    // Their subscribers are gone, and nothing calls them any more.
    let callbacks = std::mem::take(&mut *round.callbacks.lock());
    drop(callbacks);
    let mut report = callbacks::account(round, dispatched)?;
    report.add(&written.report());
    let stats = round.service.stats();
    for id in &round.keys.all {
        let key = round.service.key_stats(*id).context("a key is unknown")?;
        let put = written.updates[id.number() as usize];
        ensure!(
            key.updates == put && key.subscribers == 0,
            "{put} updates were put to key {id}: {key:?}"
        );
        if !round.is_lossy && round.keys.streams.contains(id) {
            let is_kept = round.service.contains(&id.number());
            ensure!(
                is_kept == (put > 0),
                "key {id} lost its newest value: {key:?}"
            );
        }
    }
    let expected = [
        ("updates", stats.updates, written.updates.iter().sum()),
        ("subscribers", stats.subscribers as u64, 0),
        ("feeds", stats.feeds as u64, 0),
        (
            "wakes_panicked",
            stats.wakes_panicked,
            round.wakes_panicked.load(Ordering::Relaxed),
        ),
        ("refused_memory", stats.refused_memory, written.refused),
    ];
    for (what, counted, expected) in expected {
        ensure!(
            counted == expected,
            "the statistics say {what} {counted}, and it was {expected}: {stats:?}"
        );
    }
    Ok(report)
}
