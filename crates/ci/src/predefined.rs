//! The variables that GitLab gives to every pipeline and job, made of what is known of the repository and the registry.
//!
//! What needs a GitLab server (tokens, links to its pages, runners) is not there, and so is empty where a script uses it.

use crate::slug::{environment_slug, slug};
use crate::variable::{Values, Variable};

/// Where the pipeline's images go.
pub const REGISTRY: &str = "CI_REGISTRY";

/// Who logs in at `$CI_REGISTRY`.
pub const REGISTRY_USER: &str = "CI_REGISTRY_USER";

/// With what.
pub const REGISTRY_PASSWORD: &str = "CI_REGISTRY_PASSWORD";

/// What git knows of the repository.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repository {
    /// The commit.
    pub sha: String,
    /// The commit before it.
    pub parent: Option<String>,
    /// Branch or tag.
    pub reference: Ref,
    /// The whole message.
    pub message: String,
    /// `Name <address>`.
    pub author: String,
    /// When it was made, as ISO 8601.
    pub timestamp: String,
    /// The branch that new work starts from, if that is known.
    pub default_branch: Option<String>,
    /// `group/project`: from the remote's address, else the folder's name.
    pub path: String,
    /// Where it was cloned from, without credentials.
    pub remote: Option<String>,
    /// Whether there are changes that are not in the commit.
    pub dirty: bool,
}

/// What a pipeline runs for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ref {
    /// A branch.
    Branch(String),
    /// A tag.
    Tag(String),
}

impl Default for Ref {
    fn default() -> Self {
        Self::Branch("main".into())
    }
}

impl Ref {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Branch(name) | Self::Tag(name) => name,
        }
    }
}

/// The registry that `$CI_REGISTRY` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registry {
    /// Host and port.
    pub host: String,
    /// What jobs log in with, if that is known.
    pub login: Option<RegistryLogin>,
}

/// Who logs in at a registry, and with what.
#[derive(Clone, PartialEq, Eq)]
pub struct RegistryLogin {
    /// The user.
    pub user: String,
    /// The password, or a token in its place.
    pub password: String,
}

impl std::fmt::Debug for RegistryLogin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RegistryLogin({})", self.user)
    }
}

/// Where jobs find the repository.
#[must_use]
pub fn project_dir(repository: &Repository) -> String {
    format!("/builds/{}", repository.path)
}

/// Variables of the pipeline. `id` numbers it; `source` is what started it (`push`, `web`, ...).
#[must_use]
pub fn of_pipeline(repository: &Repository, registry: Option<&Registry>, source: &str, id: u64) -> Vec<Variable> {
    let sha = repository.sha.as_str();
    let reference = repository.reference.name();
    let path = repository.path.as_str();
    let (namespace, name) = path.rsplit_once('/').unwrap_or(("", path));
    let (title, description) = match repository.message.split_once('\n') {
        Some((title, rest)) => (title, rest.trim_start_matches('\n')),
        None => (repository.message.as_str(), ""),
    };
    let before = repository.parent.clone().unwrap_or_else(|| "0".repeat(40));
    let id = id.to_string();
    let mut pairs: Vec<(&str, String)> = vec![
        ("CI", "true".into()),
        ("GITLAB_CI", "true".into()),
        ("CI_SERVER", "yes".into()),
        ("CI_SERVER_NAME", "archipel".into()),
        ("CI_BUILDS_DIR", "/builds".into()),
        ("CI_PROJECT_DIR", project_dir(repository)),
        ("CI_PROJECT_NAME", name.into()),
        ("CI_PROJECT_TITLE", name.into()),
        ("CI_PROJECT_PATH", path.into()),
        ("CI_PROJECT_PATH_SLUG", slug(path)),
        ("CI_PROJECT_NAMESPACE", namespace.into()),
        ("CI_PROJECT_NAMESPACE_SLUG", slug(namespace)),
        ("CI_PROJECT_ROOT_NAMESPACE", namespace.split('/').next().unwrap_or_default().into()),
        ("CI_PIPELINE_ID", id.clone()),
        ("CI_PIPELINE_IID", id),
        ("CI_PIPELINE_SOURCE", source.into()),
        ("CI_COMMIT_SHA", sha.into()),
        ("CI_COMMIT_SHORT_SHA", sha.chars().take(8).collect()),
        ("CI_COMMIT_BEFORE_SHA", before),
        ("CI_COMMIT_REF_NAME", reference.into()),
        ("CI_COMMIT_REF_SLUG", slug(reference)),
        ("CI_COMMIT_REF_PROTECTED", "false".into()),
        ("CI_COMMIT_MESSAGE", repository.message.clone()),
        ("CI_COMMIT_TITLE", title.into()),
        ("CI_COMMIT_DESCRIPTION", description.into()),
        ("CI_COMMIT_AUTHOR", repository.author.clone()),
        ("CI_COMMIT_TIMESTAMP", repository.timestamp.clone()),
    ];
    pairs.push(match &repository.reference {
        Ref::Branch(name) => ("CI_COMMIT_BRANCH", name.clone()),
        Ref::Tag(name) => ("CI_COMMIT_TAG", name.clone()),
    });
    pairs.extend(repository.default_branch.iter().map(|branch| ("CI_DEFAULT_BRANCH", branch.clone())));
    pairs.extend(repository.remote.iter().map(|remote| ("CI_REPOSITORY_URL", remote.clone())));
    if let Some(registry) = registry {
        pairs.extend([
            (REGISTRY, registry.host.clone()),
            // Names in a registry are lower case, projects need not be.
            ("CI_REGISTRY_IMAGE", format!("{}/{}", registry.host, path.to_lowercase())),
        ]);
        pairs.extend(
            registry
                .login
                .iter()
                .flat_map(|login| [(REGISTRY_USER, login.user.clone()), (REGISTRY_PASSWORD, login.password.clone())]),
        );
    }
    // They are facts: a `$` in a commit's message refers to nothing.
    pairs.into_iter().map(|(name, value)| Variable::raw(name, value)).collect()
}

