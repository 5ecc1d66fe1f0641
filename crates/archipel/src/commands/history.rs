//! `archipel history`.

use archipel_oci::{History, Platform};
use serde_json::{Value, json};

use super::{object, shared};
use crate::environment::Environment;
use crate::errors::{Error, status};
use crate::flags::value;
use crate::render::{self, table, template, text};

/// How much of a step is shown (docker's width).
const WIDTH: usize = 45;

/// Show the steps that made an image, the last one first.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The image, by name or id
    #[arg(value_name = "IMAGE")]
    image: String,
    /// Show steps and ids whole
    #[arg(long)]
    no_trunc: bool,
    /// Ids alone
    #[arg(short, long)]
    quiet: bool,
    /// Show sizes and times in human words: with =false in bytes and as dates
    #[arg(short = 'H', long, default_value_t = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    human: bool,
    /// Form: table, json, or a template such as '{{.CreatedBy}}'
    #[arg(long, default_value = "table", value_name = "FORM")]
    format: String,
    /// The platform [default: this machine's, else the first that is here]
    #[arg(long, value_parser = value::platform, value_name = "PLATFORM")]
    platform: Option<Platform>,
}

/// Shows it.
pub(super) fn run(args: &Args, environment: &Environment) -> Result<u8, Error> {
    let store = shared::store(environment)?;
    let default = environment.default_platform()?;
    let platform = args.platform.as_ref().or(default.as_ref());
    let (image, manifest, config) = object::of_platform(&store, &args.image, platform)?;
    let digest = &image.descriptor.digest;
    let id = if args.no_trunc { digest.to_string() } else { digest.short().to_owned() };
    let mut sizes = manifest.layers.iter().map(|layer| layer.size);
    let mut rows = vec![];
    for step in &config.history {
        // The sizes are those of the layers as they are kept, compressed.
        let size = if step.empty_layer { 0 } else { sizes.next().unwrap_or(0) };
        rows.push(Row::new(step, size, args));
    }
    rows.reverse();
    // The image itself is what its last step left; those below have no name of their own.
    for (n, row) in rows.iter_mut().enumerate() {
        row.id = if n == 0 { id.clone() } else { "<missing>".to_owned() };
    }
    let shown = match args.format.as_str() {
        _ if args.quiet => rows.iter().map(|row| format!("{}\n", row.id)).collect(),
        "table" => {
            let cells = |row: &Row| [&row.id, &row.created, &row.created_by, &row.size, &row.comment].map(Clone::clone);
            let rows: Vec<_> = rows.iter().map(cells).collect();
            table::columns(["IMAGE", "CREATED", "CREATED BY", "SIZE", "COMMENT"], &rows)
        }
        "json" => rows.iter().map(|row| format!("{}\n", row.value())).collect(),
        format => template::rows(format, &rows.iter().map(Row::value).collect::<Vec<_>>()).map_err(Error::Usage)?,
    };
    render::print(&shown)?;
    Ok(status::OK)
}

struct Row {
    id: String,
    created: String,
    created_at: String,
    created_by: String,
    size: String,
    comment: String,
}

impl Row {
    fn new(step: &History, size: u64, args: &Args) -> Self {
        let created_at = step.created.clone().unwrap_or_default();
        let since = || {
            let seconds = created_at.parse::<jiff::Timestamp>().ok()?.duration_until(jiff::Timestamp::now()).as_secs();
            Some(format!("{} ago", text::age(u64::try_from(seconds).unwrap_or(0))))
        };
        let created = if args.human { since().unwrap_or_else(|| "N/A".to_owned()) } else { created_at.clone() };
        let whole = step.created_by.as_deref().unwrap_or_default().replace(['\t', '\n'], " ");
        let whole = text::visible(whole.as_bytes());
        let created_by = match args.no_trunc || whole.chars().count() <= WIDTH {
            true => whole,
            false => whole.chars().take(WIDTH - 1).chain(['…']).collect(),
        };
        let size = if args.human { text::size(size) } else { size.to_string() };
        let comment = text::visible(step.comment.as_deref().unwrap_or_default().as_bytes());
        Self { id: String::new(), created, created_at, created_by, size, comment }
    }

    /// With docker's names.
    fn value(&self) -> Value {
        json!({
            "ID": self.id, "CreatedSince": self.created, "CreatedAt": self.created_at, "CreatedBy": self.created_by,
            "Size": self.size, "Comment": self.comment,
        })
    }
}
