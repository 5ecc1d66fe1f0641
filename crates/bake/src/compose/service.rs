//! The `build` of a service, as a target.

use std::collections::BTreeMap;

use archipel_dockerfile::boolean;

use super::yaml::{Node, Yaml};
use crate::definition::checked;
use crate::entry::{Entry, Form, Ssh};
use crate::fault::{Result, fault};
use crate::target::{Target, once};

const KEYS: &[&str] = &[
    "additional_contexts",
    "args",
    "cache_from",
    "cache_to",
    "context",
    "dockerfile",
    "dockerfile_inline",
    "entitlements",
    "extra_hosts",
    "isolation",
    "labels",
    "network",
    "no_cache",
    "platforms",
    "privileged",
    "provenance",
    "pull",
    "sbom",
    "secrets",
    "shm_size",
    "ssh",
    "tags",
    "target",
    "ulimits",
];

/// The target of a service, if it is built.
pub(super) fn target(
    name: &str,
    service: &Node,
    secrets: &BTreeMap<String, Node>,
    lookup: &dyn Fn(&str) -> Option<String>,
) -> Result<Option<Target>> {
    let Yaml::Map(service) = &service.value else { return Ok(None) };
    let Some(build) = service.get("build").filter(|build| build.value != Yaml::Null) else { return Ok(None) };
    // A dot may be in the name of a service, and not in that of a target.
    let name = name.replace('.', "_");
    checked(&name).map_err(|e| e.at(build.span.clone()))?;
    let mut target = Target { name, ..Target::default() };
    let environment = service.get("environment");
    for (key, node) in build.map()? {
        if node.value == Yaml::Null || key == "x-bake" {
            continue;
        }
        set(&mut target, key, node, secrets).map_err(|e| e.named(key).at(node.span.clone()))?;
    }
    // buildx's order.
    target.attest.iter_mut().for_each(|all| all.sort_by(|a, b| b.get("type").cmp(&a.get("type"))));
    if let Some(Node { value: Yaml::Map(args), .. }) = build.map()?.get("args") {
        let own = |name: &str| environment.and_then(|all| all.map().ok()?.get(name)?.text().ok());
        for (key, node) in args {
            let value = match node.value {
                Yaml::Null => own(key).or_else(|| lookup(key)),
                _ => Some(node.text()?),
            };
            target.args.extend(value.map(|value| (key.clone(), value)));
        }
    }
    if let Some(extension) = build.map()?.get("x-bake").filter(|node| node.value != Yaml::Null) {
        for (key, node) in extension.map()? {
            extend(&mut target, key, node).map_err(|e| e.named(key).at(node.span.clone()))?;
        }
    }
    if target.tags.as_ref().is_none_or(Vec::is_empty)
        && let Some(image) = service.get("image").filter(|image| image.value != Yaml::Null)
    {
        target.tags = Some(vec![image.text()?]);
    }
    Ok(Some(target))
}

