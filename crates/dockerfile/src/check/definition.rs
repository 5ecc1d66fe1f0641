//! How instructions are written, whatever they say: comments above them, blank lines in them, MAINTAINER.

use super::Report;
use super::rule::{INVALID_DEFINITION_DESCRIPTION, MAINTAINER_DEPRECATED, NO_EMPTY_CONTINUATION};
use crate::instruction::{Instruction, Keyword, Op};
use crate::span::Span;
use crate::stage::{Dockerfile, Unread};

impl Report<'_> {
    /// What is told of an instruction before it is found to be wrong.
    pub(super) fn unread(&mut self, dockerfile: &Dockerfile) {
        for Unread { words, span, comments, blank_inside } in &dockerfile.unread {
            self.blank(blank_inside.as_ref());
            let keyword = words.first().and_then(|name| Keyword::parse(name));
            match (keyword, words.as_slice()) {
                (Some(Keyword::From), [from, _, as_, name, more @ ..]) => {
                    self.casing_of_as(from, as_, span, comments);
                    if more.is_empty() {
                        self.stage_name_casing(name, span, comments);
                    }
                }
                (Some(Keyword::Maintainer), _) => self.maintainer(span, comments),
                _ => {}
            }
        }
    }

    pub(super) fn definitions(&mut self, dockerfile: &Dockerfile) {
        for instruction in &dockerfile.globals {
            self.written(instruction);
        }
        for stage in &dockerfile.stages {
            self.blank(stage.blank_inside.as_ref());
            if let Some(name) = &stage.name {
                self.described("FROM", &[&name.value.to_lowercase()], &stage.comments, &stage.span);
            }
            for instruction in &stage.instructions {
                self.written(instruction);
            }
        }
    }

    fn written(&mut self, instruction: &Instruction) {
        let Instruction { span, comments, .. } = instruction;
        self.blank(instruction.blank_inside.as_ref());
        match &instruction.op {
            Op::Maintainer(_) => self.maintainer(span, comments),
            Op::Arg(args) => {
                let names: Vec<&str> = args.iter().map(|arg| arg.name.as_str()).collect();
                self.described("ARG", &names, comments, span);
            }
            _ => {}
        }
    }

    fn maintainer(&mut self, span: &Span, comments: &[String]) {
        let message = "Maintainer instruction is deprecated in favor of using label".to_owned();
        self.add(&MAINTAINER_DEPRECATED, span, comments, message);
    }

    fn blank(&mut self, line: Option<&Span>) {
        if let Some(span) = line {
            self.add(&NO_EMPTY_CONTINUATION, span, &[], "Empty continuation line".to_owned());
        }
    }

    /// The comment right above a definition is its description, so it should begin with its name.
    fn described(&mut self, keyword: &str, names: &[&str], comments: &[String], span: &Span) {
        let Some(comment) = comments.last() else { return };
        let first = comment.split(' ').next().unwrap_or_default();
        if names.contains(&first) {
            return;
        }
        let name = match names {
            [only] => only,
            _ => "<arg_key>",
        };
        let message = format!("Comment for {keyword} should follow the format: `# {name} <description>`");
        self.add(&INVALID_DEFINITION_DESCRIPTION, span, comments, message);
    }
}
