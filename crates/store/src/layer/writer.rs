//! Writes archives: ustar headers, with a PAX header only where ustar cannot say it. The same input is the same bytes, and those that
//! Go's `archive/tar` writes: so a layer has the digest that it has when BuildKit makes it of the same files.

use std::io::{self, Read, Write};

const BLOCK: usize = 512;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file with content.
    File,
    /// Another name of an earlier file.
    Hardlink,
    /// A symbolic link.
    Symlink,
    /// A character device.
    Char,
    /// A block device.
    Block,
    /// A folder.
    Dir,
    /// A named pipe.
    Fifo,
}

/// One entry.
#[derive(Clone, Debug)]
pub struct Header {
    /// What it is.
    pub kind: Kind,
    /// Its path, without a slash at the beginning or end.
    pub path: Vec<u8>,
    /// Where a link leads.
    pub link: Vec<u8>,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// The length of its content.
    pub size: u64,
    /// Seconds since 1970, and nanoseconds.
    pub mtime: (i64, u32),
    /// A device's numbers.
    pub device: (u32, u32),
    /// Extended attributes, sorted.
    pub attributes: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Header {
    /// An empty file of root's, from 1970.
    #[must_use]
    pub fn new(kind: Kind, path: impl Into<Vec<u8>>) -> Self {
        Self {
            kind,
            path: path.into(),
            link: Vec::new(),
            mode: if kind == Kind::Dir { 0o755 } else { 0o644 },
            uid: 0,
            gid: 0,
            size: 0,
            mtime: (0, 0),
            device: (0, 0),
            attributes: Vec::new(),
        }
    }
}

/// An archive that is written from front to end.
#[derive(Debug)]
pub struct Writer<W> {
    inner: W,
}

impl<W: Write> Writer<W> {
    /// Starts an archive.
    pub fn new(inner: W) -> Self {
        Self { inner }
    }

    /// Adds an entry. `content` must have as many bytes as the header says.
    ///
    /// # Errors
    /// The writer's or the content's; `UnexpectedEof` where the content is too short.
    pub fn append(&mut self, header: &Header, content: impl Read) -> io::Result<()> {
        let mut path = header.path.clone();
        if header.kind == Kind::Dir {
            path.push(b'/');
        }
        let pax = extended(header, &path);
        if !pax.is_empty() {
            let records: Vec<u8> = pax.iter().flat_map(|(key, value)| record(key, value)).collect();
            self.inner.write_all(&extension(&path, records.len() as u64))?;
            self.inner.write_all(&records)?;
            self.pad(records.len() as u64)?;
        }
        let prefix = if pax.is_empty() { split(&path) } else { None };
        let kind = match header.kind {
            Kind::File => b'0',
            Kind::Hardlink => b'1',
            Kind::Symlink => b'2',
            Kind::Char => b'3',
            Kind::Block => b'4',
            Kind::Dir => b'5',
            Kind::Fifo => b'6',
        };
        self.inner.write_all(&block(header, &path, prefix, kind))?;
        if header.kind == Kind::File {
            let copied = io::copy(&mut content.take(header.size), &mut self.inner)?;
            if copied < header.size {
                let shown = String::from_utf8_lossy(&header.path).into_owned();
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    format!("{shown} became shorter while it was read"),
                ));
            }
            self.pad(copied)?;
        }
        Ok(())
    }

    fn pad(&mut self, written: u64) -> io::Result<()> {
        let missing = written.next_multiple_of(BLOCK as u64) - written;
        io::copy(&mut io::repeat(0).take(missing), &mut self.inner).map(drop)
    }

    /// Ends the archive.
    ///
    /// # Errors
    /// The writer's.
    pub fn finish(mut self) -> io::Result<W> {
        self.inner.write_all(&[0; 2 * BLOCK])?;
        Ok(self.inner)
    }
}

/// The largest number of seven octal digits, which ids have; eleven for sizes and times.
const MAX_ID: u32 = 0o777_7777;
const MAX_LONG: u64 = 0o777_7777_7777;
/// The longest name, the longest folder before it, and the longest target of a link.
const MAX_NAME: usize = 100;
const MAX_PREFIX: usize = 155;

/// What the header cannot say, sorted.
fn extended(header: &Header, path: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let long = |text: &[u8]| text.len() > MAX_NAME || !text.is_ascii();
    let mut pax = Vec::new();
    for (name, value) in &header.attributes {
        pax.push(([b"SCHILY.xattr.", name.as_slice()].concat(), value.clone()));
    }
    if long(&header.link) {
        pax.push((b"linkpath".to_vec(), header.link.clone()));
    }
    for (key, id) in [(b"uid", header.uid), (b"gid", header.gid)] {
        if id > MAX_ID {
            pax.push((key.to_vec(), id.to_string().into_bytes()));
        }
    }
    if header.kind == Kind::File && header.size > MAX_LONG {
        pax.push((b"size".to_vec(), header.size.to_string().into_bytes()));
    }
    let (seconds, nanos) = header.mtime;
    if nanos != 0 || !u64::try_from(seconds).is_ok_and(|s| s <= MAX_LONG) {
        pax.push((b"mtime".to_vec(), time(seconds, nanos).into_bytes()));
    }
    // Ustar has room for folders, but not beside a PAX header.
    if long(path) && (!pax.is_empty() || split(path).is_none()) {
        pax.push((b"path".to_vec(), path.to_vec()));
    }
    pax.sort_unstable();
    pax
}

