//! Names of stages.

use std::collections::BTreeSet;

use super::Report;
use super::rule::{DUPLICATE_STAGE_NAME, RESERVED_STAGE_NAME, STAGE_NAME_CASING};
use crate::span::Span;
use crate::stage::Dockerfile;

/// What these mean in FROM and in named contexts cannot be changed.
const RESERVED: [&str; 2] = ["context", "scratch"];

impl Report<'_> {
    pub(super) fn names(&mut self, dockerfile: &Dockerfile) {
        let mut seen = BTreeSet::new();
        for stage in &dockerfile.stages {
            let Some(written) = stage.name.as_ref().map(|name| &name.value) else { continue };
            let name = written.to_lowercase();
            self.stage_name_casing(written, &stage.span, &stage.comments);
            if RESERVED.contains(&name.as_str()) {
                let message = format!("Stage name should not use the same name as reserved stage {name:?}");
                self.add(&RESERVED_STAGE_NAME, &stage.span, &[], message);
            }
            if seen.contains(&name) {
                let message = format!("Duplicate stage name {name:?}, stage names should be unique");
                self.add(&DUPLICATE_STAGE_NAME, &stage.span, &[], message);
            }
            seen.insert(name);
        }
    }

    pub(super) fn stage_name_casing(&mut self, name: &str, span: &Span, comments: &[String]) {
        if name != name.to_lowercase() {
            self.add(&STAGE_NAME_CASING, span, comments, format!("Stage name '{name}' should be lowercase"));
        }
    }
}
