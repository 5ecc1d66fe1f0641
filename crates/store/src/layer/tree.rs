//! Files to an archive.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

use rustix::fs::{OFlags, lgetxattr, llistxattr, major, minor};
use rustix::io::Errno;

use super::base::Base;
use super::writer::{Header, Kind, Writer};
use super::{GONE, OPAQUE, is_private};
use crate::error::At as _;
use crate::{Result, mark};

/// The largest list of names, and value, that Linux has for extended attributes.
const MAX_ATTRIBUTE: usize = 64 * 1024;

/// What a tree is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form<'a> {
    /// One layer's own files: overlayfs's marks become whiteouts. Of what it lies on, if that is named, nothing is said again: what is
    /// as it was before is left out, and a folder that replaced another is told by what is gone from it.
    Layer {
        /// The merged files below.
        base: Option<&'a Path>,
    },
    /// Merged files.
    Files,
}

/// Writes all files below a folder, but not the folder itself, sorted by name. With an `epoch` nothing in a layer is
/// younger than it, and files have just that time (what BuildKit does in images, and in its other outputs). Times are whole seconds,
/// and a layer has no attributes but capabilities, as with BuildKit.
/// `prefix` is put before each path, and before the target of a link that starts at the root; it ends in a slash or is empty.
///
/// # Errors
/// The file system's, or the writer's.
pub fn write_tree(
    root: &Path,
    prefix: &[u8],
    form: Form<'_>,
    epoch: Option<i64>,
    writer: &mut Writer<impl Write>,
) -> Result<()> {
    let base = match form {
        Form::Layer { base } => base.map(Base),
        Form::Files => None,
    };
    let is_layer = form != Form::Files;
    let mut walk = Walk { root, prefix, is_layer, base, epoch, writer, links: HashMap::new(), unchanged: Vec::new() };
    // A stack of our own: nothing bounds how deep a RUN step's folders go.
    let mut open = vec![Folder { left: walk.list(&[], false)?, in_base: base.is_some(), opaque: false, above: 0 }];
    while let Some(folder) = open.last_mut() {
        let Some(path) = folder.left.pop() else {
            walk.unchanged.truncate(folder.above);
            open.pop();
            continue;
        };
        let above = walk.unchanged.len();
        if let Some((in_base, opaque)) = walk.write(&path, folder.in_base, folder.opaque)? {
            open.push(Folder { left: walk.list(&path, in_base && opaque)?, in_base, opaque, above });
        }
    }
    Ok(())
}

struct Walk<'a, W> {
    root: &'a Path,
    prefix: &'a [u8],
    is_layer: bool,
    base: Option<Base<'a>>,
    epoch: Option<i64>,
    writer: &'a mut Writer<W>,
    /// The first name of each file that has several.
    links: HashMap<(u64, u64), Vec<u8>>,
    /// Folders above that are as they were before, and are written only if something in them is.
    unchanged: Vec<Header>,
}

/// A folder that is being written.
struct Folder {
    /// The paths in it, last name first.
    left: Vec<Vec<u8>>,
    /// Whether the base has a folder there.
    in_base: bool,
    /// Whether nothing in that is seen.
    opaque: bool,
    /// How many folders above it are not written yet.
    above: usize,
}

