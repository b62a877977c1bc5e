//! Who did what, from where, and what came of it.
//!
//! Each act is one event in the log, of the target `forebay::audit`, and one entry here, made when
//! it is over. The last 1,000 are kept; so are the last 200 requests that were refused for want of
//! a token or a right, apart from the others, so that whoever knocks again and again pushes nothing
//! out, and of those at most ten a second are logged. Questions, which change nothing, are events
//! of level debug and no entries.
//!
//! No token and no value of the configuration is in it.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use protocol::AdminOrder;
use record::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{Undone, Who};
use crate::state::wall_time;

/// Acts that are kept.
const ACTS_MAX: usize = 1_000;
/// Requests that are kept that had no token, or one without the right.
const REFUSALS_MAX: usize = 200;
/// Of those, how many are logged in a second.
const LOGGED_MAX: u32 = 10;
/// Bytes that are kept of what was asked for and refused.
const ASKED_BYTES_MAX: usize = 200;

/// The last acts.
#[derive(Debug, Default)]
pub(crate) struct Audit(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    /// The number of the last entry.
    last: u64,
    acts: VecDeque<Entry>,
    refusals: VecDeque<Entry>,
    second: Second,
}

/// The second in which refusals are counted, and how many it had.
#[derive(Debug, Default)]
struct Second {
    since: Option<Instant>,
    count: u32,
    unsaid: u64,
}

/// One act, or one that was refused.
#[derive(Clone, Debug, Serialize)]
struct Entry {
    /// Counts from one, over all entries.
    number: u64,
    /// When it was over.
    timestamp: Timestamp,
    /// The name of the token.
    by: Box<str>,
    /// The other end of the connection.
    from: SocketAddr,
    act: String,
    /// What the order said.
    #[serde(skip_serializing_if = "Map::is_empty")]
    with: Map<String, Value>,
    outcome: Outcome,
    /// What came of it, or why it was not done.
    result: Value,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    /// It was done.
    Done,
    /// It was not, or only in part.
    Failed,
    /// Whoever asked may not.
    Refused,
}

impl Outcome {
    fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Refused => "refused",
        }
    }
}

impl Audit {
    /// Says that an order was carried out, or could not be.
    pub(super) fn act(&self, who: &Who, order: &AdminOrder, outcome: &Result<Value, Undone>) {
        let (outcome, result) = match outcome {
            Ok(value) => (Outcome::Done, brief(order, value)),
            Err(undone) => (Outcome::Failed, undone.message.clone().into()),
        };
        self.keep(Entry {
            number: 0,
            timestamp: wall_time(),
            by: (*who.by).into(),
            from: who.from,
            act: order.name().to_owned(),
            with: details(order),
            outcome,
            result,
        });
    }

    /// Says that an administrator has opened a socket.
    pub(super) fn opened(&self, who: &Who) {
        self.keep(Entry {
            number: 0,
            timestamp: wall_time(),
            by: (*who.by).into(),
            from: who.from,
            act: "open_socket".to_owned(),
            with: Map::new(),
            outcome: Outcome::Done,
            result: Value::Null,
        });
    }

    /// Says that somebody asked for what only administrators may: `asked` is a method and a path.
    pub(crate) fn refused(&self, now: Instant, by: &str, from: SocketAddr, asked: &str) {
        let mut act = asked.to_owned();
        act.truncate(act.floor_char_boundary(ASKED_BYTES_MAX));
        let entry = Entry {
            number: 0,
            timestamp: wall_time(),
            by: by.into(),
            from,
            act,
            with: Map::new(),
            outcome: Outcome::Refused,
            result: Value::Null,
        };
        let logged = entry.clone();
        let (said, evicted) = {
            let mut kept = self.0.lock();
            let said = kept.second.count(now);
            (said, kept.add(entry))
        };
        drop(evicted);
        if let Some(unsaid) = said {
            logged.log(unsaid);
        }
    }

    fn keep(&self, entry: Entry) {
        let logged = entry.clone();
        let evicted = self.0.lock().add(entry);
        drop(evicted);
        logged.log(0);
    }

    /// All that is kept, oldest first, and how many there were in all.
    pub(super) fn shown(&self) -> Value {
        let (last, mut entries) = {
            let kept = self.0.lock();
            let all = kept.acts.iter().chain(&kept.refusals);
            (kept.last, all.cloned().collect::<Vec<_>>())
        };
        entries.sort_unstable_by_key(|entry| entry.number);
        json!({ "last": last, "acts": entries })
    }
}

impl Kept {
    /// Hands back the one that had to go.
    fn add(&mut self, mut entry: Entry) -> Option<Entry> {
        self.last += 1;
        entry.number = self.last;
        let (entries, limit) = match entry.outcome {
            Outcome::Refused => (&mut self.refusals, REFUSALS_MAX),
            Outcome::Done | Outcome::Failed => (&mut self.acts, ACTS_MAX),
        };
        entries.push_back(entry);
        (entries.len() > limit)
            .then(|| entries.pop_front())
            .flatten()
    }
}

