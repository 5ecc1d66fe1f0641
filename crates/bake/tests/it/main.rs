//! Definitions against what buildx 0.29.1 prints for them, and mistakes against what is told.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

mod mistakes;
mod printed;

use archipel_bake::{Bake, Error, Facts, File, Lookup};

/// Reads files and resolves what is wanted of them, with some variables and changes.
fn bake(
    files: &[File],
    wanted: &[&str],
    set: &[&str],
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Bake, Error> {
    let facts = Facts {
        now: 1_700_000_000,
        home: "/home/me".into(),
        command_context: "cwd://".into(),
        local_platform: "linux/amd64".into(),
    };
    let lookup = Lookup { variable, compose: variable };
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    archipel_bake::read(files, &facts, lookup)?.resolve(&owned(wanted), &owned(set), lookup)
}

/// One file in HCL.
fn hcl(text: &str) -> Vec<File> {
    vec![File { name: "docker-bake.hcl".into(), text: text.into() }]
}
