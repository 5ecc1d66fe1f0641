//! `archipel doctor`.

use archipel_sandbox::probe::{Finding, Probe};

use super::shared::{self, Format};
use crate::environment::Environment;
use crate::errors::{Error, status};
use crate::render;

/// Try what this machine gives, and say how to mend what is missing
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Form of what is shown
    #[arg(long, value_enum, default_value = "text", value_name = "FORM")]
    format: Format,
}

/// Tries. A machine that lacks what nothing works without ends in the status that says so.
pub(super) fn run(args: &Args, environment: &Environment) -> Result<u8, Error> {
    let probe = shared::probe(environment)?;
    match args.format {
        Format::Text => render::print(&text(&probe))?,
        Format::Json => render::print(&shared::json(&probe))?,
    }
    let fit = probe.findings.iter().all(|finding| finding.good || !finding.needed);
    Ok(if fit { status::OK } else { status::MACHINE })
}

fn text(probe: &Probe) -> String {
    let mut text = String::new();
    for Finding { name, good, needed, detail, remedy } in &probe.findings {
        let mark = match (good, needed) {
            (true, _) => "ok  ",
            (false, true) => "FAIL",
            (false, false) => "warn",
        };
        text.push_str(&format!("{mark}  {name}: {detail}\n"));
        if let Some(remedy) = remedy {
            text.push_str(&format!("      mend it with: {remedy}\n"));
        }
    }
    let verdict = match (probe.findings.iter().any(|f| !f.good && f.needed), probe.findings.iter().any(|f| !f.good)) {
        (true, _) => {
            "This machine cannot run build steps or containers; builds of COPY and metadata alone, push and pull work."
        }
        (false, true) => "This machine can build and run; what is marked `warn` is limited.",
        (false, false) => "This machine can do everything.",
    };
    text + "\n" + verdict + "\n"
}

#[cfg(test)]
mod tests {
    use archipel_sandbox::probe::Rung;

    use super::*;

    #[test]
    fn findings_come_with_the_command_that_mends_them() {
        let finding = |name, good, needed, remedy: Option<&str>| Finding {
            name,
            good,
            needed,
            detail: "seen".into(),
            remedy: remedy.map(Into::into),
        };
        let probe = Probe {
            rung: Rung::Userns,
            kernel: "6.18".into(),
            findings: vec![
                finding("user namespaces", true, true, None),
                finding("user ids", false, false, Some("sudo usermod me")),
            ],
            architectures: vec![],
        };
        insta::assert_snapshot!(text(&probe), @r"
        ok    user namespaces: seen
        warn  user ids: seen
              mend it with: sudo usermod me

        This machine can build and run; what is marked `warn` is limited.
        ");
    }
}
