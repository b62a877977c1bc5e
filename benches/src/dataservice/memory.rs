//! Bytes per key that keeps only its newest value, apart from the text of the key.
//!
//! Each contender builds a million keys in a process of its own, so that memory which another one
//! gave back to the allocator does not hide what it takes. What grows is the resident memory as the
//! kernel counts it: with the allocator's own overhead, and with room that a map keeps free.

use std::any::Any;
use std::collections::{HashMap, VecDeque};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use dataservice::DataService;
use eyeball::SharedObservable;
use tokio::sync::watch;

use super::{DASHMAP, OBSERVABLE, WATCH};
use crate::measure::case::{Against, Case, Contender, Kind, Metric};
use crate::process;
use crate::report::Better;

const KEYS: u32 = if cfg!(test) { 5_000 } else { 1_000_000 };
const OURS: &str = "ours";
const MUTEX_MAP: &str = "HashMap of VecDeque";

type Key = &'static str;
type Built = Box<dyn Any>;
type Build = fn(&[Key]) -> Built;

const CONTENDERS: &[(&str, Kind, Build)] = &[
    (OURS, Kind::Ours, ours),
    (MUTEX_MAP, Kind::Peer, hash_map),
    (DASHMAP, Kind::Peer, dash_map),
    (WATCH, Kind::Peer, watch_per_key),
    (OBSERVABLE, Kind::Peer, observables),
];

/// The case.
pub(super) fn case() -> Case {
    let title = "1M keys with one f64 and its time each: memory per key without its text";
    let contender = |(name, kind, build): &(&'static str, Kind, Build)| {
        let (name, build) = (*name, *build);
        Contender::new(*kind, name, move |_| measure(name, build))
    };
    Case {
        name: "memory".into(),
        metrics: vec![Metric::new(title, "bytes", Better::Lower).aim(1.0, Against::Limit(64.0))],
        contenders: CONTENDERS.iter().map(contender).collect(),
        duration: Duration::ZERO,
    }
}

/// Prints the bytes per key of a contender; for the process that measures it.
pub(crate) fn print(contender: &str) -> Result<()> {
    let Some((_, _, build)) = CONTENDERS.iter().find(|(name, ..)| *name == contender) else {
        bail!("no contender is called {contender}");
    };
    println!("{}", bytes_per_key(*build)?);
    Ok(())
}

fn measure(name: &str, build: Build) -> Result<Vec<f64>> {
    if cfg!(test) {
        // The program of the tests is not the one that knows the command.
        return Ok(vec![bytes_per_key(build)?]);
    }
    let mut command = Command::new(std::env::current_exe()?);
    let finished = process::measure(command.arg("key-memory").arg(name))?;
    let bytes = finished.stdout.trim().parse();
    Ok(vec![bytes.with_context(|| finished.stdout)?])
}

fn bytes_per_key(build: Build) -> Result<f64> {
    let resident = || process::resident_memory_mb(std::process::id());
    let unknown = "this system does not say how much memory a process has";
    let keys = keys();
    let before = resident().context(unknown)?;
    let built = build(&keys);
    let after = resident().context(unknown)?;
    drop(built);
    Ok((after - before) * 1e6 / f64::from(KEYS))
}

/// As tags of a plant might be called. All texts lie in one piece of memory, which counts for
/// nobody.
fn keys() -> Vec<Key> {
    let key = |number| format!("plant/line-{:02}/tag-{number:07}", number % 40);
    let text: &'static str = (0..KEYS).map(key).collect::<String>().leak();
    let length = text.len() / KEYS as usize;
    let texts = (0..KEYS as usize).map(|number| &text[number * length..(number + 1) * length]);
    texts.collect()
}

fn ours(keys: &[Key]) -> Built {
    let service: DataService<Key, f64> = DataService::new();
    for key in keys.iter().copied() {
        let id = service.register(key).expect("there is room for all keys");
        service.put(id, 1, 1.0).expect("the key is registered");
    }
    assert_eq!(service.len(), KEYS as usize);
    Box::new(service)
}

fn hash_map(keys: &[Key]) -> Built {
    let mut map = HashMap::<Key, VecDeque<(i64, f64)>>::new();
    map.extend(keys.iter().map(|key| (*key, newest())));
    Box::new(map)
}

fn dash_map(keys: &[Key]) -> Built {
    let map = dashmap::DashMap::<Key, VecDeque<(i64, f64)>, foldhash::fast::RandomState>::default();
    for key in keys.iter().copied() {
        map.insert(key, newest());
    }
    Box::new(map)
}

fn watch_per_key(keys: &[Key]) -> Built {
    let mut map = HashMap::<Key, watch::Sender<(i64, f64)>>::new();
    map.extend(keys.iter().map(|key| (*key, watch::Sender::new((1, 1.0)))));
    Box::new(map)
}

fn observables(keys: &[Key]) -> Built {
    let mut map = HashMap::<Key, SharedObservable<(i64, f64)>>::new();
    map.extend(
        keys.iter()
            .map(|key| (*key, SharedObservable::new((1, 1.0)))),
    );
    Box::new(map)
}

/// Room for the one value that is kept.
fn newest() -> VecDeque<(i64, f64)> {
    let mut buffer = VecDeque::with_capacity(1);
    buffer.push_back((1, 1.0));
    buffer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_contender_is_named() {
        let error = print("nobody").unwrap_err();
        assert_eq!(error.to_string(), "no contender is called nobody");
    }

    #[test]
    fn keys_differ_and_are_equally_long() {
        let keys = keys();
        assert_ne!(keys[1], keys[41]);
        assert_eq!(
            keys[KEYS as usize - 1],
            format!("plant/line-39/tag-{:07}", KEYS - 1)
        );
    }
}
