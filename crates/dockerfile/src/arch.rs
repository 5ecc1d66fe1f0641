//! The arguments that every build has: `BUILDPLATFORM`, `TARGETARCH` and their kin, and what other worlds call the target's
//! architecture, so that no Dockerfile needs a table of its own.

use archipel_oci::Platform;

/// What `uname -m`, Debian, GNU and Rust call an architecture.
struct Names {
    architecture: &'static str,
    /// The variant that this row is for; any if empty.
    variant: &'static str,
    uname: &'static str,
    debian: &'static str,
    gnu: &'static str,
    rust: &'static str,
}

const fn names(
    architecture: &'static str,
    variant: &'static str,
    [uname, debian, gnu, rust]: [&'static str; 4],
) -> Names {
    Names { architecture, variant, uname, debian, gnu, rust }
}

/// The first row that fits counts.
const NAMES: &[Names] = &[
    names("amd64", "", ["x86_64", "amd64", "x86_64-linux-gnu", "x86_64-unknown-linux-gnu"]),
    names("arm64", "", ["aarch64", "arm64", "aarch64-linux-gnu", "aarch64-unknown-linux-gnu"]),
    names("arm", "v5", ["armv5tel", "armel", "arm-linux-gnueabi", "armv5te-unknown-linux-gnueabi"]),
    // Debian's armhf needs v7; what runs on v6 with Debian's names is armel.
    names("arm", "v6", ["armv6l", "armel", "arm-linux-gnueabi", "arm-unknown-linux-gnueabi"]),
    names("arm", "", ["armv7l", "armhf", "arm-linux-gnueabihf", "armv7-unknown-linux-gnueabihf"]),
    names("386", "", ["i686", "i386", "i386-linux-gnu", "i686-unknown-linux-gnu"]),
    names("riscv64", "", ["riscv64", "riscv64", "riscv64-linux-gnu", "riscv64gc-unknown-linux-gnu"]),
    names("ppc64le", "", ["ppc64le", "ppc64el", "powerpc64le-linux-gnu", "powerpc64le-unknown-linux-gnu"]),
    names("s390x", "", ["s390x", "s390x", "s390x-linux-gnu", "s390x-unknown-linux-gnu"]),
    names("mips64le", "", ["mips64", "mips64el", "mips64el-linux-gnuabi64", "mips64el-unknown-linux-gnuabi64"]),
    names("loong64", "", ["loongarch64", "loong64", "loongarch64-linux-gnu", "loongarch64-unknown-linux-gnu"]),
];

/// The arguments that only archipel sets. A Dockerfile that uses them does not build elsewhere.
pub const OWN_ARGS: [&str; 4] = ["TARGETARCH_UNAME", "TARGETARCH_DEB", "TARGETARCH_GNU", "TARGETARCH_RUST"];

/// The name of the stage that is built.
pub(crate) const TARGET_STAGE: &str = "TARGETSTAGE";

/// The arguments that are set before the first line (reference: "Automatic platform ARGs in the global scope"). `stage` is
/// what `--target` says; without it the Dockerfile knows which stage that is.
#[must_use]
pub fn automatic_args(build: &Platform, target: &Platform, stage: Option<&str>) -> Vec<(String, String)> {
    let mut args = Vec::new();
    for (prefix, platform) in [("BUILD", build), ("TARGET", target)] {
        let platform = platform.clone().normalized();
        for (name, value) in [
            ("PLATFORM", platform.to_string()),
            ("OS", platform.os.clone()),
            ("OSVERSION", platform.os_version.clone().unwrap_or_default()),
            ("ARCH", platform.architecture.clone()),
            ("VARIANT", platform.variant.clone().unwrap_or_default()),
        ] {
            args.push((format!("{prefix}{name}"), value));
        }
    }
    args.extend(stage.filter(|s| !s.is_empty()).map(|stage| (TARGET_STAGE.to_owned(), stage.to_owned())));
    let target = target.clone().normalized();
    let variant = target.variant.as_deref().unwrap_or_default();
    let fits = |n: &&Names| n.architecture == target.architecture && (n.variant.is_empty() || n.variant == variant);
    if let Some(names) = NAMES.iter().find(fits) {
        let values = [names.uname, names.debian, names.gnu, names.rust];
        args.extend(OWN_ARGS.iter().zip(values).map(|(name, value)| ((*name).to_owned(), value.to_owned())));
    }
    args
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_platform_is_called() {
        let arg = |platform: &str, name: &str| {
            let args = automatic_args(&Platform::new("linux", "amd64", None), &platform.parse().unwrap(), None);
            args.into_iter().find(|(n, _)| n == name).map(|(_, value)| value)
        };
        for (platform, name, value) in [
            ("linux/arm/v7", "TARGETPLATFORM", "linux/arm/v7"),
            ("linux/arm/v7", "TARGETVARIANT", "v7"),
            ("linux/arm/v7", "BUILDARCH", "amd64"),
            ("linux/arm64", "TARGETVARIANT", ""),
            ("linux/arm64", "TARGETARCH_UNAME", "aarch64"),
            ("linux/arm/v7", "TARGETARCH_DEB", "armhf"),
            ("linux/arm/v6", "TARGETARCH_DEB", "armel"),
            ("linux/386", "TARGETARCH_GNU", "i386-linux-gnu"),
            ("linux/riscv64", "TARGETARCH_RUST", "riscv64gc-unknown-linux-gnu"),
        ] {
            assert_eq!(arg(platform, name).as_deref(), Some(value), "{platform} {name}");
        }
        assert_eq!(arg("linux/sparc64", "TARGETARCH_GNU"), None);
    }
}
