//! The commands: one file each, with its arguments and a function that makes one call to a library. This table is the only
//! one: what docker calls the same thing is the same entry under another name.

use clap::Subcommand;

use crate::environment::Environment;
use crate::errors::Error;
use crate::surface::Surface;

mod attested;
mod bake;
mod build;
mod builders;
mod buildx;
mod call;
mod ci;
mod copy;
mod doctor;
mod du;
mod embedded;
mod groups;
mod history;
mod images;
mod imagetools;
mod index;
mod info;
mod inspect;
mod lists;
mod load;
mod login;
mod logout;
mod machine;
mod manifest;
mod object;
mod pipelines;
mod place;
mod prune;
mod pull;
mod push;
mod registry;
mod rmi;
mod run;
mod save;
mod shared;
mod tag;
mod version;

pub(crate) use bake::Args as BakeArgs;
pub(crate) use build::Args as BuildArgs;
pub(crate) use run::{Args as RunArgs, Pull as RunPull};

/// Everything that `archipel` does.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Build(Box<build::Args>),
    Bake(Box<bake::Args>),
    Run(Box<run::Args>),
    Pull(pull::Args),
    Push(push::Args),
    Copy(copy::Args),
    Images(images::Args),
    Inspect(inspect::Args),
    History(history::Args),
    Tag(tag::Args),
    Rmi(rmi::Args),
    Save(save::Args),
    Load(load::Args),
    /// Put images for several platforms under one name, at a registry
    #[command(subcommand)]
    Index(index::Command),
    Login(login::Args),
    Logout(logout::Args),
    Registry(registry::Args),
    /// Run the pipeline of a .gitlab-ci.yml
    #[command(subcommand)]
    Ci(ci::Command),
    Du(du::Args),
    Prune(prune::Args),
    Info(info::Args),
    Doctor(doctor::Args),
    Version(version::Args),
    #[command(hide = true)]
    Buildx(buildx::Args),
    /// Docker's way to put images for several platforms under one name
    #[command(subcommand, hide = true)]
    Manifest(manifest::Command),
    /// The same commands under docker's longer names
    #[command(subcommand, hide = true)]
    Image(groups::Image),
    /// The same commands under docker's longer names
    #[command(subcommand, hide = true)]
    Container(groups::Container),
    /// The same commands under docker's longer names
    #[command(subcommand, hide = true)]
    System(groups::System),
    /// The same commands under docker's longer names
    #[command(subcommand, hide = true)]
    Builder(groups::Builder),
}

/// What docker has of this table.
pub(crate) const OF_DOCKER: &[&str] = &[
    "bake",
    "build",
    "builder",
    "buildx",
    "container",
    "history",
    "image",
    "images",
    "info",
    "inspect",
    "load",
    "login",
    "logout",
    "manifest",
    "pull",
    "push",
    "rmi",
    "run",
    "save",
    "system",
    "tag",
    "version",
];

impl Command {
    /// The command itself where it was called by a longer name.
    pub(crate) fn plain(self) -> Self {
        match self {
            Self::Buildx(args) => args.plain(),
            Self::Image(command) => command.into(),
            Self::Container(command) => command.into(),
            Self::System(command) => command.into(),
            Self::Builder(command) => command.into(),
            other => other,
        }
    }

    /// Whether it reads or writes files that belong to other users of an image, and so needs their ids.
    pub(crate) fn touches_root_filesystems(&self) -> bool {
        match self {
            Self::Build(args) => args.runs_programs(),
            Self::Bake(args) => args.runs_programs(),
            Self::Ci(command) => command.runs(),
            Self::Run(_) | Self::Prune(_) | Self::Du(_) | Self::Load(_) => true,
            _ => false,
        }
    }

    /// Whether the exit status is a container's.
    pub(crate) fn runs_a_container(&self) -> bool {
        matches!(self, Self::Run(_))
    }

    /// Does it; the exit status.
    pub(crate) fn run(self, surface: Surface, environment: &Environment) -> Result<u8, Error> {
        match self {
            Self::Build(args) => build::run(*args, environment),
            Self::Bake(args) => bake::run(&args, environment),
            Self::Run(args) => run::run(*args, environment),
            Self::Pull(args) => pull::run(args, environment),
            Self::Push(args) => push::run(args, environment),
            Self::Copy(args) => copy::run(args, environment),
            Self::Images(args) => images::run(&args, environment),
            Self::Inspect(args) => inspect::run(&args, surface, environment),
            Self::History(args) => history::run(&args, environment),
            Self::Tag(args) => tag::run(&args, environment),
            Self::Rmi(args) => rmi::run(&args, environment),
            Self::Save(args) => save::run(args, environment),
            Self::Load(args) => load::run(args, environment),
            Self::Index(command) => index::run(command, environment),
            Self::Login(args) => login::run(args, environment),
            Self::Logout(args) => logout::run(&args, environment),
            Self::Registry(args) => registry::run(args),
            Self::Ci(command) => ci::run(command, environment),
            Self::Du(args) => du::run(&args, environment),
            Self::Prune(args) => prune::run(&args, environment),
            Self::Info(args) => info::run(&args, surface, environment),
            Self::Doctor(args) => doctor::run(&args, environment),
            Self::Version(args) => version::run(&args, surface),
            Self::Buildx(args) => buildx::run(args, surface, environment),
            Self::Manifest(command) => manifest::run(command, environment),
            Self::Image(command) => Self::from(command).run(surface, environment),
            Self::Container(command) => Self::from(command).run(surface, environment),
            Self::System(command) => Self::from(command).run(surface, environment),
            Self::Builder(command) => Self::from(command).run(surface, environment),
        }
    }
}
