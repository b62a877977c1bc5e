//! What the loom models share.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use loom::sync::{Condvar, Mutex};

/// Explores a model, and says if there was nothing to explore: then it would prove nothing.
pub(crate) fn explore(model: impl Fn() + Send + Sync + 'static) {
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&runs);
    loom::model(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        model();
    });
    let runs = runs.load(Ordering::Relaxed);
    println!("{runs} executions");
    // An operation takes one lock, so that there are few orders; but more than one.
    assert!(runs > 2, "only {runs} executions");
}

/// Parks the model's thread until it is woken; a wake that is lost is a deadlock, which loom finds.
#[derive(Default)]
pub(crate) struct Parker {
    woken: Mutex<bool>,
    changed: Condvar,
}

impl Wake for Parker {
    fn wake(self: Arc<Self>) {
        *self.woken.lock().unwrap() = true;
        self.changed.notify_all();
    }
}

impl Parker {
    /// Returns once this is ready.
    #[allow(dead_code, reason = "not every file of models waits")]
    pub(crate) fn until(self: &Arc<Self>, mut is_ready: impl FnMut(&mut Context<'_>) -> Poll<()>) {
        let waker = Waker::from(Arc::clone(self));
        let mut context = Context::from_waker(&waker);
        while is_ready(&mut context) == Poll::Pending {
            let mut woken = self.woken.lock().unwrap();
            while !*woken {
                woken = self.changed.wait(woken).unwrap();
            }
            *woken = false;
        }
    }
}
