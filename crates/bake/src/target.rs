//! A target: what is to be built, and how one is laid over another.

use std::collections::BTreeMap;

use crate::entry::{Entry, Form, Ssh};
use crate::fault::{Result, Span, fault};
use crate::value::Value;

/// What `target NAME { ... }` says. What was not said is `None` or empty; lists that were said to be empty are not `None`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Target {
    /// Its name.
    pub name: String,
    /// For people.
    pub description: String,
    /// Targets that this one begins as.
    pub(crate) inherits: Vec<String>,
    /// `KEY=VALUE`, perhaps with a prefix.
    pub annotations: Option<Vec<String>>,
    /// Attestations.
    pub attest: Option<Vec<Entry>>,
    /// The folder or address that is built.
    pub context: Option<String>,
    /// Further contexts by name.
    pub contexts: BTreeMap<String, String>,
    /// The Dockerfile.
    pub dockerfile: Option<String>,
    /// A Dockerfile as a text.
    pub dockerfile_inline: Option<String>,
    /// Values of ARGs.
    pub args: BTreeMap<String, String>,
    /// Labels of the image.
    pub labels: BTreeMap<String, String>,
    /// Names of the result.
    pub tags: Option<Vec<String>>,
    /// Caches to look in.
    pub cache_from: Option<Vec<Entry>>,
    /// Caches to write.
    pub cache_to: Option<Vec<Entry>>,
    /// The stage.
    pub target: Option<String>,
    /// Secrets.
    pub secret: Option<Vec<Entry>>,
    /// Agents.
    pub ssh: Option<Vec<Ssh>>,
    /// Platforms.
    pub platforms: Option<Vec<String>>,
    /// What to do with the result.
    pub output: Option<Vec<Entry>>,
    /// Whether to ask for newer base images.
    pub pull: Option<bool>,
    /// Whether to run every step again.
    pub no_cache: Option<bool>,
    /// Network of RUN steps.
    pub network: Option<String>,
    /// Stages whose steps run again.
    pub no_cache_filter: Option<Vec<String>>,
    /// Size of `/dev/shm`.
    pub shm_size: Option<String>,
    /// Resource limits.
    pub ulimits: Option<Vec<String>>,
    /// What to do instead of building.
    pub call: Option<String>,
    /// What RUN steps may ask for.
    pub entitlements: Option<Vec<String>>,
    /// Entries of `/etc/hosts`.
    pub extra_hosts: BTreeMap<String, String>,
    /// Whether only other targets need it.
    pub linked: bool,
    /// Where its attributes are.
    pub(crate) places: BTreeMap<&'static str, Span>,
}

/// Every attribute of a target.
const ATTRIBUTES: &[&str] = &[
    "annotations",
    "args",
    "attest",
    "cache-from",
    "cache-to",
    "call",
    "context",
    "contexts",
    "description",
    "dockerfile",
    "dockerfile-inline",
    "entitlements",
    "extra-hosts",
    "inherits",
    "labels",
    "matrix",
    "name",
    "network",
    "no-cache",
    "no-cache-filter",
    "output",
    "platforms",
    "pull",
    "secret",
    "shm-size",
    "ssh",
    "tags",
    "target",
    "ulimits",
];

/// Attributes of newer versions that there is nothing behind here.
const MISSING: &[&str] = &["policy", "resources"];

/// The name as a constant, or why there is none.
pub(crate) fn attribute(name: &str) -> Result<&'static str> {
    if MISSING.contains(&name) {
        return Err(fault(format!("`{name}` is not supported yet")));
    }
    let known = ATTRIBUTES.iter().find(|known| **known == name).copied();
    known.ok_or_else(|| fault(format!("a target has no attribute `{name}`")).propose(name, ATTRIBUTES.iter().copied()))
}

impl Target {
    /// Sets an attribute to a value. Null is as if it was not there.
    pub(crate) fn set(&mut self, name: &'static str, value: &Value) -> Result<()> {
        if *value == Value::Null {
            return Ok(());
        }
        match name {
            "annotations" => self.annotations = Some(texts(value)?),
            "args" => self.args = map(value)?,
            "attest" => self.attest = Some(Form::Attest.read(value)?),
            "cache-from" => self.cache_from = Some(Form::Cache.read(value)?),
            "cache-to" => self.cache_to = Some(Form::Cache.read(value)?),
            "call" => self.call = Some(value.text()?),
            "context" => self.context = Some(value.text()?),
            "contexts" => self.contexts = map(value)?,
            "description" => self.description = value.text()?,
            "dockerfile" => self.dockerfile = Some(value.text()?),
            "dockerfile-inline" => self.dockerfile_inline = Some(value.text()?),
            "entitlements" => self.entitlements = Some(texts(value)?),
            "extra-hosts" => self.extra_hosts = map(value)?,
            "inherits" => self.inherits = texts(value)?,
            "labels" => self.labels = map(value)?,
            "network" => self.network = Some(value.text()?),
            "no-cache" => self.no_cache = Some(value.bool()?),
            "no-cache-filter" => self.no_cache_filter = Some(texts(value)?),
            "output" => self.output = Some(Form::Output.read(value)?),
            "platforms" => self.platforms = Some(texts(value)?),
            "pull" => self.pull = Some(value.bool()?),
            "secret" => self.secret = Some(Form::Secret.read(value)?),
            "shm-size" => self.shm_size = Some(value.text()?),
            "ssh" => self.ssh = Some(Ssh::read(value)?),
            "tags" => self.tags = Some(texts(value)?),
            "target" => self.target = Some(value.text()?),
            "ulimits" => self.ulimits = Some(texts(value)?),
            // `name` and `matrix` made the target what it is.
            _ => {}
        }
        Ok(())
    }

