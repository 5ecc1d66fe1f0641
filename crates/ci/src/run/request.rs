//! What is asked of a run, beside the plan.

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::Duration;

use super::registries::Registries;

/// How a pipeline is to be run. Everything is resolved: nothing here is looked up in the environment.
#[derive(Clone, Debug)]
pub struct Request {
    /// The working tree's root.
    pub worktree: PathBuf,
    /// Where jobs find it.
    pub project_dir: String,
    /// `group/project`: whose caches they are.
    pub project: String,
    /// The files that are part of the repository, for `untracked`.
    pub tracked: HashSet<String>,
    /// Values that never show.
    pub secrets: Vec<String>,
    /// Manual jobs to be run.
    pub play: Vec<String>,
    /// How many jobs run at once; at least one does.
    pub parallel: usize,
    /// The image of jobs that name none.
    pub image: Option<String>,
    /// Images to be taken in place of others, by the names that the file has.
    pub image_map: Vec<(String, String)>,
    /// Lines for `/etc/hosts`: name and address.
    pub add_hosts: Vec<(String, String)>,
    /// Certificates, in PEM, that jobs trust beside those of their image.
    pub ca: Option<Vec<u8>>,
    /// This program: what stands in for `docker` in a job.
    pub program: PathBuf,
    /// How it reaches registries there: mirrors, certificates and their like.
    pub registries: Registries,
    /// Where caches are kept from one run to the next.
    pub caches: PathBuf,
    /// Where the stores are that jobs work in: one for each work tree.
    pub stores: PathBuf,
    /// Whether somebody sees colours: what we say of a script has some then. What the script itself writes is its own business.
    pub colours: bool,
    /// How long a job may take that does not say.
    pub timeout: Duration,
}

/// How long a job may take where nobody says (GitLab's number).
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(3600);
