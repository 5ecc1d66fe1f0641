//! `docker manifest`.

use archipel_build::{Engine, IndexEntry, IndexSource, NewIndex, Sink};
use archipel_oci::{Platform, RawManifest, Reference, media_type};
use clap::Subcommand;
use serde_json::{Value, json};

use super::lists::{List, Lists, Note, Source};
use super::shared::{self, tagged};
use crate::environment::Environment;
use crate::errors::{Error, status};
use crate::render::{self, Progress, diagnostic, template};

/// What can be done with a list.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Create(Create),
    Annotate(Annotate),
    Inspect(Inspect),
    Push(Push),
    Rm(Rm),
}

/// Gather images for a list. A source that is an index brings all its members, with their attestations
#[derive(Debug, clap::Args)]
pub(crate) struct Create {
    /// The list
    #[arg(value_name = "MANIFEST_LIST")]
    list: Reference,
    /// The images, by name or digest, at any registry
    #[arg(required = true, value_name = "MANIFEST")]
    sources: Vec<Reference>,
    /// Add to a list that is there
    #[arg(short, long)]
    amend: bool,
    /// Do not look at the certificates of the registries
    #[arg(long)]
    insecure: bool,
}

/// Say for which platform an image of a list is
#[derive(Debug, clap::Args)]
pub(crate) struct Annotate {
    /// The list
    #[arg(value_name = "MANIFEST_LIST")]
    list: Reference,
    /// The image, as it was given to `create`; or one member of it, by digest
    #[arg(value_name = "MANIFEST")]
    manifest: Reference,
    /// Architecture
    #[arg(long, value_name = "NAME")]
    arch: Option<String>,
    /// Operating system
    #[arg(long, value_name = "NAME")]
    os: Option<String>,
    /// Features of the operating system
    #[arg(long, value_delimiter = ',', value_name = "NAME,..")]
    os_features: Vec<String>,
    /// Version of the operating system
    #[arg(long, value_name = "VERSION")]
    os_version: Option<String>,
    /// Variant of the architecture
    #[arg(long, value_name = "NAME")]
    variant: Option<String>,
}

/// Show a list that was gathered here, else what a registry has
#[derive(Debug, clap::Args)]
pub(crate) struct Inspect {
    /// The list, and then one of its images; or an image of a registry
    #[arg(required = true, num_args = 1..=2, value_name = "MANIFEST")]
    names: Vec<Reference>,
    /// Show the members too
    #[arg(short, long)]
    verbose: bool,
    /// Do not look at the certificate of the registry
    #[arg(long)]
    insecure: bool,
}

/// Push a list that was gathered here
#[derive(Debug, clap::Args)]
pub(crate) struct Push {
    /// The list
    #[arg(value_name = "MANIFEST_LIST")]
    list: Reference,
    /// Forget it afterwards
    #[arg(short, long)]
    purge: bool,
    /// Do not look at the certificates of the registries
    #[arg(long)]
    insecure: bool,
}

/// Forget lists that were gathered here
#[derive(Debug, clap::Args)]
pub(crate) struct Rm {
    /// The lists
    #[arg(required = true, value_name = "MANIFEST_LIST")]
    lists: Vec<Reference>,
}

/// Does it.
pub(super) fn run(command: Command, environment: &Environment) -> Result<u8, Error> {
    let lists = Lists::open(environment)?;
    match command {
        Command::Create(args) => create(&args, &lists, environment)?,
        Command::Annotate(args) => annotate(&args, &lists, environment)?,
        Command::Inspect(args) => inspect(&args, &lists, environment)?,
        Command::Push(args) => push(&args, &lists, environment)?,
        Command::Rm(args) => {
            for name in args.lists.iter().map(tagged) {
                if !lists.remove(&name?)? {
                    return Err(Error::Usage("no such manifest list here".into()));
                }
            }
        }
    }
    Ok(status::OK)
}

fn create(args: &Create, lists: &Lists, environment: &Environment) -> Result<(), Error> {
    let name = tagged(&args.list)?;
    let mut list = List { name: name.clone(), pushed: false, sources: vec![] };
    match lists.get(&name)? {
        Some(known) if args.amend => list.sources = known.sources,
        // What a registry has is not lost by beginning anew, so the same script can run again.
        Some(known) if !known.pushed => {
            return Err(Error::Usage(format!(
                "refusing to amend an existing manifest list with no --amend flag: {name} was made here and not pushed yet"
            )));
        }
        _ => {}
    }
    let insecure = insecure(args.insecure, args.sources.iter());
    let found = on_engine(environment, &insecure, async |engine, _| engine.index_sources(&args.sources).await)?;
    for source in found {
        let digest = source.manifest.digest().clone();
        let known = list.sources.iter_mut().find(|known| known.reference == source.reference);
        match known {
            // What was said of the old image need not hold for the new one.
            Some(known) if known.digest != digest => (known.digest, known.notes) = (digest, vec![]),
            Some(_) => {}
            None => list.sources.push(Source { reference: source.reference, digest, notes: vec![] }),
        }
    }
    lists.put(&list)?;
    render::print(&format!("Created manifest list {name}\n"))
}

