//! `archipel ci`: pipelines of `.gitlab-ci.yml` on this machine.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use archipel_ci::predefined::{REGISTRY, REGISTRY_PASSWORD, REGISTRY_USER};
use archipel_ci::run::{CancellationToken, Request};
use archipel_ci::{Given, Plan, Project, Registry, RegistryLogin, Variable, secret};

use super::embedded::Embedded;
use super::pipelines::Kept;
use super::shared;
use crate::environment::Environment;
use crate::errors::{Error, status};
use crate::flags::value;
use crate::render::{self, diagnostic, pipeline};
use crate::runtime;

/// Run the pipeline of a .gitlab-ci.yml
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    Run(Box<Run>),
    List(Plannable),
    Lint(Where),
    Preview(Plannable),
}

/// Where the pipeline is.
#[derive(Debug, clap::Args)]
pub(crate) struct Where {
    /// Folder in the repository
    #[arg(default_value = ".", value_name = "FOLDER")]
    folder: PathBuf,
    /// The pipeline's file, from the root of the repository
    #[arg(short, long, default_value = archipel_ci::FILE, value_name = "FILE")]
    file: String,
}

/// What it is planned with.
#[derive(Debug, clap::Args)]
pub(crate) struct Plannable {
    #[command(flatten)]
    place: Where,
    /// Variable, over those of the file
    #[arg(long, value_parser = value::pair, value_name = "NAME=VALUE")]
    variable: Vec<(String, String)>,
    /// File of variables, NAME=VALUE per line, whose values never show; nobody else may be able to read it
    #[arg(long, value_name = "FILE")]
    masked_variable_file: Vec<PathBuf>,
    /// Registry that $CI_REGISTRY names, with the login that is stored for it [default: one that runs as long as the pipeline]
    #[arg(long, value_name = "HOST[:PORT]")]
    registry: Option<String>,
    /// What $CI_PIPELINE_SOURCE says
    #[arg(long, default_value = "push", value_name = "SOURCE")]
    source: String,
}

/// Run the pipeline for the commit that is checked out, with the files as they are
#[derive(Debug, clap::Args)]
pub(crate) struct Run {
    #[command(flatten)]
    plannable: Plannable,
    /// Manual job to run; may be given several times
    #[arg(long, value_name = "JOB")]
    play: Vec<String>,
    /// How many jobs run at once [default: one for each processor]
    #[arg(short, long, value_name = "N")]
    jobs: Option<usize>,
    /// Image of jobs that name none
    #[arg(long, value_name = "IMAGE")]
    image: Option<String>,
    /// Image to take in place of another
    #[arg(long, value_parser = value::pair, value_name = "FROM=TO")]
    image_map: Vec<(String, String)>,
    /// Entry of /etc/hosts in jobs
    #[arg(long, value_parser = value::host, value_name = "NAME:ADDRESS")]
    add_host: Vec<(String, String)>,
    /// Certificates in PEM that jobs trust beside those of their image
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
}

impl Command {
    /// Whether it makes containers.
    pub(crate) fn runs(&self) -> bool {
        matches!(self, Self::Run(_))
    }
}

/// Does it.
pub(super) fn run(command: Command, environment: &Environment) -> Result<u8, Error> {
    let place = match &command {
        Command::Run(run) => &run.plannable.place,
        Command::List(args) | Command::Preview(args) => &args.place,
        Command::Lint(place) => place,
    };
    let project = match Project::load(Path::new("git"), &place.folder, &place.file) {
        Ok(project) => project,
        Err(error) => return told(error, environment),
    };
    pipeline::findings(&project.sources, &project.warnings, environment);
    let planned = |args: &Plannable, show: fn(&Plan, &[String]) -> String| {
        let (mut given, secrets) = runtime::block_on(args.given(&project, environment))?;
        // A run has a registry of its own then, and rules may ask for it.
        given.registry.get_or_insert_with(Embedded::placeholder);
        match project.plan(&given) {
            Ok(plan) => render::print(&show(&plan, &secrets)).map(|()| status::OK),
            Err(error) => told(error, environment),
        }
    };
    match &command {
        Command::Lint(_) => render::print("the pipeline is in order\n").map(|()| status::OK),
        Command::List(args) => planned(args, |plan, _| pipeline::list(plan)),
        Command::Preview(args) => planned(args, pipeline::preview),
        Command::Run(run) => execute(&project, run, environment),
    }
}

/// Shows what is wrong with a pipeline where it is.
fn told(error: archipel_ci::Error, environment: &Environment) -> Result<u8, Error> {
    match error {
        archipel_ci::Error::Invalid { sources, diagnostics } => {
            pipeline::findings(&sources, &diagnostics, environment);
            Ok(status::FAILED)
        }
        other => Err(Error::Usage(other.to_string())),
    }
}

