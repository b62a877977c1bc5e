//! The log: the rows that are not in a finished file yet, and the ledger, in one file.
//!
//! It is a sequence of entries. An entry is a line with its number, the length of what follows and
//! a checksum of all three; then a line of JSON with the marks that it sets; then rows as CSV. The
//! first entry of a log has the marks of all scopes. An entry counts when all of it is there, so
//! rows and marks are appended by one write and one sync, and commit together.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::layout::Layout;

/// How far a scope is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StoredMark {
    pub(super) scope: String,
    pub(super) fence: u64,
    pub(super) position: u64,
    pub(super) batch: u64,
    pub(super) hash: u64,
}

/// What an entry says, besides its rows.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Meta {
    /// Wall time in microseconds since 1970.
    pub(super) at: i64,
    pub(super) rows: u64,
    pub(super) marks: Vec<StoredMark>,
    /// A scope that has another name from here on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) removed: Option<String>,
    /// Of the first entry alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) begin: Option<Begin>,
}

/// What the first entry says of the log.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Begin {
    pub(super) layout: Layout,
    /// The file that holds the rows of the log before this one, complete but maybe still `.part`.
    pub(super) finished: Option<String>,
}

pub(super) type Marks = BTreeMap<String, StoredMark>;

/// An open log; all of it up to `length` is on the disk.
#[derive(Debug)]
pub(super) struct Log {
    file: File,
    path: PathBuf,
    pub(super) length: u64,
    sequence: u64,
    pub(super) rows: u64,
    /// The bytes of the rows, as CSV.
    pub(super) bytes: u64,
    /// Wall time of the first entry with rows.
    pub(super) first_at: Option<i64>,
    pub(super) begin: Begin,
}

/// The length of the line that begins an entry.
const HEAD_BYTES: usize = 35;

impl Log {
    /// Puts a new log in the place of the one at `path`, at once or not at all.
    pub(super) fn begin(path: &Path, at: i64, marks: &Marks, begin: Begin) -> io::Result<Self> {
        let part = path.with_extension("log.part");
        let mut log = Self {
            file: OpenOptions::new()
                .create(true)
                .truncate(true)
                .read(true)
                .write(true)
                .open(&part)?,
            path: path.to_owned(),
            length: 0,
            sequence: 0,
            rows: 0,
            bytes: 0,
            first_at: None,
            begin: begin.clone(),
        };
        let meta = Meta {
            at,
            marks: marks.values().cloned().collect(),
            begin: Some(begin),
            ..Meta::default()
        };
        log.append(&meta, &[])?;
        std::fs::rename(&part, path)?;
        super::directory::sync(path.parent().unwrap_or(Path::new(".")))?;
        Ok(log)
    }

    /// Opens the log at `path` and reads its marks; `None` when there is none. What follows the
    /// last whole entry is set aside: nobody can tell a write that was cut short, which was never
    /// acknowledged, from an entry whose length has changed, and with it all that follow.
    pub(super) fn open(path: &Path) -> io::Result<Option<(Self, Marks)>> {
        let file = match OpenOptions::new().read(true).write(true).open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut marks = Marks::new();
        let (mut rows, mut bytes, mut first_at, mut begin) = (0, 0, None, None);
        let mut entries = Entries::of(&file, u64::MAX)?;
        while let Some((meta, lines)) = entries.next()? {
            rows += meta.rows;
            bytes += lines.len() as u64;
            if meta.rows > 0 {
                first_at = first_at.or(Some(meta.at));
            }
            if let Some(removed) = meta.removed {
                marks.remove(&removed);
            }
            let set = meta.marks.into_iter();
            marks.extend(set.map(|mark| (mark.scope.clone(), mark)));
            begin = begin.or(meta.begin);
        }
        let (length, sequence, end) = (entries.length, entries.sequence, entries.end);
        let Some(begin) = begin else {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "its first entry, which says how far each scope is written, is damaged; put the \
                 file back from a copy, or remove it to begin anew without knowing what was \
                 written before",
            ));
        };
        if end > length {
            set_aside(path, &file, length)?;
        }
        file.set_len(length)?;
        file.sync_all()?;
        let log = Self {
            file,
            path: path.to_owned(),
            length,
            sequence,
            rows,
            bytes,
            first_at,
            begin,
        };
        Ok(Some((log, marks)))
    }

    /// Appends an entry and syncs. After an error the log has to be opened again.
    pub(super) fn append(&mut self, meta: &Meta, rows: &[u8]) -> io::Result<()> {
        let json = serde_json::to_vec(meta).map_err(io::Error::other)?;
        let mut entry = Vec::with_capacity(HEAD_BYTES + json.len() + 1 + rows.len());
        entry.resize(HEAD_BYTES, 0);
        entry.extend_from_slice(&json);
        entry.push(b'\n');
        entry.extend_from_slice(rows);
        let length = u32::try_from(entry.len() - HEAD_BYTES)
            .map_err(|_| io::Error::other("a batch has more than 4 GiB as CSV"))?;
        let sum = checksum(self.sequence, length, &entry[HEAD_BYTES..]);
        let head = format!("{:016x} {length:08x} {sum:08x}\n", self.sequence);
        entry[..HEAD_BYTES].copy_from_slice(head.as_bytes());

        self.file.seek(SeekFrom::Start(self.length))?;
        let written = self
            .file
            .write_all(&entry)
            .and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            // What is not acknowledged must not stay; if it does, the next opening finds it.
            let _ = self.file.set_len(self.length);
            return Err(error);
        }
        self.length += entry.len() as u64;
        self.sequence += 1;
        self.rows += meta.rows;
        self.bytes += rows.len() as u64;
        if meta.rows > 0 {
            self.first_at = self.first_at.or(Some(meta.at));
        }
        Ok(())
    }

    /// Reads the rows again, entry by entry: lines of CSV.
    pub(super) fn each_rows(
        &self,
        mut take: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut entries = Entries::of(&self.file, self.length)?;
        while let Some((meta, rows)) = entries.next()? {
            if meta.rows > 0 {
                take(rows)?;
            }
        }
        if entries.length == self.length {
            return Ok(());
        }
        Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!(
                "{} is damaged behind byte {}",
                self.path.display(),
                entries.length
            ),
        ))
    }

    /// Whether the file that is open is still the one that the directory has: one that was removed
    /// would go on to take rows which nobody will ever see.
    pub(super) fn is_in_place(&self) -> bool {
        super::directory::is_at(&self.file, &self.path)
    }
}

