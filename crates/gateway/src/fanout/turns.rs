//! When a loop has its turns: at the earliest a tick after the one before, and at once for what is
//! critical. Without anything to send there is none.

use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::task::{JoinHandle, spawn_local};

use super::worker::Worker;

/// The least time between two turns, also of critical updates.
const TURN_MIN: Duration = Duration::from_millis(1);

/// The task of the turns, which ends with this.
pub(super) struct Turning(pub(super) JoinHandle<()>);

impl Turning {
    pub(super) fn begin(worker: &Rc<Worker>) -> Self {
        Self(spawn_local(turns(Rc::clone(worker))))
    }
}

impl Drop for Turning {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Has turns until it is aborted.
async fn turns(worker: Rc<Worker>) {
    let tick = worker.app.options.tick;
    let mut urgent = worker.app.backplane.urgent();
    let mut is_urgent_over = false;
    let mut last = Instant::now();
    let mut took = Duration::ZERO;
    let mut next: Option<Instant> = None;
    loop {
        let mut is_urgent = false;
        let due = async {
            match next {
                Some(moment) => tokio::time::sleep_until(moment.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            told = urgent.changed(), if !is_urgent_over => {
                is_urgent = true;
                is_urgent_over = told.is_err();
            }
            () = worker.wake.0.notified() => {}
            () = due => {}
        }
        if !is_urgent {
            tokio::select! {
                biased;
                told = urgent.changed(), if !is_urgent_over => {
                    is_urgent = true;
                    is_urgent_over = told.is_err();
                }
                () = until(last + tick) => {}
            }
        }
        if is_urgent {
            // A flood of what is critical leaves half of the time to others.
            until(last + took + took.max(TURN_MIN)).await;
        }
        last = Instant::now();
        next = worker.turn(last);
        took = last.elapsed();
        // Those who read have their turn too.
        tokio::task::yield_now().await;
    }
}

async fn until(moment: Instant) {
    if moment > Instant::now() {
        tokio::time::sleep_until(moment.into()).await;
    }
}