/// Variables of a job. Where it is no copy of another it is the first of one.
#[must_use]
pub fn of_job(name: &str, stage: &str, id: u64) -> Vec<Variable> {
    let pairs = [
        ("CI_JOB_ID", id.to_string()),
        ("CI_JOB_NAME", name.to_owned()),
        ("CI_JOB_NAME_SLUG", slug(name)),
        ("CI_JOB_STAGE", stage.to_owned()),
        ("CI_JOB_STATUS", "running".to_owned()),
        ("CI_NODE_TOTAL", "1".to_owned()),
    ];
    pairs.into_iter().map(|(name, value)| Variable::raw(name, value)).collect()
}

/// Variables of the place that a job deploys to; its name and address may refer to others.
#[must_use]
pub fn of_environment(environment: &crate::job::Environment, values: &Values) -> Vec<Variable> {
    let name = values.apply(&environment.name);
    let mut pairs = vec![
        ("CI_ENVIRONMENT_SLUG", environment_slug(&name)),
        ("CI_ENVIRONMENT_NAME", name),
        ("CI_ENVIRONMENT_ACTION", environment.action.clone().unwrap_or_else(|| "start".into())),
    ];
    pairs.extend(environment.tier.iter().map(|tier| ("CI_ENVIRONMENT_TIER", tier.clone())));
    let mut variables: Vec<Variable> = pairs.into_iter().map(|(name, value)| Variable::raw(name, value)).collect();
    // The address often has the slug in it, so it is expanded with these.
    variables.extend(environment.url.iter().map(|url| Variable::new("CI_ENVIRONMENT_URL", url)));
    variables
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_pipeline_knows() {
        let repository = Repository {
            sha: "0123456789abcdef0123456789abcdef01234567".into(),
            reference: Ref::Branch("Feature/Login".into()),
            message: "Title $X\n\nMore".into(),
            path: "Group/sub/Hello".into(),
            ..Repository::default()
        };
        let mut registry = Registry { host: "localhost:5000".into(), login: None };
        let variables = of_pipeline(&repository, Some(&registry), "push", 7);
        let get = |name: &str| variables.iter().find(|v| v.name == name).map(|v| v.value.as_str());
        for (name, expected) in [
            ("CI_COMMIT_REF_SLUG", "feature-login"),
            ("CI_COMMIT_SHORT_SHA", "01234567"),
            ("CI_COMMIT_BRANCH", "Feature/Login"),
            ("CI_COMMIT_TITLE", "Title $X"),
            ("CI_COMMIT_DESCRIPTION", "More"),
            ("CI_COMMIT_BEFORE_SHA", "0000000000000000000000000000000000000000"),
            ("CI_PROJECT_NAME", "Hello"),
            ("CI_PROJECT_NAMESPACE", "Group/sub"),
            ("CI_PROJECT_ROOT_NAMESPACE", "Group"),
            ("CI_PROJECT_PATH_SLUG", "group-sub-hello"),
            ("CI_PROJECT_DIR", "/builds/Group/sub/Hello"),
            ("CI_REGISTRY_IMAGE", "localhost:5000/group/sub/hello"),
            ("CI_PIPELINE_IID", "7"),
        ] {
            assert_eq!(get(name), Some(expected), "{name}");
        }
        for name in ["CI_COMMIT_TAG", REGISTRY_USER, REGISTRY_PASSWORD] {
            assert_eq!(get(name), None, "{name}");
        }
        assert!(variables.iter().all(|variable| !variable.expand));
        registry.login = Some(RegistryLogin { user: "ci".into(), password: "p".into() });
        let variables = of_pipeline(&repository, Some(&registry), "push", 7);
        assert!(variables.contains(&Variable::raw(REGISTRY_USER, "ci")));
        assert!(variables.contains(&Variable::raw(REGISTRY_PASSWORD, "p")));
    }
}
