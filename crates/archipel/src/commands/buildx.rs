//! `docker buildx`.

use std::time::{SystemTime, UNIX_EPOCH};

use archipel_oci::Platform;
use clap::Subcommand;
use serde_json::{Value, json};

use super::builders::{Builder, Builders};
use super::{Command as Plain, bake, build, du, imagetools, prune, shared};
use crate::environment::Environment;
use crate::errors::{Error, status};
use crate::flags::{csv, value};
use crate::render::{self, diagnostic, table, template};
use crate::surface::{BUILDKIT_VERSION, BUILDX_VERSION, Surface};

/// Docker's builder
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The builder to use
    #[arg(long, global = true, value_name = "NAME")]
    builder: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    #[command(visible_alias = "b")]
    Build(Box<build::Args>),
    #[command(visible_alias = "f")]
    Bake(Box<bake::Args>),
    Create(Create),
    Use(Use),
    Ls(Ls),
    Inspect(Inspect),
    Rm(Rm),
    Stop(Stop),
    /// Show the version
    Version,
    /// Look at images in registries, and put them together
    #[command(subcommand)]
    Imagetools(imagetools::Command),
    Du(du::Args),
    Prune(prune::Args),
}

/// Make a name for a builder. All builders are this program.
#[derive(Debug, clap::Args)]
struct Create {
    /// Docker's context or endpoint; nobody is asked there
    #[arg(value_name = "ENDPOINT")]
    endpoint: Option<String>,
    /// Name of the builder [default: the next of builder0, builder1, ...]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Kind of the builder
    #[arg(long, value_parser = ["docker-container", "docker"], default_value = "docker-container", value_name = "DRIVER")]
    driver: String,
    /// Options of the driver: network=host, image=NAME
    #[arg(long, value_name = "KEY=VALUE,..")]
    driver_opt: Vec<String>,
    /// Flags for BuildKit: --allow-insecure-entitlement
    #[arg(long, alias = "buildkitd-flags", allow_hyphen_values = true, value_name = "FLAGS")]
    buildkitd_flags: Option<String>,
    /// Platforms to name first
    #[arg(long, value_delimiter = ',', value_parser = value::platform, value_name = "PLATFORM,..")]
    platform: Vec<Platform>,
    /// Start it, which there is nothing to do for
    #[arg(long)]
    bootstrap: bool,
    /// Use it from now on
    #[arg(long = "use")]
    use_it: bool,
}

/// Use a builder from now on
#[derive(Debug, clap::Args)]
struct Use {
    /// The builder
    #[arg(value_name = "NAME")]
    name: String,
    /// For every context, of which there is one
    #[arg(long)]
    global: bool,
    /// Keep it as the default of this context
    #[arg(long)]
    default: bool,
}

/// List the builders
#[derive(Debug, clap::Args)]
struct Ls {
    /// Form: table, json, or a template such as '{{.Name}}'
    #[arg(long, default_value = "table", value_name = "FORM")]
    format: String,
    /// Show all platforms, as happens anyway
    #[arg(long, hide = true)]
    no_trunc: bool,
}

/// Show a builder
#[derive(Debug, clap::Args)]
struct Inspect {
    /// The builder [default: the one in use]
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// Start it, which there is nothing to do for
    #[arg(long)]
    bootstrap: bool,
}

/// Remove builders
#[derive(Debug, clap::Args)]
struct Rm {
    /// The builders [default: the one in use]
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Remove all builders; none is ever active while another command runs
    #[arg(long)]
    all_inactive: bool,
    /// Do not ask, as happens anyway
    #[arg(short, long)]
    force: bool,
}

/// Stop a builder, which there is nothing to do for
#[derive(Debug, clap::Args)]
struct Stop {
    /// The builder [default: the one in use]
    #[arg(value_name = "NAME")]
    name: Option<String>,
}

impl Args {
    /// The command itself, where it is one that has a shorter name.
    pub(super) fn plain(self) -> Plain {
        match self.command {
            Command::Build(mut args) => {
                args.builder = args.builder.or(self.builder);
                Plain::Build(args)
            }
            Command::Bake(mut args) => {
                args.builder = args.builder.or(self.builder);
                Plain::Bake(args)
            }
            Command::Du(args) => Plain::Du(args),
            Command::Prune(args) => Plain::Prune(args),
            _ => Plain::Buildx(self),
        }
    }
}

/// Does it.
pub(super) fn run(args: Args, surface: Surface, environment: &Environment) -> Result<u8, Error> {
    let mut builders = Builders::read(environment)?;
    let named = args.builder.as_deref().or(environment.builder());
    builders.check(named)?;
    let meant = |name: Option<&str>, builders: &Builders| name.or(named).unwrap_or(builders.current()).to_owned();
    match args.command {
        Command::Create(create) => make(create, &mut builders)?,
        Command::Use(chosen) => {
            builders.choose(&chosen.name)?;
            builders.write()?;
        }
        Command::Ls(ls) => {
            let platforms = platforms(environment)?;
            let current = named.unwrap_or(builders.current());
            render::print(&match ls.format.as_str() {
                "table" => list(&builders, current, &platforms)?,
                format => {
                    let values = values(&builders, current, &platforms)?;
                    let format = if format == "json" { "{{json .}}" } else { format };
                    template::rows(format, &values).map_err(Error::Usage)?
                }
            })?;
        }
        Command::Inspect(inspect) => {
            let builder = builders.get(&meant(inspect.name.as_deref(), &builders))?;
            render::print(&describe(&builder, &platforms(environment)?))?;
        }
        Command::Rm(rm) => remove(rm, &mut builders, named)?,
        Command::Stop(stop) => drop(builders.get(&meant(stop.name.as_deref(), &builders))?),
        Command::Version => {
            let version = env!("CARGO_PKG_VERSION");
            render::print(&format!("archipel/buildx {BUILDX_VERSION} archipel-{version}\n"))?;
        }
        Command::Imagetools(command) => return imagetools::run(command, environment),
        // Those that have a shorter name.
        command @ (Command::Build(_) | Command::Bake(_) | Command::Du(_) | Command::Prune(_)) => {
            return Args { command, ..args }.plain().run(surface, environment);
        }
    }
    Ok(status::OK)
}

