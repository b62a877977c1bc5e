//! The keys that threads add to: streams drawn in advance, as they would come in messages.
//!
//! A stream lies in memory in the order in which it is read, so fetching the next key costs every
//! contender the same little. Text keys have a fixed width and no allocation of their own.

use std::borrow::Borrow;
use std::hash::Hash;
use std::sync::OnceLock;

use crate::structures::item::PRODUCERS_MAX;

/// Keys among which a Zipf distribution chooses.
const ZIPF_KEYS: usize = 1_000_000;
const UNIFORM_KEYS: usize = 10_000;
/// Draws per thread before a stream begins again; tests draw fewer.
const DRAWS: usize = if cfg!(test) { 1 << 12 } else { 1 << 21 };
/// Bytes of a text key.
const TEXT_WIDTH: usize = 11;

/// What a key is hashed and compared as.
pub(crate) trait Key:
    Borrow<Self::Query> + Hash + Eq + Clone + Send + Sync + 'static
{
    type Query: Hash + Eq + ToOwned<Owned = Self> + ?Sized;
    /// Keys one behind the other.
    type Stream: Send + Sync;

    /// The stream of the keys of these ranks.
    fn stream(ranks: &[u32]) -> Self::Stream;
    /// The key at a place.
    fn at(stream: &Self::Stream, place: usize) -> &Self::Query;
    /// A number that two different keys are unlikely to share.
    fn fingerprint(key: &Self::Query) -> u64;
}

impl Key for u64 {
    type Query = u64;
    type Stream = Vec<u64>;

    fn stream(ranks: &[u32]) -> Vec<u64> {
        ranks.iter().map(|rank| mix(u64::from(*rank))).collect()
    }

    #[inline(always)]
    fn at(stream: &Vec<u64>, place: usize) -> &u64 {
        &stream[place]
    }

    #[inline(always)]
    fn fingerprint(key: &u64) -> u64 {
        mix(*key)
    }
}

impl Key for String {
    type Query = str;
    type Stream = String;

    fn stream(ranks: &[u32]) -> String {
        let mut text = String::with_capacity(ranks.len() * TEXT_WIDTH);
        for rank in ranks {
            text.push_str(&format!("tag/{rank:07}"));
        }
        text
    }

    #[inline(always)]
    fn at(stream: &String, place: usize) -> &str {
        &stream[place * TEXT_WIDTH..][..TEXT_WIDTH]
    }

    #[inline(always)]
    fn fingerprint(key: &str) -> u64 {
        let word = |bytes: &[u8]| {
            bytes
                .iter()
                .fold(0, |word, byte| word << 8 | u64::from(*byte))
        };
        let (head, tail) = key.as_bytes().split_at(key.len() / 2);
        mix(word(head) ^ mix(word(tail)))
    }
}

/// Spreads a number over 64 bits, without collisions (the finaliser of `SplitMix64`).
fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// How often which key comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keys {
    /// 10,000 keys, each as often as any other.
    Uniform,
    /// A million keys; the one of rank r comes in proportion to 1/r.
    Zipf,
    /// One key.
    Hot,
}

impl Keys {
    /// The ranks that one thread draws; the same in every run.
    fn ranks(self, thread: usize) -> Vec<u32> {
        let mut random = fastrand::Rng::with_seed(thread as u64 + 1);
        match self {
            Self::Uniform => (0..DRAWS.min(1 << 18))
                .map(|_| random.u32(..UNIFORM_KEYS as u32))
                .collect(),
            Self::Zipf => {
                let zipf = Zipf::new(ZIPF_KEYS);
                (0..DRAWS).map(|_| zipf.sample(random.f64())).collect()
            }
            Self::Hot => vec![7; 1 << 12],
        }
    }
}

/// A stream per thread, drawn when it is first needed.
pub(super) struct Streams<K: Key> {
    keys: Keys,
    threads: [OnceLock<(K::Stream, usize)>; PRODUCERS_MAX],
}

impl<K: Key> Streams<K> {
    pub(super) fn new(keys: Keys) -> Self {
        Self {
            keys,
            threads: [const { OnceLock::new() }; PRODUCERS_MAX],
        }
    }

    /// The stream of a thread and the number of keys in it.
    pub(super) fn of(&self, thread: usize) -> (&K::Stream, usize) {
        let (stream, length) = self.threads[thread].get_or_init(|| {
            let ranks = self.keys.ranks(thread);
            (K::stream(&ranks), ranks.len())
        });
        (stream, *length)
    }
}

/// The Zipf distribution with exponent 1 over ranks from 0, by its cumulated weights.
struct Zipf {
    cumulated: Vec<f64>,
}

impl Zipf {
    fn new(ranks: usize) -> Self {
        let mut sum = 0.0;
        let cumulated = (1..=ranks).map(|rank| {
            sum += 1.0 / rank as f64;
            sum
        });
        Self {
            cumulated: cumulated.collect(),
        }
    }

    /// The rank at a place in `0.0..1.0` of the whole weight. Logarithmic in the number of ranks.
    fn sample(&self, place: f64) -> u32 {
        let weight = place * self.cumulated.last().copied().unwrap_or(0.0);
        let rank = self.cumulated.partition_point(|sum| *sum <= weight);
        rank.min(self.cumulated.len() - 1) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_come_in_proportion_to_one_over_their_place() {
        let zipf = Zipf::new(1_000);
        let mut random = fastrand::Rng::with_seed(1);
        let mut counts = vec![0_u32; 1_000];
        let draws = 200_000;
        for _ in 0..draws {
            counts[zipf.sample(random.f64()) as usize] += 1;
        }
        let harmonic: f64 = (1..=1_000).map(|rank| 1.0 / f64::from(rank)).sum();
        for rank in [0_usize, 1, 9, 99] {
            let expected = f64::from(draws) / harmonic / (rank + 1) as f64;
            let share = f64::from(counts[rank]) / expected;
            assert!((0.85..1.15).contains(&share), "rank {rank}: {share}");
        }
    }

    #[test]
    fn the_ends_of_the_range_are_the_first_and_the_last_rank() {
        let zipf = Zipf::new(10);
        assert_eq!((zipf.sample(0.0), zipf.sample(0.999_999)), (0, 9));
        assert_eq!(zipf.sample(1.0), 9);
        assert_eq!(Zipf::new(1).sample(0.5), 0);
    }

    #[test]
    fn streams_hold_the_keys_of_their_ranks() {
        let text = String::stream(&[3, 1_234_567]);
        assert_eq!(<String as Key>::at(&text, 1), "tag/1234567");
        let numbers = u64::stream(&[3, 3, 4]);
        assert_eq!(numbers[0], numbers[1]);
        assert_ne!(numbers[0], numbers[2]);
        assert_ne!(
            String::fingerprint("tag/0000012"),
            String::fingerprint("tag/0000021")
        );
        let streams = Streams::<u64>::new(Keys::Uniform);
        let (stream, length) = streams.of(2);
        assert_eq!(stream.len(), length);
    }

    #[test]
    fn a_stream_is_the_same_in_every_run() {
        assert_eq!(Keys::Uniform.ranks(1), Keys::Uniform.ranks(1));
        assert_ne!(Keys::Uniform.ranks(1), Keys::Uniform.ranks(2));
    }
}
