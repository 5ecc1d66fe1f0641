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

use super::writer::{Header, Kind, Writer};
use super::{GONE, OPAQUE, is_private};
use crate::error::At as _;
use crate::{Result, mark};

/// The largest list of names, and value, that Linux has for extended attributes.
const MAX_ATTRIBUTE: usize = 64 * 1024;

/// What a tree is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// One layer's own files: overlayfs's marks become whiteouts.
    Layer,
    /// Merged files.
    Files,
}

/// Writes all files below a folder, but not the folder itself, sorted by name. With an `epoch` nothing in a layer is
/// younger than it, and files have just that time (what BuildKit does in images, and in its other outputs).
/// `prefix` is put before each path, and before the target of a link that starts at the root; it ends in a slash or is empty.
///
/// # Errors
/// The file system's, or the writer's.
pub fn write_tree(
    root: &Path,
    prefix: &[u8],
    form: Form,
    epoch: Option<i64>,
    writer: &mut Writer<impl Write>,
) -> Result<()> {
    let mut walk = Walk { root, prefix, form, epoch, writer, links: HashMap::new() };
    // A stack of our own: nothing bounds how deep a RUN step's folders go.
    let mut open = vec![walk.list(&[])?];
    while let Some(folder) = open.last_mut() {
        let Some(path) = folder.pop() else {
            open.pop();
            continue;
        };
        if walk.write(&path)? {
            let inner = walk.list(&path)?;
            open.push(inner);
        }
    }
    Ok(())
}

struct Walk<'a, W> {
    root: &'a Path,
    prefix: &'a [u8],
    form: Form,
    epoch: Option<i64>,
    writer: &'a mut Writer<W>,
    /// The first name of each file that has several.
    links: HashMap<(u64, u64), Vec<u8>>,
}

impl<W: Write> Walk<'_, W> {
    /// The paths in a folder, last name first.
    fn list(&self, folder: &[u8]) -> Result<Vec<Vec<u8>>> {
        let path = self.root.join(OsStr::from_bytes(folder));
        let mut found = Vec::new();
        for entry in fs::read_dir(&path).at(&path)? {
            let name = entry.at(&path)?.file_name();
            let name = name.as_bytes();
            found.push(if folder.is_empty() { name.to_vec() } else { [folder, b"/", name].concat() });
        }
        found.sort_unstable_by(|a, b| b.cmp(a));
        Ok(found)
    }

    /// Writes one entry; returns whether it is a folder.
    fn write(&mut self, path: &[u8]) -> Result<bool> {
        let full = self.root.join(OsStr::from_bytes(path));
        let meta = fs::symlink_metadata(&full).at(&full)?;
        let kind = meta.file_type();
        let mut header = self.header(path, &meta);
        if self.form == Form::Layer && mark::is_gone(&full, &meta) {
            let (folder, name) = super::confine::split(path);
            let gone = [GONE, name].concat();
            let path = if folder.is_empty() { gone } else { [folder, b"/", &gone].concat() };
            return self.mark(&path).at(&full).map(|()| false);
        }
        if !kind.is_dir() && meta.nlink() > 1 {
            if let Some(first) = self.links.get(&(meta.dev(), meta.ino())) {
                header.kind = Kind::Hardlink;
                header.link.clone_from(first);
                header.size = 0;
                return self.writer.append(&header, io::empty()).at(&full).map(|()| false);
            }
            self.links.insert((meta.dev(), meta.ino()), header.path.clone());
        }
        let (attributes, opaque) = attributes(&full).at(&full)?;
        header.attributes = attributes;
        header.kind = if kind.is_dir() {
            Kind::Dir
        } else if kind.is_symlink() {
            header.link = fs::read_link(&full).at(&full)?.into_os_string().into_encoded_bytes();
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
            let file = open(&full).at(&full)?;
            let read = io::BufReader::with_capacity(128 * 1024, file);
            return self.writer.append(&header, read).at(&full).map(|()| false);
        } else {
            return Ok(false); // a socket: nobody listens any more
        };
        self.writer.append(&header, io::empty()).at(&full)?;
        if opaque && kind.is_dir() && self.form == Form::Layer {
            self.mark(&[path, b"/", OPAQUE].concat()).at(&full)?;
        }
        Ok(kind.is_dir())
    }

    fn header(&self, path: &[u8], meta: &Metadata) -> Header {
        let mut header = Header::new(Kind::File, [self.prefix, path].concat());
        header.mode = meta.mode() & 0o7777;
        (header.uid, header.gid) = (meta.uid(), meta.gid());
        header.mtime = (meta.mtime(), u32::try_from(meta.mtime_nsec()).unwrap_or(0));
        if let Some(epoch) = self.epoch.filter(|epoch| self.form == Form::Files || header.mtime.0 >= *epoch) {
            header.mtime = (epoch, 0);
        }
        header
    }

    /// Without a time: when something was removed is no part of the result.
    fn mark(&mut self, path: &[u8]) -> io::Result<()> {
        let mut header = Header::new(Kind::File, [self.prefix, path].concat());
        header.mode = 0;
        self.writer.append(&header, io::empty())
    }
}

/// Not blocking and not following: it was a file a moment ago.
fn open(path: &Path) -> std::result::Result<impl Read, Errno> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, rustix::fs::Mode::empty()).map(File::from)
}

type Attributes = Vec<(Vec<u8>, Vec<u8>)>;

/// A file's extended attributes, sorted, and whether overlayfs has marked it as opaque.
fn attributes(path: &Path) -> std::result::Result<(Attributes, bool), Errno> {
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
