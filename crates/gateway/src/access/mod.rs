//! Who may do what.

mod rights;

use std::sync::Arc;

use record::Key;

pub use rights::Rights;

/// Whom a gateway lets in, and what each may do.
#[derive(Clone, Debug)]
pub struct Access {
    anonymous: Principal,
}

/// Somebody who asks for something, once it is known who.
#[derive(Clone, Debug)]
pub(crate) struct Principal {
    /// For the log and for people: the name of the token, or `anonymous`.
    pub(crate) name: Arc<str>,
    pub(crate) rights: Arc<Rights>,
}

impl Access {
    /// Everybody who can connect may read, hand in records and ask for actions; nobody may do what
    /// an administrator may. For a gateway on loopback.
    #[must_use]
    pub fn open() -> Self {
        Self {
            anonymous: Principal {
                name: "anonymous".into(),
                rights: Arc::new(Rights::none().read_all().ingest().act()),
            },
        }
    }

    /// Who has this token.
    pub(crate) fn by_token(&self, _token: &str) -> Option<Principal> {
        None
    }

    /// What those may do who say nothing.
    pub(crate) fn anonymous(&self) -> Principal {
        self.anonymous.clone()
    }
}

impl Principal {
    pub(crate) fn may_read(&self, key: &Key) -> bool {
        self.rights.reads(key)
    }
}

impl Default for Access {
    fn default() -> Self {
        Self::open()
    }
}
