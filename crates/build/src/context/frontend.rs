//! `# syntax=` and `BUILDKIT_SYNTAX`: the image of the frontend that is to read a text. The Dockerfile's own are built in, whatever
//! their version and whichever registry mirrors them; others are programs, for other languages, and are not run. To read their
//! texts as Dockerfiles would be a guess.

use archipel_dockerfile::{Diagnostic, Directives};

use super::Loaded;
use crate::{Error, Request};

const ARG: &str = "BUILDKIT_SYNTAX";

/// As in BuildKit the argument goes before the directive.
pub(super) fn must_be_built_in(loaded: &Loaded, request: &Request) -> Result<(), Error> {
    let foreign = |image: &str| format!("the frontend {image} is not built in, and other frontends are not run");
    if let Some(image) = request.build_arg(ARG).filter(|image| !image.is_empty()) {
        let image = image.split_whitespace().next().unwrap_or_default();
        return if is_dockerfile(image) {
            Ok(())
        } else {
            Err(Error::Request(format!("build argument {ARG}: {}", foreign(image))))
        };
    }
    match Directives::of(&loaded.text).syntax.filter(|image| !is_dockerfile(&image.value)) {
        None => Ok(()),
        Some(image) => {
            let help = "if the text is a Dockerfile all the same, remove the directive, or build with \
                        --build-arg BUILDKIT_SYNTAX=docker/dockerfile:1";
            let wrong = Diagnostic::error("foreign-frontend", foreign(&image.value), image.span).help(help);
            Err(Error::Dockerfile { name: loaded.name.clone(), text: loaded.text.clone(), diagnostics: vec![wrong] })
        }
    }
}

/// `docker/dockerfile:1.20`, `docker/dockerfile-upstream:master`, `registry.example:5000/mirror/docker/dockerfile@sha256:...`.
fn is_dockerfile(image: &str) -> bool {
    let path = image.split('@').next().unwrap_or_default();
    let last = path.rsplit('/').next().unwrap_or_default();
    let name = last.split(':').next().unwrap_or_default();
    name == "dockerfile" || name.starts_with("dockerfile-")
}

#[cfg(test)]
mod tests {
    use super::is_dockerfile;

    #[test]
    fn whose_language_is_built_in() {
        for (image, expected) in [
            ("docker/dockerfile", true),
            ("docker/dockerfile:1.7-labs", true),
            ("docker.io/docker/dockerfile-upstream:master-labs", true),
            ("localhost:5000/mirror/dockerfile:1@sha256:00", true),
            ("docker/dockerfiles", false),
            ("dockerfile.example/nix:1", false),
            ("example.com/dockerfile/nix", false),
        ] {
            assert_eq!(is_dockerfile(image), expected, "{image}");
        }
    }
}
