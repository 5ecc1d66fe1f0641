//! `archipel du`.

use serde_json::json;

use super::pipelines::Kept;
use super::shared::{self, Format};
use crate::environment::Environment;
use crate::errors::{Error, status};
use crate::render::{self, table, text};

/// Show what the store takes on disk
///
/// What pipelines keep beside it is counted too: their registry, the caches of jobs and the stores
/// that jobs build in.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Form of what is shown
    #[arg(long, value_enum, default_value = "text", value_name = "FORM")]
    format: Format,
}

/// Shows it.
pub(super) fn run(args: &Args, environment: &Environment) -> Result<u8, Error> {
    let usage = shared::store(environment)?.disk_usage()?;
    let pipelines = Kept::of(environment)?.usage();
    let total = usage.blobs + usage.snapshots + usage.cache + pipelines.total();
    render::print(&match args.format {
        Format::Json => shared::json(&json!({
            "images": usage.images, "blobs": usage.blobs, "snapshots": usage.snapshots, "cache": usage.cache,
            "pipelines": { "registry": pipelines.registry, "caches": pipelines.caches, "stores": pipelines.stores },
            "total": total,
        })),
        Format::Text => {
            let row = |what: &str, size: u64| [what.to_owned(), text::size(size)];
            let rows = [
                row("compressed layers", usage.blobs),
                row("unpacked files", usage.snapshots),
                row("build cache", usage.cache),
                row("registry of pipelines", pipelines.registry),
                row("caches of pipelines", pipelines.caches),
                row("builds of pipelines", pipelines.stores),
                row("total", total),
            ];
            format!("{}{} names of images\n", table::columns(["WHAT", "SIZE"], &rows), usage.images)
        }
    })?;
    Ok(status::OK)
}
