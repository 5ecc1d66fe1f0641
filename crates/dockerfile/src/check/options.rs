//! Which rules count: `# check=skip=A,B;error=true;experimental=C` at the top of a text, `--build-arg
//! BUILDKIT_DOCKERFILE_CHECK=...` in its place, and `# check=skip=A` above an instruction for that instruction alone.

use super::Finding;
use super::rule::{RULES, Rule};
use crate::diagnostic::Diagnostic;
use crate::directive::check_comment;
use crate::number;
use crate::span::Span;
use crate::stage::Dockerfile;

/// The build argument that takes the place of the directive.
const BUILD_ARG: &str = "BUILDKIT_DOCKERFILE_CHECK";

/// A set of rules as directives name it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Names {
    #[default]
    None,
    All,
    Some(Vec<String>),
}

impl Names {
    fn parse(text: &str) -> Self {
        match text.trim() {
            "all" => Self::All,
            names => Self::Some(names.split(',').map(|name| name.trim().to_owned()).collect()),
        }
    }

    fn has(&self, rule: &Rule) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::Some(names) => names.iter().any(|name| name == rule.name),
        }
    }
}

/// Which rules count, and whether a finding fails the build.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckOptions {
    skip: Names,
    experimental: Names,
    /// `error=true`: a finding is an error.
    error: bool,
    /// Where they stand, if they stand in the text.
    span: Span,
}

impl CheckOptions {
    /// Those of a build.
    ///
    /// # Errors
    /// Something else than `skip=`, `error=` and `experimental=`.
    pub fn new(dockerfile: &Dockerfile, build_args: &[(String, String)]) -> Result<Self, Diagnostic> {
        if let Some((_, given)) = build_args.iter().rev().find(|(name, _)| name == BUILD_ARG) {
            let wrong = |reason| format!("failed to parse build-arg:{BUILD_ARG}: {reason}");
            return Self::parse(given).map_err(|e| Diagnostic::error("invalid-check", wrong(e), 0..0).help(FORM));
        }
        let Some(directive) = &dockerfile.directives.check else { return Ok(Self::default()) };
        let wrong = |reason| format!("failed to parse check options: {reason}");
        let error = |reason| Diagnostic::error("invalid-check", wrong(reason), directive.span.clone()).help(FORM);
        let options = Self::parse(&directive.value).map_err(error)?;
        Ok(Self { span: directive.span.clone(), ..options })
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut options = Self::default();
        if text.trim().is_empty() {
            return Ok(options);
        }
        for part in text.trim().splitn(3, ';') {
            let Some((key, value)) = part.split_once('=') else { return Err(format!("invalid check option {part:?}")) };
            match key.trim() {
                "skip" => options.skip = Names::parse(value),
                "experimental" => options.experimental = Names::parse(value),
                "error" => match number::boolean(value.trim()) {
                    Some(error) => options.error = error,
                    None => return Err(format!("failed to parse check option {part:?}")),
                },
                other => return Err(format!("invalid check option {other:?}")),
            }
        }
        Ok(options)
    }

    /// Those of an instruction with these comments above it. As in BuildKit, the first comment that speaks to the checks counts,
    /// and one that cannot be understood says nothing.
    pub(super) fn local(comments: &[String]) -> Self {
        let local = comments.iter().find_map(|comment| check_comment(comment));
        local.and_then(|text| Self::parse(text).ok()).unwrap_or_default()
    }

    /// Whether a rule counts where these are those of the instruction.
    pub(super) fn wants(&self, rule: &Rule, local: &Self) -> bool {
        // Skipping is for the rules that are on by themselves.
        match rule.experimental {
            true => self.experimental.has(rule) || local.experimental.has(rule),
            false => !self.skip.has(rule) && !local.skip.has(rule),
        }
    }

    /// What `error=true` makes of findings.
    #[must_use]
    pub fn violation(&self, findings: &[Finding]) -> Option<Diagnostic> {
        let first = findings.first().filter(|_| self.error)?;
        let mut rules: Vec<&str> = Vec::new();
        for finding in findings {
            if !rules.contains(&finding.rule.name) {
                rules.push(finding.rule.name);
            }
        }
        let message = format!("lint violation found for rules: {}", rules.join(", "));
        Some(Diagnostic::error("check", message, first.span.clone()))
    }

    /// Warns of names that are no rule's. BuildKit takes no notice of them, and so they are nothing to fail for.
    #[must_use]
    pub fn unknown(&self) -> Vec<Diagnostic> {
        let lists = [&self.skip, &self.experimental].into_iter().filter_map(|names| match names {
            Names::Some(names) => Some(names),
            _ => None,
        });
        let known = RULES.iter().map(|rule| rule.name);
        let unknown = lists.flatten().filter(|name| !name.is_empty() && !known.clone().any(|known| known == *name));
        let warning = |name: &String| {
            let warning = Diagnostic::warning("unknown-check", format!("there is no check {name}"), self.span.clone());
            warning.propose(name, known.clone())
        };
        unknown.map(warning).collect()
    }
}

const FORM: &str = "write `# check=skip=RULE,RULE;error=true`";

#[cfg(test)]
mod tests {
    use super::super::rule::{INVALID_DEFINITION_DESCRIPTION as EXPERIMENTAL, STAGE_NAME_CASING as USUAL};
    use super::*;

    #[test]
    fn what_counts() {
        let wants = |text: &str, comment: &str| {
            let options = CheckOptions::parse(text).unwrap();
            let local = CheckOptions::local(&[comment.to_owned()]);
            (options.wants(&USUAL, &local), options.wants(&EXPERIMENTAL, &local), options.error)
        };
        for (text, comment, expected) in [
            ("", "", (true, false, false)),
            ("skip=all", "", (false, false, false)),
            ("skip=StageNameCasing;error=true", "", (false, false, true)),
            ("error=1; skip = Other , StageNameCasing", "", (false, false, true)),
            ("experimental=all", "", (true, true, false)),
            ("skip=all;experimental=InvalidDefinitionDescription", "", (false, true, false)),
            ("", "check=skip=StageNameCasing // because", (false, false, false)),
            ("", "check = skip=all", (false, false, false)),
            ("", "check=error=true", (true, false, false)),
            ("", "check=nonsense", (true, false, false)),
            ("", "note", (true, false, false)),
        ] {
            assert_eq!(wants(text, comment), expected, "{text:?} {comment:?}");
        }
        for bad in ["skip", "skip=A;what=B", "error=maybe"] {
            assert!(CheckOptions::parse(bad).is_err(), "{bad}");
        }
        let options = CheckOptions::parse("skip=StageNameCassing,FromAsCasing").unwrap();
        let unknown = options.unknown();
        assert_eq!(unknown[0].message, "there is no check StageNameCassing (did you mean StageNameCasing?)");
        assert_eq!(unknown.len(), 1);
    }
}
