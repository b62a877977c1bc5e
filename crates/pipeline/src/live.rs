//! The data service that live views read.

use dataservice::DataService;
use record::{Key, Quality, Value};
use serde::Serialize;

/// What a history keeps of a record beside its time.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Reading {
    /// What was read.
    pub value: Value,
    /// How far it can be trusted.
    pub quality: Quality,
}

/// The histories by source and tag that live views read; times are microseconds since 1970.
pub type LiveData = DataService<Key, Reading>;