fn set(target: &mut Target, key: &str, node: &Node, secrets: &BTreeMap<String, Node>) -> Result<()> {
    match key {
        // Arguments need the environment. What a service may do is not what its build may: buildx takes that from the command line.
        "args" | "entitlements" => {}
        "context" => target.context = Some(node.text()?),
        "dockerfile" => target.dockerfile = Some(node.text()?),
        "dockerfile_inline" => target.dockerfile_inline = Some(node.text()?),
        "target" => target.target = Some(node.text()?),
        "network" => target.network = Some(node.text()?),
        "labels" => target.labels = texts_by_name(node)?,
        "additional_contexts" => {
            target.contexts = links(texts_by_name(node)?);
            for path in target.contexts.values_mut().filter(|value| !value.contains(':')) {
                *path = crate::path::clean(path);
            }
        }
        "platforms" => target.platforms = Some(texts(node)?),
        "tags" => target.tags = Some(texts(node)?),
        "cache_from" => target.cache_from = Some(entries(Form::Cache, &texts(node)?)?),
        "cache_to" => target.cache_to = Some(entries(Form::Cache, &texts(node)?)?),
        "no_cache" => target.no_cache = node.bool()?.then_some(true),
        "pull" => target.pull = node.bool()?.then_some(true),
        "shm_size" => target.shm_size = Some(size(&node.text()?)?),
        "extra_hosts" => target.extra_hosts = hosts(node)?,
        "ulimits" => target.ulimits = Some(ulimits(node)?),
        "ssh" => {
            let mut agents = match &node.value {
                Yaml::Map(items) => items
                    .iter()
                    .map(|(id, path)| {
                        Ok(Ssh {
                            id: id.clone(),
                            paths: if path.value == Yaml::Null { Vec::new() } else { vec![path.text()?] },
                        })
                    })
                    .collect::<Result<Vec<_>>>()?,
                _ => texts(node)?.iter().filter_map(|text| Ssh::parse(text)).collect(),
            };
            agents.sort();
            target.ssh = Some(agents);
        }
        "secrets" => target.secret = Some(node.list()?.iter().map(|one| secret(one, secrets)).collect::<Result<_>>()?),
        "provenance" | "sbom" => {
            let text = node.text()?;
            let entry = match boolean(&text) {
                Some(wanted) => format!("type={key},disabled={}", !wanted),
                None => format!("type={key},{text}"),
            };
            target.attest.get_or_insert_default().extend(Form::Attest.parse(&entry)?);
        }
        "isolation" | "privileged" => return Err(fault("this is not supported")),
        key if key.starts_with("x-") => {}
        key => return Err(fault("there is no such key in a `build`").propose(key, KEYS.iter().copied())),
    }
    Ok(())
}

/// `x-bake`: what compose files have no words for.
fn extend(target: &mut Target, key: &str, node: &Node) -> Result<()> {
    fn join<T>(own: &mut Option<Vec<T>>, more: Vec<T>) {
        own.get_or_insert_default().extend(more);
    }
    match key {
        "tags" => join(&mut target.tags, words(node)?),
        "platforms" => join(&mut target.platforms, words(node)?),
        "no-cache-filter" => join(&mut target.no_cache_filter, words(node)?),
        "cache-from" => join(&mut target.cache_from, entries(Form::Cache, &words(node)?)?),
        "cache-to" => join(&mut target.cache_to, entries(Form::Cache, &words(node)?)?),
        "secret" => join(&mut target.secret, entries(Form::Secret, &words(node)?)?),
        "output" => join(&mut target.output, entries(Form::Output, &words(node)?)?),
        "ssh" => {
            join(&mut target.ssh, words(node)?.iter().filter_map(|text| Ssh::parse(text)).collect());
            target.ssh.get_or_insert_default().sort();
        }
        "pull" => target.pull = Some(node.bool()?),
        "no-cache" => target.no_cache = Some(node.bool()?),
        "contexts" => {
            for (name, value) in links(texts_by_name(node)?) {
                target.contexts.entry(name).or_insert(value);
            }
        }
        key => {
            let known = [
                "cache-from",
                "cache-to",
                "contexts",
                "no-cache",
                "no-cache-filter",
                "output",
                "platforms",
                "pull",
                "secret",
                "ssh",
                "tags",
            ];
            return Err(fault("there is no such key in `x-bake`").propose(key, known));
        }
    }
    target.tags = target.tags.take().map(once);
    target.platforms = target.platforms.take().map(once);
    Ok(())
}

fn texts(node: &Node) -> Result<Vec<String>> {
    node.list()?.iter().map(Node::text).collect()
}

/// A list, or one text with spaces.
fn words(node: &Node) -> Result<Vec<String>> {
    match &node.value {
        Yaml::List(_) => texts(node),
        _ => Ok(node.text()?.split_whitespace().map(str::to_owned).collect()),
    }
}

fn texts_by_name(node: &Node) -> Result<BTreeMap<String, String>> {
    let text = |node: &Node| if node.value == Yaml::Null { Ok(String::new()) } else { node.text() };
    node.map()?.iter().map(|(key, node)| Ok((key.clone(), text(node)?))).collect()
}

fn entries(form: Form, texts: &[String]) -> Result<Vec<Entry>> {
    texts.iter().map(|text| form.parse(text)).collect::<Result<Vec<_>>>().map(|all| all.concat())
}

