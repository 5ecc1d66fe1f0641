//! Copies an image with all its platforms from one place to another, byte for byte, without a name in the store.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use archipel_oci::{Descriptor, Digest, Reference};

use crate::exec::blocking;
use crate::layout::{self, Layout};
use crate::parts::{Blob, Parts};
use crate::progress::Work;
use crate::steps::Steps;
use crate::{Engine, Error, Sink};

/// A place for an image outside the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A registry.
    Registry(Reference),
    /// An OCI layout: `oci:FOLDER[:TAG]`.
    Layout {
        /// Its folder.
        path: PathBuf,
        /// The name in it.
        tag: Option<String>,
    },
}

impl FromStr for Location {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let Some(rest) = text.strip_prefix("oci:") else {
            let bare = text.strip_prefix("docker://").unwrap_or(text);
            return bare.parse().map(Self::Registry).map_err(|e| Error::Request(format!("{e}")));
        };
        // A colon after the last slash starts the name, as skopeo has it.
        let after_slash = rest.rfind('/').map_or(0, |i| i + 1);
        let (folder, last) = rest.split_at(after_slash);
        let (path, tag) = match last.split_once(':') {
            Some((name, tag)) => (format!("{folder}{name}"), Some(tag.to_owned()).filter(|t| !t.is_empty())),
            None => (rest.to_owned(), None),
        };
        if path.is_empty() {
            return Err(Error::Request(format!("`{text}` names no folder: write oci:FOLDER or oci:FOLDER:TAG")));
        }
        Ok(Self::Layout { path: path.into(), tag })
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry(reference) => f.write_str(&reference.familiar()),
            Self::Layout { path, tag: Some(tag) } => write!(f, "oci:{}:{tag}", path.display()),
            Self::Layout { path, tag: None } => write!(f, "oci:{}", path.display()),
        }
    }
}

impl Engine {
    /// Copies: between registries as a stream that is stored nowhere. Returns the digest, which is the same in both places.
    pub async fn copy(&self, from: &Location, to: &Location, sink: &Sink) -> Result<Digest, Error> {
        let work = Work::start(sink, &Steps::default(), format!("copying {from} to {to}"), Vec::new());
        let copied = self.copy_with(from, to, &work).await;
        work.finish(copied)
    }

    async fn copy_with(&self, from: &Location, to: &Location, work: &Work) -> Result<Digest, Error> {
        let parts = self.parts_of(from).await?;
        let Some(top) = parts.top() else { return Err(Error::Request(format!("{from} is empty"))) };
        let digest = top.digest().clone();
        match to {
            Location::Registry(reference) => self.publish(&parts, std::slice::from_ref(reference), work).await?,
            Location::Layout { path, tag } => {
                work.expect(parts.blobs.values().map(|blob| blob.descriptor.size).sum());
                let (client, path, work) = (self.client.clone(), path.clone(), work.clone());
                let names = tag.iter().cloned().map(layout::Name::tag).collect::<Vec<_>>();
                let entries = layout::entries(top, &names);
                blocking(move || layout::write_folder(&path, &parts, entries, &client, &work)).await?;
            }
        }
        Ok(digest)
    }

    /// An image somewhere else, in its parts.
    async fn parts_of(&self, from: &Location) -> Result<Parts, Error> {
        match from {
            Location::Registry(reference) => {
                let top = self.client.manifest(reference).await?;
                let get = async |child: &Descriptor| {
                    let child = reference.with_digest(child.digest.clone());
                    Ok(Some(self.client.manifest(&child).await?))
                };
                let place = |descriptor| Blob { descriptor, file: None, origin: Some(reference.clone()) };
                Parts::gather(top, get, place).await
            }
            Location::Layout { path, tag } => {
                let layout = Layout::open(path)?;
                let top = layout.find(tag.as_deref())?;
                let get = async |child: &Descriptor| layout.manifest(child).map(Some);
                let place = |descriptor: Descriptor| {
                    let file = Some(layout.path(&descriptor.digest));
                    Blob { descriptor, file, origin: None }
                };
                Parts::gather(layout.manifest(&top)?, get, place).await
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        for (text, shown) in [
            ("busybox", "busybox:latest"),
            ("docker://127.0.0.1:5000/x:1", "127.0.0.1:5000/x:1"),
            ("oci:dir", "oci:dir"),
            ("oci:dir:tag", "oci:dir:tag"),
            ("oci:/a/b.c/dir:v1.2", "oci:/a/b.c/dir:v1.2"),
            ("oci:./a:b/dir", "oci:./a:b/dir"),
        ] {
            assert_eq!(text.parse::<Location>().unwrap().to_string(), shown);
        }
        assert!("oci:".parse::<Location>().is_err() && "oci::x".parse::<Location>().is_err());
        assert!("Not A Ref".parse::<Location>().is_err());
    }
}
