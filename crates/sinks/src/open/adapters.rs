//! The table of all kinds of sinks, each opened under its feature.

use std::sync::Arc;

use record::Record;
use url::Url;

use super::{About, Adapter, OpenError, OpenOptions};
use crate::{
    BatchWriter, CircuitBreaker, Guarantee, HistoryReader, QuarantineFiles, QuarantineOptions,
    Timeout,
};

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

const FILES: &str = "quarantine-….ndjson in the data directory";
const TABLE: &str = "table `forebay_quarantine`";

/// In the order in which they are shown.
pub(super) static ADAPTERS: [Adapter; 9] = [
    adapter!("sqlite", sqlite, {
        name: "sqlite",
        schemes: &["sqlite"],
        what: "SQLite file",
        example: "sqlite:data/plant.sqlite",
        guarantee: Guarantee::ExactlyOnce,
        quarantine: "table `quarantine`",
    }),
    adapter!("postgres", postgres, {
        name: "postgres",
        schemes: &["postgres", "postgresql"],
        what: "PostgreSQL",
        example: "postgres://user@host:5432/database",
        guarantee: Guarantee::ExactlyOnce,
        quarantine: TABLE,
    }),
    adapter!("mysql", mysql, {
        name: "mysql",
        schemes: &["mysql", "mariadb"],
        what: "MariaDB and MySQL",
        example: "mysql://user@host:3306/database",
        guarantee: Guarantee::ExactlyOnce,
        quarantine: TABLE,
    }),
    adapter!("oracle", oracle, {
        name: "oracle",
        schemes: &["oracle"],
        what: "Oracle",
        example: "oracle://user@host:1521/service",
        guarantee: Guarantee::ExactlyOnce,
        quarantine: TABLE,
    }),
    adapter!("redis", redis, {
        name: "redis",
        schemes: &["redis", "rediss"],
        what: "Redis streams",
        example: "redis://host:6379/0",
        guarantee: Guarantee::ExactlyOnce,
        quarantine: FILES,
    }),
    adapter!("csv", csv, {
        name: "csv",
        schemes: &["csv"],
        what: "directory of CSV files",
        example: "csv:data/rows",
        guarantee: Guarantee::ExactlyOnce,
        quarantine: FILES,
    }),
    adapter!("parquet", parquet, {
        name: "parquet",
        schemes: &["parquet"],
        what: "directory of Parquet files",
        example: "parquet:data/rows",
        guarantee: Guarantee::ExactlyOnce,
        quarantine: FILES,
    }),
    adapter!("http", http, {
        name: "http",
        schemes: &["http", "https"],
        what: "JSON posted over HTTP",
        example: "https://host/api/ingest",
        guarantee: Guarantee::AtLeastOnce,
        quarantine: FILES,
    }),
    adapter!("trust", tracker, {
        name: "tracker",
        schemes: &["tracker"],
        what: "tracker of trust",
        example: "tracker:data/trust.json",
        guarantee: Guarantee::UpToSnapshot,
        quarantine: FILES,
    }),
];

/// What reads the records that a sink of this kind has, on connections of its own.
///
/// # Errors
/// When a parameter of the URL is not allowed.
pub(super) fn reader(
    name: &str,
    #[allow(unused_variables, reason = "a build without databases reads none")] url: &Url,
) -> Result<Option<Arc<dyn HistoryReader>>, OpenError> {
    Ok(match name {
        #[cfg(feature = "sqlite")]
        "sqlite" => {
            let options = crate::SqliteOptions::from_url(url)?;
            Some(Arc::new(crate::SqliteWriter::<Record>::lazy(options)?))
        }
        #[cfg(feature = "postgres")]
        "postgres" => {
            let options = crate::PostgresOptions::from_url(url)?;
            Some(Arc::new(crate::PostgresWriter::<Record>::new(options)))
        }
        #[cfg(feature = "mysql")]
        "mysql" => {
            let options = crate::MysqlOptions::from_url(url)?;
            Some(Arc::new(crate::MysqlWriter::<Record>::new(options)))
        }
        _ => None,
    })
}

