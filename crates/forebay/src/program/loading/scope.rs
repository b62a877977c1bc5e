//! Which scope an input belongs to, so that a second run resumes where the first one ended.
//!
//! A file is told by its content: the scope is named by the length and the SHA-256 of its first 64
//! KiB, and a file that was shorter when it was last seen is recognised by that shorter prefix. Its
//! scope is renamed then. Its shape is part of the name, because positions depend on it. A file
//! that nobody appends to is told by all of its content.
//!
//! A scope that holds nothing yet binds nothing but the very same content. What was begun again
//! on purpose is numbered from 2; the newest is the one that is resumed.

use std::collections::HashMap;

use pipeline::source::Fingerprint;
use record::Position;
use sinks::ScopeName;

const FILES: &str = "file:";
const NAMED: &str = "named:";
const REPLAYED: &str = "replay:";

/// What tells an input from others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Identity {
    /// The first bytes of a file, and how its rows make records.
    Content {
        /// At most 64 KiB.
        prefix: Vec<u8>,
        /// How its rows make records.
        shape: Shape,
    },
    /// The hash of a whole file, which nobody appends to.
    Whole(String),
    /// The name that the caller gave it.
    Named(String),
    /// Nothing: it cannot be read again, and each run is on its own.
    Once(String),
}

/// How the rows of a file make records; positions depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// A record per line or row.
    Long,
    /// A record per cell.
    Wide,
    /// A line of a quarantine around each.
    Quarantine,
}

impl Shape {
    /// Its part of a scope's name.
    fn suffix(self) -> &'static str {
        match self {
            Self::Long => "",
            Self::Wide => ":wide",
            Self::Quarantine => ":quarantine",
        }
    }
}

/// Whether what was ingested before is resumed or ingested once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// After the last row that was delivered.
    Resume,
    /// From the first row, in a new scope.
    Again,
}

/// The scope to open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Binding {
    /// Its name.
    pub(crate) name: ScopeName,
    /// The name it had so far, when the file has grown since.
    pub(crate) renamed_from: Option<ScopeName>,
}

impl Identity {
    /// What the names of all scopes that it may be bound to begin with; `None` when there are none.
    pub(crate) fn prefix(&self) -> Option<&'static str> {
        match self {
            Self::Content { .. } => Some(FILES),
            Self::Whole(_) => Some(REPLAYED),
            Self::Named(_) => Some(NAMED),
            Self::Once(_) => None,
        }
    }

    /// The scope to open, given those that are known.
    pub(crate) fn bind(&self, known: &[(ScopeName, Position)], start: Start) -> Binding {
        let own = match self {
            Self::Content { prefix, shape } => FileScope::of(prefix, *shape),
            Self::Whole(hash) => return bind_named(format!("{REPLAYED}{hash}"), known, start),
            Self::Named(name) => return bind_named(format!("{NAMED}{name}"), known, start),
            Self::Once(name) => return Binding::to(name.clone()),
        };
        let Self::Content { prefix, .. } = self else {
            return Binding::to(own.name());
        };
        // Many files may have been ingested: each length is hashed once.
        let mut hashes = HashMap::from([(own.length, own.hex.clone())]);
        let found = known
            .iter()
            .filter_map(|(name, watermark)| Some((FileScope::parse(name)?, *watermark)))
            .filter(|(scope, watermark)| scope.may_hold(&own, *watermark))
            .filter(|(scope, _)| {
                let hash = hashes.entry(scope.length);
                *hash.or_insert_with(|| hash_of(prefix, scope.length)) == scope.hex
            })
            .map(|(scope, _)| scope);
        if start == Start::Again {
            let numbered = found.map(|scope| scope.number).max();
            return Binding::to(own.numbered(numbered.map_or(1, |number| number + 1)).name());
        }
        // The longest prefix is the most alike; of several, the last that was begun is resumed.
        match found.max_by_key(|scope| (scope.length, scope.number)) {
            Some(scope) => {
                let name = ScopeName::new(own.numbered(scope.number).name());
                let before = ScopeName::new(scope.name());
                let renamed_from = (before != name).then_some(before);
                Binding { name, renamed_from }
            }
            None => Binding::to(own.name()),
        }
    }
}

