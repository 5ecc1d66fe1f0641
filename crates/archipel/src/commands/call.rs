//! `archipel build --check`, `--call=...`: what a Dockerfile says, without building it.

use std::io::Write;

use archipel_build::{Answer, Called, Check, Error as BuildError, Request};
use archipel_dockerfile::{Outline, Stage};

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

/// Who answered, and what.
enum Answered {
    Frontend(Called),
    Check(Check),
    Outline(Answer<Outline>),
    Targets(Answer<Vec<Stage>>),
}

/// What is shown of an answer, and the status that it is.
pub(super) struct Shown {
    pub(super) text: String,
    pub(super) status: u8,
    /// Why it is none, where a Dockerfile cannot be read.
    error: Option<Error>,
}

/// Answers what `--call` asks.
pub(super) fn run(args: &BuildArgs, environment: &Environment) -> Result<u8, Error> {
    let resolved = request::resolve(args, environment)?;
    answer(args, &resolved.request, args.runs_programs(), environment)?.print()
}

/// The same for a request that was made already. `may_be_another` says that a frontend may read the text.
pub(super) fn answer(
    args: &BuildArgs,
    request: &Request,
    may_be_another: bool,
    environment: &Environment,
) -> Result<Shown, Error> {
    let call = Call::of(args)?;
    let view = View::new(environment.progress(args.progress)?, 0, environment);
    let (sink, method) = (view.sink(), call.method);
    // One engine for both: what comes from elsewhere is asked for once.
    let answered = shared::on_engine(environment, |engine| async move {
        if may_be_another && let Some(answer) = engine.call(request, method.subrequest(), &sink).await? {
            return Ok(Answered::Frontend(answer));
        }
        Ok(match method {
            Method::Check => Answered::Check(engine.check(request).await?),
            Method::Outline => Answered::Outline(engine.outline(request).await?),
            Method::Targets => Answered::Targets(engine.stages(request).await?),
        })
    });
    view.finish(None);
    Ok(answered?.shown(call))
}

impl Shown {
    /// Prints it; the exit status.
    pub(super) fn print(self) -> Result<u8, Error> {
        render::print(&self.text)?;
        self.error.map_or(Ok(self.status), Err)
    }
}

impl Answered {
    fn shown(self, call: Call) -> Shown {
        let plain = |text| Shown { text, status: status::OK, error: None };
        match self {
            Self::Frontend(answer) => Shown {
                status: if call.ignore_status { status::OK } else { answer.status },
                ..plain(match answer {
                    answer if call.json => answer.json,
                    // Nothing found is nothing said.
                    answer if call.method == Method::Check && answer.text.trim().is_empty() => checks::NOTHING.into(),
                    answer => answer.text,
                })
            },
            Self::Check(check) => {
                // What no rule is about is no part of the result that programs compare with docker's.
                let warnings = diagnostic::listing(&check.warnings, &check.name, &check.text);
                let _ = std::io::stderr().write_all(warnings.as_bytes());
                // As docker has it: a check that found something fails.
                let passed = check.findings.is_empty() || call.ignore_status;
                let text = if call.json { shared::json(&checks::check_json(&check)) } else { checks::check(&check) };
                let Check { name, text: dockerfile, errors: diagnostics, .. } = check;
                let error = BuildError::Dockerfile { name, text: dockerfile, diagnostics: diagnostics.clone() };
                Shown {
                    status: if passed { status::OK } else { status::FAILED },
                    error: (!diagnostics.is_empty()).then(|| error.into()),
                    text,
                }
            }
            Self::Outline(answer) => {
                // Whoever does not read this cannot be told.
                let _ = std::io::stderr().write_all(checks::warnings(&answer.warnings).as_bytes());
                plain(match call.json {
                    true => shared::json(&checks::outline_json(&answer.value, &answer.text)),
                    false => checks::outline(&answer.value),
                })
            }
            Self::Targets(answer) => plain(match call.json {
                true => shared::json(&checks::targets_json(&answer.value, &answer.text)),
                false => checks::targets(&answer.value),
            }),
        }
    }
}
