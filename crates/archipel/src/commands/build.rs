//! `archipel build`: docker's `buildx build`.

use std::path::{Path, PathBuf};

use archipel_build::{CacheLocation, Request};
use archipel_oci::{Platform, Reference};

use super::builders::Builders;
use super::shared;
use crate::environment::Environment;
use crate::errors::{Error, status};
use crate::flags::{attestation, cache, request, value};
use crate::render::checks::Warnings;
use crate::render::{self, Progress, View, plan, result};

/// Build an image from a Dockerfile, for one platform or many at once.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The folder to copy files from; `-` for a tar or a Dockerfile on standard input; or a URL
    #[arg(value_name = "CONTEXT")]
    pub(crate) context: String,
    /// Name of the result, again for each further name
    #[arg(short, long = "tag", value_name = "NAME[:TAG]")]
    pub(crate) tag: Vec<Reference>,
    /// The Dockerfile; `-` for standard input [default: CONTEXT/Dockerfile]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) file: Option<String>,
    /// Platforms to build for, such as linux/amd64,linux/arm64 [default: this machine's]
    #[arg(long, value_delimiter = ',', value_parser = value::platform, value_name = "PLATFORM,..")]
    pub(crate) platform: Vec<Platform>,
    /// Value of an ARG; a key alone takes its value from the environment
    #[arg(long, value_name = "KEY[=VALUE]")]
    pub(crate) build_arg: Vec<String>,
    /// The stage to build [default: the last]
    #[arg(long, value_name = "STAGE")]
    pub(crate) target: Option<String>,
    /// Push the result to the registries of its names
    #[arg(long)]
    pub(crate) push: bool,
    /// Keep the result in the store, as happens anyway without --push and --output
    #[arg(long)]
    pub(crate) load: bool,
    /// What to do with the result: a folder, `-`, or type=local|tar|oci|docker|image|registry|cacheonly[,dest=..]
    #[arg(short, long, value_name = "OUTPUT")]
    pub(crate) output: Vec<String>,
    /// Run every step again
    #[arg(long)]
    pub(crate) no_cache: bool,
    /// Run the steps of these stages again
    #[arg(long, value_delimiter = ',', value_name = "STAGE,..")]
    pub(crate) no_cache_filter: Vec<String>,
    /// Ask registries for newer base images
    #[arg(long)]
    pub(crate) pull: bool,
    /// Label of the image
    #[arg(long, value_parser = value::pair, value_name = "KEY=VALUE")]
    pub(crate) label: Vec<(String, String)>,
    /// Annotation of the manifest, or with a prefix such as `index:` of something else
    #[arg(long, value_parser = value::whole_pair, value_name = "KEY=VALUE")]
    pub(crate) annotation: Vec<(String, String)>,
    /// Secret for RUN --mount=type=secret: id=NAME,src=FILE or id=NAME,env=VARIABLE
    #[arg(long, value_name = "SECRET")]
    pub(crate) secret: Vec<String>,
    /// Agent or keys for RUN --mount=type=ssh: default, ID=SOCKET or ID=KEYFILE
    #[arg(long, value_name = "ID[=PATH]")]
    pub(crate) ssh: Vec<String>,
    /// Another tree or image for COPY --from and FROM
    #[arg(long, value_name = "NAME=CONTEXT")]
    pub(crate) build_context: Vec<String>,
    /// Network of RUN steps
    #[arg(long, value_parser = ["default", "host", "none"], value_name = "MODE")]
    pub(crate) network: Option<String>,
    /// Entry of /etc/hosts during RUN
    #[arg(long, value_parser = value::host, value_name = "NAME:ADDRESS")]
    pub(crate) add_host: Vec<(String, String)>,
    /// Size of /dev/shm during RUN
    #[arg(long, value_parser = value::size, value_name = "BYTES")]
    pub(crate) shm_size: Option<u64>,
    /// Resource limit of RUN steps
    #[arg(long, value_parser = value::ulimit, value_name = "NAME=SOFT[:HARD]")]
    pub(crate) ulimit: Vec<(String, u64, u64)>,
    /// What RUN steps may ask for beyond the usual
    #[arg(long, value_parser = value::entitlements, value_name = "ENTITLEMENT")]
    pub(crate) allow: Vec<value::Entitlements>,
    /// How to show what happens
    #[arg(long, value_enum, default_value = "auto", value_name = "FORM")]
    pub(crate) progress: Progress,
    /// Show nothing but errors, and print the image's id
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Write what was built to this file, as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) metadata_file: Option<PathBuf>,
    /// Write the image's id to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) iidfile: Option<PathBuf>,
    /// How many steps run at once [default: one per processor]
    #[arg(long, default_value_t = 0, hide_default_value = true, value_name = "N")]
    pub(crate) jobs: usize,
    /// Do not build: check the Dockerfile, or list its stages or arguments
    #[arg(
        long,
        alias = "print",
        value_name = "build|check|outline|targets[,format=json]",
        default_value = "build",
        hide_default_value = true
    )]
    pub(crate) call: String,
    /// Do not build: print the steps, where and how each would run, and what its cache key depends on
    #[arg(long, num_args = 0..=1, default_missing_value = "text", require_equals = true, value_enum, value_name = "text|json")]
    pub(crate) explain: Option<shared::Format>,
    /// Short for --call=check
    #[arg(long)]
    pub(crate) check: bool,
    /// The builder: one of those that `docker buildx ls` shows
    #[arg(long, hide = true, value_name = "NAME")]
    pub(crate) builder: Option<String>,
    /// Remove the containers of steps, as happens anyway
    #[arg(long, hide = true)]
    pub(crate) rm: bool,
    /// Remove them after a failure too, as happens anyway
    #[arg(long, hide = true)]
    pub(crate) force_rm: bool,
    /// Attest how the image was made: true, false, or mode=min|max,version=v1|v0.2,builder-id=ID
    #[arg(long, value_parser = attestation::provenance, value_name = "WISH")]
    pub(crate) provenance: Vec<attestation::Wish>,
    /// List what is in the image (SBOM): true, false, or generator=IMAGE
    #[arg(long, value_parser = attestation::sbom, value_name = "WISH")]
    pub(crate) sbom: Vec<attestation::Wish>,
    /// The same as --provenance and --sbom: type=provenance,mode=.. or type=sbom,generator=..
    #[arg(long, value_parser = attestation::attest, value_name = "TYPE")]
    pub(crate) attest: Vec<attestation::Wish>,
    /// Cache to look for steps in: an image or cache REGISTRY/NAME:TAG, or type=local,src=FOLDER
    #[arg(long, value_parser = cache::import, value_name = "CACHE")]
    pub(crate) cache_from: Vec<CacheLocation>,
    /// Cache to write steps to: type=registry,ref=..[,mode=max], type=local,dest=FOLDER[,mode=max], or type=inline
    #[arg(long, value_parser = cache::export, value_name = "CACHE")]
    pub(crate) cache_to: Vec<cache::CacheTo>,
}

