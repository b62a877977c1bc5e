//! `eyeball`: an observable value per key. It knows no transactions.

use eyeball::{SharedObservable, Subscriber};

use crate::dataservice::store::{Snapshots, Store, TakeSnapshot, Write};

/// An observable value per key; the key is the place in the list.
pub(crate) struct Observables(Vec<SharedObservable<(i64, f64)>>);

impl Store for Observables {
    type Writer<'a> = &'a Self;

    fn new(keys: u32, _depth: usize) -> Self {
        let observable = |_| SharedObservable::new((0, 0.0));
        Self((0..keys).map(observable).collect())
    }

    fn writer(&self) -> &Self {
        self
    }

    fn newest(&self, key: u32) -> Option<f64> {
        self.0
            .get(key as usize)
            .map(|observable| observable.get().1)
    }
}

impl Write for &Observables {
    #[inline(always)]
    fn put(&mut self, key: u32, time_us: i64, value: f64) {
        self.0[key as usize].set((time_us, value));
    }

    fn commit(&mut self) {}
}

/// Subscribers of some keys.
pub(crate) struct ObservableReader(Vec<(u32, Subscriber<(i64, f64)>)>);

impl Snapshots for Observables {
    type Reader<'a> = ObservableReader;

    fn reader(&self, keys: &[u32]) -> ObservableReader {
        let subscriber = |key: &u32| (*key, self.0[*key as usize].subscribe());
        ObservableReader(keys.iter().map(subscriber).collect())
    }
}

impl TakeSnapshot for ObservableReader {
    fn take(&mut self, mut look: impl FnMut(u32, f64)) {
        for (key, subscriber) in &mut self.0 {
            look(*key, subscriber.next_now().1);
        }
    }
}
