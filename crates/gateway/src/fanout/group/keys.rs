//! The keys of a group: those that match, as they come.

use std::collections::HashSet;
use std::rc::Rc;

use dataservice::KeyId;
use pipeline::LiveData;
use record::Key;

use super::Group;
use crate::fanout::cohort::Cohort;
use crate::fanout::connection::Connection;
use crate::fanout::extract::CHOSEN_FROM_MAX;
use crate::fanout::worker::Worker;

/// Steps of matching new keys that a group may take in a turn: some milliseconds.
const TURN_STEPS_MAX: usize = 1_000_000;

impl Group {
    /// Looks for keys that came since, and takes in those that match; whether there were any.
    pub(in crate::fanout) fn find_keys(&mut self, worker: &Rc<Worker>) -> bool {
        if worker.app.live.keys_len() == self.next_key.number() as usize {
            return false;
        }
        let (mut taken_in, mut left_out) = (false, false);
        // Those that are left are looked at in the next turn, and others have theirs before.
        let (new, is_all) = self.new_keys(&worker.app.live, TURN_STEPS_MAX);
        if !is_all {
            worker.wake.now();
        }
        for (id, key) in new {
            let is_taken_in = self.take_in(id, key);
            taken_in |= is_taken_in;
            left_out |= !is_taken_in;
        }
        if left_out && !std::mem::replace(&mut self.is_leaving_out, true) {
            let members = self.cohorts.iter().flat_map(|cohort| &cohort.members);
            let waiting = self.waiting.iter().map(|waiting| &waiting.connection);
            for connection in members.chain(waiting) {
                self.tell_left_out(connection, worker);
            }
        }
        taken_in
    }

    pub(super) fn tell_left_out(&self, connection: &Rc<Connection>, worker: &Rc<Worker>) {
        let message = format!(
            "new keys match, but with this `extract` the subscription may have no more than its {}",
            self.keys.len()
        );
        connection.refuse("too_many_keys", message, Some(&self.asked.id), worker);
    }

    /// The keys that match and were not yet looked at, as far as so many steps go, and whether
    /// these are all.
    pub(super) fn new_keys(
        &mut self,
        live: &LiveData,
        steps_max: usize,
    ) -> (Vec<(KeyId, Key)>, bool) {
        let mut found = Vec::new();
        let mut steps = 0;
        for (id, key) in live.keys_from(self.next_key) {
            if steps >= steps_max {
                return (found, false);
            }
            self.next_key = id.next();
            let asked = &self.asked;
            if asked.globs.matches_counted(&key, &mut steps) && asked.rights.reads(&key) {
                found.push((id, key));
            }
        }
        (found, true)
    }

    /// Adds a new key to all cohorts, if the limits of a frame allow it.
    fn take_in(&mut self, id: KeyId, key: Key) -> bool {
        if self.keys.len() >= self.asked.keys_max {
            return false;
        }
        let extract = self.asked.extract;
        for at in 0..self.cohorts.len() {
            // The id came from the service itself, so it is known there.
            let Ok(grant) = extract.add(&mut self.cohorts[at].subscription, id) else {
                continue;
            };
            if at == 0 {
                let chosen_from = self.chosen_from + extract.chosen_from(grant);
                if chosen_from > CHOSEN_FROM_MAX && !self.keys.is_empty() {
                    self.cohorts[at].subscription.remove(id);
                    return false;
                }
                self.chosen_from = chosen_from;
            }
            if extract.is_since_last() {
                self.cohorts[at].unshown.insert(id);
            }
        }
        self.keys.insert(id, key);
        true
    }

    /// Adds the keys that came while a client was paused.
    pub(super) fn add_missing_keys(&self, cohort: &mut Cohort) {
        let known: HashSet<KeyId> = cohort.subscription.ids().collect();
        for id in self.keys.keys().filter(|id| !known.contains(id)) {
            let added = self.asked.extract.add(&mut cohort.subscription, *id);
            if added.is_ok() && self.asked.extract.is_since_last() {
                cohort.unshown.insert(*id);
            }
        }
    }
}
