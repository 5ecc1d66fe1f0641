//! `archipel build --check`, `--call=...`: what a Dockerfile says, without building it.

use std::path::Path;

use archipel_build::{Context, Dockerfile};
use archipel_dockerfile::{LineIndex, Parsed, Severity};
use serde_json::json;

use super::{BuildArgs, shared};
use crate::environment::Environment;
use crate::errors::{Error, status};
use crate::flags::request;
use crate::render::{self, diagnostic};

/// Answers what `--call` asks.
pub(super) fn run(args: &BuildArgs, environment: &Environment) -> Result<u8, Error> {
    let (method, form) = args.call.split_once(',').unwrap_or((&args.call, ""));
    let as_json = match form {
        "" | "format=text" => false,
        "format=json" => true,
        other => return Err(Error::Usage(format!("--call {}: `{other}` is not known: format=json", args.call))),
    };
    match method {
        "build" if args.check => {}
        "check" | "lint" => {}
        "outline" | "targets" | "subrequests.describe" => {
            return Err(Error::Usage(format!("--call={method} is not supported yet; `check` is")));
        }
        _ => return Err(Error::Usage(format!("--call={method} is not known: build, check, outline or targets"))),
    }
    let resolved = request::resolve(args, environment)?;
    let (name, text) = dockerfile(&resolved.request)?;
    let parsed = archipel_dockerfile::parse(&text);
    render::print(&match as_json {
        true => shared::json(&findings(&parsed, &name, &text)),
        false => summary(&parsed) + &diagnostic::listing(&parsed.diagnostics, &name, &text),
    })?;
    // As docker has it: a check that found something fails.
    Ok(if parsed.diagnostics.is_empty() { status::OK } else { status::FAILED })
}

/// The Dockerfile's name and text.
fn dockerfile(request: &archipel_build::Request) -> Result<(String, String), Error> {
    let path = match (&request.dockerfile, &request.context) {
        (Dockerfile::Text(text), _) => return Ok(("Dockerfile".into(), text.clone())),
        (Dockerfile::Path(path), Context::Local(_)) => path.clone(),
        (Dockerfile::Default, Context::Local(folder)) => {
            let usual = folder.join("Dockerfile");
            let other = folder.join("dockerfile");
            if !usual.exists() && other.exists() { other } else { usual }
        }
        _ => return Err(Error::Usage("--call takes a folder as context; others are not supported yet".into())),
    };
    let text = std::fs::read_to_string(&path).map_err(Error::io(path.display().to_string()))?;
    let name = match request.dockerfile {
        Dockerfile::Default => path.file_name().map(Path::new).unwrap_or(&path).display().to_string(),
        _ => path.display().to_string(),
    };
    Ok((name, text))
}

fn summary(parsed: &Parsed) -> String {
    let count = |severity| parsed.diagnostics.iter().filter(|d| d.severity == severity).count();
    let say = |n: usize, what: &str| match n {
        0 => None,
        1 => Some(format!("1 {what} has been found!")),
        n => Some(format!("{n} {what}s have been found!")),
    };
    let found = [say(count(Severity::Error), "error"), say(count(Severity::Warning), "warning")];
    let found: Vec<String> = found.into_iter().flatten().collect();
    match found.is_empty() {
        true => "Check complete, no warnings found.\n".into(),
        false => format!("Check complete, {}\n", found.join(" ")),
    }
}

/// With the names of docker's `--call=check,format=json`.
fn findings(parsed: &Parsed, name: &str, text: &str) -> serde_json::Value {
    let lines = LineIndex::new(text);
    let warnings: Vec<_> = parsed
        .diagnostics
        .iter()
        .map(|found| {
            let (first, last) = lines.lines(&found.span);
            json!({
                "ruleName": found.code, "severity": found.severity, "description": found.message, "detail": found.message,
                "location": { "ranges": [{ "start": { "line": first }, "end": { "line": last } }] },
            })
        })
        .collect();
    json!({ "warnings": warnings, "sources": [{ "filename": name, "data": text }] })
}
