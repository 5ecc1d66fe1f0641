//! The entries of an archive, one after the other, with bounds on what they may take in memory.

use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use tar_core::parse::{Limits, ParseEvent, ParsedEntry, Parser};
use tar_core::{EntryType, PaxExtensions, SparseEntry};

use crate::error::At as _;
use crate::{Error, Result};

/// Room for long names and all attributes of one file.
const MAX_METADATA: u32 = 4 * 1024 * 1024;
/// Linux takes no longer path.
const MAX_PATH: u32 = 4096;
/// No real file is larger; a hole costs nothing here, but whoever reads the file pays.
const MAX_SPARSE: u64 = 1 << 42;
/// What nanoseconds since 1970 reach, in 64 bits: until 2262.
const MAX_TIME: i64 = i64::MAX / 1_000_000_000;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    File,
    Dir,
    Symlink,
    Hardlink,
    Fifo,
    Char,
    Block,
}

/// One entry's header, with all that extends it.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) kind: Type,
    pub(super) path: Vec<u8>,
    pub(super) link: Vec<u8>,
    pub(super) mode: u32,
    pub(super) uid: u64,
    pub(super) gid: u64,
    pub(super) mtime: (i64, u32),
    pub(super) device: (u32, u32),
    pub(super) attributes: Vec<(Vec<u8>, Vec<u8>)>,
    sparse: Option<(Vec<SparseEntry>, u64)>,
}

/// An archive that is read from front to end.
pub(super) struct Entries<R> {
    reader: R,
    parser: Parser,
    buffer: Vec<u8>,
    /// Of the current entry's content, and of what fills its last block.
    left: u64,
    padding: u64,
}

impl<R: Read> Entries<R> {
    pub(super) fn new(reader: R) -> Self {
        let limits = Limits { max_metadata_size: MAX_METADATA, max_path_len: Some(MAX_PATH), ..Limits::default() };
        let mut parser = Parser::new(limits);
        // For times before 1970 alone; `entry` looks at the values that matter.
        parser.set_ignore_pax_errors(true);
        parser.set_allow_empty_path(true);
        Self { reader, parser, buffer: Vec::new(), left: 0, padding: 0 }
    }

    /// The next entry. What is left of the last one's content is skipped.
    pub(super) fn next(&mut self) -> Result<Option<Entry>> {
        let rest = self.left + self.padding;
        if io::copy(&mut self.reader.by_ref().take(rest), &mut io::sink()).map_err(unreadable)? < rest {
            return Err(Error::tar("it ends in the middle of a file"));
        }
        (self.left, self.padding) = (0, 0);
        self.buffer.clear();
        loop {
            let (consumed, wanted, found) =
                match self.parser.parse(&self.buffer).map_err(|e| Error::tar(e.to_string()))? {
                    ParseEvent::NeedData { min_bytes } => (0, min_bytes, None),
                    ParseEvent::Entry { consumed, entry } => (consumed, 0, Some((owned(&entry, None)?, entry.size))),
                    ParseEvent::SparseEntry { consumed, entry, sparse_map, real_size } => {
                        (consumed, 0, Some((owned(&entry, Some((sparse_map, real_size)))?, entry.size)))
                    }
                    // git writes its commit's name there; nothing else is in use.
                    ParseEvent::GlobalExtensions { consumed, .. } => (consumed, 0, None),
                    ParseEvent::End { .. } => return Ok(None),
                };
            self.buffer.drain(..consumed.min(self.buffer.len()));
            if let Some((entry, size)) = found {
                if !self.buffer.is_empty() {
                    return Err(Error::tar("a header has more blocks than it says"));
                }
                self.left = size;
                self.padding = size.next_multiple_of(512) - size;
                return Ok(Some(entry));
            }
            if wanted > self.buffer.len() {
                let missing = (wanted - self.buffer.len()) as u64;
                let read = self.reader.by_ref().take(missing).read_to_end(&mut self.buffer).map_err(unreadable)? as u64;
                // Some writers leave out the two empty blocks at the end.
                if read < missing && self.buffer.iter().all(|b| *b == 0) {
                    return Ok(None);
                }
                if read < missing {
                    return Err(Error::tar("it ends in the middle of a header"));
                }
            }
        }
    }

