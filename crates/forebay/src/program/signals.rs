//! The signals that end the program: the first asks it to, the second ends it at once. SIGHUP asks
//! whoever listens for it to read the configuration again.

use std::io::IsTerminal;

use anyhow::{Context, Result};
use tokio::sync::watch;

/// A signal that asks the program to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    /// Ctrl-C.
    Interrupt,
    /// What `kill` sends.
    Terminate,
    /// The terminal is gone.
    HangUp,
}

impl Signal {
    /// The exit code of a program that it ended: 128 and its number.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Interrupt => 130,
            Self::Terminate => 143,
            Self::HangUp => 129,
        }
    }
}

/// Hears the first signal, and the wishes for another configuration.
#[derive(Clone, Debug)]
pub(crate) struct Signals {
    first: watch::Receiver<Option<Signal>>,
    wishes: watch::Receiver<u64>,
}

/// What SIGHUP means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HangUp {
    /// What it means to any program: that it ends.
    Ends,
    /// That the configuration is to be read again, unless the terminal is gone.
    Reloads,
}

impl Signals {
    /// Listens from now on, on a thread of its own, so that a second signal ends the process even
    /// when everything else hangs.
    pub(crate) fn listen(hang_up: HangUp) -> Result<Self> {
        let (send, first) = watch::channel(None);
        let (wish, wishes) = watch::channel(0);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()
            .context("cannot listen for signals")?;
        let mut incoming = {
            let _guard = runtime.enter();
            Incoming::new(hang_up).context("cannot listen for signals")?
        };
        std::thread::Builder::new()
            .name("signals".into())
            .spawn(move || {
                runtime.block_on(async {
                    let first = incoming.next(&wish).await;
                    send.send_replace(Some(first));
                    let second = incoming.next(&wish).await;
                    std::process::exit(i32::from(second.code()));
                });
            })
            .context("cannot listen for signals")?;
        Ok(Self { first, wishes })
    }

    /// Waits until somebody wishes the configuration to be read again; once for all who did since
    /// the last call.
    pub(crate) async fn reload_wished(&mut self) {
        if self.wishes.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Waits for the first signal; returns at once when it came already.
    pub(crate) async fn first(&mut self) -> Signal {
        match self.first.wait_for(Option::is_some).await {
            Ok(signal) => signal.unwrap_or(Signal::Terminate),
            // The thread is gone, and no signal will come.
            Err(_) => std::future::pending().await,
        }
    }
}

#[cfg(unix)]
struct Incoming {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    /// `None` leaves SIGHUP as it is.
    hang_up: Option<tokio::signal::unix::Signal>,
    had_terminal: bool,
}

#[cfg(unix)]
impl Incoming {
    fn new(hang_up: HangUp) -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: match hang_up {
                HangUp::Ends => None,
                HangUp::Reloads => Some(signal(SignalKind::hangup())?),
            },
            had_terminal: std::io::stdin().is_terminal(),
        })
    }

    async fn next(&mut self, wish: &watch::Sender<u64>) -> Signal {
        loop {
            let hang_up = async {
                match &mut self.hang_up {
                    Some(hang_up) => hang_up.recv().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                Some(()) = self.interrupt.recv() => return Signal::Interrupt,
                Some(()) = self.terminate.recv() => return Signal::Terminate,
                Some(()) = hang_up => {
                    // A terminal that was closed is none any more, and nobody can stop this here.
                    if self.had_terminal && !std::io::stdin().is_terminal() {
                        return Signal::HangUp;
                    }
                    wish.send_modify(|count| *count += 1);
                }
                else => std::future::pending().await,
            }
        }
    }
}

#[cfg(not(unix))]
struct Incoming;

#[cfg(not(unix))]
impl Incoming {
    fn new(_: HangUp) -> std::io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self, _: &watch::Sender<u64>) -> Signal {
        match tokio::signal::ctrl_c().await {
            Ok(()) => Signal::Interrupt,
            Err(_) => std::future::pending().await,
        }
    }
}