/// Stands where a kind is not built in, which `find` says before it comes to this.
#[allow(dead_code, reason = "a build with all features has none")]
mod absent {
    use url::Url;

    use super::super::{Layered, OpenError, OpenOptions};
    use crate::InvalidUrl;

    fn refusal() -> InvalidUrl {
        InvalidUrl::new("this kind of sink is not built in")
    }

    pub(super) fn check(_: &Url) -> Result<(), InvalidUrl> {
        Err(refusal())
    }

    pub(super) fn open(_: &Url, _: &OpenOptions) -> Result<Layered, OpenError> {
        Err(refusal().into())
    }
}

/// A server that may be slow or away.
#[allow(dead_code, reason = "a build without servers needs none")]
fn remote<W: BatchWriter>(
    writer: W,
    options: &OpenOptions,
) -> Result<CircuitBreaker<Timeout<W>>, OpenError> {
    let timed = Timeout::new(writer, options.timeout);
    Ok(CircuitBreaker::new(timed, options.breaker)?)
}

/// The files of what a sink refuses. Each sink has its own, so that two that share a directory do
/// not share them.
#[allow(dead_code, reason = "a build with databases alone needs none")]
fn quarantine_of(url: &Url, options: &OpenOptions) -> QuarantineFiles {
    let name = format!("quarantine-{}", tag_of(url));
    QuarantineFiles::new(QuarantineOptions::new(&options.directory).name(name))
}

/// A short word for a sink in names of files: its scheme, and a hash of where it is. Neither the
/// password nor parameters are part of it, so that they can be changed.
#[allow(dead_code, reason = "a build with databases alone needs none")]
fn tag_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    let port = url.port_or_known_default().unwrap_or(0);
    let place = format!("{host}:{port}{}", url.path());
    // FNV-1a: it names files of a ledger, so every version has to come to the same.
    let hash = place.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    format!("{}-{hash:08x}", url.scheme())
}

#[cfg(feature = "sqlite")]
mod sqlite {
    use url::Url;

    use super::super::{Layered, OpenError, OpenOptions};
    use crate::{InvalidUrl, SqliteOptions, SqliteWriter};

    pub(super) fn check(url: &Url) -> Result<(), InvalidUrl> {
        SqliteOptions::from_url(url).map(drop)
    }

    pub(super) fn open(url: &Url, _: &OpenOptions) -> Result<Layered, OpenError> {
        let options = SqliteOptions::from_url(url)?;
        Ok(Layered::plain(SqliteWriter::open(options)?))
    }
}

#[cfg(feature = "postgres")]
mod postgres {
    use url::Url;

    use super::super::{Layered, OpenError, OpenOptions};
    use crate::{InvalidUrl, PostgresOptions, PostgresWriter};

    pub(super) fn check(url: &Url) -> Result<(), InvalidUrl> {
        PostgresOptions::from_url(url).map(drop)
    }

    pub(super) fn open(url: &Url, options: &OpenOptions) -> Result<Layered, OpenError> {
        let writer = PostgresWriter::new(PostgresOptions::from_url(url)?);
        let remote = super::remote(writer, options)?;
        Ok(Layered::guarded(remote.handle(), remote))
    }
}

#[cfg(feature = "mysql")]
mod mysql {
    use url::Url;

    use super::super::{Layered, OpenError, OpenOptions};
    use crate::{InvalidUrl, MysqlOptions, MysqlWriter};

    pub(super) fn check(url: &Url) -> Result<(), InvalidUrl> {
        MysqlOptions::from_url(url).map(drop)
    }

    pub(super) fn open(url: &Url, options: &OpenOptions) -> Result<Layered, OpenError> {
        let writer = MysqlWriter::new(MysqlOptions::from_url(url)?);
        let remote = super::remote(writer, options)?;
        Ok(Layered::guarded(remote.handle(), remote))
    }
}

