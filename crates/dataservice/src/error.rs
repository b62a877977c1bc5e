//! What a data service refuses, and why.

use std::fmt;

use thiserror::Error;

use crate::KeyId;

/// No more keys fit. Keys that were removed count: their ids are never given away again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("cannot register another key: {limit} of at most {limit} are registered")]
pub struct KeyLimit {
    /// How many keys fit.
    pub limit: usize,
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
    /// The key is new and no more keys fit.
    #[error(transparent)]
    KeyLimit(#[from] KeyLimit),
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
