//! What a person or a program sees of a build. The library tells events; each form here is a consumer of them.

use std::io::Write;
use std::sync::Arc;

use archipel_build::{Built, Event, Sink};

use crate::environment::Environment;
use crate::errors::Error;

pub(crate) mod checks;
pub(crate) mod diagnostic;
mod json;
pub(crate) mod pipeline;
mod plain;
pub(crate) mod plan;
mod quiet;
pub(crate) mod result;
mod step;
pub(crate) mod table;
pub(crate) mod template;
pub(crate) mod text;
mod tty;

/// `--progress`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Progress {
    /// `tty` in a terminal, else `plain`
    Auto,
    /// Lines, with everything that steps write
    Plain,
    /// A live view
    Tty,
    /// One JSON object per line
    #[value(alias = "rawjson")]
    Json,
    /// Nothing
    Quiet,
}

/// A consumer of events.
trait Renderer: Send + Sync {
    /// Something happened. Comes from any thread.
    fn event(&self, event: Event);
    /// The build is over; `built` is there if it succeeded.
    fn finish(&self, built: Option<&Built>);
}

/// The form that was chosen.
#[derive(Clone)]
pub(crate) struct View(Arc<dyn Renderer>);

impl View {
    /// Chooses. `platforms` is how many the build has: with one, naming it at every step would be noise.
    pub(crate) fn new(progress: Progress, platforms: usize, environment: &Environment) -> Self {
        let stderr = std::io::stderr();
        let terminal = rustix::termios::isatty(&stderr) && !environment.dumb_terminal();
        let names = step::Names::new(platforms);
        Self(match progress {
            Progress::Quiet => Arc::new(quiet::Quiet),
            Progress::Json => Arc::new(json::Json::new(stderr)),
            Progress::Tty | Progress::Auto if terminal => Arc::new(tty::Tty::new(names, environment.colours(&stderr))),
            Progress::Tty | Progress::Auto | Progress::Plain => Arc::new(plain::Plain::new(stderr, names)),
        })
    }

    /// What to hand to the library.
    pub(crate) fn sink(&self) -> Sink {
        let renderer = Arc::clone(&self.0);
        Arc::new(move |event| renderer.event(event))
    }

    /// Ends the live part and shows the result.
    pub(crate) fn finish(&self, built: Option<&Built>) {
        self.0.finish(built);
    }
}

impl std::fmt::Debug for View {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("View")
    }
}

/// Writes to standard output. What goes there is a result; an error is the caller's, broken pipes included.
pub(crate) fn print(text: &str) -> Result<(), Error> {
    print_bytes(text.as_bytes())
}

/// The same for bytes that are to come out as they are.
pub(crate) fn print_bytes(bytes: &[u8]) -> Result<(), Error> {
    let mut out = std::io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(Error::Output)
}
