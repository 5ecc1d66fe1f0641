//! FROM: what its variables come to, with and without `--build-arg`.

use archipel_oci::{Platform, Reference};

use super::rule::{
    FROM_PLATFORM_FLAG_CONST_DISALLOWED, INVALID_BASE_IMAGE_PLATFORM, INVALID_DEFAULT_ARG_IN_FROM,
    REDUNDANT_TARGET_PLATFORM, UNDEFINED_ARG_IN_FROM,
};
use super::{Report, Subject, walk};
use crate::diagnostic::Diagnostic;
use crate::instruction::Word;
use crate::nearest::did_you_mean;
use crate::stage::Stage;
use crate::word::Expansion;

const TARGET_PLATFORM: &str = "TARGETPLATFORM";

impl Report<'_> {
    pub(super) fn from(&mut self, subject: &Subject<'_>) {
        self.default_bases(subject);
        let reached = walk::stages(subject).unwrap_or_default();
        // Bases that are no names of images are met only after all FROMs are expanded.
        let mut unnamed = Vec::new();
        for stage in &subject.dockerfile.stages {
            match self.stage(subject, stage, reached.contains(&stage.index)) {
                Ok(wrong) => unnamed.extend(wrong),
                Err(wrong) => return self.checked.errors.push(wrong),
            }
        }
        self.checked.errors.extend(unnamed);
    }

    /// What is wrong with the name of the stage's base is told, what is wrong before that ends it.
    fn stage(&mut self, subject: &Subject<'_>, stage: &Stage, reached: bool) -> Result<Option<Diagnostic>, Diagnostic> {
        let base = self.expanded(subject, stage, &stage.base)?;
        subject.globals.base(&stage.base)?;
        let platform = self.platform(subject, stage)?;
        if reached {
            self.base_platform(subject, stage, &base.text, platform);
        }
        let image = subject.dockerfile.parent(stage.index, &base.text).is_none();
        Ok(if image { subject.globals.image(&stage.base).err() } else { None })
    }

    /// Expands a word of FROM, and says which of its variables nobody defined.
    fn expanded(&mut self, subject: &Subject<'_>, stage: &Stage, word: &Word) -> Result<Expansion, Diagnostic> {
        for name in subject.globals.missing(word).iter().filter(|name| !subject.globals.declares(name)) {
            let near = did_you_mean(self.similar(name, subject.globals.declared().chain(subject.globals.names())));
            let message = format!("FROM argument '{name}' is not declared{near}");
            self.add(&UNDEFINED_ARG_IN_FROM, &stage.span, &stage.comments, message);
        }
        let found = subject.globals.expansion(word)?;
        self.unportable_in_from(subject, stage, &found.used);
        Ok(found)
    }

    fn platform(&mut self, subject: &Subject<'_>, stage: &Stage) -> Result<Option<Platform>, Diagnostic> {
        let Some(word) = &stage.platform else { return Ok(None) };
        let found = self.expanded(subject, stage, word)?;
        let (span, comments) = (&stage.span, &stage.comments);
        // Where another variable is in it as well, it may be there for a reason.
        if found.used == [TARGET_PLATFORM]
            && found.missing.is_empty()
            && subject.globals.get(TARGET_PLATFORM) == Some(&found.text)
        {
            let message = format!(
                "Setting platform to predefined {} in FROM is redundant as this is the default behavior",
                word.value
            );
            self.add(&REDUNDANT_TARGET_PLATFORM, span, comments, message);
        }
        let platform = subject.globals.platform(word)?;
        let label = stage.name.as_ref().map(|name| name.value.to_lowercase()).unwrap_or_default();
        let told = label.contains(&platform.os) || label.contains(&platform.architecture);
        if found.used.is_empty() && found.missing.is_empty() && !told {
            let message = format!("FROM --platform flag should not use constant value {:?}", found.text);
            self.add(&FROM_PLATFORM_FLAG_CONST_DISALLOWED, span, comments, message);
        }
        Ok(Some(platform))
    }

    fn base_platform(&mut self, subject: &Subject<'_>, stage: &Stage, base: &str, platform: Option<Platform>) {
        let Some(image) = subject.bases.get(&stage.index) else { return };
        let target = subject.globals.get(TARGET_PLATFORM).and_then(|text| text.parse().ok());
        let Some(expected) = platform.or(target).map(Platform::normalized) else { return };
        let actual = image.platform().normalized();
        // An image that does not say what it is for is for anything.
        let says = !image.os.is_empty() && !image.architecture.is_empty();
        if says && (expected.os != actual.os || expected.architecture != actual.architecture) {
            let (expected, actual) = (expected.to_string(), actual.to_string());
            let message = format!(
                "Base image {base} was pulled with platform {actual:?}, expected {expected:?} for current build"
            );
            self.add(&INVALID_BASE_IMAGE_PLATFORM, &stage.span, &[], message);
        }
    }

    /// A Dockerfile should build for somebody who gives no arguments.
    fn default_bases(&mut self, subject: &Subject<'_>) {
        // What is wrong with a default is told where it is used.
        let Ok(defaults) = subject.globals.defaults(subject.dockerfile) else { return };
        for stage in &subject.dockerfile.stages {
            let Ok((base, _)) = defaults.expand(&stage.base) else { return };
            if base.parse::<Reference>().is_err() {
                let message =
                    format!("Default value for ARG {} results in empty or invalid base image name", stage.base.value);
                self.add(&INVALID_DEFAULT_ARG_IN_FROM, &stage.span, &[], message);
            }
        }
    }
}
