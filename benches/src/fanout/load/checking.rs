//! A few real clients among the many connections, which look at every value they get.
//!
//! They use the crate that programs use. What a window is they do not know while they listen, so
//! they keep when each update was due, and are judged at the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::{Context, Result, bail, ensure};
use client::{Client, Event, Extract, Reading, Subscribe};
use parking_lot::Mutex;
use record::{Priority, Quality};

use crate::fanout::plan::{Checked, Window};
use crate::fanout::update::{self, Marks};

/// The clients, on a thread of their own.
pub(super) struct Checking {
    notes: Vec<Arc<Mutex<Notes>>>,
    /// How many have got their snapshot.
    ready: Arc<AtomicUsize>,
}

/// What a client has got.
#[derive(Default)]
struct Notes {
    /// When each update was due.
    due_us: Vec<u64>,
    fault: Option<String>,
}

impl Checking {
    pub(super) fn start(port: u16, clients: usize) -> Result<Self> {
        let notes: Vec<_> = (0..clients).map(|_| Arc::default()).collect();
        let ready = Arc::new(AtomicUsize::new(0));
        if clients == 0 {
            return Ok(Self { notes, ready });
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("cannot start a runtime")?;
        let (own, ready_here) = (notes.clone(), Arc::clone(&ready));
        thread::spawn(move || {
            runtime.block_on(async {
                let all = own.iter().map(|notes| listen(port, notes, &ready_here));
                futures_util::future::join_all(all).await;
            });
        });
        Ok(Self { notes, ready })
    }

    pub(super) fn are_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed) == self.notes.len()
    }

    /// Whether all of them got as many as they should.
    pub(super) fn are_complete(&self, window: &Window) -> bool {
        let is_complete = |notes: &Arc<Mutex<Notes>>| {
            let notes = notes.lock();
            notes.fault.is_some() || count_in(window, &notes.due_us) as u64 >= window.expected
        };
        self.notes.iter().all(is_complete)
    }

    pub(super) fn judge(&self, window: &Window) -> Option<Checked> {
        if self.notes.is_empty() {
            return None;
        }
        let judged = |notes: &Arc<Mutex<Notes>>| judge(&notes.lock(), window);
        let faults: Vec<String> = self
            .notes
            .iter()
            .filter_map(|notes| Some(format!("{:#}", judged(notes).err()?)))
            .collect();
        Some(Checked {
            clients: self.notes.len(),
            complete: self.notes.len() - faults.len(),
            fault: faults.into_iter().next(),
        })
    }
}

fn count_in(window: &Window, due_us: &[u64]) -> usize {
    let counts = |due_us: &&u64| (window.from_us..window.until_us).contains(*due_us);
    due_us.iter().filter(counts).count()
}

fn judge(notes: &Notes, window: &Window) -> Result<()> {
    if let Some(fault) = &notes.fault {
        bail!("{fault}");
    }
    let counts = |due_us: &&u64| (window.from_us..window.until_us).contains(*due_us);
    let inside: Vec<u64> = notes.due_us.iter().filter(counts).copied().collect();
    let expected = window.expected;
    let count = inside.len();
    ensure!(count as u64 == expected, "{count} of {expected} updates");
    let sum_us: u64 = inside.iter().map(|due_us| due_us - window.from_us).sum();
    ensure!(sum_us == window.expected_sum_us, "other updates than these");
    Ok(())
}

/// Listens until the connection ends for good, which is a fault.
async fn listen(port: u16, notes: &Mutex<Notes>, ready: &AtomicUsize) {
    let ended = follow(port, notes, ready).await;
    let fault = ended.map_or_else(|error| format!("{error:#}"), |()| "it ended".to_owned());
    notes.lock().fault.get_or_insert(fault);
}

async fn follow(port: u16, notes: &Mutex<Notes>, ready: &AtomicUsize) -> Result<()> {
    let client = Client::builder(format!("ws://127.0.0.1:{port}/ws"))
        .connect()
        .await?;
    let mut subscription = client
        .subscribe(Subscribe {
            id: "checked".to_owned(),
            keys: vec!["*".to_owned()],
            extract: Extract::SinceLast,
            ..Subscribe::default()
        })
        .await?;
    let (marks, mut snapshots) = (Marks::new(), 0);
    while let Some(event) = subscription.next().await {
        let frame = match event {
            Event::Snapshot(_) => {
                snapshots += 1;
                ensure!(snapshots == 1, "it was not continued");
                ready.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            Event::Update(frame) => frame,
            other => bail!("{other:?}"),
        };
        let missed = frame.missed;
        ensure!(missed == 0, "{missed} updates are missing");
        let mut due_us = Vec::with_capacity(frame.readings.len());
        for reading in &frame.readings {
            due_us.push(check(reading, &marks)?);
        }
        notes.lock().due_us.extend(due_us);
    }
    Ok(())
}

/// Whether a value is as it was published; and when it was due.
fn check(reading: &Reading, marks: &Marks) -> Result<u64> {
    ensure!(reading.key.tag.as_str() == update::TAG, "{:?}", reading.key);
    ensure!(reading.quality == Quality::Good, "{:?}", reading.quality);
    let text = reading.value.to_string();
    let mut found = None;
    marks.find(text.as_bytes(), |due_us, is_critical| {
        found = Some((due_us, is_critical));
    });
    let (due_us, is_critical) = found.with_context(|| format!("no update: {text}"))?;
    let priority = if is_critical {
        Priority::Critical
    } else {
        Priority::Normal
    };
    ensure!(reading.priority == priority, "{:?}", reading.priority);
    let padding = reading.value["pad"].as_str().context("no padding")?;
    ensure!(padding.bytes().all(|byte| byte == b'x'), "{padding}");
    Ok(due_us)
}
