//! What can be said of a Dockerfile without building it (`--call`), and what a build says of its own.

use std::collections::{HashMap, HashSet};

use archipel_dockerfile::{
    self as dockerfile, CheckOptions, Checked, Diagnostic, Finding, From, Globals, LineIndex, Outline, Parsed, Phase,
    Severity, Span, Stage, Subject,
};
use archipel_oci::{ImageConfig, Platform, Reference};
use archipel_remote::ErrorKind;

use crate::context::{self, Loaded};
use crate::engine::warn;
use crate::request::Context;
use crate::{Engine, Error, Request, Sink};

/// What checks say of a Dockerfile. Spans point into `text`.
#[derive(Clone, Debug)]
pub struct Check {
    /// The file's name as the person knows it.
    pub name: String,
    /// Its text.
    pub text: String,
    /// What the rules say, in the order of the text.
    pub findings: Vec<Finding>,
    /// Whether it could be read. If not, the errors say why, and what is found is what can be said of the rest.
    pub parsed: bool,
    /// Why it cannot be built.
    pub errors: Vec<Diagnostic>,
    /// What no rule is about, and should be known all the same.
    pub warnings: Vec<Diagnostic>,
}

/// A Dockerfile without errors, and what an answer is about.
#[derive(Clone, Debug)]
pub struct Answer<T> {
    /// What the rules say on the way to it, each on one line.
    pub warnings: Vec<String>,
    /// The Dockerfile's text, which spans point into.
    pub text: String,
    /// The answer.
    pub value: T,
}

impl Engine {
    /// Checks the Dockerfile. Base images that can be asked for are, for the variables that they define. Without a target
    /// all stages count, for a check is of the file and not of one build.
    ///
    /// # Errors
    /// If there is no Dockerfile to read. What is wrong with it is among what was found.
    pub async fn check(&self, request: &Request) -> Result<Check, Error> {
        let Loaded { tree, name, text, .. } = context::load_dockerfile(request, self, "--check").await?;
        let Parsed { dockerfile, diagnostics } = dockerfile::parse(&text);
        let (errors, warnings): (Vec<_>, Vec<_>) = diagnostics.into_iter().partition(|d| d.severity == Severity::Error);
        let parsed = errors.is_empty();
        let mut check = Check { name, text, findings: Vec::new(), parsed, errors, warnings };
        let options = match CheckOptions::new(&dockerfile, &request.build_args) {
            Ok(options) => options,
            Err(wrong) => {
                check.errors.push(wrong);
                return Ok(check);
            }
        };
        if !check.parsed {
            let first = first_globals(request, &dockerfile).ok();
            check.findings = found_first(&dockerfile, &check.errors, first.as_ref().map(|(_, g)| g), &options);
            check.errors = located(&dockerfile, check.errors);
            return Ok(check);
        }
        match self.look(request, &dockerfile).await {
            Ok(around) => {
                let ignore = tree.ignore.as_deref();
                let subject = Subject { ignore, ..around.subject(&dockerfile) };
                let first = dockerfile::check_from(&dockerfile, &around.globals, &options);
                let Checked { findings, errors } = match around.absent(&dockerfile) {
                    Some(absent) if first.errors.is_empty() => Checked { errors: vec![absent], ..first },
                    _ => dockerfile::check(&subject, &options),
                };
                check.errors = errors;
                if check.errors.is_empty() {
                    check.errors.extend(options.violation(&findings));
                }
                check.findings = findings;
            }
            Err(wrong) => {
                let first = first_globals(request, &dockerfile).ok();
                check.findings = found_first(&dockerfile, &[], first.as_ref().map(|(_, g)| g), &options);
                check.errors.push(wrong);
            }
        }
        check.errors = located(&dockerfile, check.errors);
        check.warnings.extend(options.unknown());
        Ok(check)
    }

