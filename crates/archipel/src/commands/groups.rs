//! Docker's second names for its commands: `docker image ls`, `docker system df`.

use clap::Subcommand;

use super::{Command, build, du, history, images, info, inspect, load, prune, pull, push, rmi, run, save, tag};

/// `docker image`.
#[derive(Debug, Subcommand)]
pub(crate) enum Image {
    Build(Box<build::Args>),
    #[command(visible_alias = "list")]
    Ls(images::Args),
    Inspect(inspect::Args),
    History(history::Args),
    Pull(pull::Args),
    Push(push::Args),
    #[command(visible_alias = "remove")]
    Rm(rmi::Args),
    Save(save::Args),
    Load(load::Args),
    Tag(tag::Args),
}

/// `docker container`.
#[derive(Debug, Subcommand)]
pub(crate) enum Container {
    Run(Box<run::Args>),
}

/// `docker system`.
#[derive(Debug, Subcommand)]
pub(crate) enum System {
    Df(du::Args),
    Info(info::Args),
    Prune(prune::Args),
}

/// `docker builder`.
#[derive(Debug, Subcommand)]
pub(crate) enum Builder {
    Build(Box<build::Args>),
    Prune(prune::Args),
}

impl From<Image> for Command {
    fn from(command: Image) -> Self {
        match command {
            Image::Build(args) => Self::Build(args),
            Image::Ls(args) => Self::Images(args),
            Image::Inspect(args) => Self::Inspect(args),
            Image::History(args) => Self::History(args),
            Image::Pull(args) => Self::Pull(args),
            Image::Push(args) => Self::Push(args),
            Image::Rm(args) => Self::Rmi(args),
            Image::Save(args) => Self::Save(args),
            Image::Load(args) => Self::Load(args),
            Image::Tag(args) => Self::Tag(args),
        }
    }
}

impl From<Container> for Command {
    fn from(Container::Run(args): Container) -> Self {
        Self::Run(args)
    }
}

impl From<System> for Command {
    fn from(command: System) -> Self {
        match command {
            System::Df(args) => Self::Du(args),
            System::Info(args) => Self::Info(args),
            System::Prune(args) => Self::Prune(args),
        }
    }
}

impl From<Builder> for Command {
    fn from(command: Builder) -> Self {
        match command {
            Builder::Build(args) => Self::Build(args),
            Builder::Prune(args) => Self::Prune(args),
        }
    }
}