/// Reads entries until the end, or until one that is not whole.
struct Entries<'a> {
    file: BufReader<&'a File>,
    /// Where to stop.
    end: u64,
    /// Where the last whole entry ended.
    length: u64,
    /// The number of the next entry.
    sequence: u64,
    payload: Vec<u8>,
}

impl<'a> Entries<'a> {
    fn of(mut file: &'a File, end: u64) -> io::Result<Self> {
        let end = file.metadata()?.len().min(end);
        file.rewind()?;
        Ok(Self {
            file: BufReader::with_capacity(64 << 10, file),
            end,
            length: 0,
            sequence: 0,
            payload: Vec::new(),
        })
    }

    fn next(&mut self) -> io::Result<Option<(Meta, &[u8])>> {
        let left = self.end - self.length;
        if left < HEAD_BYTES as u64 {
            return Ok(None);
        }
        let mut head = [0; HEAD_BYTES];
        self.file.read_exact(&mut head)?;
        let Some((sequence, length, sum)) = parse_head(&head) else {
            return Ok(None);
        };
        let bytes = HEAD_BYTES as u64 + u64::from(length);
        if bytes > left {
            return Ok(None);
        }
        self.payload.resize(length as usize, 0);
        self.file.read_exact(&mut self.payload)?;
        let is_sound =
            sequence == self.sequence && checksum(sequence, length, &self.payload) == sum;
        let split = self.payload.iter().position(|byte| *byte == b'\n');
        let meta = split.and_then(|at| serde_json::from_slice(&self.payload[..at]).ok());
        let (true, Some(split), Some(meta)) = (is_sound, split, meta) else {
            return Ok(None);
        };
        self.length += bytes;
        self.sequence += 1;
        Ok(Some((meta, &self.payload[split + 1..])))
    }
}

fn parse_head(head: &[u8; HEAD_BYTES]) -> Option<(u64, u32, u32)> {
    let text = std::str::from_utf8(head).ok()?.strip_suffix('\n')?;
    let mut parts = text.split(' ');
    let sequence = u64::from_str_radix(parts.next()?, 16).ok()?;
    let length = u32::from_str_radix(parts.next()?, 16).ok()?;
    let sum = u32::from_str_radix(parts.next()?, 16).ok()?;
    parts.next().is_none().then_some((sequence, length, sum))
}

/// The checksum covers number and length, so that an entry cannot stand in another's place.
fn checksum(sequence: u64, length: u32, payload: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(&sequence.to_le_bytes());
    crc.update(&length.to_le_bytes());
    crc.update(payload);
    crc.sum()
}

/// How many tails are kept beside the log; whoever has so many should look at the disk.
const KEPT_MAX: u32 = 1_000;

/// Copies what is cut off beside the log, under a name that is free, and syncs it.
fn set_aside(path: &Path, mut file: &File, from: u64) -> io::Result<()> {
    let (mut kept, kept_at) = (1..=KEPT_MAX)
        .find_map(|number| {
            let at = path.with_extension(format!("damaged-{number}"));
            match File::create_new(&at) {
                Ok(kept) => Some(Ok((kept, at))),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => None,
                Err(error) => Some(Err(error)),
            }
        })
        .unwrap_or_else(|| {
            Err(io::Error::other(format!(
                "its end is damaged, and {KEPT_MAX} such ends are set aside already; see to the \
                 disk and move them away"
            )))
        })?;
    file.seek(SeekFrom::Start(from))?;
    let copied = io::copy(&mut file, &mut kept).and_then(|bytes| {
        kept.sync_all()?;
        super::directory::sync(path.parent().unwrap_or(Path::new(".")))?;
        Ok(bytes)
    });
    let bytes = copied.inspect_err(|_| {
        // A full disk must not collect a name with each attempt.
        let _ = std::fs::remove_file(&kept_at);
    })?;
    tracing::warn!(
        log = %path.display(),
        from,
        bytes,
        kept = %kept_at.display(),
        "the log ends with what is no whole entry: the last write was cut short, or the log is \
         damaged; it is set aside, and is written again from its source"
    );
    Ok(())
}
