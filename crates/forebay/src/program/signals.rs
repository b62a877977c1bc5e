//! The signals that end the program: the first asks it to, the second ends it at once.

use anyhow::{Context, Result};
use tokio::sync::watch;

/// A signal that asks the program to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    /// Ctrl-C.
    Interrupt,
    /// What `kill` sends.
    Terminate,
}

impl Signal {
    /// The exit code of a program that it ended: 128 and its number.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Interrupt => 130,
            Self::Terminate => 143,
        }
    }
}

/// Hears the first signal.
#[derive(Clone, Debug)]
pub(crate) struct Signals {
    first: watch::Receiver<Option<Signal>>,
}

impl Signals {
    /// Listens from now on, on a thread of its own, so that a second signal ends the process even
    /// when everything else hangs.
    pub(crate) fn listen() -> Result<Self> {
        let (send, first) = watch::channel(None);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()
            .context("cannot listen for signals")?;
        let mut incoming = {
            let _guard = runtime.enter();
            Incoming::new().context("cannot listen for signals")?
        };
        std::thread::Builder::new()
            .name("signals".into())
            .spawn(move || {
                runtime.block_on(async {
                    let first = incoming.next().await;
                    send.send_replace(Some(first));
                    let second = incoming.next().await;
                    std::process::exit(i32::from(second.code()));
                });
            })
            .context("cannot listen for signals")?;
        Ok(Self { first })
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
}

#[cfg(unix)]
impl Incoming {
    fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            Some(()) = self.interrupt.recv() => Signal::Interrupt,
            Some(()) = self.terminate.recv() => Signal::Terminate,
            else => std::future::pending().await,
        }
    }
}

#[cfg(not(unix))]
struct Incoming;

#[cfg(not(unix))]
impl Incoming {
    fn new() -> std::io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) -> Signal {
        match tokio::signal::ctrl_c().await {
            Ok(()) => Signal::Interrupt,
            Err(_) => std::future::pending().await,
        }
    }
}
