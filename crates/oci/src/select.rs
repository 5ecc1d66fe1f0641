//! The choice of an index's child for a platform.

use crate::{Descriptor, Index, Platform};

/// Whether a child is an attestation in BuildKit's form: an entry about another entry, with a platform that is none. It is
/// never something to run.
#[must_use]
pub fn is_attestation(descriptor: &Descriptor) -> bool {
    descriptor.annotations.contains_key("vnd.docker.reference.type")
        || descriptor.platform.as_ref().is_some_and(|p| p.os == "unknown" && p.architecture == "unknown")
}

/// The annotation by which such an entry says which other it is about.
pub const ATTESTED: &str = "vnd.docker.reference.digest";

/// The digest of the entry that an attestation is about, as it says.
#[must_use]
pub fn attested(descriptor: &Descriptor) -> Option<&str> {
    descriptor.annotations.get(ATTESTED).map(String::as_str)
}

/// The best child for a platform: the nearest variant, and of equals the first. With `foreign`, an image of a smaller
/// architecture that the machine also runs (386 on amd64) is taken where there is no other.
#[must_use]
pub fn select<'a>(index: &'a Index, platform: &Platform, foreign: bool) -> Option<&'a Descriptor> {
    let distance = |d: &&Descriptor| {
        let have = d.platform.as_ref()?;
        if foreign { platform.distance(have) } else { platform.same_architecture_distance(have) }
    };
    index
        .manifests
        .iter()
        .filter(|d| !is_attestation(d))
        .filter_map(|d| distance(&d).map(|n| (n, d)))
        .min_by_key(|(n, _)| *n)
        .map(|(_, d)| d)
}

/// The platforms that an index offers, in its order.
#[must_use]
pub fn select_all(index: &Index) -> Vec<Platform> {
    let children = index.manifests.iter().filter(|d| !is_attestation(d));
    children.filter_map(|d| d.platform.clone()).map(Platform::normalized).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Digest, media_type};

    fn index(platforms: &[&str]) -> Index {
        let child = |p: &&str| {
            let mut d = Descriptor::new(media_type::OCI_MANIFEST, Digest::of(p.as_bytes()), 1);
            let parts: Vec<&str> = p.split('/').collect();
            d.platform = Some(Platform {
                os: parts[0].into(),
                architecture: parts[1].into(),
                variant: parts.get(2).map(|v| (*v).into()),
                os_version: None,
                os_features: Vec::new(),
            });
            d
        };
        Index::new(platforms.iter().map(child).collect())
    }

    fn chosen(platforms: &[&str], want: &str) -> Option<String> {
        let index = index(platforms);
        select(&index, &want.parse().unwrap(), false).map(|d| d.platform.clone().unwrap().to_string())
    }

    #[test]
    fn the_nearest_variant_wins() {
        let all = ["unknown/unknown", "linux/amd64", "linux/arm/v5", "linux/arm/v6", "linux/arm64/v8"];
        assert_eq!(chosen(&all, "linux/arm/v7").as_deref(), Some("linux/arm/v6"));
        assert_eq!(chosen(&all, "linux/arm64").as_deref(), Some("linux/arm64/v8"));
        assert_eq!(chosen(&all, "linux/riscv64"), None);
        assert_eq!(chosen(&["linux/386"], "linux/amd64"), None);
        assert_eq!(chosen(&["unknown/unknown"], "unknown/unknown"), None);
    }
}
