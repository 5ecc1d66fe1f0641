//! What an image's history says of a step, in docker's words: tools and people read it.

use crate::duration;
use crate::redact::redacted;
use crate::step::{AddStep, CopyStep, Healthcheck, InlineFile, RunStep, Step};

/// What docker writes behind the steps that make files.
const SUFFIX: &str = " # buildkit";

impl Step {
    /// The entry's `created_by`, in which addresses have no logins. ONBUILD has none.
    #[must_use]
    pub fn history(&self) -> Option<String> {
        let text = match self {
            Self::Add(add) => add.history(),
            Self::Arg(args) => {
                let one = |(name, value): &(String, Option<String>)| match value {
                    Some(value) => format!("{name}={value}"),
                    None => name.clone(),
                };
                format!("ARG {}", args.iter().map(one).collect::<Vec<_>>().join(" "))
            }
            Self::Cmd(words) => format!("CMD {}", quoted(words)),
            Self::Copy(copy) => copy.history(),
            Self::Entrypoint(words) => format!("ENTRYPOINT {}", quoted(words)),
            Self::Env(pairs) => format!("ENV{}", pairs_of(pairs)),
            Self::Expose(ports) => format!("EXPOSE [{}]", ports.join(" ")),
            Self::Healthcheck(check) => format!("HEALTHCHECK {}", health(check)),
            Self::Label(pairs) => format!("LABEL{}", pairs_of(pairs)),
            Self::Maintainer(name) => format!("MAINTAINER {name}"),
            Self::Onbuild(_) => return None,
            Self::Run(run) => run.history(),
            Self::Shell(words) => format!("SHELL [{}]", words.join(" ")),
            Self::StopSignal(signal) => format!("STOPSIGNAL {signal}"),
            Self::User(user) => format!("USER {user}"),
            Self::Volume(paths) => format!("VOLUME [{}]", paths.join(" ")),
            Self::Workdir(dir) => format!("WORKDIR {dir}"),
        };
        Some(redacted(&text))
    }
}

impl RunStep {
    fn history(&self) -> String {
        let mut words = Vec::new();
        if !self.args.is_empty() {
            words.push(format!("|{}", self.args.len()));
            words.extend(self.args.iter().map(|(name, value)| format!("{name}={value}")));
        }
        words.extend(self.argv.iter().cloned());
        format!("RUN {}{SUFFIX}", words.join(" "))
    }
}

impl CopyStep {
    fn history(&self) -> String {
        let parents = self.parents.then_some(" --parents");
        let sources = self.sources.iter().map(String::as_str);
        let chmod = self.chmod.as_ref().map(ToString::to_string);
        transfer("COPY", parents, self.chown.as_deref(), chmod, sources, &self.files, &self.dest_as_written)
    }
}

impl AddStep {
    fn history(&self) -> String {
        let sources = self.sources.iter().map(crate::source::AddSource::as_str);
        let chmod = self.chmod.as_ref().map(ToString::to_string);
        transfer("ADD", None, self.chown.as_deref(), chmod, sources, &self.files, &self.dest_as_written)
    }
}

fn transfer<'a>(
    name: &str,
    flag: Option<&str>,
    chown: Option<&str>,
    chmod: Option<String>,
    sources: impl Iterator<Item = &'a str>,
    files: &[InlineFile],
    dest: &str,
) -> String {
    let mut text = format!("{name}{}", flag.unwrap_or_default());
    if let Some(chown) = chown {
        text.push_str(&format!(" --chown={chown}"));
    }
    if let Some(chmod) = chmod {
        text.push_str(&format!(" --chmod={chmod}"));
    }
    sources.for_each(|source| text.push_str(&format!(" {source}")));
    files.iter().for_each(|file| text.push_str(&format!(" <<{}", file.name)));
    format!("{text} {dest}{SUFFIX}")
}

fn pairs_of(pairs: &[(String, String)]) -> String {
    pairs.iter().map(|(name, value)| format!(" {name}={value}")).collect()
}

/// Go's `%q` of a list of strings.
fn quoted(words: &[String]) -> String {
    format!("[{}]", words.iter().map(|word| quote(word)).collect::<Vec<_>>().join(" "))
}

fn quote(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{b}' => quoted.push_str("\\v"),
            '\u{c}' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c if c.is_ascii_control() => quoted.push_str(&format!("\\x{:02x}", u32::from(c))),
            c if is_invisible(c) => quoted.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted + "\""
}

/// White space other than the blank, and what has no width.
fn is_invisible(c: char) -> bool {
    c.is_control()
        || (c.is_whitespace() && c != ' ')
        || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Go's `%+v` of the structure.
fn health(check: &Healthcheck) -> String {
    let [interval, timeout, start_period, start_interval] =
        [check.interval, check.timeout, check.start_period, check.start_interval].map(duration::show);
    format!(
        "{{Test:[{}] Interval:{interval} Timeout:{timeout} StartPeriod:{start_period} StartInterval:{start_interval} Retries:{}}}",
        check.test.join(" "),
        check.retries
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_go_writes_it() {
        let second = 1_000_000_000;
        let check = Healthcheck {
            test: ["bin", "-c", "exit 0"].map(str::to_owned).to_vec(),
            interval: second,
            timeout: 10 * second,
            start_period: 3 * second,
            start_interval: second / 10,
            retries: 5,
        };
        let expected =
            "HEALTHCHECK {Test:[bin -c exit 0] Interval:1s Timeout:10s StartPeriod:3s StartInterval:100ms Retries:5}";
        assert_eq!(Step::Healthcheck(check).history().as_deref(), Some(expected));
        let words = ["a\"\\\t\u{8}\u{0}\u{85}\u{a0}é\u{feff}".to_owned()];
        assert_eq!(quoted(&words), "[\"a\\\"\\\\\\t\\b\\x00\\u0085\\u00a0é\\ufeff\"]");
    }
}
