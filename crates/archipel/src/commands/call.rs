//! `archipel build --check`, `--call=...`: what a Dockerfile says, without building it.

use std::io::Write;

use archipel_build::Error as BuildError;

use super::{BuildArgs, shared};
use crate::environment::Environment;
use crate::errors::{Error, status};
use crate::flags::request;
use crate::render::{self, View, checks, diagnostic};

/// `--call=METHOD[,format=json][,ignorestatus=true]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Call {
    method: Method,
    json: bool,
    /// Findings are no failure.
    ignore_status: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    Check,
    Outline,
    Targets,
}

impl Method {
    /// What BuildKit calls the question.
    fn subrequest(self) -> &'static str {
        match self {
            Self::Check => "frontend.lint",
            Self::Outline => "frontend.outline",
            Self::Targets => "frontend.targets",
        }
    }
}

impl Call {
    fn of(args: &BuildArgs) -> Result<Self, Error> {
        let wrong = |what: &str| Error::Usage(format!("--call={}: {what}", args.call));
        let mut call = Self { method: Method::Check, json: false, ignore_status: false };
        for (place, field) in args.call.split(',').enumerate() {
            match (place, field) {
                // What has no method of its own is `--check`.
                (0, "check" | "lint") => {}
                (0, "build") if args.check => {}
                (0, "outline") => call.method = Method::Outline,
                (0, "targets") => call.method = Method::Targets,
                (0, _) => return Err(wrong("it is build, check, outline or targets")),
                (_, "format=json") => call.json = true,
                (_, "format=text") => call.json = false,
                (_, "ignorestatus=true" | "ignorestatus=1") => call.ignore_status = true,
                (_, "ignorestatus=false" | "ignorestatus=0") => call.ignore_status = false,
                (_, other) => {
                    return Err(wrong(&format!(
                        "`{other}` is not known: format=text, format=json or ignorestatus=true"
                    )));
                }
            }
        }
        Ok(call)
    }
}

/// Answers what `--call` asks.
pub(super) fn run(args: &BuildArgs, environment: &Environment) -> Result<u8, Error> {
    let call = Call::of(args)?;
    let resolved = request::resolve(args, environment)?;
    let request = &resolved.request;
    let subrequest = call.method.subrequest();
    let view = View::new(environment.progress(args.progress)?, 0, environment);
    let sink = view.sink();
    let asked = shared::on_engine(environment, |engine| async move { engine.call(request, subrequest, &sink).await });
    view.finish(None);
    let asked = asked?;
    if let Some(answer) = asked {
        render::print(if call.json { &answer.json } else { &answer.text })?;
        return Ok(if call.ignore_status { status::OK } else { answer.status });
    }
    match call.method {
        Method::Check => {
            let check = shared::on_engine(environment, |engine| async move { engine.check(request).await })?;
            // What no rule is about is no part of the result that programs compare with docker's.
            let warnings = diagnostic::listing(&check.warnings, &check.name, &check.text);
            let _ = std::io::stderr().write_all(warnings.as_bytes());
            render::print(&if call.json { shared::json(&checks::check_json(&check)) } else { checks::check(&check) })?;
            if !check.errors.is_empty() {
                let (name, text, diagnostics) = (check.name, check.text, check.errors);
                return Err(BuildError::Dockerfile { name, text, diagnostics }.into());
            }
            // As docker has it: a check that found something fails.
            let passed = check.findings.is_empty() || call.ignore_status;
            return Ok(if passed { status::OK } else { status::FAILED });
        }
        Method::Outline => {
            let answer = shared::on_engine(environment, |engine| async move { engine.outline(request).await })?;
            render::print(&match call.json {
                true => shared::json(&checks::outline_json(&answer.value, &answer.text)),
                false => checks::outline(&answer.value),
            })?;
            // Whoever does not read this cannot be told.
            let _ = std::io::stderr().write_all(checks::warnings(&answer.warnings).as_bytes());
        }
        Method::Targets => {
            let answer = shared::on_engine(environment, |engine| async move { engine.stages(request).await })?;
            render::print(&match call.json {
                true => shared::json(&checks::targets_json(&answer.value, &answer.text)),
                false => checks::targets(&answer.value),
            })?;
        }
    }
    Ok(status::OK)
}