    /// Lays another over this one. Maps and most lists are joined, names, platforms and outputs replaced.
    pub(crate) fn merge(&mut self, other: &Self) {
        replace(&mut self.context, &other.context);
        replace(&mut self.dockerfile, &other.dockerfile);
        replace(&mut self.dockerfile_inline, &other.dockerfile_inline);
        replace(&mut self.tags, &other.tags);
        replace(&mut self.target, &other.target);
        replace(&mut self.call, &other.call);
        replace(&mut self.platforms, &other.platforms);
        replace(&mut self.cache_to, &other.cache_to);
        replace(&mut self.output, &other.output);
        replace(&mut self.pull, &other.pull);
        replace(&mut self.no_cache, &other.no_cache);
        replace(&mut self.network, &other.network);
        replace(&mut self.shm_size, &other.shm_size);
        join(&mut self.annotations, &other.annotations);
        join(&mut self.attest, &other.attest);
        join(&mut self.secret, &other.secret);
        join(&mut self.ssh, &other.ssh);
        join(&mut self.cache_from, &other.cache_from);
        join(&mut self.no_cache_filter, &other.no_cache_filter);
        join(&mut self.ulimits, &other.ulimits);
        join(&mut self.entitlements, &other.entitlements);
        self.args.extend(other.args.clone());
        self.contexts.extend(other.contexts.clone());
        self.labels.extend(other.labels.clone());
        self.extra_hosts.extend(other.extra_hosts.clone());
        self.inherits.extend(other.inherits.iter().cloned());
        self.places.extend(other.places.iter().map(|(name, span)| (*name, span.clone())));
        if !other.description.is_empty() {
            self.description.clone_from(&other.description);
        }
    }

    /// Each thing once, and what follows from others.
    pub(crate) fn normalize(&mut self) {
        for list in [
            &mut self.annotations,
            &mut self.tags,
            &mut self.platforms,
            &mut self.no_cache_filter,
            &mut self.ulimits,
            &mut self.entitlements,
        ] {
            *list = list.take().map(once);
        }
        self.attest = self.attest.take().map(|all| Form::Attest.unique(all));
        self.secret = self.secret.take().map(|all| Form::Secret.unique(all));
        self.ssh = self.ssh.take().map(Ssh::unique);
        for caches in [&mut self.cache_from, &mut self.cache_to] {
            *caches = caches.take().map(|all| Form::Cache.unique(all));
        }
        self.output = self.output.take().map(|all| Form::Output.unique(all));
        if self.network.as_deref() == Some("host") {
            self.entitle("network.host");
        }
        self.contexts.retain(|_, value| !value.is_empty());
    }

    pub(crate) fn entitle(&mut self, what: &str) {
        let all = self.entitlements.get_or_insert_default();
        if !all.iter().any(|known| known == what) {
            all.push(what.to_owned());
        }
    }

    /// The targets whose results it takes as contexts.
    pub fn links(&self) -> impl Iterator<Item = (&str, &str)> {
        self.contexts.iter().filter_map(|(name, value)| Some((name.as_str(), value.strip_prefix("target:")?)))
    }
}

fn replace<T: Clone>(own: &mut Option<T>, other: &Option<T>) {
    if other.is_some() {
        own.clone_from(other);
    }
}

fn join<T: Clone>(own: &mut Option<Vec<T>>, other: &Option<Vec<T>>) {
    if let Some(other) = other {
        own.get_or_insert_default().extend_from_slice(other);
    }
}

/// Without doubles and empty texts, in the order of first mention.
pub(crate) fn once(all: Vec<String>) -> Vec<String> {
    let mut once: Vec<String> = Vec::new();
    for one in all {
        if !one.is_empty() && !once.contains(&one) {
            once.push(one);
        }
    }
    once
}

/// A list of texts.
pub(crate) fn texts(value: &Value) -> Result<Vec<String>> {
    value.list()?.iter().map(Value::text).collect()
}

/// Texts by name; null is as if a name was not there.
fn map(value: &Value) -> Result<BTreeMap<String, String>> {
    let given = value.map()?.iter().filter(|(_, value)| **value != Value::Null);
    given.map(|(key, value)| Ok((key.clone(), value.text()?))).collect()
}