fn make(create: Create, builders: &mut Builders) -> Result<(), Error> {
    for text in &create.driver_opt {
        for (key, value) in csv::pairs(text).map_err(|e| Error::Usage(format!("--driver-opt {text}: {e}")))? {
            match (key.as_str(), value.as_deref()) {
                // Steps share the machine's network in any case.
                ("network", Some("host")) => {}
                ("image", Some(image)) => diagnostic::warn(&format!(
                    "builds run in this program and not in a container of {image}, which is not used"
                )),
                _ => return Err(Error::Usage(format!("--driver-opt {text}: `{key}` is not supported"))),
            }
        }
    }
    for flag in create.buildkitd_flags.iter().flat_map(|flags| flags.split_whitespace()) {
        // What a build may do is said by its own --allow.
        let known = ["--allow-insecure-entitlement", "network.host", "security.insecure", "device"];
        if !known.contains(&flag.split('=').next().unwrap_or(flag)) {
            return Err(Error::Usage(format!("--buildkitd-flags: `{flag}` is not supported")));
        }
    }
    if let Some(endpoint) = create.endpoint.filter(|endpoint| endpoint != "default") {
        diagnostic::warn(&format!("builds run on this machine; `{endpoint}` is not asked"));
    }
    let name = create.name.unwrap_or_else(|| builders.free_name());
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    if !starts_well || !name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.')) {
        return Err(Error::Usage(format!("`{name}` is no name for a builder: letters, digits, `.`, `_` and `-`")));
    }
    let created = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    builders.add(Builder {
        name: name.clone(),
        driver: create.driver,
        platforms: create.platform.iter().map(ToString::to_string).collect(),
        created: i64::try_from(created).unwrap_or(0),
    })?;
    if create.use_it {
        builders.choose(&name)?;
    }
    builders.write()?;
    render::print(&format!("{name}\n"))
}

fn remove(rm: Rm, builders: &mut Builders, named: Option<&str>) -> Result<(), Error> {
    let names = match (rm.all_inactive, rm.names.is_empty()) {
        (true, _) => builders.all().iter().map(|builder| builder.name.clone()).collect(),
        (false, true) => vec![named.unwrap_or(builders.current()).to_owned()],
        (false, false) => rm.names,
    };
    for name in names {
        builders.remove(&name)?;
        builders.write()?;
        render::print(&format!("{name} removed\n"))?;
    }
    Ok(())
}

/// What this machine builds for: its own platforms first.
fn platforms(environment: &Environment) -> Result<Vec<String>, Error> {
    let probe = shared::probe(environment)?;
    let mut all = vec![];
    for (architecture, _) in &probe.architectures {
        all.push(Platform::new("linux", architecture, None).to_string());
        if architecture == "arm" {
            all.push("linux/arm/v6".into());
        }
    }
    Ok(all)
}

fn of(builder: &Builder, platforms: &[String]) -> String {
    let first = builder.platforms.iter().map(|platform| format!("{platform}*"));
    let rest = platforms.iter().filter(|platform| !builder.platforms.contains(platform)).cloned();
    first.chain(rest).collect::<Vec<_>>().join(", ")
}

/// What docker's templates see.
fn values(builders: &Builders, current: &str, platforms: &[String]) -> Result<Vec<Value>, Error> {
    let value = |builder: &Builder| {
        json!({
            "Name": builder.name, "Driver": builder.driver, "Current": builder.name == current, "Dynamic": false,
            "DriverEndpoint": "archipel", "Status": "running", "Buildkit": BUILDKIT_VERSION,
            "Platforms": of(builder, platforms),
        })
    };
    let default = builders.get(super::builders::DEFAULT)?;
    Ok(std::iter::once(&default).chain(builders.all()).map(value).collect())
}

fn list(builders: &Builders, current: &str, platforms: &[String]) -> Result<String, Error> {
    let mut rows = vec![];
    for builder in std::iter::once(builders.get(super::builders::DEFAULT)?).chain(builders.all().iter().cloned()) {
        let mark = if builder.name == current { "*" } else { "" };
        rows.push([
            format!("{}{mark}", builder.name),
            builder.driver.clone(),
            String::new(),
            String::new(),
            String::new(),
        ]);
        rows.push([
            format!(" \\_ {}0", builder.name),
            " \\_ archipel".into(),
            "running".into(),
            BUILDKIT_VERSION.into(),
            of(&builder, platforms),
        ]);
    }
    Ok(table::columns(["NAME/NODE", "DRIVER/ENDPOINT", "STATUS", "BUILDKIT", "PLATFORMS"], &rows))
}

fn describe(builder: &Builder, platforms: &[String]) -> String {
    let Builder { name, driver, created, .. } = builder;
    let made = jiff::Timestamp::from_second(*created).ok().filter(|_| *created > 0);
    let made = made.map_or_else(String::new, |time| format!("Created:       {time}\n"));
    format!(
        "Name:          {name}\nDriver:        {driver}\n{made}\nNodes:\nName:             {name}0\nEndpoint:         archipel\n\
         Status:           running\nBuildKit version: {BUILDKIT_VERSION}\nPlatforms:        {}\n",
        of(builder, platforms)
    )
}
