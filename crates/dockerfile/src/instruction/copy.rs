//! COPY and ADD.

use std::collections::HashMap;

use super::{Add, Copy, Op, Raw, Transfer};
use crate::flags::{Flags, Takes};
use crate::heredoc::Heredoc;
use crate::word::{Lexer, NoVariables};

const COPY: &[(&str, Takes)] = &[
    ("from", Takes::Value),
    ("chown", Takes::Value),
    ("chmod", Takes::Value),
    ("link", Takes::Bool),
    ("parents", Takes::Bool),
    ("exclude", Takes::Values),
];

const ADD: &[(&str, Takes)] = &[
    ("chown", Takes::Value),
    ("chmod", Takes::Value),
    ("link", Takes::Bool),
    ("keep-git-dir", Takes::Bool),
    ("checksum", Takes::Value),
    ("unpack", Takes::Bool),
    ("exclude", Takes::Values),
];

/// The most that the documents of one instruction may have. A text can name a long one thousands of times.
const MAX_DOCUMENTS: usize = 64 << 20;

impl Raw<'_, '_> {
    pub(super) fn copy(&mut self) -> Option<Op> {
        let flags = self.check_flags(COPY);
        let from = flags.value("from").filter(|from| !from.value.is_empty());
        if let Some(from) = from.as_ref().filter(|from| !self.is_plain(&from.value)) {
            let message = "variable expansion is not supported for --from, define a new stage with FROM using ARG from \
                           global scope as a workaround";
            self.error("variable-in-copy-from", message, from.span.clone());
        }
        let parents = flags.switch("parents").unwrap_or(false);
        Some(Op::Copy(Copy { transfer: self.transfer(&flags)?, from, parents }))
    }

    pub(super) fn add(&mut self) -> Option<Op> {
        let flags = self.check_flags(ADD);
        Some(Op::Add(Add {
            transfer: self.transfer(&flags)?,
            checksum: flags.value("checksum").filter(|checksum| !checksum.value.is_empty()),
            keep_git_dir: flags.switch("keep-git-dir"),
            unpack: flags.switch("unpack"),
        }))
    }

    /// Whether it stays as it is when it is expanded.
    fn is_plain(&self, text: &str) -> bool {
        Lexer::new(self.escape).expand(text, &NoVariables).is_ok_and(|found| found.text == text)
    }

    fn transfer(&mut self, flags: &Flags) -> Option<Transfer> {
        let mut words = self.json_or_words()?;
        let dest = match words.pop() {
            Some(dest) if !words.is_empty() => dest,
            last => {
                let given = if last.is_some() { "only one" } else { "none" };
                let what =
                    format!("at least two arguments, but {given} was provided. Destination could not be determined");
                self.missing(&what, "source... destination");
                return None;
            }
        };
        let keyword = self.keyword;
        if Heredoc::parse(&dest.value).is_some() {
            let message = format!("{keyword} cannot accept a heredoc as a destination");
            self.error("heredoc-destination", message, dest.span.clone()).help =
                Some(format!("write {keyword} <<EOF /path"));
        }
        // Of two documents of the same name the last one counts for both, as with docker.
        let known: HashMap<&str, &Heredoc> = self.heredocs.iter().map(|d| (d.name.as_str(), d)).collect();
        let (mut sources, mut documents) = (Vec::new(), Vec::new());
        let mut length = 0;
        for word in words {
            let Some(unread) = Heredoc::parse(&word.value) else {
                sources.push(word);
                continue;
            };
            let document = known.get(unread.name.as_str()).map_or(unread, |document| (*document).clone());
            length += document.content.len();
            documents.push(document);
            if length > MAX_DOCUMENTS {
                let message = format!("its documents are longer than {MAX_DOCUMENTS} bytes");
                self.error("documents-too-long", message, word.span);
                return None;
            }
        }
        let given = |name| flags.value(name).filter(|value| !value.value.is_empty());
        Some(Transfer {
            sources,
            documents,
            dest,
            chown: given("chown"),
            chmod: given("chmod"),
            link: flags.switch("link").unwrap_or(false),
            excludes: flags.values("exclude").into_iter().map(|exclude| exclude.value).collect(),
        })
    }
}
