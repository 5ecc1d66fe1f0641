//! `archipel index`: images for several platforms under one name.

use std::collections::BTreeMap;

use archipel_build::{Engine, NewIndex};
use archipel_oci::{Digest, Platform, Reference, is_attestation};
use clap::Subcommand;

use super::{imagetools, shared};
use crate::environment::Environment;
use crate::errors::{Error, status};
use crate::flags::value;
use crate::render::{self, Progress};

/// What can be done with an index.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Create(Create),
    Inspect(imagetools::Inspect),
    Add(Add),
    Remove(Remove),
}

/// Put images under a name. A source that is an index brings all its members, with their attestations
#[derive(Debug, clap::Args)]
pub(crate) struct Create {
    /// The name
    #[arg(value_name = "NAME")]
    target: Reference,
    /// The images, by name or digest, at any registry
    #[arg(required = true, value_name = "SOURCE")]
    sources: Vec<Reference>,
    /// A further name for it
    #[arg(short, long, value_name = "NAME")]
    tag: Vec<Reference>,
    /// Annotation of the index
    #[arg(long, value_parser = value::pair, value_name = "KEY=VALUE")]
    annotation: Vec<(String, String)>,
    #[command(flatten)]
    how: How,
}

/// Put more images under a name. One for a platform that is there takes that one's place
#[derive(Debug, clap::Args)]
pub(crate) struct Add {
    /// The name
    #[arg(value_name = "NAME")]
    target: Reference,
    /// The images, by name or digest, at any registry
    #[arg(required = true, value_name = "SOURCE")]
    sources: Vec<Reference>,
    /// Annotation of the index
    #[arg(long, value_parser = value::pair, value_name = "KEY=VALUE")]
    annotation: Vec<(String, String)>,
    #[command(flatten)]
    how: How,
}

/// Take images away from a name, with the attestations about them
#[derive(Debug, clap::Args)]
pub(crate) struct Remove {
    /// The name
    #[arg(value_name = "NAME")]
    target: Reference,
    /// Their platforms, or digests
    #[arg(required = true, value_name = "PLATFORM|DIGEST")]
    members: Vec<String>,
    #[command(flatten)]
    how: How,
}

/// How it is done.
#[derive(Debug, clap::Args)]
pub(crate) struct How {
    /// Print the index instead of pushing it
    #[arg(long)]
    dry_run: bool,
    /// How to show what happens
    #[arg(long, value_enum, default_value = "auto", value_name = "FORM")]
    progress: Progress,
}

/// Does it.
pub(super) fn run(command: Command, environment: &Environment) -> Result<u8, Error> {
    match command {
        Command::Create(create) => {
            let names: Vec<Reference> = std::iter::once(create.target).chain(create.tag).collect();
            let annotations = create.annotation.into_iter().collect();
            let make = async |engine: &Engine| {
                let sources = engine.index_sources(&create.sources).await?;
                NewIndex::of(&sources, annotations)
            };
            publish(environment, &names, &create.how, make)
        }
        Command::Inspect(inspect) => imagetools::inspect(&inspect, environment),
        Command::Add(add) => {
            let target = add.target.clone();
            let annotations: BTreeMap<String, String> = add.annotation.into_iter().collect();
            let make = async |engine: &Engine| {
                let found = engine.index_source(&target).await?;
                NewIndex::extended(&found, &engine.index_sources(&add.sources).await?, annotations)
            };
            publish(environment, std::slice::from_ref(&add.target), &add.how, make)
        }
        Command::Remove(remove) => {
            let target = remove.target.clone();
            let members: Vec<Member> = remove.members.iter().map(|text| member(text)).collect::<Result<_, _>>()?;
            let make = async |engine: &Engine| {
                let found = engine.index_source(&target).await?;
                NewIndex::reduced(&found, |entry| {
                    members.iter().any(|member| match member {
                        Member::Digest(digest) => entry.descriptor.digest == *digest,
                        Member::Platform(platform) => {
                            let own = entry.descriptor.platform.clone().map(Platform::normalized);
                            !is_attestation(&entry.descriptor) && own.as_ref() == Some(platform)
                        }
                    })
                })
            };
            publish(environment, std::slice::from_ref(&remove.target), &remove.how, make)
        }
    }
}

enum Member {
    Digest(Digest),
    Platform(Platform),
}

fn member(text: &str) -> Result<Member, Error> {
    match text.parse() {
        Ok(digest) => Ok(Member::Digest(digest)),
        Err(_) => value::platform(text).map(Member::Platform).map_err(Error::Usage),
    }
}

/// Makes an index and pushes it under its names, or shows it.
fn publish(
    environment: &Environment,
    names: &[Reference],
    how: &How,
    make: impl AsyncFnOnce(&Engine) -> Result<NewIndex, archipel_build::Error>,
) -> Result<u8, Error> {
    let names: Vec<Reference> = names.iter().map(shared::tagged).collect::<Result<_, _>>()?;
    let (names, dry_run) = (&names, how.dry_run);
    let index = shared::on_engine_shown(environment, how.progress, |engine, sink| async move {
        let index = make(&engine).await?;
        if !dry_run {
            engine.push_index(&index, names, &sink).await?;
        }
        Ok(index)
    })?;
    if dry_run {
        render::print_bytes(index.manifest().bytes())?;
        render::print("\n")?;
    } else {
        for name in names {
            render::print(&format!("{}@{}\n", name.familiar(), index.manifest().digest()))?;
        }
    }
    Ok(status::OK)
}
