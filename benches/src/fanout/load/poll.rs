//! Which of many sockets can be read: epoll, level-triggered.

use std::os::fd::{AsFd, OwnedFd};

use anyhow::Result;
use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;

/// Sockets that are told at a time.
const EVENTS_MAX: usize = 256;

/// A set of sockets, each with a number.
pub(super) struct Poll {
    epoll: OwnedFd,
    events: Vec<Event>,
}

impl Poll {
    pub(super) fn new() -> Result<Self> {
        Ok(Self {
            epoll: epoll::create(CreateFlags::CLOEXEC)?,
            events: Vec::with_capacity(EVENTS_MAX),
        })
    }

    pub(super) fn add(&self, socket: impl AsFd, number: usize) -> Result<()> {
        let data = EventData::new_u64(number as u64);
        Ok(epoll::add(&self.epoll, socket, data, EventFlags::IN)?)
    }

    pub(super) fn remove(&self, socket: impl AsFd) -> Result<()> {
        Ok(epoll::delete(&self.epoll, socket)?)
    }

    /// Waits for so long at most, and returns the numbers of those that can be read.
    pub(super) fn wait(&mut self, timeout_ms: u32) -> Result<Vec<usize>> {
        let timeout = Timespec {
            tv_sec: 0,
            tv_nsec: i64::from(timeout_ms.min(999)) * 1_000_000,
        };
        self.events.clear();
        match epoll::wait(
            &self.epoll,
            spare_capacity(&mut self.events),
            Some(&timeout),
        ) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let number = |event: &Event| event.data.u64() as usize;
        Ok(self.events.iter().map(number).collect())
    }
}
