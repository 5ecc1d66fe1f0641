//! `archipel images`.

use archipel_dockerfile::glob_match;
use archipel_oci::{Document, ImageConfig, RawManifest, is_attestation};
use archipel_store::{Image, Store};
use serde_json::{Value, json};

use super::shared;
use crate::environment::Environment;
use crate::errors::{Error, status};
use crate::flags::csv::boolean;
use crate::flags::request::each;
use crate::render::{self, table, template, text};

/// List the images that are here.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only this repository, or this name
    #[arg(value_name = "REPOSITORY[:TAG]")]
    name: Option<String>,
    /// Only some: reference=PATTERN, dangling=true or dangling=false
    #[arg(short, long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// Show all, as happens anyway
    #[arg(short, long, hide = true)]
    all: bool,
    /// Ids alone
    #[arg(short, long)]
    quiet: bool,
    /// Show whole ids
    #[arg(long)]
    no_trunc: bool,
    /// Show digests too
    #[arg(long)]
    digests: bool,
    /// Form: table, json, or a template such as '{{.Repository}}:{{.Tag}}'
    #[arg(long, default_value = "table", value_name = "FORM")]
    format: String,
}

/// Lists them.
pub(super) fn run(args: &Args, environment: &Environment) -> Result<u8, Error> {
    let filters: Vec<Filter> = each("--filter", &args.filter, filter)?;
    let store = shared::store(environment)?;
    let mut rows = vec![];
    let wanted =
        |image: &&Image| is_wanted(image, args.name.as_deref()) && filters.iter().all(|filter| filter.takes(image));
    for image in store.images()?.iter().filter(wanted) {
        rows.push(Row::new(&store, image, args.no_trunc)?);
    }
    let shown = match args.format.as_str() {
        _ if args.quiet => {
            // An image with several names is one.
            let mut ids: Vec<&str> = vec![];
            for row in &rows {
                if !ids.contains(&row.id.as_str()) {
                    ids.push(&row.id);
                }
            }
            ids.iter().map(|id| format!("{id}\n")).collect()
        }
        "table" if args.digests => {
            let cells = |row: &Row| {
                [&row.repository, &row.tag, &row.digest, &row.id, &row.platforms, &row.size].map(Clone::clone)
            };
            let rows: Vec<_> = rows.iter().map(cells).collect();
            table::columns(["REPOSITORY", "TAG", "DIGEST", "IMAGE ID", "PLATFORMS", "SIZE"], &rows)
        }
        "table" => {
            let cells = |row: &Row| [&row.repository, &row.tag, &row.id, &row.platforms, &row.size].map(Clone::clone);
            let rows: Vec<_> = rows.iter().map(cells).collect();
            table::columns(["REPOSITORY", "TAG", "IMAGE ID", "PLATFORMS", "SIZE"], &rows)
        }
        "json" => rows.iter().map(|row| format!("{}\n", row.value())).collect(),
        format => {
            let values: Vec<Value> = rows.iter().map(Row::value).collect();
            template::rows(format, &values).map_err(Error::Usage)?
        }
    };
    render::print(&shown)?;
    Ok(status::OK)
}

enum Filter {
    /// Without a name, or with one.
    Dangling(bool),
    /// Of a name like this.
    Reference(String),
}

fn filter(text: &str) -> Result<Filter, String> {
    match text.split_once('=') {
        Some(("dangling", value)) => boolean(value).map(Filter::Dangling).ok_or_else(|| "it is true or false".into()),
        Some(("reference", pattern)) => Ok(Filter::Reference(pattern.to_owned())),
        _ => Err("reference=PATTERN and dangling=true are known".into()),
    }
}

impl Filter {
    fn takes(&self, image: &Image) -> bool {
        match self {
            Self::Dangling(dangling) => shared::is_unnamed(image) == *dangling,
            Self::Reference(pattern) => {
                let familiar = image.reference.familiar();
                let tag = image.reference.tag().map_or(0, |tag| tag.len() + 1);
                let repository = familiar.get(..familiar.len() - tag).unwrap_or(&familiar);
                // A pattern without a tag is for any tag.
                [familiar.as_str(), repository].iter().any(|name| glob_match(pattern, name))
            }
        }
    }
}

