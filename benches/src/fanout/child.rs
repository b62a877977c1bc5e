//! A process of a run, talked to by lines.

use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::process::{self, Running};

/// A child that is ended when this is dropped. What it says on standard error is shown.
pub(super) struct Talking {
    running: Running,
    input: ChildStdin,
    lines: Receiver<String>,
    name: String,
}

/// What a process has used and has, at one moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Usage {
    pub(super) cpu_s: f64,
    pub(super) resident_mb: f64,
    pub(super) peak_mb: f64,
}

impl Talking {
    pub(super) fn start(mut command: Command) -> Result<Self> {
        let name = format!("{command:?}");
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let input = child.stdin.take().context("no standard input")?;
        let output = child.stdout.take().context("no standard output")?;
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let running = Running(child);
        Ok(Self {
            running,
            input,
            lines,
            name,
        })
    }

    pub(super) fn say(&mut self, what: &impl Serialize) -> Result<()> {
        let line = serde_json::to_string(what)?;
        writeln!(self.input, "{line}").with_context(|| format!("{} is gone", self.name))
    }

    /// Its next line.
    pub(super) fn hear<T: DeserializeOwned>(&self, within: Duration) -> Result<T> {
        let line = self.lines.recv_timeout(within);
        let line = line.with_context(|| format!("{} says nothing", self.name))?;
        serde_json::from_str(&line).with_context(|| format!("{} says {line}", self.name))
    }

    pub(super) fn usage(&self) -> Result<Usage> {
        let pid = self.running.0.id();
        let gone = || format!("{} is gone", self.name);
        Ok(Usage {
            cpu_s: process::cpu_time_s(pid).with_context(gone)?,
            resident_mb: process::resident_memory_mb(pid).with_context(gone)?,
            peak_mb: process::peak_memory_mb(pid).with_context(gone)?,
        })
    }
}