    /// What the target takes: arguments, secrets, agents.
    ///
    /// # Errors
    /// If there is no Dockerfile to read, or it is wrong.
    pub async fn outline(&self, request: &Request) -> Result<Answer<Outline>, Error> {
        let (loaded, dockerfile) = self.correct(request).await?;
        let around = self.look(request, &dockerfile).await;
        match around.and_then(|around| outlined(&around, request, &dockerfile, &loaded)) {
            Ok((value, warnings)) => Ok(Answer { warnings, text: loaded.text, value }),
            Err(wrong) => Err(error(loaded, vec![wrong])),
        }
    }

    /// The stages.
    ///
    /// # Errors
    /// If there is no Dockerfile to read, or it is wrong.
    pub async fn stages(&self, request: &Request) -> Result<Answer<Vec<Stage>>, Error> {
        let (loaded, dockerfile) = self.correct(request).await?;
        Ok(Answer { warnings: Vec::new(), text: loaded.text, value: dockerfile.stages })
    }

    async fn correct(&self, request: &Request) -> Result<(Loaded, dockerfile::Dockerfile), Error> {
        let loaded = context::load_dockerfile(request, self, "--call").await?;
        let Parsed { dockerfile, mut diagnostics } = dockerfile::parse(&loaded.text);
        diagnostics.retain(|d| d.severity == Severity::Error);
        if diagnostics.is_empty() { Ok((loaded, dockerfile)) } else { Err(error(loaded, diagnostics)) }
    }

    async fn look(&self, request: &Request, dockerfile: &dockerfile::Dockerfile) -> Result<Around, Diagnostic> {
        let (platform, globals) = first_globals(request, dockerfile)?;
        let target = match request.target.as_deref() {
            Some(name) => Some(dockerfile.target(Some(name))?.index),
            None => None,
        };
        let mut around = Around { globals, target, bases: HashMap::new(), absent: Vec::new() };
        self.bases(request, dockerfile, &platform, &mut around).await;
        Ok(around)
    }

    /// The configs of the images that stages start from, and whether there are those that they take files from, as far as that can be
    /// had: what cannot be asked for is left out, for a check should not need a network.
    async fn bases(
        &self,
        request: &Request,
        dockerfile: &dockerfile::Dockerfile,
        target: &Platform,
        around: &mut Around,
    ) {
        let images = dockerfile.stages.iter().flat_map(|stage| images(request, dockerfile, &around.globals, stage));
        for Image { stage, base, name, reference, platform, span } in images.collect::<Vec<_>>() {
            match self.base_image(&reference, platform.as_ref().unwrap_or(target), request.pull).await {
                Ok(image) if base => drop(around.bases.insert(stage, image.config.clone())),
                Ok(_) => {}
                Err(error) if is_absent(&error) => {
                    let meant = dockerfile::did_you_mean(dockerfile.meant(&name));
                    let message = format!("{name}: failed to resolve source metadata for {reference}: {error}{meant}");
                    around.absent.push((stage, Diagnostic::error("no-image", message, span)));
                }
                Err(error) => {
                    tracing::debug!(%reference, %error, "a base image is not looked at");
                    // Nobody wants to wait for as many timeouts as there are stages.
                    if matches!(&error, Error::Remote(e) if e.kind() == ErrorKind::Network) {
                        break;
                    }
                }
            }
        }
    }
}

/// What the target takes, and what the rules say of it and of the stages that it needs: docker tells of that here too.
fn outlined(
    around: &Around,
    request: &Request,
    dockerfile: &dockerfile::Dockerfile,
    loaded: &Loaded,
) -> Result<(Outline, Vec<String>), Diagnostic> {
    let target = around.target.or(dockerfile.stages.len().checked_sub(1));
    let subject = Subject { target, ignore: loaded.tree.ignore.as_deref(), ..around.subject(dockerfile) };
    let outline = dockerfile::outline(&subject)?;
    let options = CheckOptions::new(dockerfile, &request.build_args)?;
    let findings = dockerfile::check(&subject, &options).findings;
    if let Some(violation) = options.violation(&findings) {
        return Err(violation);
    }
    let lines = LineIndex::new(&loaded.text);
    Ok((outline, findings.iter().map(|finding| finding.summary(&lines)).collect()))
}

