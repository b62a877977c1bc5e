//! Tells a program: the alert on its standard input, and what matters most in its environment.
//!
//! It runs in a process group of its own, which is killed as a whole when the time is over or
//! nobody waits any more, and is always waited for, so that no zombie stays. What it prints is read
//! to the end, so that it never blocks, and kept up to a cap. What a program that has ended left
//! running in the background is not waited for and not killed.

use std::io::ErrorKind as IoKind;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use sinks::{ErrorKind, WriteError};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

use super::outbox::Letter;

/// How much of what it prints is kept, of output and error output each.
const PRINTED_BYTES_MAX: usize = 4096;
/// How much of that a message repeats.
const EXCERPT_CHARS_MAX: usize = 200;
/// How long what a program printed is waited for once it has ended.
const REST_WITHIN: Duration = Duration::from_millis(500);
/// How long a killed process may take to be gone.
const REAP_WITHIN: Duration = Duration::from_secs(5);

/// Starts the program and waits until it ends; anything but success is an error.
pub(super) async fn run(
    program: &str,
    args: &[String],
    letter: &Letter,
    timeout: Duration,
) -> Result<(), WriteError> {
    let failed =
        |kind, why: String| WriteError::new(kind, format!("the command `{program}` {why}"));
    let mut command = Command::new(program);
    command
        .args(args)
        .env("FOREBAY_ALERT_STATUS", letter.status.as_str())
        .env("FOREBAY_ALERT_SCORE", letter.score.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    #[cfg(unix)]
    command.process_group(0);
    let mut child = command.spawn().map_err(|error| {
        let kind = match error.kind() {
            IoKind::NotFound | IoKind::PermissionDenied => ErrorKind::Fatal,
            _ => ErrorKind::Transient,
        };
        failed(kind, format!("cannot be started: {error}"))
    })?;
    let mut group = Group::of(&child);
    let mut heard = Heard::default();
    // What is heard tells whether the program has ended, also when the time was over first.
    let _ = tokio::time::timeout(timeout, talk(&mut child, &letter.body, &mut heard)).await;
    if heard.ended.is_none() {
        group.kill();
        // It has been killed; a process that stays nevertheless is left to the runtime.
        let _ = tokio::time::timeout(REAP_WITHIN, child.wait()).await;
    }
    group.forget();
    let said = heard.excerpt();
    let why = match &heard.ended {
        None => format!("did not end within {timeout:?} and was killed{said}"),
        Some(Err(error)) => format!("was lost: {error}{said}"),
        Some(Ok(status)) if status.success() => {
            tracing::debug!(program, "the command of an alert succeeded{said}");
            return Ok(());
        }
        Some(Ok(status)) => format!("failed with {status}{said}"),
    };
    Err(failed(ErrorKind::Transient, why))
}

/// Feeds and hears the program until it ends.
async fn talk(child: &mut Child, body: &str, heard: &mut Heard) {
    let (input, output, errors) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let feed = async {
        if let Some(mut input) = input {
            // A program need not read; it is then told by the environment alone.
            let _ = input.write_all(body.as_bytes()).await;
            let _ = input.shutdown().await;
        }
    };
    let Heard { out, err, ended } = heard;
    let hear = async { tokio::join!(feed, read(output, out), read(errors, err)) };
    tokio::pin!(hear);
    tokio::select! {
        status = child.wait() => {
            *ended = Some(status);
            // A process in the background may hold on to the pipes.
            let _ = tokio::time::timeout(REST_WITHIN, &mut hear).await;
        }
        _ = &mut hear => *ended = Some(child.wait().await),
    }
}

/// Reads to the end and keeps the start.
async fn read(from: Option<impl AsyncRead + Unpin>, kept: &mut Vec<u8>) {
    let Some(mut from) = from else { return };
    let mut part = [0; 1024];
    while let Ok(count @ 1..) = from.read(&mut part).await {
        let room = PRINTED_BYTES_MAX - kept.len();
        kept.extend_from_slice(&part[..count.min(room)]);
    }
}

/// What a program printed, and how it ended.
#[derive(Default)]
struct Heard {
    out: Vec<u8>,
    err: Vec<u8>,
    ended: Option<std::io::Result<ExitStatus>>,
}

impl Heard {
    /// The start of it on one line, for the end of a message.
    fn excerpt(&self) -> String {
        let bytes = if self.err.is_empty() {
            &self.out
        } else {
            &self.err
        };
        let text = String::from_utf8_lossy(bytes);
        let text = text.trim();
        if text.is_empty() {
            return String::new();
        }
        let mut shown: String = text
            .chars()
            .take(EXCERPT_CHARS_MAX)
            .map(|letter| if letter.is_control() { ' ' } else { letter })
            .collect();
        if shown.len() < text.len() {
            shown.push('…');
        }
        format!(": {shown}")
    }
}

/// The processes that a program and what it started are; killed when nobody waits any more.
struct Group {
    #[cfg(unix)]
    leader: Option<rustix::process::Pid>,
}

#[cfg(unix)]
impl Group {
    fn of(child: &Child) -> Self {
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        Self {
            leader: id.and_then(rustix::process::Pid::from_raw),
        }
    }

    fn kill(&mut self) {
        if let Some(leader) = self.leader.take() {
            // All of them may be gone already.
            let _ = rustix::process::kill_process_group(leader, rustix::process::Signal::KILL);
        }
    }

    /// Its leader has ended, so that its number may become that of another process.
    fn forget(&mut self) {
        self.leader = None;
    }
}

#[cfg(not(unix))]
impl Group {
    fn of(_child: &Child) -> Self {
        Self {}
    }

    fn kill(&mut self) {}

    fn forget(&mut self) {}
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}
