//! Streams, driven by hand: pending until something changes, ended by a close.

#![cfg(all(not(loom), feature = "futures-core"))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod delivering;

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use dataservice::Pull;
use delivering::{Driven, every, service, values};
use futures_core::Stream;

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Woken {
    fn times(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    fn poll<S: Stream + Unpin>(self: &Arc<Self>, stream: &mut S) -> Poll<Option<S::Item>> {
        let waker = Waker::from(Arc::clone(self));
        Pin::new(stream).poll_next(&mut Context::from_waker(&waker))
    }
}

#[test]
fn a_task_is_woken_once_for_all_commits_before_it_polls() {
    let (service, a, _) = service();
    let mut stream = every(&service, a).into_stream();
    let task = Arc::new(Woken::default());
    assert!(task.poll(&mut stream).is_pending());
    for (value, wakes) in [(20, 1), (30, 1), (40, 1)] {
        service.put(a, value, value).unwrap();
        assert_eq!(task.times(), wakes);
    }
    let Poll::Ready(Some(shown)) = task.poll(&mut stream) else {
        panic!("it changed");
    };
    assert_eq!(values(&shown, a), [20, 30, 40]);
    assert!(task.poll(&mut stream).is_pending());
    drop(stream);
    assert_eq!(service.stats().subscribers, 0);
}

#[test]
fn a_stream_ends_when_closed_after_what_is_left() {
    let source = Driven::default();
    let mut stream = source.clone().into_stream();
    let task = Arc::new(Woken::default());
    assert!(task.poll(&mut stream).is_pending());
    source.change();
    source.close();
    assert_eq!(task.times(), 1);
    assert_eq!(task.poll(&mut stream), Poll::Ready(Some(1)));
    assert_eq!(task.poll(&mut stream), Poll::Ready(None));
    assert_eq!(task.poll(&mut stream), Poll::Ready(None));
}

#[test]
fn a_paced_stream_sleeps_by_the_callers_timer_and_shows_the_rest_as_one() {
    let interval = Duration::from_secs(3_600);
    let source = Driven::with_interval(interval);
    let is_over = Rc::new(Cell::new(false));
    let timer = Rc::clone(&is_over);
    let mut stream = source.clone().into_stream_with(move |asked| {
        assert_eq!(asked, interval);
        timer.set(false);
        let timer = Rc::clone(&timer);
        poll_fn(move |_| {
            if timer.get() {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
    });
    let task = Arc::new(Woken::default());
    source.change();
    assert_eq!(task.poll(&mut stream), Poll::Ready(Some(1)));
    source.change();
    source.change();
    assert!(task.poll(&mut stream).is_pending());
    is_over.set(true);
    assert_eq!(task.poll(&mut stream), Poll::Ready(Some(2)));
    is_over.set(true);
    assert!(task.poll(&mut stream).is_pending());
    source.change();
    assert_eq!(task.times(), 1);
    assert_eq!(task.poll(&mut stream), Poll::Ready(Some(1)));
}

#[test]
fn a_plain_stream_leaves_the_interval_to_its_caller() {
    let source = Driven::with_interval(Duration::from_secs(3_600));
    let mut stream = source.clone().into_stream();
    let task = Arc::new(Woken::default());
    for _ in 0..2 {
        source.change();
        assert_eq!(task.poll(&mut stream), Poll::Ready(Some(1)));
    }
}
