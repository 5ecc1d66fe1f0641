//! Writes archives: ustar headers, with a PAX header only where ustar cannot say it. The same input is the same bytes.

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
            // Its name is for old readers, which see it as a file; it must not depend on this machine.
            let mut extension = Header::new(Kind::File, "PaxHeaders.0/x");
            extension.size = pax.len() as u64;
            self.inner.write_all(&block(&extension, &extension.path, b'x'))?;
            self.inner.write_all(&pax)?;
            self.pad(extension.size)?;
        }
        let kind = match header.kind {
            Kind::File => b'0',
            Kind::Hardlink => b'1',
            Kind::Symlink => b'2',
            Kind::Char => b'3',
            Kind::Block => b'4',
            Kind::Dir => b'5',
            Kind::Fifo => b'6',
        };
        self.inner.write_all(&block(header, &path, kind))?;
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

/// What the header cannot say.
fn extended(header: &Header, path: &[u8]) -> Vec<u8> {
    let mut pax = Vec::new();
    if name(path).is_none() {
        record(&mut pax, b"path", path);
    }
    if header.link.len() > 100 {
        record(&mut pax, b"linkpath", &header.link);
    }
    for (key, id) in [(b"uid", header.uid), (b"gid", header.gid)] {
        if id > MAX_ID {
            record(&mut pax, key, id.to_string().as_bytes());
        }
    }
    if header.kind == Kind::File && header.size > MAX_LONG {
        record(&mut pax, b"size", header.size.to_string().as_bytes());
    }
    let (seconds, nanos) = header.mtime;
    if nanos != 0 || !u64::try_from(seconds).is_ok_and(|s| s <= MAX_LONG) {
        record(&mut pax, b"mtime", time(seconds, nanos).as_bytes());
    }
    for (name, value) in &header.attributes {
        record(&mut pax, &[b"SCHILY.xattr.", name.as_slice()].concat(), value);
    }
    pax
}

/// `length key=value\n`, where the length counts its own digits.
fn record(pax: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + rest.to_string().len();
    if length.to_string().len() != rest.to_string().len() {
        length = rest + length.to_string().len();
    }
    pax.extend_from_slice(length.to_string().as_bytes());
    for part in [b" ", key, b"=", value, b"\n"] {
        pax.extend_from_slice(part);
    }
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

/// The path as prefix and name, where it fits.
fn name(path: &[u8]) -> Option<(&[u8], &[u8])> {
    if path.len() <= 100 {
        return Some((b"", path));
    }
    // Not the slash at a folder's end: the name must not be empty.
    let slash = |n: &usize| path.get(*n) == Some(&b'/') && n + 1 < path.len();
    let at = (path.len() - 101..path.len().min(156)).find(slash)?;
    Some((path.get(..at)?, path.get(at + 1..)?)).filter(|(prefix, _)| !prefix.is_empty())
}

fn block(header: &Header, path: &[u8], kind: u8) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let mut put = |at: usize, bytes: &[u8]| {
        for (to, from) in block.iter_mut().skip(at).zip(bytes) {
            *to = *from;
        }
    };
    let short = |text: &[u8], most: usize| text.get(..text.len().min(most)).unwrap_or_default().to_vec();
    let octal = |value: u64, digits: usize| format!("{value:0digits$o}").into_bytes();
    let (prefix, name) = name(path).map_or_else(|| (Vec::new(), short(path, 100)), |(p, n)| (p.to_vec(), n.to_vec()));
    let id = |id: u32| octal(if id > MAX_ID { 0 } else { id.into() }, 7);
    let long = |value: u64| octal(if value > MAX_LONG { 0 } else { value }, 11);
    put(0, &name);
    put(100, &octal(header.mode.into(), 7));
    put(108, &id(header.uid));
    put(116, &id(header.gid));
    put(124, &long(if header.kind == Kind::File { header.size } else { 0 }));
    put(136, &long(u64::try_from(header.mtime.0).unwrap_or(0)));
    put(148, b"        ");
    put(156, &[kind]);
    put(157, &short(&header.link, 100));
    put(257, b"ustar\x0000");
    if matches!(header.kind, Kind::Char | Kind::Block) {
        put(329, &id(header.device.0));
        put(337, &id(header.device.1));
    }
    put(345, &prefix);
    let sum: u32 = block.iter().map(|b| u32::from(*b)).sum();
    for (to, from) in block.iter_mut().skip(148).zip(format!("{sum:06o}\0 ").bytes()) {
        *to = from;
    }
    block
}
