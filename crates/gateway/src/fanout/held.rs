//! How much is kept for clients that do not read, and what is done when it is too much. Also what
//! becomes of a loop that panics. Pure but for that.
//!
//! A frame that several clients hold counts once. Who has held one for longest is cut off first:
//! who just began may be about to take it.

use std::collections::HashMap;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

use super::outgoing::Held;

/// Bytes of frames that the clients of one loop may hold.
const HELD_BYTES_MAX: usize = 256 << 20;

/// Who is cut off so that the others hold no more than they may.
pub(super) fn too_much(mut held: Vec<(u64, Held)>) -> Vec<u64> {
    let mut holders: HashMap<usize, usize> = HashMap::new();
    let mut bytes = 0;
    for (_, held) in &held {
        let count = holders.entry(held.address).or_default();
        *count += 1;
        if *count == 1 {
            bytes += held.bytes;
        }
    }
    if bytes <= HELD_BYTES_MAX {
        return Vec::new();
    }
    held.sort_by_key(|(_, held)| held.since);
    let mut cut = Vec::new();
    for (id, held) in held {
        if bytes <= HELD_BYTES_MAX {
            break;
        }
        cut.push(id);
        let count = holders.entry(held.address).or_default();
        *count = count.saturating_sub(1);
        if *count == 0 {
            bytes = bytes.saturating_sub(held.bytes);
        }
    }
    cut
}

/// A future whose panic ends it, and nothing else.
pub(super) async fn supervised<F: Future<Output = ()>>(future: F) -> Result<(), Panicked> {
    let mut future = pin!(future);
    poll_fn(|context| {
        let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context)));
        match polled {
            Ok(polled) => polled.map(Ok),
            Err(_) => Poll::Ready(Err(Panicked)),
        }
    })
    .await
}

/// It panicked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Panicked;

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn law_2_who_holds_for_longest_is_cut_off_and_what_is_shared_counts_once() {
        let start = Instant::now();
        let held = |address, after_s| Held {
            address,
            bytes: HELD_BYTES_MAX / 2,
            since: start + Duration::from_secs(after_s),
        };
        let shared: Vec<_> = (0..1000).map(|id| (id, held(1, id))).collect();
        assert!(too_much(shared).is_empty());
        let three = vec![(7, held(1, 3)), (8, held(2, 1)), (9, held(3, 2))];
        assert_eq!(too_much(three), [8]);
        let with_shared = vec![
            (6, held(1, 0)),
            (7, held(1, 3)),
            (8, held(2, 1)),
            (9, held(3, 2)),
        ];
        assert_eq!(too_much(with_shared), [6, 8]);
    }

    #[tokio::test]
    async fn a_panic_ends_what_is_supervised_and_nothing_else() {
        assert_eq!(supervised(async {}).await, Ok(()));
        let panics = async { panic!("on purpose") };
        assert_eq!(supervised(panics).await, Err(Panicked));
    }
}