impl Second {
    /// Counts one; when it may be said, also how many were not said before.
    fn count(&mut self, now: Instant) -> Option<u64> {
        let is_over = self
            .since
            .is_none_or(|since| now.saturating_duration_since(since) >= Duration::from_secs(1));
        if is_over {
            (self.since, self.count) = (Some(now), 0);
        }
        self.count += 1;
        if self.count > LOGGED_MAX {
            self.unsaid += 1;
            return None;
        }
        Some(std::mem::take(&mut self.unsaid))
    }
}

impl Entry {
    /// What comes from outside is written with its control characters escaped.
    fn log(&self, unsaid: u64) {
        let with = Value::Object(self.with.clone());
        let outcome = self.outcome.as_str();
        let Self {
            by,
            from,
            act,
            result,
            ..
        } = self;
        match self.outcome {
            Outcome::Done => tracing::info!(
                target: "forebay::audit", ?by, %from, ?act, %with, outcome, %result,
                "administration"
            ),
            Outcome::Failed | Outcome::Refused => tracing::warn!(
                target: "forebay::audit", ?by, %from, ?act, %with, outcome, %result, unsaid,
                "administration"
            ),
        }
    }
}

/// The members of an order beside its name.
fn details(order: &AdminOrder) -> Map<String, Value> {
    let mut said = match order {
        // A token is in it.
        AdminOrder::Hello(_) => return Map::new(),
        order => match serde_json::to_value(order) {
            Ok(Value::Object(said)) => said,
            _ => return Map::new(),
        },
    };
    said.remove("type");
    said
}

/// What is kept of a result: of a reload only how much has changed, since settings may be secret.
fn brief(order: &AdminOrder, value: &Value) -> Value {
    match (order, value["changes"].as_array()) {
        (AdminOrder::Reload, Some(changes)) => json!({ "changes": changes.len() }),
        _ => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who() -> Who {
        Who {
            by: "ops".into(),
            from: "127.0.0.1:4000".parse().unwrap(),
        }
    }

    fn shown(audit: &Audit) -> Vec<Value> {
        audit.shown()["acts"].as_array().unwrap().clone()
    }

    #[test]
    fn law_2_acts_and_refusals_are_bounded_and_do_not_push_out_each_other() {
        let (audit, now) = (Audit::default(), Instant::now());
        audit.act(&who(), &AdminOrder::Flush, &Ok(json!({ "flushed": 3 })));
        for _ in 0..5_000 {
            audit.refused(now, "anonymous", who().from, "POST /api/purge");
        }
        let entries = shown(&audit);
        assert_eq!(entries.len(), 1 + REFUSALS_MAX);
        assert_eq!(
            (
                &entries[0]["act"],
                &entries[0]["number"],
                &entries[0]["result"]
            ),
            (&json!("flush"), &json!(1), &json!({ "flushed": 3 }))
        );
        assert_eq!(entries[200]["number"], 5_001);
        for _ in 0..2 * ACTS_MAX {
            audit.act(&who(), &AdminOrder::Flush, &Ok(Value::Null));
        }
        let entries = shown(&audit);
        assert_eq!(entries.len(), ACTS_MAX + REFUSALS_MAX);
        assert_eq!(entries.last().unwrap()["number"], 7_001);
        let knocked = entries.iter().filter(|entry| entry["outcome"] == "refused");
        assert_eq!(knocked.count(), REFUSALS_MAX);
    }

    #[test]
    fn of_those_who_knock_ten_a_second_are_logged_and_the_others_counted() {
        let (mut second, start) = (Second::default(), Instant::now());
        let said = (0..25).filter(|_| second.count(start).is_some());
        assert_eq!(said.count(), 10);
        assert_eq!(second.count(start + Duration::from_millis(999)), None);
        assert_eq!(second.count(start + Duration::from_secs(1)), Some(16));
        assert_eq!(second.count(start + Duration::from_secs(1)), Some(0));
    }

    #[test]
    fn nothing_secret_is_kept() {
        let token = "a token that nobody has";
        let hello = protocol::Hello {
            token: Some(token.to_owned()),
            ..protocol::Hello::default()
        };
        assert!(details(&AdminOrder::Hello(hello)).is_empty());
        let changes = json!({ "changes": [format!("[sink] url: a -> {token}")] });
        assert_eq!(
            brief(&AdminOrder::Reload, &changes),
            json!({ "changes": 1 })
        );
        let audit = Audit::default();
        let path = format!("GET /api/connections/{}", "x".repeat(5_000));
        audit.refused(Instant::now(), "anonymous", who().from, &path);
        assert_eq!(
            shown(&audit)[0]["act"].as_str().unwrap().len(),
            ASKED_BYTES_MAX
        );
    }
}
