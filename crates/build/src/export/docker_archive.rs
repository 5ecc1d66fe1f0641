//! `type=docker`: what `docker load` takes. It is an OCI layout in a tar with one more file, as docker itself writes it.

use archipel_oci::{Digest, Reference};
use serde_json::json;

use super::image::Image;
use crate::Error;

/// The `manifest.json` of the archive.
pub(super) fn manifest(image: &Image, names: &[Reference]) -> Result<Vec<u8>, Error> {
    let [only] = image.members.as_slice() else {
        return Err(Error::Request(
            "a docker archive holds one platform; use type=oci for several, or build for one".into(),
        ));
    };
    let path = |digest: &Digest| format!("blobs/{}/{}", digest.algorithm().name(), digest.hex());
    let entry = json!([{
        "Config": path(&only.config),
        "RepoTags": names.iter().map(Reference::familiar).collect::<Vec<_>>(),
        "Layers": only.layers.iter().map(|layer| path(&layer.digest)).collect::<Vec<_>>(),
    }]);
    serde_json::to_vec(&entry).map_err(|e| Error::Request(format!("manifest.json: {e}")))
}
