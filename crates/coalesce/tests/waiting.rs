//! Who waits for whom: nobody waits for a merge.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use coalesce::{Aggregate, Coalescer, Stamp, WhenFull, WhenKeysFull};

/// A count whose merge says that it began, and ends when it is told to.
struct Gated {
    began: Sender<()>,
    end: Mutex<Receiver<()>>,
}

impl Aggregate for Gated {
    type Update = ();
    type Partial = u64;

    fn start(&self, (): (), _stamp: Stamp) -> u64 {
        1
    }

    fn absorb(&self, partial: &mut u64, (): (), _stamp: Stamp) -> Option<()> {
        *partial += 1;
        None
    }

    fn merge(&self, partial: &mut u64, other: u64) -> Option<u64> {
        *partial += other;
        // Only the take of the test waits; when the test is over, nobody does.
        if self.began.send(()).is_ok() {
            let _ = self.end.lock().unwrap().recv();
        }
        None
    }
}

const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn adds_handles_restores_and_takes_do_not_wait_for_a_merge() {
    let ((began, begins), (end, ends)) = (channel(), channel());
    let gated = Gated {
        began,
        end: Mutex::new(ends),
    };
    let buffer = Coalescer::builder(gated)
        .updates_max(1_000, WhenFull::Reject)
        .keys_max(100, WhenKeysFull::Reject)
        .flush_at(50)
        .build()
        .unwrap();
    let writers = [buffer.writer(), buffer.writer()];
    for writer in &writers {
        let _ = writer.add(1, ()).unwrap();
    }
    let (done, finished) = channel();
    thread::scope(|scope| {
        let taking = scope.spawn(|| buffer.take().updates());
        begins.recv_timeout(PATIENCE).unwrap();
        // The merge is under way, and goes on when all of this is done.
        let (buffer, writers) = (&buffer, writers);
        scope.spawn(move || {
            let [first, second] = writers;
            let _ = first.add(1, ()).unwrap();
            let _ = buffer.writer().add(2, ()).unwrap();
            let _ = buffer.add(3, ()).unwrap();
            assert_eq!(first.add_many([(4, ()), (5, ())]).accepted, 2);
            drop(second);
            let batch = buffer.take();
            assert_eq!(batch.updates(), 5);
            buffer.restore(batch);
            assert_eq!(buffer.updates(), 5);
            assert_eq!(buffer.stats().unique_keys, 5);
            done.send(()).unwrap();
        });
        let in_time = finished.recv_timeout(PATIENCE);
        drop(end);
        in_time.expect("somebody waited for the merge");
        assert_eq!(taking.join().unwrap(), 2);
    });
}

#[test]
fn a_handle_goes_to_another_thread_with_what_it_holds() {
    let buffer = Coalescer::new(coalesce::Count);
    let writer = buffer.writer();
    let _ = writer.add("a", ()).unwrap();
    let writer = thread::spawn(move || {
        let _ = writer.add("a", ()).unwrap();
        writer
    })
    .join()
    .unwrap();
    let _ = writer.add("a", ()).unwrap();
    assert_eq!(buffer.take().entries()[0].partial, 3);
}
