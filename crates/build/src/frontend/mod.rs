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
//! - [`stat`]: what files are, in the protocol's form.
//! - [`result`]: what it returned, as targets of the build.

mod caps;
mod exec;
mod file;
mod graph;
mod layers;
mod local;
mod options;
mod process;
mod result;
mod session;
mod source;
mod stat;
mod syntax;

pub(crate) use self::syntax::Frontend;
use crate::around::Around;
use crate::plan::Planned;
use crate::{Engine, Error};

impl Engine {
    /// Has a frontend say what is to be built.
    pub(crate) async fn planned_by(&self, frontend: &Frontend, around: &Around) -> Result<Planned, Error> {
        let session = session::Session::new(self, frontend, around).await?;
        let returned = process::converse(self, frontend, &session, around).await?;
        session.planned(returned).await
    }
}
