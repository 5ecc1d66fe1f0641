//! COPY and ADD.

use archipel_oci::DigestError;

use crate::chmod::Chmod;
use crate::diagnostic::Diagnostic;
use crate::ignore::IgnoreFile;
use crate::instruction::{Add, Copy, Transfer, Word};
use crate::path;
use crate::pattern::{has_wildcards, is_well_formed};
use crate::scope::Scope;
use crate::source::AddSource;
use crate::step::{AddStep, CopyStep, InlineFile};

/// What both have in common, expanded.
struct Common {
    sources: Vec<(String, Word)>,
    files: Vec<InlineFile>,
    dest: String,
    dest_as_written: String,
    chown: Option<String>,
    chmod: Option<Chmod>,
    checksum: Option<String>,
}

impl Scope {
    pub(super) fn copy(&mut self, copy: &Copy) -> Result<CopyStep, Diagnostic> {
        let common = self.transfer(&copy.transfer, None)?;
        for (text, word) in &common.sources {
            let wrong = |message: String| Err(Diagnostic::error("invalid-source", message, word.span.clone()));
            match source(text) {
                Ok(AddSource::Path(_)) => {}
                Ok(AddSource::Http { .. }) => return wrong("source can't be a URL for COPY; ADD takes it".into()),
                Ok(AddSource::Git(_)) => return wrong("source can't be a git ref for COPY; ADD takes it".into()),
                Err(reason) => return wrong(reason),
            }
        }
        Ok(CopyStep {
            from: copy.from.as_ref().map(|from| from.value.clone()),
            sources: common.sources.into_iter().map(|(source, _)| source).collect(),
            files: common.files,
            dest: common.dest,
            dest_as_written: common.dest_as_written,
            chown: common.chown,
            chmod: common.chmod,
            link: copy.transfer.link,
            parents: copy.parents,
            excludes: copy.transfer.excludes.clone(),
        })
    }

    pub(super) fn add(&mut self, add: &Add) -> Result<AddStep, Diagnostic> {
        let common = self.transfer(&add.transfer, add.checksum.as_ref())?;
        let mut sources = Vec::new();
        for (text, word) in common.sources {
            sources
                .push(source(&text).map_err(|reason| Diagnostic::error("invalid-source", reason, word.span.clone()))?);
        }
        if let (Some(word), Some(text)) = (&add.checksum, &common.checksum) {
            checksum_fits(text, word, &sources)?;
        }
        for source in &sources {
            let AddSource::Git(git) = source else { continue };
            if add.keep_git_dir.zip(git.keep_git_dir).is_some_and(|(flag, query)| flag != query) {
                let message = "inconsistent keep-git-dir configuration";
                let span = add.transfer.dest.span.clone();
                return Err(
                    Diagnostic::error("invalid-source", message, span).help("the flag and the URL should say the same")
                );
            }
        }
        Ok(AddStep {
            sources,
            files: common.files,
            dest: common.dest,
            dest_as_written: common.dest_as_written,
            chown: common.chown,
            chmod: common.chmod,
            link: add.transfer.link,
            excludes: add.transfer.excludes.clone(),
            checksum: common.checksum.filter(|text| !text.is_empty()),
            keep_git_dir: add.keep_git_dir,
            unpack: add.unpack,
        })
    }

    /// In docker's order, which is that of what is told of it.
    fn transfer(&mut self, transfer: &Transfer, checksum: Option<&Word>) -> Result<Common, Diagnostic> {
        let chown = transfer.chown.as_ref().map(|word| self.expand(word)).transpose()?;
        let chmod = transfer.chmod.as_ref().map(|word| self.expand(word)).transpose()?;
        let checksum = checksum.map(|word| self.expand(word)).transpose()?;
        let mut sources = Vec::new();
        for word in &transfer.sources {
            sources.push((self.expand(word)?, word.clone()));
        }
        let dest_as_written = self.expand(&transfer.dest)?;
        let mut files = Vec::new();
        for document in &transfer.documents {
            let mut content = document.file_content();
            if document.expand {
                content = self.document(&content, &document.span)?;
            }
            files.push(InlineFile { name: document.name.clone(), content });
        }
        let chmod = match (&transfer.chmod, chmod.filter(|text| !text.is_empty())) {
            (Some(word), Some(text)) => {
                let invalid = |reason: String| Diagnostic::error("invalid-chmod", reason, word.span.clone());
                Some(Chmod::parse(&text).map_err(invalid)?)
            }
            _ => None,
        };
        if let Some(wrong) = transfer.excludes.iter().find(|pattern| !IgnoreFile::is_pattern(pattern)) {
            let message = format!("invalid exclude pattern {wrong:?}: syntax error in pattern");
            return Err(Diagnostic::error("invalid-exclude", message, transfer.dest.span.clone()));
        }
        Ok(Common {
            sources,
            files,
            dest: path::destination(&self.workdir, &dest_as_written),
            dest_as_written,
            chown: chown.filter(|text| !text.is_empty()),
            chmod,
            checksum,
        })
    }
}

/// What is copied. A path with wildcards is a pattern, and must be a right one.
fn source(text: &str) -> Result<AddSource, String> {
    match AddSource::parse(text)? {
        AddSource::Path(path) if has_wildcards(&path) && !is_well_formed(&path) => {
            Err(format!("invalid source {path:?}: syntax error in pattern"))
        }
        source => Ok(source),
    }
}

fn wrong_length(digest: &str) -> bool {
    let length = |digits: &str, length| !digits.is_empty() && digits.len() != length;
    digest.strip_prefix("sha256:").is_some_and(|digits| length(digits, 64))
        || digest.strip_prefix("sha384:").is_some_and(|digits| length(digits, 96))
        || digest.strip_prefix("sha512:").is_some_and(|digits| length(digits, 128))
}

/// A checksum is of one source from elsewhere: of a URL's content by algorithm, of a repository a commit's beginning.
fn checksum_fits(text: &str, word: &Word, sources: &[AddSource]) -> Result<(), Diagnostic> {
    let wrong = |message: String| Diagnostic::error("invalid-checksum", message, word.span.clone());
    let [only] = sources else {
        return Err(wrong("checksum can't be specified for multiple sources".into()));
    };
    match only {
        _ if text.is_empty() => Ok(()),
        AddSource::Path(_) => Err(wrong("checksum requires HTTP(S) or Git sources".into())),
        AddSource::Http { .. } => match text.parse::<archipel_oci::Digest>() {
            Ok(_) => Ok(()),
            Err(e) => {
                // The words are those of BuildKit's library, which people search for.
                let what = match e {
                    DigestError::Form(_) if wrong_length(text) => "invalid checksum digest length",
                    DigestError::Form(_) => "invalid checksum digest format",
                    DigestError::Algorithm(_) => "unsupported digest algorithm",
                };
                Err(wrong(format!("{what}: {text}")).help("write --checksum=sha256: and 64 hexadecimal digits"))
            }
        },
        AddSource::Git(git) if text.bytes().all(|b| b.is_ascii_hexdigit()) => match &git.checksum {
            Some(other) if other != text => Err(wrong(format!("checksum mismatch {text:?} != {other:?}"))),
            _ => Ok(()),
        },
        AddSource::Git(_) => Err(wrong(format!("invalid checksum {text} for Git URL, expected hex commit hash"))
            .help("it is a commit, or its beginning")),
    }
}
