//! `# syntax=` and `BUILDKIT_SYNTAX`: the image of the frontend that is to read a text. The Dockerfile's own are built in, whatever
//! their version and whichever registry mirrors them; others are programs, for other languages.

use archipel_dockerfile::{Diagnostic, Directives, Span};
use archipel_oci::Reference;

use crate::context::Loaded;
use crate::{Error, Place, Request};

const ARG: &str = "BUILDKIT_SYNTAX";

/// The image of a frontend that is not built in.
#[derive(Clone, Debug)]
pub(crate) struct Frontend {
    pub(crate) image: Reference,
    /// All that was written, words after the image too: they are for the frontend.
    pub(crate) command_line: String,
    /// Where it is written, if that is in the text.
    pub(crate) span: Option<Span>,
}

impl Frontend {
    /// The one that a text needs, if any. As in BuildKit the argument goes before the directive.
    pub(crate) fn of(loaded: &Loaded, request: &Request) -> Result<Option<Self>, Error> {
        if let Some(text) = request.build_arg(ARG).filter(|text| !text.trim().is_empty()) {
            let wrong = |reason| Error::Request(format!("build argument {ARG}: {reason}"));
            return Self::parse(text, None).map_err(wrong);
        }
        let Some(directive) = Directives::of(&loaded.text).syntax else { return Ok(None) };
        let span = directive.span.clone();
        Self::parse(&directive.value, Some(span.clone())).map_err(|reason| {
            let help = "write it as an image is named: # syntax=registry.example/name:tag";
            let wrong = Diagnostic::error("frontend-image", reason, span).help(help);
            Error::Dockerfile { name: loaded.name.clone(), text: loaded.text.clone(), diagnostics: vec![wrong] }
        })
    }

    /// Reads what a directive says. None is the language that is built in.
    pub(super) fn parse(text: &str, span: Option<Span>) -> Result<Option<Self>, String> {
        let image = text.split_whitespace().next().unwrap_or_default();
        if image.is_empty() || is_dockerfile(image) {
            return Ok(None);
        }
        let image = image.parse().map_err(|e| format!("the frontend {image} is no image: {e}"))?;
        Ok(Some(Self { image, command_line: text.trim().to_owned(), span }))
    }

    /// An error about the image, with the place where it is named.
    pub(super) fn at(&self, error: Error, loaded: &Loaded) -> Error {
        match &self.span {
            Some(span) if !matches!(error, Error::Interrupted) => {
                let (name, text) = (loaded.name.clone(), loaded.text.clone());
                let place = Place { name, text, span: span.clone(), meant: None };
                Error::At { place: Box::new(place), source: Box::new(error) }
            }
            _ => error,
        }
    }

    /// Why what was asked for needs the language that is built in.
    pub(crate) fn only_built_in(&self, what: &str) -> Error {
        let image = self.image.familiar();
        Error::Request(format!(
            "{what} is for Dockerfiles, and this text is read by the frontend {image}; if it is a Dockerfile all the same, remove the \
             directive `# syntax=`, or give --build-arg {ARG}=docker/dockerfile:1"
        ))
    }
}

/// Whether a text names a frontend that is not built in.
#[must_use]
pub fn names_frontend(text: &str) -> bool {
    Directives::of(text).syntax.is_some_and(|image| !matches!(Frontend::parse(&image.value, None), Ok(None)))
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
    use super::*;

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

    #[test]
    fn words_after_the_image_are_the_frontends() {
        let found = Frontend::parse(" example.com/lang:1 fast  mode ", None).unwrap().unwrap();
        assert_eq!(found.image.to_string(), "example.com/lang:1");
        assert_eq!(found.command_line, "example.com/lang:1 fast  mode");
        assert!(Frontend::parse("UPPER", None).is_err());
    }
}