impl Args {
    /// Whether steps run at all.
    pub(crate) fn builds(&self) -> bool {
        !self.check && self.call == "build"
    }

    /// Whether programs run: steps, or a frontend, which answers `--call` too. Which text it is must be looked at before anything else,
    /// for a namespace is entered before that; a text that is not here may be anybody's.
    pub(crate) fn runs_programs(&self) -> bool {
        if self.builds() || self.build_arg.iter().any(|arg| arg.starts_with("BUILDKIT_SYNTAX")) {
            return true;
        }
        // What is no file, a pipe for instance, can be read once only, and not here.
        let read = |path: PathBuf| path.is_file().then(|| std::fs::read_to_string(path).ok()).flatten();
        let text = match self.file.as_deref() {
            Some(path) => read(path.into()),
            None => ["Dockerfile", "dockerfile"].iter().find_map(|name| read(Path::new(&self.context).join(name))),
        };
        text.is_none_or(|text| archipel_build::names_frontend(&text))
    }
}

/// Builds, shows, and writes down what was built.
pub(super) fn run(args: Args, environment: &Environment) -> Result<u8, Error> {
    Builders::read(environment)?.check(args.builder.as_deref().or(environment.builder()))?;
    if !args.builds() {
        return super::call::run(&args, environment);
    }
    let resolved = request::resolve(&args, environment)?;
    let request = &resolved.request;
    if let Some(format) = args.explain {
        return explain(request, format, environment);
    }
    let progress = if args.quiet { Progress::Quiet } else { environment.progress(args.progress)? };
    let view = View::new(progress, request.platforms.len(), environment);
    let warnings = Warnings::default();
    let sink = warnings.listen(view.sink());
    let built = shared::on_engine(environment, |engine| async move { engine.build(request, &sink).await });
    view.finish(built.as_ref().ok());
    warnings.finish(progress);
    let built = built?;
    let id = result::image_id(&built);
    if let Some(path) = &args.metadata_file {
        shared::write_whole(path, format!("{:#}\n", built.metadata).as_bytes())?;
    }
    if let (Some(path), Some(id)) = (&args.iidfile, &id) {
        shared::write_whole(path, id.as_bytes())?;
    }
    if let (true, Some(id)) = (args.quiet, id) {
        render::print(&format!("{id}\n"))?;
    }
    Ok(status::OK)
}

/// Says what would be done.
fn explain(request: &Request, format: shared::Format, environment: &Environment) -> Result<u8, Error> {
    let steps = shared::on_engine_shown(environment, Progress::Quiet, |engine, sink| async move {
        engine.explain(request, &sink).await
    })?;
    let shown = match format {
        shared::Format::Text => plan::explained(&steps, request.platforms.len()),
        shared::Format::Json => shared::json(&steps),
    };
    render::print(&shown).map(|()| status::OK)
}
