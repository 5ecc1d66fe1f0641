//! Archives that ADD unpacks, known by their content and not by their name.

use std::fs::File;
use std::io::{BufReader, Read, Seek as _};
use std::path::Path;

use archipel_store::layer;
use bzip2::read::MultiBzDecoder;
use lzma_rust2::XzReader;
use rustix::fs::{Mode, OFlags, openat};

use crate::Error;
use crate::tree::{Destination, Match};

/// Compressed bytes read at once.
const BUFFER: usize = 64 * 1024;
/// KiB that unpacking xz may take. The archive says how many it needs; `xz -9` means 65 MiB.
const MAX_XZ_MEMORY: u32 = 256 * 1024;

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
    let Ok(mut reader) = decompress(at.try_clone().map_err(read)?, kind) else { return Ok(None) };
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

pub(crate) fn decompress(file: File, kind: Kind) -> Result<Box<dyn Read>, Error> {
    let io = |e| Error::Io { what: "read an archive".into(), source: e };
    Ok(match kind {
        Kind::Plain => Box::new(file),
        Kind::Gzip | Kind::Zstd => layer::decompress(file).map_err(io)?,
        // Tools that compress on several processors write several streams, one after the other.
        Kind::Bzip2 => Box::new(MultiBzDecoder::new(BufReader::with_capacity(BUFFER, file))),
        Kind::Xz => Box::new(XzReader::new_mem_limit(BufReader::with_capacity(BUFFER, file), true, MAX_XZ_MEMORY)),
    })
}

/// Unpacks an archive into a folder; nothing in it can reach outside. With an owner, everything in it is his, whatever the archive
/// says (`ADD --chown`).
pub(crate) fn unpack(mut file: File, kind: Kind, folder: &Path, owner: Option<(u32, u32)>) -> Result<(), Error> {
    file.rewind().map_err(|e| Error::Io { what: "read an archive".into(), source: e })?;
    let reader = decompress(file, kind)?;
    match owner {
        Some(owner) => layer::extract_for(reader, folder, owner)?,
        None => layer::extract(reader, folder)?,
    };
    Ok(())
}

/// Unpacks a source if it is an archive, and says whether it was one.
pub(super) fn extract(
    found: &Match,
    root: &Path,
    dest: &str,
    owner: Option<(u32, u32)>,
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
    let folder = destination.make_dirs_for_archive(Path::new(dest))?;
    unpack(file, kind, &root.join(folder), owner)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::Write as _;
    use std::os::unix::fs::MetadataExt as _;

    /// `xz -9` of a tar with the file `f`, which holds `hello`; and of `hello` alone.
    const TAR_XZ: &[u8] = b"\
        \xfd\x37\x7a\x58\x5a\x00\x00\x04\xe6\xd6\xb4\x46\x02\x00\x21\x01\x1c\x00\x00\x00\x10\xcf\x58\xcc\xe0\x27\xff\
        \x00\x65\x5d\x00\x33\x00\x33\x50\x18\x68\x89\x83\x01\xdc\xe2\x6e\x21\x05\x57\x35\x38\x10\xc9\xce\x79\x58\x54\
        \x6e\x92\x01\xc0\x69\x94\x24\x2b\x2f\xfc\x19\xcd\xe7\xc1\x54\xa8\xe8\xb6\x27\x56\xd9\x22\xc9\x0e\xf2\xf1\x19\
        \x47\xe1\x4c\xae\x1a\x19\x68\xb2\x62\xad\x0d\xf2\xdb\x8e\x22\x6b\x93\xdf\xdc\x5f\xaf\xc9\xba\xfe\x60\x5c\x86\
        \xde\x79\xed\x52\x7b\x72\x92\xe5\x6c\x32\x08\x8c\x4d\xe0\x86\x61\xdf\x53\xf7\xc9\x51\x34\x67\x00\x00\x00\x00\
        \x00\xe0\x3f\x98\x12\x9b\x11\xdc\x3a\x00\x01\x81\x01\x80\x50\x00\x00\x9b\xa2\x3c\xaa\xb1\xc4\x67\xfb\x02\x00\
        \x00\x00\x00\x04\x59\x5a";
    const TEXT_XZ: &[u8] = b"\
        \xfd\x37\x7a\x58\x5a\x00\x00\x04\xe6\xd6\xb4\x46\x02\x00\x21\x01\x16\x00\x00\x00\x74\x2f\xe5\xa3\x01\x00\x04\
        \x68\x65\x6c\x6c\x6f\x00\x00\x00\x00\xb1\x37\xb9\xdb\xe5\xda\x1e\x9b\x00\x01\x1d\x05\xb8\x2d\x80\xaf\x1f\xb6\
        \xf3\x7d\x01\x00\x00\x00\x00\x04\x59\x5a";

    fn tar() -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_ustar();
        header.set_size(5);
        header.set_mode(0o4755);
        builder.append_data(&mut header, "f", &b"hello"[..]).unwrap();
        builder.into_inner().unwrap()
    }

    fn bzip2(bytes: &[u8]) -> Vec<u8> {
        let mut packed = Vec::new();
        let level = bzip2::Compression::best();
        bzip2::read::BzEncoder::new(bytes, level).read_to_end(&mut packed).unwrap();
        packed
    }

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file.rewind().unwrap();
        file
    }

    #[test]
    fn archives_are_known_by_content() {
        let tar = tar();
        let halves = [bzip2(&tar[..700]), bzip2(&tar[700..])].concat();
        for (bytes, expected) in [
            (tar.clone(), Some(Kind::Plain)),
            (bzip2(&tar), Some(Kind::Bzip2)),
            (halves, Some(Kind::Bzip2)),
            (TAR_XZ.to_vec(), Some(Kind::Xz)),
            (TEXT_XZ.to_vec(), None),
            (bzip2(b"hello"), None),
            (b"BZh9 is how a text may begin".to_vec(), None),
            (Vec::new(), None),
        ] {
            let found = kind(&file(&bytes)).unwrap();
            assert_eq!(found, expected);
            let Some(kind) = found else { continue };
            let folder = tempfile::tempdir().unwrap();
            unpack(file(&bytes), kind, folder.path(), None).unwrap();
            assert_eq!(fs::read_to_string(folder.path().join("f")).unwrap(), "hello");
        }
    }

    #[test]
    fn one_owner_for_all() {
        let dir = tempfile::tempdir().unwrap();
        let meta = fs::metadata(dir.path()).unwrap();
        let folder = dir.path().join("to");
        fs::create_dir(&folder).unwrap();
        unpack(file(&tar()), Kind::Plain, &folder, Some((meta.uid(), meta.gid()))).unwrap();
        let found = fs::metadata(folder.join("f")).unwrap();
        assert_eq!((found.uid(), found.gid(), found.mode() & 0o7777), (meta.uid(), meta.gid(), 0o4755));
    }

    #[test]
    fn a_damaged_archive_is_an_error() {
        let mut bytes = TAR_XZ.to_vec();
        bytes.truncate(bytes.len() - 40);
        let folder = tempfile::tempdir().unwrap();
        assert!(unpack(file(&bytes), Kind::Xz, folder.path(), None).is_err());
    }
}
