//! A pipeline in its repository: what a command starts with.

use std::path::{Path, PathBuf};

use crate::diagnostic::{Diagnostic, Severity};
use crate::git::{GitError, WorkTree};
use crate::include::Files as _;
use crate::pipeline::{self, Pipeline};
use crate::plan::{Facts, Plan, Unplanned};
use crate::predefined::{self, Registry, Repository};
use crate::run;
use crate::span::Sources;
use crate::variable::Variable;

/// Where GitLab looks for a pipeline.
pub const FILE: &str = ".gitlab-ci.yml";

/// A pipeline that is in order, with what git knows of its repository.
#[derive(Debug)]
pub struct Project {
    /// The working tree.
    pub tree: WorkTree,
    /// The commit and its surroundings.
    pub repository: Repository,
    /// The pipeline.
    pub pipeline: Pipeline,
    /// Its files, for the places in findings.
    pub sources: Sources,
    /// What somebody should look at although it is in order.
    pub warnings: Vec<Diagnostic>,
}

/// Why there is nothing to run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The repository.
    #[error(transparent)]
    Git(#[from] GitError),
    /// There is no pipeline.
    #[error("{} is not there", .0.display())]
    NoFile(PathBuf),
    /// The file cannot be read.
    #[error("{}: {source}", .path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The pipeline is wrong.
    #[error("the pipeline has {} error{}", errors(.diagnostics), if errors(.diagnostics) == 1 { "" } else { "s" })]
    Invalid {
        /// Its files.
        sources: Sources,
        /// What is wrong.
        diagnostics: Vec<Diagnostic>,
    },
    /// There is no plan for this commit.
    #[error(transparent)]
    Unplanned(Unplanned),
}

fn errors(diagnostics: &[Diagnostic]) -> usize {
    diagnostics.iter().filter(|d| d.severity == Severity::Error).count()
}

/// What a pipeline is planned with, beside the repository.
#[derive(Clone, Debug, Default)]
pub struct Given {
    /// What started it.
    pub source: String,
    /// Its number.
    pub id: u64,
    /// What `$CI_REGISTRY` and its kin are.
    pub registry: Option<Registry>,
    /// Variables that go before everything the file says.
    pub variables: Vec<Variable>,
}

impl Project {
    /// Reads the pipeline of the repository that a folder is in. `git` is the program; `file` is the path from the root.
    ///
    /// # Errors
    /// There is none, or it is wrong.
    pub fn load(git: &Path, folder: &Path, file: &str) -> Result<Self, Error> {
        let tree = WorkTree::find(git, folder)?;
        let path = tree.root().join(file);
        let text = tree.read(file).map_err(|source| Error::Io { path: path.clone(), source })?;
        let parsed = pipeline::parse(file, &text.ok_or(Error::NoFile(path))?, &tree);
        let Some(pipeline) = parsed.pipeline else {
            return Err(Error::Invalid { sources: parsed.sources, diagnostics: parsed.diagnostics });
        };
        let repository = tree.repository()?;
        Ok(Self { tree, repository, pipeline, sources: parsed.sources, warnings: parsed.diagnostics })
    }

    /// Plans it for the commit that is checked out.
    ///
    /// # Errors
    /// There is nothing to run, or it does not fit together.
    pub fn plan(&self, given: &Given) -> Result<Plan, Error> {
        let changed = match &self.repository.parent {
            Some(parent) => self.tree.changed_since(parent)?,
            None => None,
        };
        let compared = self.pipeline.compared().into_iter();
        let facts = Facts {
            reference: self.repository.reference.clone(),
            project: self.repository.path.clone(),
            source: given.source.clone(),
            predefined: predefined::of_pipeline(&self.repository, given.registry.as_ref(), &given.source, given.id),
            overrides: given.variables.clone(),
            paths: self.tree.paths()?,
            changed,
            compared: compared
                .map(|name| Ok((name.clone(), self.tree.changed_since(&name)?)))
                .collect::<Result<_, GitError>>()?,
        };
        self.pipeline.plan(&facts).map_err(|unplanned| match unplanned {
            Unplanned::Misfit(diagnostics) => Error::Invalid { sources: self.sources.clone(), diagnostics },
            unplanned => Error::Unplanned(unplanned),
        })
    }

    /// A run of it, as far as the repository decides it; the rest is to be filled in.
    ///
    /// # Errors
    /// Git refuses.
    pub fn request(&self, program: PathBuf, caches: PathBuf, stores: PathBuf) -> Result<run::Request, Error> {
        Ok(run::Request {
            worktree: self.tree.root().to_owned(),
            project_dir: predefined::project_dir(&self.repository),
            project: self.repository.path.clone(),
            tracked: self.tree.tracked()?.into_iter().collect(),
            secrets: Vec::new(),
            play: Vec::new(),
            parallel: 1,
            image: None,
            image_map: Vec::new(),
            add_hosts: Vec::new(),
            ca: None,
            program,
            registries: run::Registries::default(),
            caches,
            stores,
            colours: false,
            timeout: run::DEFAULT_TIMEOUT,
        })
    }
}
