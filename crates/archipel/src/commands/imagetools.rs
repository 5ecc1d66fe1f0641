//! `docker buildx imagetools`: what registries have, shown as docker shows it, and put together.

use std::collections::BTreeMap;
use std::path::PathBuf;

use archipel_build::{IndexSource, NewIndex};
use archipel_oci::{Descriptor, Document, Reference};
use clap::Subcommand;
use serde_json::{Value, json};

use super::attested::{self, Part};
use super::place::{self, Place};
use super::shared;
use crate::environment::Environment;
use crate::errors::{Error, status};
use crate::flags::value;
use crate::render::{self, Progress, template};
use crate::runtime;

/// What can be done with images in registries.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Create(Create),
    Inspect(Inspect),
}

/// Put images under names
#[derive(Debug, clap::Args)]
pub(crate) struct Create {
    /// The images, by name or digest
    #[arg(value_name = "SOURCE")]
    sources: Vec<Reference>,
    /// Name of the result, again for each further name
    #[arg(short, long, value_name = "NAME[:TAG]")]
    tag: Vec<Reference>,
    /// File that names a source
    #[arg(short, long, value_name = "FILE")]
    file: Vec<PathBuf>,
    /// Keep what the first name has already
    #[arg(long)]
    append: bool,
    /// Show the result instead of pushing it
    #[arg(long)]
    dry_run: bool,
    /// Annotation of the index
    #[arg(long, value_parser = value::whole_pair, value_name = "KEY=VALUE")]
    annotation: Vec<(String, String)>,
    /// How to show what happens
    #[arg(long, value_enum, default_value = "auto", value_name = "FORM")]
    progress: Progress,
}

/// Show an image as its registry has it
#[derive(Debug, clap::Args)]
pub(crate) struct Inspect {
    /// The image
    #[arg(value_name = "NAME")]
    image: Reference,
    /// Show the index or manifest itself, byte for byte
    #[arg(long)]
    raw: bool,
    /// Form: json, or a template such as '{{.Manifest.Digest}}'
    #[arg(long, conflicts_with = "raw", value_name = "FORM")]
    format: Option<String>,
}

/// Does it.
pub(super) fn run(command: Command, environment: &Environment) -> Result<u8, Error> {
    match command {
        Command::Create(args) => create(args, environment),
        Command::Inspect(args) => inspect(&args, environment),
    }
}

fn create(args: Create, environment: &Environment) -> Result<u8, Error> {
    let names: Vec<Reference> = args.tag.iter().map(shared::tagged).collect::<Result<_, _>>()?;
    let mut sources = args.sources;
    for path in &args.file {
        let text = std::fs::read_to_string(path).map_err(Error::io(path.display().to_string()))?;
        sources
            .push(source_in_file(text.trim(), &names).map_err(|e| Error::Usage(format!("{}: {e}", path.display())))?);
    }
    if sources.is_empty() {
        return Err(Error::Usage("no sources specified".into()));
    }
    if names.is_empty() && (!args.dry_run || args.append) {
        return Err(Error::Usage("can't push without a name: give one with --tag".into()));
    }
    let mut annotations = BTreeMap::new();
    for (key, value) in args.annotation {
        let key = key.strip_prefix("index:").unwrap_or(&key).to_owned();
        if ["manifest", "manifest-descriptor", "index-descriptor"]
            .iter()
            .any(|kind| key.starts_with(&format!("{kind}:")) || key.starts_with(&format!("{kind}[")))
        {
            return Err(Error::Usage(format!("--annotation {key}: only the index itself can be annotated here")));
        }
        annotations.insert(key, value);
    }
    let (names, sources, append, dry_run) = (&names, &sources, args.append, args.dry_run);
    let index = shared::on_engine_shown(environment, args.progress, |engine, sink| async move {
        let found = engine.index_sources(sources).await?;
        let index = match names.first().filter(|_| append) {
            Some(target) => NewIndex::extended(&engine.index_source(target).await?, &found, annotations)?,
            None => NewIndex::of(&found, annotations)?,
        };
        if !dry_run {
            engine.push_index(&index, names, &sink).await?;
        }
        Ok(index)
    })?;
    if args.dry_run {
        render::print(&pretty(index.manifest().bytes())?)?;
    } else {
        for name in names {
            render::print(&format!("{}@{}\n", name.familiar(), index.manifest().digest()))?;
        }
    }
    Ok(status::OK)
}