impl<W: Write> Walk<'_, W> {
    /// The paths in a folder, with those that only the base has where all of that is hidden.
    fn list(&self, folder: &[u8], hides: bool) -> Result<Vec<Vec<u8>>> {
        let mut found = paths(self.root, folder)?;
        if let Some(base) = self.base.filter(|_| hides) {
            found.extend(paths(base.0, folder)?);
        }
        found.sort_unstable_by(|a, b| b.cmp(a));
        found.dedup();
        Ok(found)
    }

    /// Writes one entry; returns for a folder whether the base has it, and whether nothing of that is seen.
    fn write(&mut self, path: &[u8], in_base: bool, hidden: bool) -> Result<Option<(bool, bool)>> {
        let full = self.root.join(OsStr::from_bytes(path));
        let meta = match fs::symlink_metadata(&full) {
            // It is in the base alone, below a folder that replaced another.
            Err(e) if e.kind() == io::ErrorKind::NotFound && in_base && hidden => {
                return self.gone(path).at(&full).map(|()| None);
            }
            other => other.at(&full)?,
        };
        let kind = meta.file_type();
        let before = match self.base.filter(|_| in_base) {
            Some(base) => base.find(path)?,
            None => None,
        };
        if self.is_layer && mark::is_gone(&full, &meta) {
            if self.base.is_none() || before.is_some() {
                self.gone(path).at(&full)?;
            }
            return Ok(None);
        }
        let (attributes, opaque) = attributes(&full, self.is_layer).at(&full)?;
        let mut header = self.header(path, &meta);
        header.attributes = attributes;
        let unchanged = match self.base.zip(before.as_ref()) {
            Some((base, before)) => base.has(path, before, &full, &meta)?,
            None => false,
        };
        if kind.is_dir() {
            header.kind = Kind::Dir;
            if unchanged {
                self.unchanged.push(header);
            } else {
                self.append(&header, io::empty()).at(&full)?;
            }
            if opaque && self.is_layer && self.base.is_none() {
                self.mark(&[path, b"/", OPAQUE].concat()).at(&full)?;
            }
            return Ok(Some((before.is_some_and(|before| before.is_dir()), hidden || opaque)));
        }
        if !unchanged {
            self.file(header, &full, &meta)?;
        }
        Ok(None)
    }

    /// Writes what is no folder.
    fn file(&mut self, mut header: Header, full: &Path, meta: &Metadata) -> Result<()> {
        if meta.nlink() > 1 {
            if let Some(first) = self.links.get(&(meta.dev(), meta.ino())) {
                header.kind = Kind::Hardlink;
                header.link.clone_from(first);
                return self.append(&header, io::empty()).at(full);
            }
            self.links.insert((meta.dev(), meta.ino()), header.path.clone());
        }
        let kind = meta.file_type();
        header.kind = if kind.is_symlink() {
            header.link = fs::read_link(full).at(full)?.into_os_string().into_encoded_bytes();
            if let (false, Some(below)) = (self.prefix.is_empty(), header.link.strip_prefix(b"/")) {
                header.link = [b"/", self.prefix, below].concat();
            }
            Kind::Symlink
        } else if kind.is_fifo() {
            Kind::Fifo
        } else if kind.is_char_device() || kind.is_block_device() {
            header.device = (major(meta.rdev()), minor(meta.rdev()));
            if kind.is_char_device() { Kind::Char } else { Kind::Block }
        } else if kind.is_file() {
            header.size = meta.len();
            let file = open(full).at(full)?;
            let read = io::BufReader::with_capacity(128 * 1024, file);
            return self.append(&header, read).at(full);
        } else {
            return Ok(()); // a socket: nobody listens any more
        };
        self.append(&header, io::empty()).at(full)
    }

    fn header(&self, path: &[u8], meta: &Metadata) -> Header {
        let mut header = Header::new(Kind::File, [self.prefix, path].concat());
        header.mode = meta.mode() & 0o7777;
        (header.uid, header.gid) = (meta.uid(), meta.gid());
        // BuildKit cuts the fraction off in a layer, and rounds it elsewhere.
        let up = !self.is_layer && meta.mtime_nsec() >= 500_000_000;
        header.mtime = (meta.mtime().saturating_add(up.into()), 0);
        if let Some(epoch) = self.epoch.filter(|epoch| !self.is_layer || header.mtime.0 > *epoch) {
            header.mtime = (epoch, 0);
        }
        header
    }

    fn append(&mut self, header: &Header, content: impl Read) -> io::Result<()> {
        for above in self.unchanged.drain(..) {
            self.writer.append(&above, io::empty())?;
        }
        self.writer.append(header, content)
    }

    fn gone(&mut self, path: &[u8]) -> io::Result<()> {
        let (folder, name) = super::confine::split(path);
        let gone = [GONE, name].concat();
        self.mark(&if folder.is_empty() { gone } else { [folder, b"/", &gone].concat() })
    }

    /// Without a time: when something was removed is no part of the result.
    fn mark(&mut self, path: &[u8]) -> io::Result<()> {
        let mut header = Header::new(Kind::File, [self.prefix, path].concat());
        header.mode = 0;
        self.append(&header, io::empty())
    }
}

fn paths(root: &Path, folder: &[u8]) -> Result<Vec<Vec<u8>>> {
    let path = root.join(OsStr::from_bytes(folder));
    let mut found = Vec::new();
    for entry in fs::read_dir(&path).at(&path)? {
        let name = entry.at(&path)?.file_name();
        let name = name.as_bytes();
        found.push(if folder.is_empty() { name.to_vec() } else { [folder, b"/", name].concat() });
    }
    Ok(found)
}

/// Not blocking and not following: it was a file a moment ago.
pub(super) fn open(path: &Path) -> std::result::Result<File, Errno> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, rustix::fs::Mode::empty()).map(File::from)
}

type Attributes = Vec<(Vec<u8>, Vec<u8>)>;

/// A file's extended attributes, sorted, and whether overlayfs has marked it as opaque.
fn attributes(path: &Path, is_layer: bool) -> std::result::Result<(Attributes, bool), Errno> {
    // Most files have none: ask with a small buffer first.
    let mut names = vec![0; 256];
    let length = loop {
        match llistxattr(path, names.as_mut_slice()) {
            Ok(length) => break length,
            Err(Errno::RANGE) if names.len() < MAX_ATTRIBUTE => names.resize(MAX_ATTRIBUTE, 0),
            Err(Errno::NOTSUP) => return Ok((Vec::new(), false)),
            Err(e) => return Err(e),
        }
    };
    let mut found = Vec::new();
    let mut opaque = false;
    for name in names.get(..length).unwrap_or_default().split(|b| *b == 0).filter(|name| !name.is_empty()) {
        if is_private(name) && name != b"user.overlay.opaque" {
            continue;
        }
        let mut value = vec![0; MAX_ATTRIBUTE];
        match lgetxattr(path, OsStr::from_bytes(name), value.as_mut_slice()) {
            Ok(length) => value.truncate(length),
            // A security module's names are listed and not always given.
            Err(Errno::NODATA | Errno::NOTSUP) => continue,
            Err(e) => return Err(e),
        }
        match name {
            b"user.overlay.opaque" => opaque = value == b"y",
            b"security.capability" => found.push((name.to_vec(), portable(value))),
            _ if is_layer => {}
            // The machine's labels, which mean nothing elsewhere.
            b"security.selinux" | b"security.ima" | b"security.evm" => {}
            _ => found.push((name.to_vec(), value)),
        }
    }
    found.sort_unstable();
    Ok((found, opaque))
}

/// Capabilities without the user namespace that they were given in (form 3 of `vfs_cap_data`, which ends in its root's id).
fn portable(value: Vec<u8>) -> Vec<u8> {
    const FORM: u32 = 0xff00_0000;
    let head = value.first_chunk::<4>().map_or(0, |b| u32::from_le_bytes(*b));
    if value.len() != 24 || head & FORM != 0x0300_0000 {
        return value;
    }
    let mut older = (head & !FORM | 0x0200_0000).to_le_bytes().to_vec();
    older.extend_from_slice(value.get(4..20).unwrap_or_default());
    older
}
