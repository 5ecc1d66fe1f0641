//! `--progress quiet`: nothing, not even warnings. Errors are shown by the command, not by a renderer.

use archipel_build::{Built, Event};

use super::Renderer;

pub(super) struct Quiet;

impl Renderer for Quiet {
    fn event(&self, _: Event) {}

    fn finish(&self, _: Option<&Built>) {}
}