fn annotate(args: &Annotate, lists: &Lists, environment: &Environment) -> Result<(), Error> {
    let mut list = lists.expect(&tagged(&args.list)?)?;
    let given = args.manifest.to_string();
    // The image as it was given to `create`, or one member of whichever source has it.
    let named = list.sources.iter().position(|source| source.reference.to_string() == given);
    let candidates: Vec<usize> = named.map_or_else(|| (0..list.sources.len()).collect(), |n| vec![n]);
    let sources = list.sources.clone();
    let found = on_engine(environment, &[], async |engine, _| {
        for n in candidates {
            let source = engine.index_source(&pinned(&sources[n])).await?;
            let mut members = source.entries.into_iter().filter(|entry| !entry.is_attestation());
            let member = match (named, args.manifest.digest()) {
                (None, None) => None,
                (None, Some(digest)) => members.find(|entry| entry.descriptor.digest == *digest),
                (Some(_), _) => match (members.next(), members.next()) {
                    (only, None) => only,
                    (_, Some(_)) => {
                        let wrong = format!("{given} is an index: name the member by its digest");
                        return Err(archipel_build::Error::Request(wrong));
                    }
                },
            };
            if let Some(member) = member {
                return Ok(Some((n, member)));
            }
        }
        Ok(None)
    })?;
    let Some((n, member)) = found else {
        return Err(Error::Usage(format!("{} is not in the manifest list {}", args.manifest, list.name)));
    };
    let source = &mut list.sources[n];
    let digest = member.descriptor.digest;
    let before = source.notes.iter().find(|note| note.member == digest).map(|note| note.platform.clone());
    let platform = changed(args, before.or(member.descriptor.platform))?;
    source.notes.retain(|note| note.member != digest);
    source.notes.push(Note { member: digest, platform });
    lists.put(&list)
}

/// The platform that it was, with what was said of it now.
fn changed(args: &Annotate, before: Option<Platform>) -> Result<Platform, Error> {
    let mut platform = before.unwrap_or_else(|| Platform::new("linux", "", None));
    if let Some(os) = &args.os {
        platform.os.clone_from(os);
    }
    if let Some(architecture) = &args.arch {
        platform.architecture.clone_from(architecture);
        // The variant was one of the other architecture.
        platform.variant = None;
    }
    platform.variant = args.variant.clone().or(platform.variant);
    platform.os_version = args.os_version.clone().or(platform.os_version);
    if !args.os_features.is_empty() {
        platform.os_features.clone_from(&args.os_features);
    }
    if platform.architecture.is_empty() {
        return Err(Error::Usage("the image does not say for which architecture it is: give --arch".into()));
    }
    Ok(platform)
}

fn pinned(source: &Source) -> Reference {
    source.reference.with_digest(source.digest.clone())
}

/// The index that a list makes.
///
/// Its members are those that `create` saw, although a name may have moved since: `create` is when the person decided, what
/// was inspected, annotated and tested was that, and of two pipelines that run at once neither publishes a mixture of both.
/// Digests cannot move, so this always can be done, and always gives the same.
async fn resolve(engine: &Engine, list: &List) -> Result<NewIndex, archipel_build::Error> {
    let mut sources = vec![];
    for source in &list.sources {
        let mut found: IndexSource = engine.index_source(&pinned(source)).await?;
        for note in &source.notes {
            for entry in found.entries.iter_mut().filter(|entry| entry.descriptor.digest == note.member) {
                entry.descriptor.platform = Some(note.platform.clone());
            }
        }
        sources.push((found, source.notes.is_empty()));
    }
    match sources.as_slice() {
        // Nothing was said of it, so it stays what it is.
        [(only, true)] => NewIndex::of(std::slice::from_ref(only), Default::default()),
        _ => NewIndex::of_entries(sources.into_iter().flat_map(|(source, _)| source.entries).collect()),
    }
}

/// Where a name stands for something else by now, or for nothing.
async fn moved(engine: &Engine, list: &List) -> Result<Vec<String>, archipel_build::Error> {
    let mut told = vec![];
    for Source { reference, digest, .. } in list.sources.iter().filter(|source| source.reference.digest().is_none()) {
        let now = match engine.index_top(reference).await? {
            Some(now) if now == *digest => continue,
            Some(now) => format!("is {now} now"),
            None => "is gone".into(),
        };
        told.push(format!(
            "{} was {digest} when it was put in the list, and {now}; the list has what it was: \
             `docker manifest create --amend` takes what it is",
            reference.familiar()
        ));
    }
    Ok(told)
}

