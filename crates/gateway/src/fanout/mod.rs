//! The WebSocket: a few loops that send to any number of clients.
//!
//! Each client is a cursor on the data service. Those with equal subscriptions that have seen the
//! same share one, and one frame that is encoded once and written to all of their sockets. Nothing
//! is queued for a client: while it takes a frame that is under way it is sent nothing else, and
//! then it gets the newest state in one frame; of a subscription to every update, all that came
//! since, or how many are missing. A client that takes nothing at all is cut off after a deadline,
//! as is one that has said nothing for a minute, not even the answer to a ping.
//!
//! - [`upgrade`]: the handshake. [`worker`]: a loop, its turns and its connections.
//! - [`group`] and [`cohort`]: equal subscriptions, and who has seen the same.
//! - [`connection`], [`outgoing`], [`reader`]: one client. [`obey`] and [`act`]: what it says.
//!
//! A loop is one thread, and a connection stays on its loop, so nothing is locked on the way of a
//! frame.

mod account;
mod act;
mod bases;
mod care;
mod cohort;
mod connection;
mod extract;
mod frame;
mod group;
mod held;
mod obey;
mod outgoing;
mod pace;
mod reader;
mod socket;
mod turns;
pub(crate) mod upgrade;
mod worker;

use std::io;
use std::sync::OnceLock;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::mpsc;

pub(crate) use upgrade::connect;

use crate::state::App;
use upgrade::Newcomer;
use worker::Command;

/// Loops that are started when nobody says how many, at most.
const LOOPS_MAX: usize = 4;
/// How long loops may take to end.
const END_WITHIN: Duration = Duration::from_secs(3);

/// The loops that send.
#[derive(Default)]
pub(crate) struct Fanout {
    loops: OnceLock<Vec<mpsc::UnboundedSender<Command>>>,
}

/// Comes to its end when the loops have.
pub(crate) struct Running(mpsc::Receiver<()>);

impl Fanout {
    /// Starts the loops, which end when the gateway closes. Called within the runtime that serves.
    ///
    /// # Errors
    /// When the system gives no more threads.
    pub(crate) fn start(&self, app: &App) -> io::Result<Running> {
        let (running, ended) = mpsc::channel(1);
        let count = match app.options.loops {
            0 => loops_by_cores(),
            count => count,
        };
        let mut loops = Vec::with_capacity(count);
        for number in 0..count {
            let (app, server) = (app.clone(), Handle::current());
            // At most a newcomer for each place, and an answer for each action under way.
            let (commands, received) = mpsc::unbounded_channel();
            let (own, running) = (commands.clone(), running.clone());
            std::thread::Builder::new()
                .name(format!("fanout-{number}"))
                .spawn(move || worker::run(app, server, (own, received), running))?;
            loops.push(commands);
        }
        // It is started once.
        let _ = self.loops.set(loops);
        Ok(Running(ended))
    }

    /// Gives a client to its loop; it is dropped when the gateway closes.
    fn hand_over(&self, newcomer: Newcomer) {
        let Some(loops) = self.loops.get().filter(|loops| !loops.is_empty()) else {
            return;
        };
        let at = newcomer.id % loops.len() as u64;
        // A loop that has ended drops it.
        let _ = loops[at as usize].send(Command::Connect(Box::new(newcomer)));
    }
}

impl Running {
    /// Waits until the loops have ended, 3 s at most.
    pub(crate) async fn ended(mut self) {
        let _ = tokio::time::timeout(END_WITHIN, self.0.recv()).await;
    }
}

/// One on up to three cores, then half of them, four at most.
fn loops_by_cores() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    (cores / 2).clamp(1, LOOPS_MAX)
}
