//! `--set TARGET.KEY=VALUE`: what the command line changes.

use std::collections::BTreeMap;

use archipel_dockerfile::boolean;

use crate::entry::{Entry, Form, Ssh};
use crate::fault::{Result, fault};
use crate::path::matches;
use crate::target::Target;

/// What is set for one key of one target.
#[derive(Clone, Debug, Default)]
struct Change {
    value: Option<String>,
    values: Vec<String>,
    append: bool,
}

/// By target, then by key.
#[derive(Debug, Default)]
pub(crate) struct Overrides(BTreeMap<String, BTreeMap<String, Change>>);

/// Keys that may come several times.
const LISTS: &[&str] = &[
    "annotations",
    "attest",
    "cache-from",
    "cache-to",
    "entitlements",
    "no-cache-filter",
    "output",
    "platform",
    "secrets",
    "ssh",
    "tags",
    "ulimits",
];
/// Keys with a name after them.
const MAPS: &[&str] = &["args", "contexts", "extra-hosts", "labels"];
const TEXTS: &[&str] =
    &["call", "context", "dockerfile", "load", "network", "no-cache", "pull", "push", "shm-size", "target"];

impl Overrides {
    /// Reads `PATTERN.KEY[.NAME][+]=VALUE`; an argument alone has the value of the variable of its name.
    pub(crate) fn read(texts: &[String], targets: &[Target], lookup: &dyn Fn(&str) -> Option<String>) -> Result<Self> {
        let mut overrides = Self::default();
        for text in texts {
            overrides.add(text, targets, lookup).map_err(|e| e.named(&format!("--set {text}")))?;
        }
        Ok(overrides)
    }

    fn add(&mut self, text: &str, targets: &[Target], lookup: &dyn Fn(&str) -> Option<String>) -> Result<()> {
        let (key, value) = text.split_once('=').map_or((text, None), |(key, value)| (key, Some(value)));
        let (key, append) = key.strip_suffix('+').map_or((key, false), |key| (key, true));
        let mut parts = key.splitn(3, '.');
        let (Some(pattern), Some(kind), name) = (parts.next(), parts.next(), parts.next()) else {
            return Err(fault("it should be TARGET.KEY=VALUE"));
        };
        if !LISTS.iter().chain(MAPS).chain(TEXTS).any(|known| *known == kind) {
            let known = LISTS.iter().chain(MAPS).chain(TEXTS).copied();
            return Err(fault(format!("`{kind}` cannot be set")).propose(kind, known));
        }
        if MAPS.contains(&kind) && name.is_none_or(str::is_empty) {
            return Err(fault(format!("`{kind}` needs a name: TARGET.{kind}.NAME=VALUE")));
        }
        let value = match (value, kind, name) {
            (Some(value), ..) => value.to_owned(),
            (None, "args", Some(name)) => match lookup(name) {
                Some(value) => value,
                None => return Ok(()),
            },
            _ => return Err(fault("it should be TARGET.KEY=VALUE")),
        };
        let exact = targets.iter().any(|target| target.name == pattern);
        let meant = |target: &&Target| if exact { target.name == pattern } else { matches(pattern, &target.name) };
        let mut meant = targets.iter().filter(meant).peekable();
        if meant.peek().is_none() {
            let names = targets.iter().map(|target| target.name.as_str());
            return Err(fault(format!("no target is meant by `{pattern}`")).propose(pattern, names));
        }
        let key = name.map_or_else(|| kind.to_owned(), |name| format!("{kind}.{name}"));
        for target in meant {
            let change = self.0.entry(target.name.clone()).or_default().entry(key.clone()).or_default();
            if LISTS.contains(&kind) {
                change.append = append;
                change.values.push(value.clone());
            } else {
                change.value = Some(value.clone());
            }
        }
        Ok(())
    }

    /// Changes a target. Pushing and loading come last, for they are about the outputs.
    pub(crate) fn apply(&self, target: &mut Target) -> Result<()> {
        let Some(changes) = self.0.get(&target.name) else { return Ok(()) };
        let mut ordered: Vec<_> = changes.iter().collect();
        ordered
            .sort_by_key(|(key, _)| ["push", "load"].iter().position(|last| last == key).map_or(0, |place| place + 1));
        for (key, change) in ordered {
            let (kind, name) = key.split_once('.').unwrap_or((key, ""));
            change.apply(target, kind, name).map_err(|e| e.named(&format!("--set {}.{key}", target.name)))?;
        }
        Ok(())
    }
}