fn is_wanted(image: &Image, name: Option<&str>) -> bool {
    let Some(name) = name else { return true };
    match name.parse::<archipel_oci::Reference>() {
        Ok(wanted) => {
            wanted.name() == image.reference.name() && (wanted.tag().is_none() || wanted.tag() == image.reference.tag())
        }
        Err(_) => false,
    }
}

/// What is shown of a name.
struct Row {
    repository: String,
    tag: String,
    digest: String,
    id: String,
    platforms: String,
    size: String,
    created: i64,
}

impl Row {
    fn new(store: &Store, image: &Image, whole: bool) -> Result<Self, Error> {
        let here = Here::of(store, image)?;
        let repository = image.reference.familiar();
        // Without the tag and digest that stand at its end.
        let repository = repository.split('@').next().unwrap_or(&repository);
        let repository = match image.reference.tag() {
            Some(tag) => repository.strip_suffix(&format!(":{tag}")).unwrap_or(repository),
            None => repository,
        };
        let digest = &image.descriptor.digest;
        Ok(Self {
            repository: if shared::is_unnamed(image) { "<none>".to_owned() } else { repository.to_owned() },
            tag: image.reference.tag().unwrap_or("<none>").to_owned(),
            digest: digest.to_string(),
            id: if whole { digest.to_string() } else { digest.short().to_owned() },
            platforms: here.platforms.join(","),
            size: text::size(here.size),
            created: image.created,
        })
    }

    /// With docker's names for what docker has.
    fn value(&self) -> Value {
        let created =
            jiff::Timestamp::from_second(self.created).map_or_else(|_| String::new(), |time| time.to_string());
        json!({
            "Repository": self.repository, "Tag": self.tag, "ID": self.id, "Digest": self.digest,
            "Platforms": self.platforms, "Size": self.size, "CreatedAt": created,
        })
    }
}

/// What the store has of an image.
struct Here {
    platforms: Vec<String>,
    size: u64,
}

impl Here {
    fn of(store: &Store, image: &Image) -> Result<Self, Error> {
        let mut here = Self { platforms: vec![], size: 0 };
        let mut counted = vec![];
        let Some(top) = shared::stored_manifest(store, &image.descriptor)? else { return Ok(here) };
        match parse(&top)? {
            Document::Manifest(_) => here.add(store, &top, None, &mut counted)?,
            Document::Index(index) => {
                for child in index.manifests.iter().filter(|child| !is_attestation(child)) {
                    // After a pull for one platform the others are known by name only.
                    let Some(raw) = shared::stored_manifest(store, child)? else { continue };
                    here.add(store, &raw, child.platform.as_ref().map(ToString::to_string), &mut counted)?;
                }
            }
        }
        Ok(here)
    }

    /// A layer that several platforms have is there once, and counts once.
    fn add(
        &mut self,
        store: &Store,
        raw: &RawManifest,
        platform: Option<String>,
        counted: &mut Vec<archipel_oci::Digest>,
    ) -> Result<(), Error> {
        let Document::Manifest(manifest) = parse(raw)? else { return Ok(()) };
        let platform = match platform {
            Some(platform) => Some(platform),
            None => shared::stored_blob(store, &manifest.config.digest)?
                .and_then(|bytes| ImageConfig::parse(&bytes).ok())
                .filter(|config| !config.os.is_empty())
                .map(|config| config.platform().to_string()),
        };
        self.platforms.extend(platform);
        for blob in manifest.layers.iter().chain([&manifest.config]) {
            if !counted.contains(&blob.digest) {
                counted.push(blob.digest.clone());
                self.size += blob.size;
            }
        }
        Ok(())
    }
}

fn parse(raw: &RawManifest) -> Result<Document, Error> {
    raw.parse().map_err(|e| Error::Io { what: raw.digest().to_string(), source: std::io::Error::other(e) })
}
