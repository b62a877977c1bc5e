//! What happens to a service.

use std::time::Duration;

use dataservice::{Backpressure, Requirement};
use proptest::prelude::*;

pub(crate) const KEYS: usize = 4;

/// How a subscriber reads a key.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    Latest,
    Count(usize),
    Span(i64, Option<usize>),
    All(usize),
    Since(usize),
    /// As `Since`, and panics when it is told to.
    Panics(usize),
}

impl Kind {
    pub(crate) fn requirement(self) -> Requirement {
        match self {
            Self::Latest => Requirement::Latest,
            Self::Count(count) => Requirement::Count(count),
            Self::Span(span_us, count_max) => Requirement::Span {
                span: Duration::from_micros(span_us.unsigned_abs()),
                count_max,
            },
            Self::All(count_max) => Requirement::All {
                count_max,
                bytes_max: usize::MAX,
            },
            Self::Since(count_max) | Self::Panics(count_max) => Requirement::Since { count_max },
        }
    }

    pub(crate) fn wants_all(self) -> bool {
        matches!(self, Self::Since(_) | Self::Panics(_))
    }
}

/// A part of a transaction.
#[derive(Debug, Clone)]
pub(crate) enum Part {
    Put(usize),
    PutMany(usize, usize),
    Savepoint(Vec<Part>, End),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Commit,
    RollBack,
    Panic,
}

#[derive(Debug, Clone)]
pub(crate) enum Action {
    Put(usize),
    PutMany(usize, usize),
    Transaction(Vec<Part>, End),
    Remove(usize),
    Clear(Vec<usize>),
    Subscribe(Vec<(usize, Kind)>, Backpressure),
    Resume(Vec<(usize, Kind)>, usize),
    Unsubscribe(usize),
    Add(usize, usize, Kind),
    TakeOut(usize, usize),
    Poll(usize),
    PollPanicking(usize),
    Snapshot(usize),
    Pause(usize),
    Unpause(usize),
    Feed(Option<Vec<usize>>, usize, Backpressure),
    ResumeFeed(Option<Vec<usize>>, usize),
    AddToFeed(usize, usize),
    PollFeed(usize),
    PauseFeed(usize),
    UnpauseFeed(usize),
    DropFeed(usize),
    Advance(u64),
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        2 => Just(Kind::Latest),
        2 => (0..12_usize).prop_map(Kind::Count),
        2 => (1..300_i64, prop::option::of(1..200_usize))
            .prop_map(|(span_us, count_max)| Kind::Span(span_us, count_max)),
        1 => (1..80_usize).prop_map(Kind::All),
        3 => (1..30_usize).prop_map(Kind::Since),
        1 => (1..30_usize).prop_map(Kind::Panics),
    ]
}

fn backpressure() -> impl Strategy<Value = Backpressure> {
    prop_oneof![
        3 => Just(Backpressure::Conflate),
        1 => Just(Backpressure::DropOldest),
        1 => Just(Backpressure::Reset),
        1 => Just(Backpressure::Disconnect),
    ]
}

fn part() -> impl Strategy<Value = Part> {
    let put = prop_oneof![
        5 => (0..KEYS).prop_map(Part::Put),
        1 => (0..KEYS, 0..40_usize).prop_map(|(key, count)| Part::PutMany(key, count)),
    ];
    put.prop_recursive(2, 12, 5, |part| {
        (prop::collection::vec(part, 0..5), end()).prop_map(|(parts, end)| {
            // A panic ends the whole transaction.
            Part::Savepoint(
                parts,
                if end == End::Panic {
                    End::RollBack
                } else {
                    end
                },
            )
        })
    })
}

fn end() -> impl Strategy<Value = End> {
    prop_oneof![6 => Just(End::Commit), 1 => Just(End::RollBack), 1 => Just(End::Panic)]
}

pub(crate) fn action() -> impl Strategy<Value = Action> {
    use Action as A;
    let any = any::<usize>;
    let key = || 0..KEYS;
    let watches = || prop::collection::vec((0..KEYS, kind()), 0..6);
    let set = || prop::option::of(prop::collection::vec(0..KEYS, 0..4));
    let parts = prop::collection::vec(part(), 0..12);
    prop_oneof![
        5 => key().prop_map(A::Put),
        2 => (key(), 0..150_usize).prop_map(|(k, n)| A::PutMany(k, n)),
        6 => (parts, end()).prop_map(|(parts, end)| A::Transaction(parts, end)),
        1 => key().prop_map(A::Remove),
        1 => prop::collection::vec(key(), 0..5).prop_map(A::Clear),
        2 => (watches(), backpressure()).prop_map(|(w, b)| A::Subscribe(w, b)),
        1 => (watches(), 0..30_usize).prop_map(|(w, back)| A::Resume(w, back)),
        1 => any().prop_map(A::Unsubscribe),
        1 => (any(), key(), kind()).prop_map(|(s, k, kind)| A::Add(s, k, kind)),
        1 => (any(), key()).prop_map(|(s, k)| A::TakeOut(s, k)),
        6 => any().prop_map(A::Poll),
        1 => any().prop_map(A::PollPanicking),
        2 => any().prop_map(A::Snapshot),
        1 => any().prop_map(A::Pause),
        2 => any().prop_map(A::Unpause),
        1 => (set(), 1..60_usize, backpressure()).prop_map(|(s, n, b)| A::Feed(s, n, b)),
        1 => (set(), 0..30_usize).prop_map(|(s, back)| A::ResumeFeed(s, back)),
        1 => (any(), key()).prop_map(|(f, k)| A::AddToFeed(f, k)),
        4 => any().prop_map(A::PollFeed),
        1 => any().prop_map(A::PauseFeed),
        2 => any().prop_map(A::UnpauseFeed),
        1 => any().prop_map(A::DropFeed),
        2 => (0..40_u64).prop_map(A::Advance),
    ]
}
