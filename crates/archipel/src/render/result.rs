//! What a build made, as a table.

use std::time::Duration;

use archipel_build::{Built, How};

use super::{table, text};

/// One row per platform, and the index above them where there is one.
pub(crate) fn table(built: &Built) -> String {
    let rows: Vec<[String; 6]> = built
        .platforms
        .iter()
        .map(|one| {
            let how = match one.how {
                _ if one.cached => "cached",
                How::Native => "native",
                How::Emulated => "emulated",
                How::Assembled => "assembled",
            };
            [
                one.platform.to_string(),
                how.to_owned(),
                text::seconds(Duration::try_from_secs_f64(one.seconds).unwrap_or_default()),
                one.layers.to_string(),
                text::size(one.size),
                one.digest.as_ref().map_or_else(String::new, ToString::to_string),
            ]
        })
        .collect();
    let mut shown = table::columns(["PLATFORM", "RAN", "TIME", "LAYERS", "SIZE", "DIGEST"], &rows);
    if built.platforms.len() > 1
        && let Some(digest) = &built.digest
    {
        shown.push_str(&format!("index {digest}\n"));
    }
    shown
}

/// Docker's image id: the config's digest of the only platform, else the index's digest.
pub(crate) fn image_id(built: &Built) -> Option<String> {
    let config = match built.platforms.as_slice() {
        [one] => one.config.as_ref(),
        _ => None,
    };
    config.or(built.digest.as_ref()).map(ToString::to_string)
}

#[cfg(test)]
pub(super) fn example() -> Built {
    let platform = |name: &str, how, seconds, text: &[u8]| archipel_build::BuiltPlatform {
        platform: name.parse().unwrap(),
        how,
        cached: false,
        seconds,
        layers: 3,
        size: 12_345_678,
        digest: Some(archipel_oci::Digest::of(text)),
        config: None,
    };
    Built {
        digest: Some(archipel_oci::Digest::of(b"index")),
        platforms: vec![
            platform("linux/amd64", How::Native, 1.26, b"a"),
            platform("linux/arm/v7", How::Emulated, 83.0, b"b"),
        ],
        metadata: serde_json::Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_per_platform() {
        insta::assert_snapshot!(table(&example()), @r"
        PLATFORM       RAN        TIME     LAYERS   SIZE      DIGEST
        linux/amd64    native     1.3s     3        12.3 MB   sha256:ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb
        linux/arm/v7   emulated   1m 23s   3        12.3 MB   sha256:3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d
        index sha256:1bc04b5291c26a46d918139138b992d2de976d6851d0893b0476b85bfbdfc6e6
        ");
    }
}
