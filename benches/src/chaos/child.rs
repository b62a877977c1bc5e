//! The parent's hold on a client.

use std::io::{BufRead, BufReader};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::source::SCOPES;
use crate::target::Target;

/// Up to where each scope is done.
pub(crate) type Marks = [u64; SCOPES.len()];

/// A running client; killed when dropped.
pub(crate) struct Child {
    process: std::process::Child,
    lines: mpsc::Receiver<Line>,
    opened: Option<Marks>,
    acked: Option<Marks>,
    batches: u32,
}

#[derive(Clone, Copy)]
struct Line {
    is_ack: bool,
    marks: Marks,
}

impl Child {
    /// Starts a client of the target.
    pub(crate) fn start(target: &Target, seed: u64) -> Result<Self> {
        let program = std::env::current_exe().context("cannot find this program")?;
        let mut process = Command::new(program)
            .args(["client", "--kind", target.kind().name()])
            .args(["--url", &target.client_url(), "--seed", &seed.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start a client")?;
        let out = process.stdout.take().context("standard output is a pipe")?;
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if let Some(line) = parse(&line)
                    && sender.send(line).is_err()
                {
                    return;
                }
            }
        });
        Ok(Self {
            process,
            lines,
            opened: None,
            acked: None,
            batches: 0,
        })
    }

    /// Waits until so many batches were acknowledged.
    pub(crate) fn wait_acked(&mut self, batches: u32, within: Duration) -> Result<()> {
        let deadline = Instant::now() + within;
        while self.batches < batches {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => self.take(line),
                Err(RecvTimeoutError::Timeout) => bail!("no delivery within {within:?}"),
                Err(RecvTimeoutError::Disconnected) => {
                    bail!("the client ended by itself: {:?}", self.process.wait())
                }
            }
        }
        Ok(())
    }

    /// The batches that it was told are delivered, as far as was read.
    pub(crate) fn batches_so_far(&mut self) -> u32 {
        while let Ok(line) = self.lines.try_recv() {
            self.take(line);
        }
        self.batches
    }

    /// Ends it at once and says where it began and what it was told last.
    pub(crate) fn kill(&mut self) -> Told {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
        self.told()
    }

    /// Waits for its end.
    pub(crate) fn wait_end(&mut self, within: Duration) -> Result<ExitStatus> {
        let deadline = Instant::now() + within;
        loop {
            if let Some(status) = self
                .process
                .try_wait()
                .context("cannot wait for a client")?
            {
                return Ok(status);
            }
            ensure!(
                Instant::now() < deadline,
                "a client did not end within {within:?}"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Stops it where it is.
    pub(crate) fn freeze(&self) -> Result<()> {
        self.signal("STOP")
    }

    /// Lets it go on.
    pub(crate) fn thaw(&self) -> Result<()> {
        self.signal("CONT")
    }

    /// Where it began and what it was told last; all of it once it has ended.
    pub(crate) fn told(&mut self) -> Told {
        // The thread that reads ends with the pipe, and so does this.
        while let Ok(line) = self.lines.recv_timeout(Duration::from_secs(5)) {
            self.take(line);
        }
        Told {
            opened: self.opened,
            acked: self.acked,
        }
    }

    fn take(&mut self, line: Line) {
        if line.is_ack {
            self.acked = Some(line.marks);
            self.batches += 1;
        } else {
            self.opened = Some(line.marks);
        }
    }

    fn signal(&self, name: &str) -> Result<()> {
        let status = Command::new("kill")
            .args([format!("-{name}"), self.process.id().to_string()])
            .status()
            .context("cannot run `kill`")?;
        ensure!(status.success(), "cannot signal the client");
        Ok(())
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What a client was told.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Told {
    pub(crate) opened: Option<Marks>,
    pub(crate) acked: Option<Marks>,
}

fn parse(line: &str) -> Option<Line> {
    let mut words = line.split(' ');
    let is_ack = match words.next()? {
        "acked" => true,
        "open" => false,
        _ => return None,
    };
    let mut marks = [0; SCOPES.len()];
    for mark in &mut marks {
        *mark = words.next()?.parse().ok()?;
    }
    Some(Line { is_ack, marks })
}
