//! `type=docker`: what `docker load` takes. It is an OCI layout in a tar with one more file, as docker itself writes it.

use archipel_oci::{Digest, Reference};
use serde::{Deserialize, Serialize};

use super::image::Image;
use crate::Error;

/// An entry of that file, `manifest.json`: one image for one platform, by paths in the archive.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Saved {
    pub(crate) config: String,
    #[serde(default)]
    pub(crate) repo_tags: Option<Vec<String>>,
    #[serde(default)]
    pub(crate) layers: Option<Vec<String>>,
}

impl Saved {
    pub(crate) fn new<'a>(
        config: &Digest,
        layers: impl IntoIterator<Item = &'a Digest>,
        names: impl IntoIterator<Item = &'a Reference>,
    ) -> Self {
        let path = |digest: &Digest| format!("blobs/{}/{}", digest.algorithm().name(), digest.hex());
        Self {
            config: path(config),
            repo_tags: Some(names.into_iter().map(Reference::familiar).collect()),
            layers: Some(layers.into_iter().map(path).collect()),
        }
    }
}

/// The bytes of `manifest.json`.
pub(crate) fn document(saved: &[Saved]) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(saved).map_err(|e| Error::Request(format!("manifest.json: {e}")))
}

/// The `manifest.json` of a result, which may not be one for `several` platforms, nor be told to look so.
pub(super) fn manifest(image: &Image, names: &[Reference], several: bool) -> Result<Vec<u8>, Error> {
    let ([only], false) = (image.members.as_slice(), several) else {
        return Err(Error::Request(
            "docker exporter does not currently support exporting manifest lists: a docker archive holds one platform; use \
             type=oci for several, or build for one"
                .into(),
        ));
    };
    document(&[Saved::new(&only.config, only.layers.iter().map(|layer| &layer.digest), names)])
}
