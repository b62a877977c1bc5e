//! Which shard a key belongs to, and batches in the order of their shards.

pub(crate) const SHARDS: usize = 16;

/// From bits that the tables use for neither places nor tags.
pub(crate) fn shard_of(hash: u64) -> usize {
    (hash >> 48) as usize % SHARDS
}

/// References to the items in the order of their shards, stable, and where each shard ends.
pub(crate) fn by_shard<T>(items: &[T], hash: impl Fn(&T) -> u64) -> (Vec<&T>, [usize; SHARDS]) {
    let mut places = [0; SHARDS];
    for item in items {
        places[shard_of(hash(item))] += 1;
    }
    let mut sum = 0;
    for place in &mut places {
        sum += std::mem::replace(place, sum);
    }
    let Some(first) = items.first() else {
        return (Vec::new(), places);
    };
    let mut sorted = vec![first; items.len()];
    for item in items {
        let place = &mut places[shard_of(hash(item))];
        sorted[*place] = item;
        *place += 1;
    }
    // Each place has moved on to the end of its shard.
    (sorted, places)
}
