//! Files to an archive.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

use archipel_sandbox::copy::{Marks, attributes};
use rustix::fs::{major, minor};

use super::writer::{Header, Kind, Writer};
use super::{GONE, OPAQUE};
use crate::Result;
use crate::compare::{Change, Comparison};
use crate::disk::open;
use crate::error::At as _;

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
    let (is_layer, base) = match form {
        Form::Layer { base } => (true, base),
        Form::Files => (false, None),
    };
    let mut tree = Tree { root, prefix, is_layer, epoch, writer, links: HashMap::new() };
    Comparison { files: root, marked: is_layer, base, whole: false }.changes(|path, change| tree.write(path, change))
}

struct Tree<'a, W> {
    root: &'a Path,
    prefix: &'a [u8],
    is_layer: bool,
    epoch: Option<i64>,
    writer: &'a mut Writer<W>,
    /// The first name of each file that has several. Some may be elsewhere: only what is written is linked to.
    links: HashMap<(u64, u64), Vec<u8>>,
}

impl<W: Write> Tree<'_, W> {
    fn write(&mut self, path: &[u8], change: Change<'_>) -> Result<()> {
        let full = self.root.join(OsStr::from_bytes(path));
        match change {
            Change::Folder(meta) => {
                let mut header = self.header(path, &full, meta).at(&full)?;
                header.kind = Kind::Dir;
                self.writer.append(&header, io::empty()).at(&full)
            }
            Change::File(meta) => {
                let header = self.header(path, &full, meta).at(&full)?;
                self.file(header, &full, meta)
            }
            Change::Gone => self.gone(path).at(&full),
            Change::Emptied => self.mark(&[path, b"/", OPAQUE].concat()).at(&full),
        }
    }

    /// Writes what is no folder.
    fn file(&mut self, mut header: Header, full: &Path, meta: &Metadata) -> Result<()> {
        if meta.nlink() > 1 {
            if let Some(first) = self.links.get(&(meta.dev(), meta.ino())) {
                header.kind = Kind::Hardlink;
                header.link.clone_from(first);
                return self.writer.append(&header, io::empty()).at(full);
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
            return self.writer.append(&header, read).at(full);
        } else {
            return Ok(()); // a socket: nobody listens any more
        };
        self.writer.append(&header, io::empty()).at(full)
    }

    fn header(&self, path: &[u8], full: &Path, meta: &Metadata) -> io::Result<Header> {
        let mut header = Header::new(Kind::File, [self.prefix, path].concat());
        header.mode = meta.mode() & 0o7777;
        (header.uid, header.gid) = (meta.uid(), meta.gid());
        // BuildKit cuts the fraction off in a layer, and rounds it elsewhere.
        let up = !self.is_layer && meta.mtime_nsec() >= 500_000_000;
        header.mtime = (meta.mtime().saturating_add(up.into()), 0);
        if let Some(epoch) = self.epoch.filter(|epoch| !self.is_layer || header.mtime.0 > *epoch) {
            header.mtime = (epoch, 0);
        }
        let kept = attributes(full, Marks::Left)?.into_iter().filter_map(|(name, value)| match name.as_slice() {
            b"security.capability" => Some((name, portable(value))),
            // The machine's labels mean nothing elsewhere.
            b"security.selinux" | b"security.ima" | b"security.evm" => None,
            _ => Some((name, value)).filter(|_| !self.is_layer),
        });
        header.attributes = kept.collect();
        Ok(header)
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
        self.writer.append(&header, io::empty())
    }
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