/// What an examination needs to know besides the Dockerfile.
struct Around {
    globals: Globals,
    target: Option<usize>,
    /// The configs of base images, by stage.
    bases: HashMap<usize, ImageConfig>,
    /// The stages whose base images are nowhere.
    absent: Vec<(usize, Diagnostic)>,
}

impl Around {
    fn subject<'a>(&'a self, dockerfile: &'a dockerfile::Dockerfile) -> Subject<'a> {
        Subject { dockerfile, globals: &self.globals, target: self.target, ignore: None, bases: &self.bases }
    }

    /// That the base image of a stage is nowhere which the target needs, or any if there is no target.
    fn absent(&self, dockerfile: &dockerfile::Dockerfile) -> Option<Diagnostic> {
        let base = |stage: &Stage| Ok(Some(self.globals.expand(&stage.base)?.0));
        let reached = self.target.map(|target| dockerfile.reachable(target, &mut { base }));
        let needed = |index: &usize| match &reached {
            Some(reached) => reached.as_ref().is_ok_and(|reached| reached.contains(index)),
            None => true,
        };
        self.absent.iter().find(|(index, _)| needed(index)).map(|(_, wrong)| wrong.clone())
    }
}

/// Whether there is no such image, or none for the platform, and not only nobody who could be asked.
fn is_absent(error: &Error) -> bool {
    match error {
        Error::NoPlatform(_) => true,
        Error::Remote(error) => error.is_not_found(),
        _ => false,
    }
}

/// What is found before any stage is looked into. Without globals, or with an error in an instruction, that is only what the text
/// says.
fn found_first(
    dockerfile: &dockerfile::Dockerfile,
    errors: &[Diagnostic],
    globals: Option<&Globals>,
    options: &CheckOptions,
) -> Vec<Finding> {
    match globals.filter(|_| dockerfile::first_met(errors).is_none_or(|first| first.phase() == Phase::Whole)) {
        Some(globals) => dockerfile::check_from(dockerfile, globals, options).findings,
        None => dockerfile::check_text(dockerfile, errors, options),
    }
}

fn located(dockerfile: &dockerfile::Dockerfile, errors: Vec<Diagnostic>) -> Vec<Diagnostic> {
    errors.into_iter().map(|wrong| dockerfile.located(wrong)).collect()
}

/// An image that a stage needs.
struct Image {
    stage: usize,
    /// It starts from it, and does not only take files from it.
    base: bool,
    /// As it is written.
    name: String,
    reference: Reference,
    /// What is said of it.
    platform: Option<Platform>,
    /// The instruction.
    span: Span,
}

/// The images that a stage needs. What is wrong with an instruction is told by others.
fn images(request: &Request, dockerfile: &dockerfile::Dockerfile, globals: &Globals, stage: &Stage) -> Vec<Image> {
    let said = stage.platform.as_ref().and_then(|word| globals.expand(word).ok());
    let platform = said.and_then(|(text, _)| text.parse::<Platform>().ok()).map(Platform::normalized);
    let mut found: Vec<Image> = Vec::new();
    if let Some(reference) = base(request, dockerfile, globals, stage) {
        let (name, _) = globals.expand(&stage.base).unwrap_or_default();
        found.push(Image { stage: stage.index, base: true, name, reference, platform, span: stage.span.clone() });
    }
    for instruction in &stage.instructions {
        for from in dockerfile.sources(stage.index, instruction).unwrap_or_default() {
            let From::Other(name) = from else { continue };
            let reference = match request.named_context(&name) {
                Some((_, Context::Image(reference))) => Some(reference),
                Some(_) => None,
                None => name.parse().ok().filter(|_| name != "scratch"),
            };
            let Some(reference) = reference.filter(|r| !found.iter().any(|known| !known.base && known.reference == *r))
            else {
                continue;
            };
            let (stage, span) = (stage.index, instruction.span.clone());
            found.push(Image { stage, base: false, name, reference, platform: None, span });
        }
    }
    found
}