    /// Writes the current entry's content. `shown` is for messages.
    pub(super) fn content(&mut self, entry: &Entry, file: &mut File, shown: &Path) -> Result<()> {
        let Some((map, size)) = &entry.sparse else {
            let left = self.left;
            return self.copy(left, file, shown);
        };
        if *size > MAX_SPARSE {
            return Err(Error::tar(format!("{} is {size} bytes long, which is too much", shown.display())));
        }
        for piece in map {
            if piece.offset.checked_add(piece.length).is_none_or(|end| end > *size) || piece.length > self.left {
                return Err(Error::tar(format!("{} has data beyond its end", shown.display())));
            }
            file.seek(SeekFrom::Start(piece.offset)).at(shown)?;
            self.copy(piece.length, file, shown)?;
        }
        file.set_len(*size).at(shown)
    }

    fn copy(&mut self, mut left: u64, file: &mut File, shown: &Path) -> Result<()> {
        self.buffer.resize(128 * 1024, 0);
        while left > 0 {
            let wanted = usize::try_from(left).map_or(self.buffer.len(), |left| left.min(self.buffer.len()));
            let read = match self.reader.read(&mut self.buffer[..wanted]) {
                Ok(0) => return Err(Error::tar("it ends in the middle of a file")),
                Ok(read) => read,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(unreadable(e)),
            };
            file.write_all(&self.buffer[..read]).at(shown)?;
            left -= read as u64;
            self.left -= read as u64;
        }
        Ok(())
    }

    /// Reads what comes after the last entry, so that a hash sees all of it.
    pub(super) fn finish(mut self) -> Result<()> {
        io::copy(&mut self.reader, &mut io::sink()).map_err(unreadable).map(drop)
    }
}

fn unreadable(error: io::Error) -> Error {
    Error::tar(error.to_string())
}

fn owned(entry: &ParsedEntry<'_>, sparse: Option<(Vec<SparseEntry>, u64)>) -> Result<Entry> {
    let mut mtime = (i64::try_from(entry.mtime).unwrap_or(i64::MAX), 0);
    for extension in PaxExtensions::new(entry.pax.unwrap_or_default()) {
        let Ok(extension) = extension else { return Err(Error::tar("an extended header is malformed")) };
        match extension.key_bytes() {
            b"mtime" => mtime = time(extension.value_bytes()).unwrap_or(mtime),
            b"size" | b"uid" | b"gid" if !extension.value().is_ok_and(|v| v.parse::<u64>().is_ok()) => {
                return Err(Error::tar("an extended header has a number that is none"));
            }
            _ => {}
        }
    }
    // What is beyond means nothing (BuildKit).
    if !(0..MAX_TIME).contains(&mtime.0) {
        mtime = (0, 0);
    }
    let path = entry.path.to_vec();
    let kind = match entry.entry_type {
        // Before there was a type for folders, a slash said it.
        EntryType::Regular if path.ends_with(b"/") => Type::Dir,
        EntryType::Regular | EntryType::Continuous | EntryType::GnuSparse => Type::File,
        EntryType::Directory => Type::Dir,
        EntryType::Symlink => Type::Symlink,
        EntryType::Link => Type::Hardlink,
        EntryType::Fifo => Type::Fifo,
        EntryType::Char => Type::Char,
        EntryType::Block => Type::Block,
        other => {
            let shown = String::from_utf8_lossy(&path);
            return Err(Error::tar(format!("{shown} is of a type that is not supported ({other:?})")));
        }
    };
    Ok(Entry {
        kind,
        path,
        link: entry.link_target.as_deref().unwrap_or_default().to_vec(),
        mode: entry.mode & 0o7777,
        uid: entry.uid,
        gid: entry.gid,
        mtime,
        device: (entry.dev_major.unwrap_or(0), entry.dev_minor.unwrap_or(0)),
        attributes: entry.xattrs.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect(),
        sparse,
    })
}

/// Seconds and nanoseconds, where the latter count forward also before 1970.
fn time(text: &[u8]) -> Option<(i64, u32)> {
    let text = std::str::from_utf8(text).ok()?;
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = whole.parse().ok()?;
    let digits: String = part.chars().chain("000000000".chars()).take(9).collect();
    let nanos: u32 = if digits.bytes().all(|b| b.is_ascii_digit()) { digits.parse().ok()? } else { return None };
    match (whole.starts_with('-'), nanos) {
        (true, 1..) => Some((seconds.checked_sub(1)?, 1_000_000_000 - nanos)),
        _ => Some((seconds, nanos)),
    }
}
