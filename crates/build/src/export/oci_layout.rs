//! `type=oci`: an OCI layout, as a folder or in a tar.

use std::path::Path;

use archipel_oci::{Algorithm, Descriptor, Index, Reference};
use archipel_remote::Client;

use super::file::Whole;
use super::image::Image;
use crate::Error;
use crate::layout::{self, Name};
use crate::parts::Parts;
use crate::progress::Work;

/// A layout to be written.
pub(crate) struct OciLayout {
    parts: Parts,
    entries: Vec<Descriptor>,
    client: Client,
}

impl OciLayout {
    pub(crate) fn of(parts: Parts, entries: Vec<Descriptor>, client: &Client) -> Self {
        Self { parts, entries, client: client.clone() }
    }

    /// In a `folder` everything has a name, as there may be more than one image; in an archive there is only this one.
    pub(super) fn new(image: &Image, parts: Parts, names: &[Reference], folder: bool, client: &Client) -> Self {
        let mut names: Vec<Name> = names.iter().map(Name::of).collect();
        if names.is_empty() && folder {
            names.push(Name::tag(layout::NAMELESS.into()));
        }
        let mut entries = layout::entries(&image.top, &names);
        for entry in &mut entries {
            entry.platform.clone_from(&image.entry.platform);
            entry.annotations.extend(image.entry.annotations.clone());
        }
        Self::of(parts, entries, client)
    }

    pub(super) fn write_folder(self, folder: &Path, work: &Work) -> Result<(), Error> {
        layout::write_folder(folder, &self.parts, self.entries, &self.client, work)
    }

    /// Writes a tar, with further files in it. The same image is the same tar: there is no time in it.
    pub(crate) fn write_tar(self, dest: Option<&Path>, more: &[(&str, Vec<u8>)], work: &Work) -> Result<(), Error> {
        let mut tar = Archive { tar: tar::Builder::new(Whole::create_or_stdout(dest)?) };
        tar.folder("blobs/")?;
        for algorithm in Algorithm::ALL {
            // Manifests are there always, under digests of the first kind.
            let used = self.parts.blobs.keys().any(|digest| digest.algorithm() == algorithm);
            if used || algorithm == Algorithm::Sha256 {
                tar.folder(&format!("blobs/{}/", algorithm.name()))?;
            }
        }
        for blob in self.parts.blobs.values() {
            let digest = &blob.descriptor.digest;
            let path = format!("blobs/{}/{}", digest.algorithm().name(), digest.hex());
            tar.header(&path, blob.descriptor.size)?;
            layout::copy(blob, &self.client, tar.tar.get_mut(), work)?;
            tar.pad(blob.descriptor.size)?;
        }
        for raw in self.parts.manifests() {
            tar.file(&format!("blobs/sha256/{}", raw.digest().hex()), raw.bytes())?;
        }
        tar.file("index.json", &layout::index_bytes(&Index::new(self.entries))?)?;
        for (path, bytes) in more {
            tar.file(path, bytes)?;
        }
        tar.file("oci-layout", layout::MARKER)?;
        tar.tar.into_inner().map_err(failed)?.finish()
    }
}

/// A tar of plain files.
struct Archive {
    tar: tar::Builder<Whole>,
}

impl Archive {
    fn folder(&mut self, path: &str) -> Result<(), Error> {
        let mut header = header(tar::EntryType::Directory, 0o755, 0);
        self.tar.append_data(&mut header, path, std::io::empty()).map_err(failed)
    }

    fn file(&mut self, path: &str, bytes: &[u8]) -> Result<(), Error> {
        let mut header = header(tar::EntryType::Regular, 0o644, bytes.len() as u64);
        self.tar.append_data(&mut header, path, bytes).map_err(failed)
    }

    /// The header alone; the bytes and [`Archive::pad`] must follow. Blobs are checked while they are copied, which the
    /// builder's own reading would hide.
    fn header(&mut self, path: &str, size: u64) -> Result<(), Error> {
        let mut header = header(tar::EntryType::Regular, 0o644, size);
        header.set_path(path).map_err(failed)?;
        header.set_cksum();
        std::io::Write::write_all(self.tar.get_mut(), header.as_bytes()).map_err(failed)
    }

    fn pad(&mut self, size: u64) -> Result<(), Error> {
        let rest = usize::try_from(size.next_multiple_of(512) - size).unwrap_or_default();
        std::io::Write::write_all(self.tar.get_mut(), &[0; 512][..rest]).map_err(failed)
    }
}

fn header(kind: tar::EntryType, mode: u32, size: u64) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header
}

fn failed(source: std::io::Error) -> Error {
    Error::Io { what: "write an archive".into(), source }
}
