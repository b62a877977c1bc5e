//! The table of all kinds of sinks, each opened under its feature.

use super::{About, Adapter};
use crate::Guarantee;

/// What `Adapter` needs of a kind that may not be built in.
macro_rules! adapter {
    ($feature:literal, $opener:ident, { $($field:ident: $value:expr),+ $(,)? }) => {
        Adapter {
            about: About {
                $($field: $value,)+
                feature: $feature,
                built_in: cfg!(feature = $feature),
            },
            #[cfg(feature = $feature)]
            check: $opener::check,
            #[cfg(not(feature = $feature))]
            check: absent::check,
            #[cfg(feature = $feature)]
            open: $opener::open,
            #[cfg(not(feature = $feature))]
            open: absent::open,
        }
    };
}

const FILES: &str = "files in the data directory";

/// In the order in which they are shown.
pub(super) static ADAPTERS: [Adapter; 1] = [adapter!("sqlite", sqlite, {
    name: "sqlite",
    schemes: &["sqlite"],
    what: "SQLite file",
    example: "sqlite:data/plant.sqlite",
    guarantee: Guarantee::ExactlyOnce,
    quarantine: "table `quarantine`",
})];

/// Stands where a kind is not built in, which `find` says before it comes to this.
#[allow(dead_code, reason = "a build with all features has none")]
mod absent {
    use url::Url;

    use super::super::{OpenError, OpenOptions};
    use crate::{BoxWriter, InvalidUrl};

    fn refusal() -> InvalidUrl {
        InvalidUrl::new("this kind of sink is not built in")
    }

    pub(super) fn check(_: &Url) -> Result<(), InvalidUrl> {
        Err(refusal())
    }

    pub(super) fn open(_: &Url, _: &OpenOptions) -> Result<BoxWriter, OpenError> {
        Err(refusal().into())
    }
}

#[cfg(feature = "sqlite")]
mod sqlite {
    use url::Url;

    use super::super::{OpenError, OpenOptions};
    use crate::{BoxWriter, InvalidUrl, SqliteOptions, SqliteWriter};

    pub(super) fn check(url: &Url) -> Result<(), InvalidUrl> {
        SqliteOptions::from_url(url).map(drop)
    }

    pub(super) fn open(url: &Url, _: &OpenOptions) -> Result<BoxWriter, OpenError> {
        let options = SqliteOptions::from_url(url)?;
        Ok(BoxWriter::new(SqliteWriter::open(options)?))
    }
}
