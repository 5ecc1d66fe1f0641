//! What Dockerfiles of all shapes come to: `data/<case>/input` and `expected`, which has what is wrong with it, the
//! Dockerfile as it was understood, its steps, and what the checks find.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::Path;

use archipel_dockerfile::{
    CheckOptions, Diagnostic, LineIndex, Scope, Severity, Subject, automatic_args, check, check_text, parse,
};
use archipel_oci::Platform;

#[test]
fn every_case_comes_to_what_it_should() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let mut cases: Vec<_> = data.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    assert!(!cases.is_empty());
    for case in cases {
        let text = std::fs::read_to_string(case.join("input")).unwrap();
        let expected = std::fs::read_to_string(case.join("expected")).unwrap_or_default();
        let shown = show(&text);
        assert_eq!(shown, expected, "{}:\n{shown}", case.display());
    }
}

fn show(text: &str) -> String {
    let lines = LineIndex::new(text);
    let parsed = parse(text);
    let mut shown = String::new();
    for found in &parsed.diagnostics {
        diagnostic(&mut shown, found, text, &lines);
    }
    write!(shown, "--- understood{}", parsed.dockerfile).unwrap();
    let platform = Platform::new("linux", "arm", Some("v7"));
    let build = Platform::new("linux", "amd64", None);
    let options = CheckOptions::new(&parsed.dockerfile, &[]);
    let globals = parsed.dockerfile.globals(automatic_args(&build, &platform, None), &[]);
    let found = match (&options, &globals) {
        (Ok(options), Ok(globals)) if parsed.is_ok() => {
            shown.push_str("--- steps\n");
            for stage in &parsed.dockerfile.stages {
                let base = globals.expand(&stage.base).map(|(base, _)| base).unwrap_or_default();
                writeln!(shown, "FROM {base}").unwrap();
                let mut scope = Scope::new(globals, &["PATH=/bin".into()], "/", None);
                for instruction in &stage.instructions {
                    let title = scope.title(instruction);
                    match scope.step(instruction) {
                        Ok(step) => writeln!(shown, "{title}\n  {}", step.history().unwrap_or_default()).unwrap(),
                        Err(wrong) => diagnostic(&mut shown, &wrong, text, &lines),
                    }
                }
            }
            let bases = HashMap::new();
            let subject =
                Subject { dockerfile: &parsed.dockerfile, globals, target: None, ignore: None, bases: &bases };
            check(&subject, options).findings
        }
        (Ok(options), _) => {
            let mut errors = parsed.diagnostics.clone();
            errors.retain(|wrong| wrong.severity == Severity::Error);
            check_text(&parsed.dockerfile, &errors, options)
        }
        (Err(wrong), _) => {
            diagnostic(&mut shown, wrong, text, &lines);
            Vec::new()
        }
    };
    shown.push_str("--- checks\n");
    found.iter().for_each(|finding| writeln!(shown, "{}", finding.summary(&lines)).unwrap());
    shown
}

/// `3 unknown-flag: unknown flag: --x «--x=y» (did you mean ...?)`.
fn diagnostic(shown: &mut String, found: &Diagnostic, text: &str, lines: &LineIndex) {
    let place = text.get(found.span.clone()).unwrap_or("no place").lines().next().unwrap_or_default();
    let help = found.help.as_deref().map_or_else(String::new, |help| format!(" ({help})"));
    let line = lines.line(found.span.start);
    writeln!(shown, "{line} {}: {} «{place}»{help}", found.code, found.message).unwrap();
}
