//! Archives that ADD unpacks, known by their content and not by their name.

use std::fs::File;
use std::io::{Read, Seek as _};
use std::path::Path;

use archipel_store::layer;
use rustix::fs::{Mode, OFlags, openat};

use crate::Error;
use crate::tree::{Destination, Match};

/// How an archive is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Plain,
    Gzip,
    Zstd,
    Bzip2,
    Xz,
}

/// Whether a file is a tar, perhaps compressed. A compressed file that holds no tar is none.
pub(crate) fn kind(file: &File) -> Result<Option<Kind>, Error> {
    let read = |e| Error::Io { what: "read an archive".into(), source: e };
    let mut head = [0; 512];
    let mut length = 0;
    let mut at = file;
    while length < head.len() {
        match at.read(&mut head[length..]).map_err(read)? {
            0 => break,
            n => length += n,
        }
    }
    let head = &head[..length];
    let kind = match head {
        [0x1f, 0x8b, ..] => Kind::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Kind::Zstd,
        [b'B', b'Z', b'h', ..] => Kind::Bzip2,
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Kind::Xz,
        _ => return Ok(is_tar(head).then_some(Kind::Plain)),
    };
    at.rewind().map_err(read)?;
    let mut inner = [0; 512];
    let Ok(mut reader) = decompress(at.try_clone().map_err(read)?, kind) else { return Ok(Some(kind)) };
    Ok((reader.read_exact(&mut inner).is_ok() && is_tar(&inner)).then_some(kind))
}

/// A header whose checksum is right, in any of tar's dialects.
fn is_tar(head: &[u8]) -> bool {
    let (Some(block), Some(field)) = (head.get(..512), head.get(148..156)) else { return false };
    let digits: String = field.iter().map(|b| char::from(*b)).filter(|c| ('0'..='7').contains(c)).collect();
    let Ok(written) = u64::from_str_radix(&digits, 8) else { return false };
    let sum = |n: usize, b: u8| if (148..156).contains(&n) { u64::from(b' ') } else { u64::from(b) };
    written == block.iter().enumerate().map(|(n, b)| sum(n, *b)).sum::<u64>()
}

fn decompress(file: File, kind: Kind) -> Result<Box<dyn Read>, Error> {
    let io = |e| Error::Io { what: "read an archive".into(), source: e };
    Ok(match kind {
        Kind::Plain => Box::new(file),
        Kind::Gzip | Kind::Zstd => layer::decompress(file).map_err(io)?,
        Kind::Bzip2 => return Err(Error::Request("archives compressed by bzip2 are not supported yet".into())),
        Kind::Xz => return Err(Error::Request("archives compressed by xz are not supported yet".into())),
    })
}

/// Unpacks an archive into a folder; nothing in it can reach outside.
pub(crate) fn unpack(mut file: File, kind: Kind, folder: &Path) -> Result<(), Error> {
    file.rewind().map_err(|e| Error::Io { what: "read an archive".into(), source: e })?;
    layer::extract(decompress(file, kind)?, folder)?;
    Ok(())
}

/// Unpacks a source if it is an archive, and says whether it was one.
pub(super) fn extract(
    found: &Match,
    root: &Path,
    dest: &str,
    destination: &mut Destination,
) -> Result<bool, Error> {
    let place = found.place();
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = openat(&place.dir, place.name.as_os_str(), flags, Mode::empty())
        .map(File::from)
        .map_err(|e| Error::Io { what: found.path().display().to_string(), source: e.into() })?;
    if !file.metadata().is_ok_and(|meta| meta.is_file()) {
        return Ok(false);
    }
    let Some(kind) = kind(&file)? else { return Ok(false) };
    let folder = destination.make_dirs(Path::new(dest))?;
    unpack(file, kind, &root.join(folder))?;
    Ok(true)
}