/// Other services, as targets.
fn links(contexts: BTreeMap<String, String>) -> BTreeMap<String, String> {
    let link = |value: String| match value.strip_prefix("service:").or_else(|| value.strip_prefix("target:")) {
        Some(name) => format!("target:{}", name.replace('.', "_")),
        None => value,
    };
    contexts.into_iter().map(|(name, value)| (name, link(value))).collect()
}

fn secret(node: &Node, secrets: &BTreeMap<String, Node>) -> Result<Entry> {
    let id = match &node.value {
        Yaml::Map(fields) => fields.get("source").ok_or_else(|| fault("`source` is required"))?.text()?,
        _ => node.text()?,
    };
    let mut entry = Entry::of(&[("id", &id)]);
    let Some(Node { value: Yaml::Map(fields), .. }) = secrets.get(&id) else {
        return Err(node.wrong(format!("there is no secret `{id}`")));
    };
    if fields.get("external").is_some_and(|external| external.bool().unwrap_or(false)) {
        return Err(node.wrong(format!("the secret `{id}` is external, which is not supported")));
    }
    for (field, key) in [("file", "src"), ("environment", "env")] {
        if let Some(value) = fields.get(field) {
            let text = value.text()?;
            entry.set(key, &if key == "src" { crate::path::clean(&text) } else { text });
        }
    }
    Ok(entry)
}

/// `NAME=ADDRESS` or `NAME:ADDRESS`; of several addresses of a name all.
fn hosts(node: &Node) -> Result<BTreeMap<String, String>> {
    let mut hosts: BTreeMap<String, String> = BTreeMap::new();
    let mut add = |name: &str, address: &str| {
        let address = address.trim_matches(['[', ']']);
        let known = hosts.entry(name.to_owned()).or_default();
        known.push_str(if known.is_empty() { "" } else { "," });
        known.push_str(address);
    };
    match &node.value {
        Yaml::Map(items) => {
            for (name, addresses) in items {
                match &addresses.value {
                    Yaml::List(all) => all.iter().try_for_each(|one| one.text().map(|one| add(name, &one)))?,
                    _ => add(name, &addresses.text()?),
                }
            }
        }
        _ => {
            for text in texts(node)? {
                let at = text.find(['=', ':']).ok_or_else(|| fault(format!("`{text}` should be NAME=ADDRESS")))?;
                add(&text[..at], &text[at + 1..]);
            }
        }
    }
    Ok(hosts)
}

fn ulimits(node: &Node) -> Result<Vec<String>> {
    let limit = |(name, node): (&String, &Node)| {
        let Yaml::Map(fields) = &node.value else {
            let both = node.text()?;
            return Ok(format!("{name}={both}:{both}"));
        };
        let field = |key: &str| fields.get(key).ok_or_else(|| node.wrong(format!("`{key}` is required")))?.text();
        Ok(format!("{name}={}:{}", field("soft")?, field("hard")?))
    };
    node.map()?.iter().map(limit).collect()
}

/// `128m` as people read it: `128MiB`.
fn size(text: &str) -> Result<String> {
    let wrong = || fault(format!("`{text}` is not a size"));
    let lower = text.to_ascii_lowercase();
    let digits = lower.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(lower.len());
    let number: f64 = lower[..digits].parse().map_err(|_| wrong())?;
    let power = match lower[digits..].trim() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 1,
        "m" | "mb" | "mib" => 2,
        "g" | "gb" | "gib" => 3,
        "t" | "tb" | "tib" => 4,
        _ => return Err(wrong()),
    };
    let mut bytes = number * 1024_f64.powi(power);
    let mut unit = 0;
    while bytes >= 1024.0 && unit < 4 {
        bytes /= 1024.0;
        unit += 1;
    }
    // Four digits that mean something, as docker shows sizes.
    let decimals = 4_usize.saturating_sub(format!("{}", bytes.trunc()).len());
    let shown = format!("{bytes:.decimals$}");
    let shown = if shown.contains('.') { shown.trim_end_matches('0').trim_end_matches('.') } else { &shown };
    Ok(format!("{shown}{}", ["B", "KiB", "MiB", "GiB", "TiB"][unit]))
}