impl Binding {
    fn to(name: String) -> Self {
        Self {
            name: ScopeName::new(name),
            renamed_from: None,
        }
    }
}

fn bind_named(own: String, known: &[(ScopeName, Position)], start: Start) -> Binding {
    let newest = known
        .iter()
        .map(|(known, _)| split_number(known.as_str()))
        .filter(|(base, _)| *base == own)
        .map(|(_, number)| number)
        .max();
    let number = match (newest, start) {
        (Some(number), Start::Resume) => number,
        (Some(number), Start::Again) => number + 1,
        (None, _) => 1,
    };
    Binding::to(with_number(own, number))
}

/// `base#3` is the third of its kind; the first has no number.
fn with_number(base: String, number: u32) -> String {
    match number {
        ..=1 => base,
        _ => format!("{base}#{number}"),
    }
}

fn split_number(name: &str) -> (&str, u32) {
    match name.rsplit_once('#') {
        Some((base, number)) => match number.parse() {
            Ok(number) => (base, number),
            Err(_) => (name, 1),
        },
        None => (name, 1),
    }
}

/// The name of a file's scope, in its parts: `file:LENGTH:SHA256[:wide|:quarantine][#NUMBER]`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct FileScope {
    length: usize,
    hex: String,
    shape: Shape,
    number: u32,
}

impl FileScope {
    fn of(prefix: &[u8], shape: Shape) -> Self {
        let fingerprint = Fingerprint::of(prefix);
        Self {
            length: fingerprint.length as usize,
            hex: fingerprint.to_hex(),
            shape,
            number: 1,
        }
    }

    fn parse(name: &ScopeName) -> Option<Self> {
        let (base, number) = split_number(name.as_str().strip_prefix(FILES)?);
        let mut parts = base.split(':');
        let (length, hex) = (parts.next()?.parse().ok()?, parts.next()?.to_owned());
        let shape = match (parts.next(), parts.next()) {
            (None, None) => Shape::Long,
            (Some("wide"), None) => Shape::Wide,
            (Some("quarantine"), None) => Shape::Quarantine,
            _ => return None,
        };
        Some(Self {
            length,
            hex,
            shape,
            number,
        })
    }

    fn numbered(&self, number: u32) -> Self {
        Self {
            number,
            ..self.clone()
        }
    }

    fn name(&self) -> String {
        let Self { length, hex, .. } = self;
        let shape = self.shape.suffix();
        with_number(format!("{FILES}{length}:{hex}{shape}"), self.number)
    }

    /// Whether this may be the scope of a file whose own would be `own`, if it begins alike.
    fn may_hold(&self, own: &Self, watermark: Position) -> bool {
        // Files that begin alike are many; only one of which something was delivered has grown.
        let grown = (1..own.length).contains(&self.length) && watermark > Position::START;
        self.shape == own.shape && (grown || self.length == own.length)
    }
}

