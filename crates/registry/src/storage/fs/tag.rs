//! Tags: names that move.

use archipel_oci::Digest;

use super::super::Result;
use super::tree::{Kind, Tree, names, read, remove, sync_parent};
use crate::name::{Name, Tag};

impl Tree {
    /// Where a tag leads; the manifest may be gone.
    pub(super) fn resolve(&self, name: &Name, tag: &Tag) -> Result<Option<Digest>> {
        let text = read(&self.folder(name, Kind::Tags).join(tag.as_str()))?;
        Ok(text.and_then(|text| text.trim_end().parse().ok()))
    }

    pub(super) fn set_tag(&self, name: &Name, tag: &Tag, digest: &Digest) -> Result<()> {
        let path = self.folder(name, Kind::Tags).join(tag.as_str());
        let content = format!("{digest}\n");
        if read(&path)?.as_deref() == Some(&content) {
            // Another writer may have put it there this instant, and not have brought it to disk yet.
            return sync_parent(&path);
        }
        self.write(&path, content.as_bytes())
    }

    pub(super) fn delete_tag(&self, name: &Name, tag: &Tag) -> Result<bool> {
        let path = self.folder(name, Kind::Tags).join(tag.as_str());
        let was_there = remove(&path)?;
        if was_there {
            sync_parent(&path)?;
        }
        Ok(was_there)
    }

    pub(super) fn tags(&self, name: &Name) -> Result<Option<Vec<Tag>>> {
        let Some(names) = names(&self.folder(name, Kind::Tags))? else {
            let exists = self.folder(name, Kind::Blobs).exists() || self.folder(name, Kind::Manifests).exists();
            return Ok(exists.then(Vec::new));
        };
        let mut tags: Vec<Tag> = names.iter().filter_map(|name| Tag::new(name)).collect();
        tags.sort_unstable();
        Ok(Some(tags))
    }
}