impl Change {
    fn apply(&self, target: &mut Target, kind: &str, name: &str) -> Result<()> {
        let text = || self.value.clone().unwrap_or_default();
        let truth = || boolean(&text()).ok_or_else(|| fault(format!("`{}` is not true or false", text())));
        let entries = |form: Form| {
            self.values.iter().map(|text| form.parse(text)).collect::<Result<Vec<_>>>().map(|all| all.concat())
        };
        match kind {
            "args" => drop(target.args.insert(name.to_owned(), text())),
            "contexts" => drop(target.contexts.insert(name.to_owned(), text())),
            "extra-hosts" => drop(target.extra_hosts.insert(name.to_owned(), text())),
            "labels" => drop(target.labels.insert(name.to_owned(), text())),
            "call" => target.call = Some(text()),
            "context" => target.context = Some(text()),
            "dockerfile" => target.dockerfile = Some(text()),
            "network" => target.network = Some(text()),
            "shm-size" => target.shm_size = Some(text()),
            "target" => target.target = Some(text()),
            "no-cache" => target.no_cache = Some(truth()?),
            "pull" => target.pull = Some(truth()?),
            "push" => push(target.output.get_or_insert_default(), truth()?),
            "load" if truth()? => load(target.output.get_or_insert_default()),
            "load" => {}
            "annotations" => target.annotations.get_or_insert_default().extend(self.values.clone()),
            "entitlements" => target.entitlements.get_or_insert_default().extend(self.values.clone()),
            "attest" => target.attest.get_or_insert_default().extend(entries(Form::Attest)?),
            "cache-from" => self.put(&mut target.cache_from, entries(Form::Cache)?),
            "cache-to" => self.put(&mut target.cache_to, entries(Form::Cache)?),
            "output" => self.put(&mut target.output, entries(Form::Output)?),
            "secrets" => self.put(&mut target.secret, entries(Form::Secret)?),
            "ssh" => self.put(&mut target.ssh, self.values.iter().filter_map(|text| Ssh::parse(text)).collect()),
            "no-cache-filter" => self.put(&mut target.no_cache_filter, self.values.clone()),
            "platform" => self.put(&mut target.platforms, self.values.clone()),
            "tags" => self.put(&mut target.tags, self.values.clone()),
            "ulimits" => self.put(&mut target.ulimits, self.values.clone()),
            other => return Err(fault(format!("`{other}` cannot be set"))),
        }
        Ok(())
    }

    fn put<T>(&self, own: &mut Option<Vec<T>>, values: Vec<T>) {
        match (self.append, own) {
            (true, Some(own)) => own.extend(values),
            (_, own) => *own = Some(values),
        }
    }
}

/// `--push`: an image that is an output is pushed, and one is made where there is no other output.
fn push(outputs: &mut Vec<Entry>, wanted: bool) {
    let is = |entry: &Entry, kind: &str| entry.get("type") == Some(kind);
    if !wanted {
        outputs.retain(|output| !is(output, "registry"));
    }
    for output in outputs.iter_mut().filter(|output| is(output, "image")) {
        output.set("push", if wanted { "true" } else { "false" });
    }
    if wanted && outputs.iter().all(|output| is(output, "docker")) {
        outputs.push(Entry::of(&[("push", "true"), ("type", "image")]));
    }
}

/// `--load`: into the store too, unless what is made is no image.
fn load(outputs: &mut Vec<Entry>) {
    let is = |entry: &Entry, kinds: &[&str]| entry.get("type").is_some_and(|kind| kinds.contains(&kind));
    let loads = |output: &Entry| is(output, &["docker"]) && output.get("dest").is_none();
    if !outputs.iter().any(|output| loads(output) || !is(output, &["docker", "image", "registry", "oci"])) {
        outputs.push(Entry::of(&[("type", "docker")]));
    }
}
