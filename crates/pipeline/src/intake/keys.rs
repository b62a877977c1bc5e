//! What an intake remembers of a key: its id in the data service, and its routes.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use dataservice::KeyId;
use record::{Key, Record};

use crate::error::IntakeError;
use crate::live::LiveData;
use crate::shape::Shape;

/// Keys whose routes are remembered; past that they are forgotten and looked up again.
const ROUTED_MAX: usize = 100_000;

type ByName<V> = HashMap<String, V, foldhash::fast::RandomState>;

/// Everything by source and then tag, so that a known key costs no allocation.
#[derive(Default)]
pub(super) struct Keys {
    ids: ByName<ByName<KeyId>>,
    routes: ByName<ByName<Arc<[u16]>>>,
    routed: usize,
}

impl Keys {
    pub(super) fn id(&self, record: &Record) -> Option<KeyId> {
        self.ids
            .get(record.source.as_str())?
            .get(record.tag.as_str())
            .copied()
    }

    /// Registers the keys that are new, all or none.
    pub(super) fn learn<'a>(
        &mut self,
        live: &LiveData,
        records: impl Iterator<Item = &'a Record>,
    ) -> Result<(), IntakeError> {
        let unknown: HashSet<Key> = records
            .filter(|record| self.id(record).is_none())
            .map(Record::key)
            .collect();
        if unknown.is_empty() {
            return Ok(());
        }
        let keys: Vec<Key> = unknown.into_iter().collect();
        let ids = live
            .register_all(keys.clone())
            .map_err(IntakeError::NewKeys)?;
        for (key, id) in keys.into_iter().zip(ids) {
            self.ids
                .entry(key.source.as_str().to_owned())
                .or_default()
                .insert(key.tag.as_str().to_owned(), id);
        }
        Ok(())
    }

    /// The routes of a record.
    pub(super) fn routes(&mut self, shape: &Shape, record: &Record) -> Arc<[u16]> {
        let (source, tag) = (record.source.as_str(), record.tag.as_str());
        let known = self.routes.get(source).and_then(|tags| tags.get(tag));
        if let Some(routes) = known {
            return Arc::clone(routes);
        }
        if self.routed >= ROUTED_MAX {
            self.forget_routes();
        }
        let routes: Arc<[u16]> = shape.routes_of(source, tag).into();
        self.routed += 1;
        self.routes
            .entry(source.to_owned())
            .or_default()
            .insert(tag.to_owned(), Arc::clone(&routes));
        routes
    }

    /// Other routes hold from now on.
    pub(super) fn forget_routes(&mut self) {
        self.routes.clear();
        self.routed = 0;
    }
}