/// The image that a stage starts from. `None`: another stage, nothing, or files.
fn base(request: &Request, dockerfile: &dockerfile::Dockerfile, globals: &Globals, stage: &Stage) -> Option<Reference> {
    let (base, _) = globals.expand(&stage.base).ok()?;
    let named = |name: &str| {
        let same = |known: &&(String, Context)| known.0.eq_ignore_ascii_case(name);
        request.named_contexts.iter().rev().find(same).map(|(_, context)| context)
    };
    let own = stage.name.as_ref().and_then(|name| named(&name.value));
    let parent = || dockerfile.parent(stage.index, &base).is_some();
    match own.or_else(|| named(&base).filter(|_| !parent())) {
        Some(Context::Image(reference)) => Some(reference.clone()),
        Some(_) => None,
        None if base == "scratch" || parent() => None,
        None => base.parse().ok(),
    }
}

/// The first platform that is built for, and the global scope there: what is told of a Dockerfile is told of that one.
fn first_globals(request: &Request, dockerfile: &dockerfile::Dockerfile) -> Result<(Platform, Globals), Diagnostic> {
    let platform = request.platforms.first().cloned().unwrap_or_else(Platform::host);
    let automatic = dockerfile::automatic_args(&Platform::host(), &platform, request.target.as_deref());
    Ok((platform, dockerfile.globals(automatic, &request.build_args)?))
}

/// Tells of what the rules find before any stage is looked into, so that it is told also where that fails, or where the text
/// has errors.
///
/// # Errors
/// A directive that is wrong, and in a text without errors what is wrong with the ARGs before the first FROM and with a FROM,
/// also that of a stage that the build does not need.
pub(crate) fn tell_first(
    dockerfile: &dockerfile::Dockerfile,
    wrong: &[Diagnostic],
    request: &Request,
    text: &str,
    sink: &Sink,
) -> Result<(), Diagnostic> {
    let options = CheckOptions::new(dockerfile, &request.build_args)?;
    let globals = if wrong.is_empty() { Some(first_globals(request, dockerfile)) } else { None };
    let Checked { findings, errors } = match &globals {
        Some(Ok((_, globals))) => dockerfile::check_from(dockerfile, globals, &options),
        _ => Checked { findings: dockerfile::check_text(dockerfile, wrong, &options), errors: Vec::new() },
    };
    let lines = LineIndex::new(text);
    findings.iter().for_each(|finding| warn(sink, finding.summary(&lines)));
    globals.transpose()?;
    errors.into_iter().next().map_or(Ok(()), Err)
}

/// Tells of what the rules find in a Dockerfile that is built, besides what was told first.
///
/// # Errors
/// That there is something, where `# check=error=true` says that there should not be, and a directive that is wrong.
pub(crate) fn tell(subject: &Subject<'_>, request: &Request, text: &str, sink: &Sink) -> Result<(), Diagnostic> {
    let options = CheckOptions::new(subject.dockerfile, &request.build_args)?;
    let first = dockerfile::check_from(subject.dockerfile, subject.globals, &options).findings;
    let told: HashSet<&Finding> = first.iter().collect();
    // What will fail, the build itself tells.
    let Checked { findings, .. } = dockerfile::check(subject, &options);
    let lines = LineIndex::new(text);
    let new = findings.iter().filter(|finding| !told.contains(finding));
    new.for_each(|finding| warn(sink, finding.summary(&lines)));
    options.violation(&findings).map_or(Ok(()), Err)
}

fn error(loaded: Loaded, diagnostics: Vec<Diagnostic>) -> Error {
    Error::Dockerfile { name: loaded.name, text: loaded.text, diagnostics }
}
