//! The three ways in which an add names its key.

use std::borrow::Borrow;

use crate::Key;

/// A key that can be compared with those in a table, and owned when it has to be put in.
pub(crate) trait Named<K> {
    /// Whether owning it runs no foreign code.
    const OWNED: bool;

    fn is(&self, key: &K) -> bool;

    fn own(self) -> K;
}

/// A key that was given away.
pub(crate) struct Own<K>(pub(crate) K);

impl<K: Eq> Named<K> for Own<K> {
    const OWNED: bool = true;

    #[inline]
    fn is(&self, key: &K) -> bool {
        self.0 == *key
    }

    #[inline]
    fn own(self) -> K {
        self.0
    }
}

/// What a key can be borrowed as and made from.
pub(crate) struct Lent<'a, Q: ?Sized>(pub(crate) &'a Q);

impl<K, Q> Named<K> for Lent<'_, Q>
where
    K: Borrow<Q>,
    Q: Eq + ToOwned<Owned = K> + ?Sized,
{
    const OWNED: bool = false;

    #[inline]
    fn is(&self, key: &K) -> bool {
        *self.0 == *key.borrow()
    }

    fn own(self) -> K {
        self.0.to_owned()
    }
}

/// A string that becomes a [`Key`].
pub(crate) struct LentStr<'a>(pub(crate) &'a str);

impl Named<Key> for LentStr<'_> {
    const OWNED: bool = false;

    #[inline]
    fn is(&self, key: &Key) -> bool {
        *self.0 == *key.as_str()
    }

    fn own(self) -> Key {
        Key::from(self.0)
    }
}

/// A key that is cloned if need be.
pub(crate) struct Bound<'a, K>(pub(crate) &'a K);

impl<K: Eq + Clone> Named<K> for Bound<'_, K> {
    const OWNED: bool = false;

    #[inline]
    fn is(&self, key: &K) -> bool {
        *self.0 == *key
    }

    fn own(self) -> K {
        self.0.clone()
    }
}
