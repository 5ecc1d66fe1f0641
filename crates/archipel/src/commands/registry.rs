//! `archipel registry`.

use std::path::PathBuf;

use archipel_registry::{FsStorage, Registry};
use tokio::net::TcpListener;

use crate::errors::{Error, status};
use crate::{render, runtime};

/// Serve images to other machines.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Serve(Serve),
}

/// Serve a registry until SIGTERM or Ctrl-C. The first line on standard output is its address.
#[derive(Debug, clap::Args)]
struct Serve {
    /// Where to listen; with port 0 the system chooses one
    #[arg(long, default_value = "127.0.0.1:5000", value_name = "ADDRESS:PORT")]
    listen: String,
    /// The folder that keeps everything
    #[arg(long, value_name = "FOLDER")]
    root: PathBuf,
}

/// Serves.
pub(super) fn run(args: Args) -> Result<u8, Error> {
    let Command::Serve(serve) = args.command;
    let storage = FsStorage::open(&serve.root)
        .map_err(|e| Error::io(serve.root.display().to_string())(std::io::Error::other(e)))?;
    runtime::start(async {
        let mut stop = runtime::Stop::new()?;
        let listening = || format!("listening on {}", serve.listen);
        let listener = TcpListener::bind(&serve.listen).await.map_err(Error::io(listening()))?;
        let address = listener.local_addr().map_err(Error::io(listening()))?;
        render::print(&format!("listening on http://{address}\n"))?;
        let registry = Registry::new(storage);
        registry.serve(listener, async move { stop.asked().await }).await.map_err(Error::io(listening()))
    })?;
    Ok(status::OK)
}
