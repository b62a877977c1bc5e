//! Knowing that keys changed, and nothing else of them.

use crate::{Extracted, Extractor, Requirement, View};

/// Reads no value: a subscriber that uses it learns which keys changed. It is the cheapest
/// extractor, and needs no history.
///
/// Every update counts as [missed](crate::KeyUpdate::missed), since none is shown.
///
/// ```
/// use dataservice::{DataService, NamesOnly, Spec};
///
/// let service: DataService<&str, f64> = DataService::new();
/// let ids = [service.register("a")?, service.register("b")?];
/// let mut changes = service.subscribe(Spec::<_, ()>::of().keys(ids, NamesOnly))?;
/// service.put(ids[1], 1, 0.5)?;
/// let changed = changes.poll().expect("one did");
/// assert_eq!(changed.updates()[0].id(), ids[1]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NamesOnly;

impl<V> Extractor<V> for NamesOnly {
    type Output = ();

    fn requirement(&self) -> Requirement {
        Requirement::Count(0)
    }

    fn extract(&mut self, _view: View<V>) -> Extracted<()> {
        Extracted::show(())
    }
}