/// `length key=value\n`, where the length counts its own digits.
fn record(key: &[u8], value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + rest.to_string().len();
    if length.to_string().len() != rest.to_string().len() {
        length = rest + length.to_string().len();
    }
    [length.to_string().as_bytes(), b" ", key, b"=", value, b"\n"].concat()
}

fn time(seconds: i64, nanos: u32) -> String {
    let (sign, seconds, nanos) = match (seconds < 0, nanos) {
        (true, 1..) => ("-", (seconds + 1).unsigned_abs(), 1_000_000_000 - nanos),
        (true, 0) => ("-", seconds.unsigned_abs(), 0),
        (false, nanos) => ("", seconds.unsigned_abs(), nanos),
    };
    if nanos == 0 {
        return format!("{sign}{seconds}");
    }
    format!("{sign}{seconds}.{nanos:09}").trim_end_matches('0').to_owned()
}

/// A path that is too long for a name as prefix and name, where it fits so.
fn split(path: &[u8]) -> Option<(&[u8], &[u8])> {
    if path.len() <= MAX_NAME || !path.is_ascii() {
        return None;
    }
    // Not the slash at a folder's end: the name must not be empty.
    let end = if path.len() > MAX_PREFIX + 1 { MAX_PREFIX + 1 } else { path.len() - usize::from(path.ends_with(b"/")) };
    let at = path.get(..end)?.iter().rposition(|b| *b == b'/').filter(|at| *at > 0)?;
    let (prefix, name) = (path.get(..at)?, path.get(at + 1..)?);
    (1..=MAX_NAME).contains(&name.len()).then_some((prefix, name))
}

/// A header, field by field.
struct Block([u8; BLOCK]);

impl Block {
    fn put(&mut self, at: usize, bytes: &[u8]) {
        for (to, from) in self.0.iter_mut().skip(at).zip(bytes) {
            *to = *from;
        }
    }

    /// Octal digits; a number that has too many is in the PAX header, and nothing here.
    fn number(&mut self, at: usize, value: u64, digits: usize) {
        let most = (1 << (3 * digits)) - 1;
        self.put(at, format!("{:0digits$o}", if value > most { 0 } else { value }).as_bytes());
    }

    /// What an old reader sees of a text: as much of it as there is room for.
    fn text(&mut self, at: usize, text: &[u8]) {
        let mut text: Vec<u8> = text.iter().copied().filter(u8::is_ascii).collect();
        if text.len() > MAX_NAME {
            text.truncate(MAX_NAME);
            // A file that seems to end in a slash would be a folder.
            text.truncate(text.iter().rposition(|b| *b != b'/').map_or(0, |last| last + 1));
        }
        self.put(at, &text);
    }

    fn finish(mut self) -> [u8; BLOCK] {
        self.put(257, b"ustar\x0000");
        self.put(148, b"        ");
        let sum: u32 = self.0.iter().map(|b| u32::from(*b)).sum();
        self.put(148, format!("{sum:06o}\0 ").as_bytes());
        self.0
    }
}

/// The header of a PAX header.
fn extension(path: &[u8], size: u64) -> [u8; BLOCK] {
    let (folder, name) = path.split_at(path.iter().rposition(|b| *b == b'/').map_or(0, |at| at + 1));
    let mut name = [folder, b"PaxHeaders.0/", name].concat();
    name.retain(u8::is_ascii);
    name.truncate(name.iter().rposition(|b| *b != b'/').map_or(0, |last| last + 1));
    let mut block = Block([0; BLOCK]);
    block.text(0, &name);
    for at in [100, 108, 116] {
        block.number(at, 0, 7);
    }
    block.number(124, size, 11);
    block.number(136, 0, 11);
    block.put(156, b"x");
    block.finish()
}

fn block(header: &Header, path: &[u8], prefix: Option<(&[u8], &[u8])>, kind: u8) -> [u8; BLOCK] {
    let mut block = Block([0; BLOCK]);
    let (prefix, name) = prefix.unwrap_or((b"", path));
    block.text(0, name);
    block.number(100, header.mode.into(), 7);
    block.number(108, header.uid.into(), 7);
    block.number(116, header.gid.into(), 7);
    block.number(124, if header.kind == Kind::File { header.size } else { 0 }, 11);
    block.number(136, u64::try_from(header.mtime.0).unwrap_or(0), 11);
    block.put(156, &[kind]);
    block.text(157, &header.link);
    let device = if matches!(header.kind, Kind::Char | Kind::Block) { header.device } else { (0, 0) };
    block.number(329, device.0.into(), 7);
    block.number(337, device.1.into(), 7);
    block.put(345, prefix);
    block.finish()
}
