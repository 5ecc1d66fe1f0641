//! The two families of media types: OCI's, and Docker's older ones (`oci-mediatypes=false`).

use archipel_oci::{Descriptor, media_type};

/// Pairs of types that mean the same: OCI's, Docker's.
const SAME: &[(&str, &str)] = &[
    (media_type::OCI_INDEX, media_type::DOCKER_LIST),
    (media_type::OCI_MANIFEST, media_type::DOCKER_MANIFEST),
    (media_type::OCI_CONFIG, media_type::DOCKER_CONFIG),
    (media_type::OCI_LAYER, media_type::DOCKER_LAYER),
    (media_type::OCI_LAYER_GZIP, media_type::DOCKER_LAYER_GZIP),
    (media_type::OCI_LAYER_ZSTD, media_type::DOCKER_LAYER_ZSTD),
    (
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
    ),
];

/// A type in the terms of one family: a manifest with types of both is refused by some registries and runtimes.
pub(super) fn in_terms(media_type: &str, docker: bool) -> &str {
    let known = SAME.iter().find(|(oci, dockers)| *oci == media_type || *dockers == media_type);
    known.map_or(media_type, |(oci, dockers)| if docker { dockers } else { oci })
}

/// The same descriptor in the terms of one family.
pub(super) fn described(descriptor: &Descriptor, docker: bool) -> Descriptor {
    let media_type = in_terms(&descriptor.media_type, docker).to_owned();
    Descriptor { media_type, ..descriptor.clone() }
}