/// A reference, a digest in the repository of the result, or a descriptor of one.
fn source_in_file(text: &str, names: &[Reference]) -> Result<Reference, String> {
    let digest = match serde_json::from_str::<Descriptor>(text) {
        Ok(descriptor) => descriptor.digest,
        Err(_) => match text.parse() {
            Ok(digest) => digest,
            Err(_) => return text.parse().map_err(|e: archipel_oci::ReferenceError| e.to_string()),
        },
    };
    names
        .first()
        .map(|name| name.with_digest(digest))
        .ok_or_else(|| "a digest alone needs --tag to say where it is".into())
}

/// Shows an image of a registry.
pub(super) fn inspect(args: &Inspect, environment: &Environment) -> Result<u8, Error> {
    let image = &args.image;
    let source = shared::on_engine(environment, |engine| async move { engine.index_source(image).await })?;
    if args.raw {
        render::print_bytes(source.manifest.bytes())?;
        return Ok(status::OK);
    }
    render::print(&match args.format.as_deref() {
        None => text(&source)?,
        Some("json") => shared::json(&value(&source)?),
        Some(format) => {
            let mut value = value(&source)?;
            add_parts(format, &mut value, &source, environment)?;
            template::render(format, &value).map_err(Error::Usage)? + "\n"
        }
    })?;
    Ok(status::OK)
}

/// Adds the parts that a template asks for.
fn add_parts(format: &str, value: &mut Value, source: &IndexSource, environment: &Environment) -> Result<(), Error> {
    let whole = format.contains("json .}");
    let wanted: Vec<Part> =
        Part::ALL.into_iter().filter(|part| whole || format.contains(&format!(".{}", part.field()))).collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let place = Place::of(&source.reference.to_string(), environment)?;
    for part in wanted {
        value[part.field()] = runtime::block_on(attested::part(&place, &source.manifest, part))?;
    }
    Ok(())
}

/// What docker's templates see.
fn value(source: &IndexSource) -> Result<Value, Error> {
    let mut manifest = json!({
        "schemaVersion": 2,
        "mediaType": source.manifest.media_type(),
        "digest": source.manifest.digest(),
        "size": source.manifest.bytes().len(),
    });
    if let Document::Index(index) = place::parse(&source.manifest)? {
        manifest["manifests"] = json!(index.manifests);
        if !index.annotations.is_empty() {
            manifest["annotations"] = json!(index.annotations);
        }
    }
    // Go's templates name fields with capitals, JSON without.
    for (field, name) in
        [("MediaType", "mediaType"), ("Digest", "digest"), ("Size", "size"), ("Manifests", "manifests")]
    {
        if let Some(value) = manifest.get(name).cloned() {
            manifest[field] = value;
        }
    }
    Ok(json!({ "Name": source.reference.to_string(), "Manifest": manifest }))
}

fn text(source: &IndexSource) -> Result<String, Error> {
    let manifest = &source.manifest;
    let mut shown = format!(
        "Name:      {}\nMediaType: {}\nDigest:    {}\n",
        source.reference,
        manifest.media_type(),
        manifest.digest()
    );
    let Document::Index(index) = place::parse(&source.manifest)? else { return Ok(shown) };
    shown.push_str(&notes("", &index.annotations));
    shown.push_str("\nManifests:\n");
    for child in &index.manifests {
        shown.push_str(&format!(
            "  Name:      {}@{}\n  MediaType: {}\n",
            source.reference.name(),
            child.digest,
            child.media_type
        ));
        if let Some(platform) = &child.platform {
            shown.push_str(&format!("  Platform:  {platform}\n"));
        }
        shown.push_str(&notes("  ", &child.annotations));
        shown.push('\n');
    }
    Ok(shown.trim_end().to_owned() + "\n")
}

fn notes(indent: &str, annotations: &BTreeMap<String, String>) -> String {
    if annotations.is_empty() {
        return String::new();
    }
    let lines: String = annotations.iter().map(|(key, value)| format!("{indent}  {key}: {value}\n")).collect();
    format!("{indent}Annotations:\n{lines}")
}

fn pretty(bytes: &[u8]) -> Result<String, Error> {
    let value: Value = serde_json::from_slice(bytes).map_err(|e| Error::io("the index")(e.into()))?;
    Ok(shared::json(&value))
}