#[cfg(feature = "oracle")]
mod oracle {
    use url::Url;

    use super::super::{Layered, OpenError, OpenOptions};
    use crate::{InvalidUrl, OracleOptions, OracleWriter};

    pub(super) fn check(url: &Url) -> Result<(), InvalidUrl> {
        OracleOptions::from_url(url).map(drop)
    }

    pub(super) fn open(url: &Url, options: &OpenOptions) -> Result<Layered, OpenError> {
        let writer = OracleWriter::new(OracleOptions::from_url(url)?);
        let remote = super::remote(writer, options)?;
        Ok(Layered::guarded(remote.handle(), remote))
    }
}

#[cfg(feature = "redis")]
mod redis {
    use url::Url;

    use super::super::{Layered, OpenError, OpenOptions};
    use crate::{Bisect, InvalidUrl, RedisOptions, RedisWriter};

    pub(super) fn check(url: &Url) -> Result<(), InvalidUrl> {
        RedisOptions::from_url(url).map(drop)
    }

    pub(super) fn open(url: &Url, options: &OpenOptions) -> Result<Layered, OpenError> {
        let writer = RedisWriter::new(RedisOptions::from_url(url)?);
        let quarantine = super::quarantine_of(url, options);
        let remote = super::remote(writer, options)?;
        let breaker = remote.handle();
        let kept = Bisect::new(remote).with_quarantine(quarantine);
        Ok(Layered::guarded(breaker, kept))
    }
}

#[cfg(feature = "csv")]
mod csv {
    use url::Url;

    use super::super::{Layered, OpenError, OpenOptions};
    use crate::{Bisect, FileOptions, FileWriter, InvalidUrl};

    pub(super) fn check(url: &Url) -> Result<(), InvalidUrl> {
        FileOptions::from_url(url).map(drop)
    }

    pub(super) fn open(url: &Url, options: &OpenOptions) -> Result<Layered, OpenError> {
        let writer = FileWriter::new(FileOptions::from_url(url)?);
        let quarantine = super::quarantine_of(url, options);
        Ok(Layered::plain(
            Bisect::new(writer).with_quarantine(quarantine),
        ))
    }
}

/// The same writer with another format, which its URL says.
#[cfg(feature = "parquet")]
use csv as parquet;

#[cfg(feature = "http")]
mod http {
    use url::Url;

    use super::super::{Layered, OpenError, OpenOptions};
    use crate::{Bisect, HttpOptions, HttpWriter, InvalidUrl, Ledger, Quarantine};

    pub(super) fn check(url: &Url) -> Result<(), InvalidUrl> {
        HttpOptions::from_url(url).map(drop)
    }

    pub(super) fn open(url: &Url, options: &OpenOptions) -> Result<Layered, OpenError> {
        let writer = HttpWriter::new(HttpOptions::from_url(url)?);
        let remote = super::remote(writer, options)?;
        let breaker = remote.handle();
        let bisected = Bisect::new(remote);
        let kept = Quarantine::new(bisected, super::quarantine_of(url, options));
        let ledger = format!("ledger-{}.json", super::tag_of(url));
        let ledger = options.directory.join(ledger);
        Ok(Layered::guarded(breaker, Ledger::new(kept, ledger)))
    }
}

#[cfg(feature = "trust")]
mod tracker {
    use url::Url;

    use super::super::{Layered, OpenError, OpenOptions};
    use crate::{InvalidUrl, Quarantine, StoredTracker, TrackerOptions};

    pub(super) fn check(url: &Url) -> Result<(), InvalidUrl> {
        TrackerOptions::from_url(url).map(drop)
    }

    pub(super) fn open(url: &Url, options: &OpenOptions) -> Result<Layered, OpenError> {
        let writer = StoredTracker::open(TrackerOptions::from_url(url)?)?;
        let quarantine = super::quarantine_of(url, options);
        Ok(Layered::plain(Quarantine::new(writer, quarantine)))
    }
}
