//! Frontends: programs that read a text in a language of their own and say what is to be built (`# syntax=IMAGE`).
//!
//! The language of Dockerfiles is built in. Any other comes as an image, whose program is run in a sandbox with BuildKit's
//! gateway protocol on its standard streams (`archipel_gateway`): it asks for files and images, and answers with graphs of
//! operations (LLB). Those become nodes of a plan like every other, and what follows does not know where a plan came from.
//!
//! - [`syntax`]: whether a text needs one, and which.
//! - [`options`]: what it is told of the request.
//! - [`process`]: its sandbox. [`session`]: its calls. [`caps`]: what it may ask for.
//! - [`graph`]: operations to nodes; [`source`], [`exec`], [`file`], [`layers`] are the kinds, [`local`] the folders.
//! - [`nested`]: frontends that it asks for itself; [`asked`]: what it asks of the language that is built in.
//! - [`stat`]: what files are, in the protocol's form.
//! - [`result`]: what it returned, as targets of the build. [`attested`]: what it attests of them.

mod asked;
mod attested;
mod caps;
mod exec;
mod file;
mod graph;
mod layers;
mod local;
mod nested;
mod options;
mod process;
mod result;
mod session;
mod source;
mod stat;
mod syntax;

pub(crate) use self::syntax::Frontend;
pub use self::syntax::names_frontend;
use crate::around::Around;
use crate::plan::Planned;
use crate::steps::Steps;
use crate::{Engine, Error, Request, Sink, context};

/// What a frontend says, as it may stand in a terminal: it is somebody else's, and nothing in it may move the cursor.
fn legible(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

/// What a frontend answered to a question that is no build (`--call`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Called {
    /// For people.
    pub text: String,
    /// For programs: JSON.
    pub json: String,
    /// What the command's exit code should be.
    pub status: u8,
}

impl Engine {
    /// Asks the frontend that reads the request's text something that is no build: BuildKit's subrequests (`frontend.outline`,
    /// `frontend.targets`, `frontend.lint`). None where the language is built in.
    ///
    /// # Errors
    /// What the frontend says is wrong, or that it does not answer such questions.
    pub async fn call(&self, request: &Request, subrequest: &str, sink: &Sink) -> Result<Option<Called>, Error> {
        let loaded = context::load(request, self).await?;
        let Some(frontend) = Frontend::of(&loaded, request)? else { return Ok(None) };
        let around = Around::new(request.clone(), loaded, Some(frontend.clone()), sink, &Steps::default());
        let session = session::Session::new(self, &frontend, &around, Some(subrequest)).await?;
        let returned = process::converse(self, &frontend, &session, &around).await?;
        result::called(&returned).ok_or_else(|| session.wrong(&format!("has no answer to {subrequest}"))).map(Some)
    }

    /// Has a frontend say what is to be built.
    pub(crate) async fn planned_by(&self, frontend: &Frontend, around: &Around) -> Result<Planned, Error> {
        let session = session::Session::new(self, frontend, around, None).await?;
        let returned = process::converse(self, frontend, &session, around).await?;
        session.planned(returned).await
    }
}

#[cfg(test)]
mod tests;
