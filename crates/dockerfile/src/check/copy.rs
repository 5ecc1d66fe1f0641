//! COPY and ADD of what the ignore file leaves out.

use super::Report;
use super::rule::COPY_IGNORED_FILE;
use super::walk::Visit;
use crate::ignore::IgnoreFile;
use crate::path;
use crate::source::AddSource;
use crate::step::Step;

impl Report<'_> {
    pub(super) fn copies(&mut self, visit: &Visit<'_>, ignore: Option<&IgnoreFile>) {
        // With an exception in the file, a directory that is left out may still have something in it to copy.
        let Some(ignore) = ignore.filter(|ignore| !ignore.has_exceptions()) else { return };
        let (what, paths): (_, Vec<&str>) = match visit.step {
            Ok(Step::Copy(copy)) if copy.from.is_none() => ("Copy", copy.sources.iter().map(String::as_str).collect()),
            Ok(Step::Add(add)) => {
                let path = |source: &&AddSource| matches!(source, AddSource::Path(_));
                ("Add", add.sources.iter().filter(path).map(AddSource::as_str).collect())
            }
            _ => return,
        };
        let instruction = visit.instruction;
        for path in paths.into_iter().map(path::clean) {
            // The root itself cannot be left out, only all that is in it.
            let all = !matches!(path.as_str(), "." | "/") || ignore.leaves_out_everything();
            if all && ignore.matches_as_written(&path) {
                let message = format!("Attempting to {what} file {path:?} that is excluded by .dockerignore");
                self.add(&COPY_IGNORED_FILE, &instruction.span, &instruction.comments, message);
            }
        }
    }
}
