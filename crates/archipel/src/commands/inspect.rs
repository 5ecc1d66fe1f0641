//! `archipel inspect`.

use archipel_oci::{Descriptor, Document, ImageConfig, Manifest, Platform, RawManifest, is_attestation};
use serde_json::Value;

use super::place::{Place, parse};
use super::{object, shared};
use crate::environment::Environment;
use crate::errors::{Error, status};
use crate::flags::value;
use crate::render::{self, table, template, text};
use crate::runtime;
use crate::surface::Surface;

/// Show which platforms images have. One of the store is shown as it is there, any other as its registry has it
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The images, by name; those of the store also by id
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
    /// Show the index or manifest itself, byte for byte
    #[arg(long)]
    raw: bool,
    /// Show what docker shows of an image of the store: json, or a template such as '{{.Os}}/{{.Architecture}}'
    #[arg(short, long, conflicts_with = "raw", value_name = "FORM")]
    format: Option<String>,
    /// The platform that docker's form shows [default: this machine's, else the first that is here]
    #[arg(long, value_parser = value::platform, value_name = "PLATFORM")]
    platform: Option<Platform>,
    /// Kind of what is shown, of which there is one
    #[arg(long, hide = true, value_parser = ["image"], value_name = "KIND")]
    r#type: Option<String>,
}

/// Shows them.
pub(super) fn run(args: &Args, surface: Surface, environment: &Environment) -> Result<u8, Error> {
    if args.format.is_some() || (surface == Surface::Docker && !args.raw) {
        return as_docker(args, environment);
    }
    for image in &args.images {
        let place = Place::of(image, environment)?;
        runtime::block_on(async {
            let top = place.top().await?;
            if args.raw {
                return render::print_bytes(top.bytes());
            }
            render::print(&place.describe(&top).await?)
        })?;
    }
    Ok(status::OK)
}

/// Docker's form: an array of those that are here. What is not here is told after what is.
fn as_docker(args: &Args, environment: &Environment) -> Result<u8, Error> {
    let store = shared::store(environment)?;
    let default = environment.default_platform()?;
    let platform = args.platform.as_ref().or(default.as_ref());
    let (mut objects, mut failed) = (vec![], None);
    for text in &args.images {
        match object::image(&store, text, platform) {
            Ok(object) => objects.push(object),
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    render::print(&match args.format.as_deref() {
        // Docker indents by four here, and by tabs for manifests.
        None => template::indented(&objects, "    "),
        Some("json") => format!("{}\n", Value::Array(objects)),
        Some(format) => template::rows(format, &objects).map_err(Error::Usage)?,
    })?;
    failed.map_or(Ok(status::OK), Err)
}

impl Place {
    /// What an image that stands alone is for: only its config says so. Something else than an image has none.
    async fn platform(&self, config: &Descriptor) -> Result<String, Error> {
        let bytes = self.document(config).await?;
        let config = bytes.and_then(|bytes| ImageConfig::parse(&bytes).ok()).filter(|config| !config.os.is_empty());
        Ok(config.map_or_else(String::new, |config| config.platform().to_string()))
    }

    async fn describe(&self, top: &RawManifest) -> Result<String, Error> {
        let mut rows = vec![];
        let mut others = 0;
        match parse(top)? {
            Document::Manifest(manifest) => {
                let platform = self.platform(&manifest.config).await?;
                rows.push(row(&platform, &manifest, top));
            }
            Document::Index(index) => {
                for child in &index.manifests {
                    if is_attestation(child) {
                        others += 1;
                        continue;
                    }
                    let platform = child.platform.as_ref().map_or_else(String::new, ToString::to_string);
                    let raw = self.manifest(child).await?;
                    match parse(&raw)? {
                        Document::Manifest(manifest) => rows.push(row(&platform, &manifest, &raw)),
                        Document::Index(_) => others += 1,
                    }
                }
            }
        }
        let mut shown =
            format!("Name:    {}\nDigest:  {}\nType:    {}\n\n", self.reference, top.digest(), top.media_type());
        shown.push_str(&table::columns(["PLATFORM", "LAYERS", "SIZE", "DIGEST"], &rows));
        if others > 0 {
            shown.push_str(&format!("and {others} attestations or other documents; --raw shows them\n"));
        }
        Ok(shown)
    }
}

fn row(platform: &str, manifest: &Manifest, raw: &RawManifest) -> [String; 4] {
    let size = manifest.layers.iter().map(|layer| layer.size).sum();
    [platform.to_owned(), manifest.layers.len().to_string(), text::size(size), raw.digest().to_string()]
}