impl Plannable {
    /// What the person gives, and the values that never show. There is a registry if they name one.
    async fn given(&self, project: &Project, environment: &Environment) -> Result<(Given, Vec<String>), Error> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
        let mut variables = Vec::new();
        for file in &self.masked_variable_file {
            variables.extend(secret::read(file).map_err(|e| Error::Usage(e.to_string()))?);
        }
        let mut secrets: Vec<String> = variables.iter().map(|variable: &Variable| variable.value.clone()).collect();
        variables.extend(self.variable.iter().map(|(name, value)| Variable::new(name, value)));
        // Who gives the variable alone means a registry of their own just as much.
        let variable = variables.iter().rev().find(|variable| variable.name == REGISTRY);
        let registry = match self.registry.as_ref().or(variable.map(|variable| &variable.value)) {
            Some(host) => Some(named(host, &project.repository.path, &variables, environment).await?),
            None => None,
        };
        secrets.extend(registry.iter().filter_map(password));
        Ok((Given { source: self.source.clone(), id: now, registry, variables }, secrets))
    }
}

fn execute(project: &Project, run: &Run, environment: &Environment) -> Result<u8, Error> {
    let kept = Kept::of(environment)?;
    let program = std::env::current_exe().map_err(Error::io("the path of this program"))?;
    let ca = run.ca_file.as_ref().map(|file| std::fs::read(file).map_err(Error::io(file.display().to_string())));
    let prepared = project.request(program, kept.caches, kept.stores);
    let prepared = prepared.map_err(|e| Error::Usage(e.to_string()))?;
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let mut request = Request {
        play: run.play.clone(),
        parallel: run.jobs.unwrap_or(cpus),
        image: run.image.clone(),
        image_map: run.image_map.clone(),
        add_hosts: run.add_host.clone(),
        ca: ca.transpose()?,
        registries: environment.registries_of_jobs()?,
        colours: environment.colours(std::io::stdout()),
        ..prepared
    };
    let engine = shared::engine(environment)?;
    let cancel = CancellationToken::new();
    let (stop, stop_engine) = (cancel.clone(), engine.clone());
    let work = async move {
        let (mut given, secrets) = run.plannable.given(project, environment).await?;
        request.secrets = secrets;
        let embedded = match given.registry {
            Some(_) => None,
            None => Some(Embedded::start(&kept.registry).await?),
        };
        if let Some(Embedded { registry, .. }) = &embedded {
            request.secrets.extend(password(registry));
            given.registry = Some(registry.clone());
        }
        let plan: Plan = match project.plan(&given) {
            Ok(plan) => plan,
            Err(error) => return told(error, environment),
        };
        let view = Arc::new(pipeline::Log::new(std::io::stdout(), plan.jobs.len(), environment));
        let (shown, begun) = (view.clone(), std::time::Instant::now());
        let summary =
            archipel_ci::run::run(&engine, &plan, request, &cancel, &(Arc::new(move |event| shown.event(event)) as _))
                .await;
        view.summary(&summary, begun.elapsed());
        if let Some(embedded) = embedded {
            view.line(&format!("what was pushed stays: archipel registry serve --root {}", embedded.root.display()));
            embedded.stop().await?;
        }
        if summary.cancelled() {
            return Err(Error::Interrupted);
        }
        let succeeded = summary.succeeded();
        // The first job that failed of the machine or a registry says how the whole ends.
        let cause =
            summary.jobs.into_iter().filter(|job| job.state == archipel_ci::State::Failed).find_map(|job| job.cause);
        Ok(match (succeeded, cause) {
            (true, _) => status::OK,
            (false, Some(cause)) => Error::from(cause).status(),
            (false, None) => status::FAILED,
        })
    };
    runtime::block_on_telling(work, move || {
        stop.cancel();
        stop_engine.cancel();
    })
}

fn password(registry: &Registry) -> Option<String> {
    registry.login.as_ref().map(|login| login.password.clone())
}

/// The registry that the person names, with what jobs log in with: what the person gives as variables goes before what is stored.
async fn named(host: &str, project: &str, given: &[Variable], environment: &Environment) -> Result<Registry, Error> {
    let host = shared::registry_name(Some(host))?;
    let missing: Vec<&str> =
        [REGISTRY_USER, REGISTRY_PASSWORD].into_iter().filter(|name| given.iter().all(|v| v.name != *name)).collect();
    // Who gives half of a login means another one than the stored.
    let stored = match missing.len() {
        2 => environment.credentials()?.lookup(&host, &project.to_lowercase()).await?,
        _ => None,
    };
    let login = stored.map(|credential| {
        let (user, secret) = credential.into_pair();
        RegistryLogin { user, password: secret.expose().to_owned() }
    });
    if login.is_none() && !missing.is_empty() {
        diagnostic::warn(&format!(
            "jobs have no {}: it was not given, and no login for {host} is stored. `archipel login {host}` stores one; or give \
             {REGISTRY_USER} with --variable and {REGISTRY_PASSWORD} in a --masked-variable-file",
            missing.join(" and no ")
        ));
    }
    Ok(Registry { host, login })
}
