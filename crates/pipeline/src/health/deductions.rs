//! All that can take points off: the one place where codes, points and hints stand.

/// Something that can take points off the score.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Deduction {
    /// A stable word for programs. Two deductions of one code are degrees of the same trouble.
    pub code: &'static str,
    /// Points that one such thing takes off.
    pub points: u8,
    /// Points that all of this code take off together at the most.
    pub points_max: u8,
    /// When it does.
    pub when: &'static str,
    /// What helps.
    pub hint: &'static str,
}

impl Deduction {
    const fn new(
        code: &'static str,
        (points, points_max): (u8, u8),
        when: &'static str,
        hint: &'static str,
    ) -> Self {
        Self {
            code,
            points,
            points_max,
            when,
            hint,
        }
    }
}

/// Everything that can take points off.
///
/// ```
/// let codes = pipeline::DEDUCTIONS.iter().map(|deduction| deduction.code);
/// assert!(codes.into_iter().any(|code| code == "sink_failing"));
/// ```
pub const DEDUCTIONS: &[Deduction] = &[
    STOPPED,
    SINK_LOST,
    SINK_FAILING,
    SINK_DOWN,
    BREAKER_OPEN,
    BREAKER_HELD,
    SINK_UNSTEADY,
    LANE_ENDED,
    LANE_RESTARTING,
    LANE_RESTARTED,
    SOURCE_STOPPED,
    OVERFLOW,
    BUFFER_HIGH,
    REJECTED,
    EXPIRED,
    DISPLACED,
    QUARANTINE_GROWING,
    UNROUTED,
    LATENCY_HIGH,
    FLUSH_LATE,
    FLUSH_DUE,
    TIMER_FLUSHES,
];

const MEND_SINK: &str = "the batch is tried again by itself; see that the database can be reached \
                         and its disk has room";

pub(super) const STOPPED: Deduction = Deduction::new(
    "stopped",
    (100, 100),
    "nothing is delivered any more: the pipeline was shut down, has given up, or panicked",
    "read the message, mend its cause, and start again; what was not delivered is written to a \
     file at the end",
);
pub(super) const SINK_LOST: Deduction = Deduction::new(
    "sink_lost",
    (70, 100),
    "a sink takes nothing any more",
    "read the message, mend its cause, and start again; what its lanes hold is handed back at the \
     end",
);
pub(super) const SINK_FAILING: Deduction = Deduction::new(
    "sink_failing",
    (40, 80),
    "the last attempt to write to a sink failed",
    MEND_SINK,
);
pub(super) const SINK_DOWN: Deduction = Deduction::new(
    "sink_failing",
    (70, 100),
    "every attempt to write to a sink has failed for 10 s or longer",
    MEND_SINK,
);
pub(super) const BREAKER_OPEN: Deduction = Deduction::new(
    "breaker_open",
    (10, 20),
    "the breaker of a sink that fails is open",
    "batches wait in order; mend the sink, and the breaker closes with the first probe that \
     succeeds",
);
pub(super) const BREAKER_HELD: Deduction = Deduction::new(
    "breaker_open",
    (31, 62),
    "the breaker of a sink is open though no write has failed last",
    "batches wait in order; close the breaker if somebody opened it, otherwise see why the sink \
     is slow",
);
pub(super) const SINK_UNSTEADY: Deduction = Deduction::new(
    "sink_unsteady",
    (10, 10),
    "no sink fails now, but of 10 or more attempts of the last five minutes less than 90 % \
     succeeded",
    "writes only succeed when they are repeated; see whether the sink is overloaded or its \
     connections break",
);
pub(super) const LANE_ENDED: Deduction = Deduction::new(
    "lane_ended",
    (70, 100),
    "a lane delivers nothing any more though its sink is there",
    "start again; what the lane holds is handed back at the end",
);
pub(super) const LANE_RESTARTING: Deduction = Deduction::new(
    "lane_restarting",
    (40, 80),
    "the task of a lane has panicked and waits to be started again",
    "it is started again by itself, and nothing is lost; the log has the panic, please report it",
);
pub(super) const LANE_RESTARTED: Deduction = Deduction::new(
    "lane_restarted",
    (15, 30),
    "the task of a lane was started again after a panic within the last minute",
    "nothing is lost; the log has the panic, please report it",
);
pub(super) const SOURCE_STOPPED: Deduction = Deduction::new(
    "source_stopped",
    (40, 80),
    "a source has ended though nobody stopped it",
    "what it polled is not seen any more: read the message, and start again",
);
pub(super) const OVERFLOW: Deduction = Deduction::new(
    "overflow",
    (31, 62),
    "more than 1 % of the records of a lane were dropped in the last ten seconds because it was \
     full",
    "records are lost because the buffer is full: raise [buffer] max_size, or make the sink faster",
);
pub(super) const BUFFER_HIGH: Deduction = Deduction::new(
    "buffer_high",
    (25, 50),
    "the buffer of a lane is past its high mark, and not yet back at the low one",
    "the sink is slower than the sources: raise [buffer] max_size, or poll less often",
);
pub(super) const REJECTED: Deduction = Deduction::new(
    "rejected",
    (15, 15),
    "a sink refused records within the last minute, and nothing keeps them",
    "give the sink a quarantine, which keeps such records with the reason, and mend their source",
);
pub(super) const EXPIRED: Deduction = Deduction::new(
    "expired",
    (10, 20),
    "records of a lane were dropped within the last minute because they had waited too long",
    "the sink is slower than records may wait: make it faster, or raise expires_after of the lane",
);
pub(super) const DISPLACED: Deduction = Deduction::new(
    "displaced",
    (10, 20),
    "records of a lane were dropped within the last minute to make room for more urgent ones",
    "the sink is too slow for all lanes: make it faster, or give the lanes more memory",
);
pub(super) const QUARANTINE_GROWING: Deduction = Deduction::new(
    "quarantine_growing",
    (5, 10),
    "records of a lane went to the quarantine or the fallback within the last minute",
    "read the reasons that stand beside them, mend their cause, and replay what is kept",
);
pub(super) const UNROUTED: Deduction = Deduction::new(
    "unrouted",
    (5, 5),
    "records that no route matches came within the last minute",
    "they are shown and not delivered: add a route that matches them, or do not send them",
);
pub(super) const LATENCY_HIGH: Deduction = Deduction::new(
    "latency_high",
    (10, 30),
    "the p99 from acceptance to delivery is over the target of a lane that delivered within the \
     last minute and does not fail",
    "if writes are slow, make the sink faster or give it more concurrency; if they are quick, \
     lower the age of the lane or raise its weight",
);
pub(super) const FLUSH_LATE: Deduction = Deduction::new(
    "flush_late",
    (10, 20),
    "the oldest record of a lane that does not fail has waited for longer than its age bound, the \
     p99 of a write and 1 s together",
    "the lane waits for its turn at the sink, or the machine is overloaded: raise the concurrency \
     of the sink or the weight of the lane",
);
pub(super) const FLUSH_DUE: Deduction = Deduction::new(
    "flush_due",
    (2, 4),
    "the oldest record of a lane that does not fail has waited for more than 0.9 of its age bound, \
     where that is 10 s or longer",
    "too few records come to fill a batch, so that they wait for the timer: lower the size, or the \
     age if that is too long",
);
pub(super) const TIMER_FLUSHES: Deduction = Deduction::new(
    "timer_flushes",
    (5, 10),
    "more than 80 % of the last 20 or more flushes of a lane were by timer, and writing took more \
     than half of that time",
    "batches do not fill while the sink is busy with small ones: raise the age, or lower the size",
);