fn push(args: &Push, lists: &Lists, environment: &Environment) -> Result<(), Error> {
    let mut list = lists.expect(&tagged(&args.list)?)?;
    let insecure = insecure(args.insecure, list.sources.iter().map(|source| &source.reference).chain([&list.name]));
    let (index, moved) = on_engine(environment, &insecure, async |engine, sink| {
        let moved = moved(engine, &list).await?;
        let index = resolve(engine, &list).await?;
        engine.push_index(&index, std::slice::from_ref(&list.name), sink).await?;
        Ok((index, moved))
    })?;
    for message in moved {
        diagnostic::warn(&message);
    }
    // Docker's lines: what was brought from another repository, and at last the digest, which scripts take.
    for entry in index.entries().iter().filter(|entry| entry.origin.name() != list.name.name()) {
        render::print(&format!("Pushed ref {0}@{1} with digest: {1}\n", list.name.name(), entry.descriptor.digest))?;
    }
    render::print(&format!("{}\n", index.manifest().digest()))?;
    if args.purge {
        lists.remove(&list.name)?;
    } else {
        list.pushed = true;
        lists.put(&list)?;
    }
    Ok(())
}

fn inspect(args: &Inspect, lists: &Lists, environment: &Environment) -> Result<(), Error> {
    let insecure = insecure(args.insecure, args.names.iter());
    let (manifest, entries) = match args.names.as_slice() {
        [list, member] => {
            let list = lists.expect(&tagged(list)?)?;
            let wanted = member.to_string();
            let source = list.sources.iter().find(|source| source.reference.to_string() == wanted);
            let none = || Error::Usage(format!("{member} is not in the manifest list {}", list.name));
            let pinned = source.map(pinned).ok_or_else(none)?;
            registry(&pinned, environment, &insecure)?
        }
        [name, ..] => match lists.get(&tagged(name).unwrap_or_else(|_| name.clone()))?.filter(|list| !list.pushed) {
            Some(list) => {
                let index = on_engine(environment, &insecure, async |engine, _| resolve(engine, &list).await)?;
                (index.manifest().clone(), index.entries().to_vec())
            }
            None => registry(name, environment, &insecure)?,
        },
        [] => return Ok(()),
    };
    match args.verbose {
        false => render::print(&template::indented(&parse(&manifest)?, "\t")),
        true => {
            let value = verbose(&args.names[0], &manifest, &entries, environment, &insecure)?;
            render::print(&template::indented(&value, "\t"))
        }
    }
}

fn registry(
    name: &Reference,
    environment: &Environment,
    insecure: &[String],
) -> Result<(RawManifest, Vec<IndexEntry>), Error> {
    let source = on_engine(environment, insecure, async |engine, _| engine.index_source(name).await)?;
    Ok((source.manifest, source.entries))
}

/// Docker's `--verbose`: each member with its manifest. An image that stands alone is one object, a list several.
fn verbose(
    name: &Reference,
    top: &RawManifest,
    entries: &[IndexEntry],
    environment: &Environment,
    insecure: &[String],
) -> Result<Value, Error> {
    let sources = on_engine(environment, insecure, async |engine, _| {
        let members: Vec<Reference> = entries.iter().map(|entry| entry.origin.clone()).collect();
        engine.index_sources(&members).await
    })?;
    let mut shown = vec![];
    for (entry, source) in entries.iter().zip(&sources) {
        let kind = match source.manifest.media_type() == media_type::DOCKER_MANIFEST {
            true => "SchemaV2Manifest",
            false => "OCIManifest",
        };
        let digest = &entry.descriptor.digest;
        shown.push(json!({
            "Ref": if top.is_index() { format!("{}@{digest}", name.name()) } else { name.to_string() },
            "Descriptor": entry.descriptor,
            kind: parse(&source.manifest)?,
        }));
    }
    Ok(if top.is_index() { Value::Array(shown) } else { shown.into_iter().next().unwrap_or_default() })
}

fn parse(manifest: &RawManifest) -> Result<Value, Error> {
    let told = || Error::io(manifest.digest().to_string());
    serde_json::from_slice(manifest.bytes()).map_err(|e| told()(e.into()))
}

/// The registries that `--insecure` is about.
fn insecure<'a>(wanted: bool, names: impl Iterator<Item = &'a Reference>) -> Vec<String> {
    if wanted { names.map(|name| name.registry().to_owned()).collect() } else { vec![] }
}

fn on_engine<T>(
    environment: &Environment,
    insecure: &[String],
    work: impl AsyncFnOnce(&Engine, &Sink) -> Result<T, archipel_build::Error>,
) -> Result<T, Error> {
    let client = shared::client_to(environment, insecure)?;
    shared::on_engine_with(
        environment,
        client,
        Progress::Quiet,
        |engine, sink| async move { work(&engine, &sink).await },
    )
}
