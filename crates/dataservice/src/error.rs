//! What a data service refuses, and why.

use std::fmt;

use thiserror::Error;

use crate::{KeyId, Mismatch, Transaction};

/// Why a key was not registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// No more keys fit. Keys that were removed count: their ids are never given away again.
    #[error("cannot register another key: {limit} of at most {limit} are registered")]
    KeyLimit {
        /// How many keys fit.
        limit: usize,
    },
    /// There is no memory for another key.
    #[error("cannot register another key: {bytes} bytes would be used, `memory_max` is {limit}")]
    OutOfMemory {
        /// How many bytes there would be.
        bytes: usize,
        /// How many there may be.
        limit: usize,
    },
}

/// Why an update was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The transaction holds as many updates as it may.
    #[error("the transaction is full: it holds {limit} of at most {limit} updates")]
    TransactionFull {
        /// How many updates fit.
        limit: usize,
    },
    /// This service gave the id to no key.
    #[error("key id {id} is unknown: {keys} keys are registered")]
    UnknownKey {
        /// The id.
        id: KeyId,
        /// How many keys are registered.
        keys: usize,
    },
    /// The transaction would take more memory than it may.
    #[error("the transaction is too large: {bytes} bytes, `transaction_bytes_max` is {limit}")]
    TransactionTooLarge {
        /// How many bytes it would take.
        bytes: usize,
        /// How many it may.
        limit: usize,
    },
    /// There is no memory for it, though histories were cut down to their newest values.
    #[error("out of memory: {bytes} bytes would be used, `memory_max` is {limit}")]
    OutOfMemory {
        /// How many bytes there would be.
        bytes: usize,
        /// How many there may be.
        limit: usize,
    },
    /// The value is not what was declared for the key.
    #[error("key id {id}: {mismatch}")]
    Mismatch {
        /// The id.
        id: KeyId,
        /// What is wrong.
        mismatch: Mismatch,
    },
    /// Callbacks set each other off too often by their writes.
    #[error("this write is {depth} callbacks deep, `cascade_max` is {limit}")]
    Cascade {
        /// How many callbacks set each other off.
        depth: u32,
        /// How many may.
        limit: u32,
    },
    /// The key is new and cannot be registered.
    #[error(transparent)]
    Register(#[from] RegisterError),
}

/// An update that was not taken: nothing is stored or shown, and the value is handed back.
#[derive(Clone, PartialEq, Eq, Error)]
#[error("{refusal}")]
pub struct PutError<V> {
    /// Why.
    pub refusal: Refusal,
    /// The value.
    pub value: V,
}

impl<V> fmt::Debug for PutError<V> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("PutError")
            .field("refusal", &self.refusal)
            .finish_non_exhaustive()
    }
}

/// A transaction that was not committed: nothing is stored or shown, and it is handed back.
#[derive(Error)]
#[error("{refusal}")]
pub struct CommitError<V> {
    /// Why.
    pub refusal: Refusal,
    /// The transaction, which can be tried again.
    pub transaction: Transaction<V>,
}

impl<V> fmt::Debug for CommitError<V> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("CommitError")
            .field("refusal", &self.refusal)
            .finish_non_exhaustive()
    }
}

/// Why a subscription ended though nobody dropped it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Closed {
    /// It did not poll often enough, and asked to be
    /// [disconnected](crate::Backpressure::Disconnect) then.
    #[error("overrun: more updates waited than were granted")]
    Overrun,
}

/// Why a key was not declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DeclareError {
    /// This service gave the id to no key.
    #[error("key id {id} is unknown: {keys} keys are registered")]
    UnknownKey {
        /// The id.
        id: KeyId,
        /// How many keys are registered.
        keys: usize,
    },
    /// The service was not told how to describe values.
    #[error("the service cannot check values: its builder was given no `describe`")]
    NotDescribed,
    /// The key holds a value that is something else.
    #[error("key id {id} holds something else: {mismatch}")]
    Mismatch {
        /// The id.
        id: KeyId,
        /// What is wrong.
        mismatch: Mismatch,
    },
}

/// Why a subscription was not made or changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SubscribeError {
    /// This service gave the id to no key.
    #[error("key id {id} is unknown: {keys} keys are registered")]
    UnknownKey {
        /// The id.
        id: KeyId,
        /// How many keys are registered.
        keys: usize,
    },
    /// Nothing is added to a subscription that was closed.
    #[error("cannot add a key: the subscription was closed: {0}")]
    Closed(Closed),
    /// There are as many subscribers as there may be.
    #[error("cannot subscribe: {limit} of at most {limit} subscribers exist")]
    SubscriberLimit {
        /// How many subscribers may exist.
        limit: usize,
    },
}

/// A setting of the builder that cannot work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{setting} is {value}, allowed is {min} to {max}")]
pub struct BuildError {
    /// The name of the setting.
    pub setting: &'static str,
    /// The value given.
    pub value: usize,
    /// The smallest that works.
    pub min: usize,
    /// The largest that works.
    pub max: usize,
}