fn hash_of(prefix: &[u8], length: usize) -> String {
    Fingerprint::of(&prefix[..length.min(prefix.len())]).to_hex()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(prefix: &str) -> Identity {
        Identity::Content {
            prefix: prefix.into(),
            shape: Shape::Long,
        }
    }

    fn at(watermark: u64, name: &ScopeName) -> (ScopeName, Position) {
        (name.clone(), Position::new(watermark))
    }

    #[test]
    fn a_file_that_has_grown_keeps_its_scope_under_a_new_name() {
        let short = content("one\n").bind(&[], Start::Resume).name;
        let grown = content("one\ntwo\n").bind(&[at(1, &short)], Start::Resume);
        assert_eq!(grown.renamed_from.as_ref(), Some(&short));
        assert_eq!(
            grown.name,
            content("one\ntwo\n").bind(&[], Start::Resume).name
        );
        let same = content("one\n").bind(&[at(1, &short)], Start::Resume);
        assert_eq!((same.name, same.renamed_from), (short, None));
    }

    #[test]
    fn a_scope_that_holds_nothing_binds_only_the_same_content() {
        let header = content("time,value\n").bind(&[], Start::Resume).name;
        let other = content("time,value\n1,2\n").bind(&[at(0, &header)], Start::Resume);
        assert_eq!(other.renamed_from, None);
        assert_ne!(other.name, header);
        let empty = content("").bind(&[], Start::Resume).name;
        assert_eq!(
            content("").bind(&[at(0, &empty)], Start::Resume).name,
            empty
        );
        let first = content("x\n").bind(&[at(7, &empty)], Start::Resume);
        assert_eq!(first.renamed_from, None);
    }

    #[test]
    fn the_longest_common_beginning_wins() {
        let one = content("a\n").bind(&[], Start::Resume).name;
        let two = content("a\nb\n").bind(&[], Start::Resume).name;
        let other = content("a\nX\n").bind(&[], Start::Resume).name;
        let known = [at(1, &one), at(2, &two), at(2, &other)];
        let grown = content("a\nb\nc\n").bind(&known, Start::Resume);
        assert_eq!(grown.renamed_from, Some(two));
    }

    #[test]
    fn again_begins_a_new_scope_which_is_resumed_afterwards() {
        let first = content("a\n").bind(&[], Start::Resume).name;
        let second = content("a\n").bind(&[at(1, &first)], Start::Again).name;
        assert_eq!(second.as_str(), format!("{first}#2"));
        let known = [at(1, &first), at(0, &second)];
        assert_eq!(content("a\n").bind(&known, Start::Resume).name, second);
        let third = content("a\nb\n").bind(&known[..1], Start::Again);
        assert!(third.name.as_str().ends_with("#2"));
        assert_eq!(third.renamed_from, None);
        let third = content("a\n").bind(&known, Start::Again).name;
        assert_eq!(third.as_str(), format!("{first}#3"));
        assert_eq!(content("new").bind(&known, Start::Again).renamed_from, None);
    }

    #[test]
    fn shapes_do_not_share_a_scope() {
        let wide = Identity::Content {
            prefix: b"t,a,b\n".to_vec(),
            shape: Shape::Wide,
        };
        let long = content("t,a,b\n").bind(&[], Start::Resume).name;
        let name = wide.bind(&[at(9, &long)], Start::Resume).name;
        assert_ne!(name, long);
        assert!(name.as_str().ends_with(":wide"));
        assert_eq!(
            wide.bind(&[at(9, &long), at(3, &name)], Start::Resume).name,
            name
        );
        assert_eq!(
            content("t,a,b\n").bind(&[at(3, &name)], Start::Resume).name,
            long
        );
    }

    #[test]
    fn names_of_the_caller_are_taken_as_they_are() {
        let feed = Identity::Named("feed".into());
        let name = feed.bind(&[], Start::Resume).name;
        assert_eq!(name.as_str(), "named:feed");
        let other = ScopeName::new("named:feeder#7");
        let known = [at(1, &name), at(1, &other)];
        assert_eq!(feed.bind(&known, Start::Resume).name, name);
        assert_eq!(
            feed.bind(&known, Start::Again).name.as_str(),
            "named:feed#2"
        );
        let once = Identity::Once("stdin:1-2".into());
        assert_eq!(once.bind(&known, Start::Again).name.as_str(), "stdin:1-2");
    }

    #[test]
    fn a_whole_file_is_told_by_its_hash_alone() {
        let whole = Identity::Whole("csv:7:ab".into());
        let name = whole.bind(&[], Start::Resume).name;
        assert_eq!(name.as_str(), "replay:csv:7:ab");
        let known = [at(3, &name), at(9, &ScopeName::new("replay:csv:7:abc"))];
        assert_eq!(whole.bind(&known, Start::Resume).name, name);
        let again = whole.bind(&known, Start::Again).name;
        assert_eq!(again.as_str(), "replay:csv:7:ab#2");
    }

    #[test]
    fn foreign_names_bind_nothing() {
        for name in [
            "file:",
            "file:x:y",
            "file:3:ab:deep",
            "file:3:ab:wide:x",
            "files",
        ] {
            let known = [at(5, &ScopeName::new(name))];
            assert_eq!(
                content("abc").bind(&known, Start::Resume).renamed_from,
                None
            );
        }
    }
}
