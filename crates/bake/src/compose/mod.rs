//! Compose files: each service with a `build` is a target, and all of them are the group `default`. What services do when they
//! run is not looked at.

mod interpolate;
mod service;
mod yaml;

use std::collections::BTreeMap;

pub use interpolate::dot_env;

use crate::definition::{File, Group};
use crate::fault::Result;
use crate::target::Target;
use yaml::{Node, Yaml};

/// Whether a file is one: its name says so, else what it says.
pub(crate) fn is_compose(file: &File) -> bool {
    let name = file.name.to_ascii_lowercase();
    let ends = |ends: &[&str]| ends.iter().any(|end| name.ends_with(end));
    if ends(&[".yml", ".yaml"]) {
        return true;
    }
    let has_services = |node: Node| node.map().is_ok_and(|items| items.contains_key("services"));
    !ends(&[".json", ".hcl"]) && yaml::read(&file.text, 0).is_ok_and(has_services)
}

/// Reads the files with these numbers together.
pub(crate) fn read(
    files: &[File],
    numbers: &[usize],
    lookup: &dyn Fn(&str) -> Option<String>,
) -> Result<(Group, Vec<Target>)> {
    let mut whole = Node { value: Yaml::Map(BTreeMap::new()), span: None };
    for number in numbers {
        let mut node = yaml::read(&files[*number].text, *number)?;
        interpolate::interpolate(&mut node, lookup)?;
        merge(&mut whole, canonical(node)?);
    }
    let top = whole.map()?;
    if let Some(include) = top.get("include") {
        return Err(include.wrong("`include` is not supported yet: name the files with --file"));
    }
    let empty = BTreeMap::new();
    let of = |name: &str| match top.get(name) {
        Some(Node { value: Yaml::Null, .. }) | None => Ok(&empty),
        Some(node) => node.map(),
    };
    let (services, secrets) = (of("services")?, of("secrets")?);
    let mut group = Group { name: "default".into(), ..Group::default() };
    let mut targets = Vec::new();
    for (name, service) in services {
        let service = extended(name, service, services, 0)?;
        if let Some(target) = service::target(name, &service, secrets, lookup)? {
            group.targets.push(target.name.clone());
            targets.push(target);
        }
    }
    Ok((group, targets))
}

/// With the services that a service begins as.
fn extended(name: &str, service: &Node, services: &BTreeMap<String, Node>, depth: usize) -> Result<Node> {
    let Yaml::Map(own) = &service.value else { return Ok(service.clone()) };
    let Some(extends) = own.get("extends") else { return Ok(service.clone()) };
    if depth > services.len() {
        return Err(extends.wrong(format!("services extend each other in a circle: `{name}`")));
    }
    let base = match &extends.value {
        Yaml::Map(fields) if fields.contains_key("file") => {
            return Err(extends.wrong("`extends` of another file is not supported yet: name it with --file"));
        }
        Yaml::Map(fields) => fields.get("service").unwrap_or(extends).text()?,
        _ => extends.text()?,
    };
    let Some(above) = services.get(&base) else { return Err(extends.wrong(format!("there is no service `{base}`"))) };
    let mut merged = extended(&base, above, services, depth + 1)?;
    let mut own = service.clone();
    if let Yaml::Map(items) = &mut own.value {
        items.remove("extends");
    }
    merge(&mut merged, own);
    Ok(merged)
}

/// Lays one tree over another: maps key by key, lists one after the other.
fn merge(below: &mut Node, above: Node) {
    match (&mut below.value, above.value) {
        (Yaml::Map(below), Yaml::Map(above)) => {
            for (key, value) in above {
                match below.get_mut(&key) {
                    Some(known) => merge(known, value),
                    None => drop(below.insert(key, value)),
                }
            }
        }
        (Yaml::List(below), Yaml::List(above)) => {
            for item in above {
                if !below.iter().any(|known| known.value == item.value) {
                    below.push(item);
                }
            }
        }
        (_, Yaml::Null) => {}
        (value, other) => {
            *value = other;
            below.span = above.span;
        }
    }
}

/// Short forms written out, so that what differs in form can be merged.
fn canonical(mut file: Node) -> Result<Node> {
    let Yaml::Map(top) = &mut file.value else { return Ok(file) };
    let Some(Node { value: Yaml::Map(services), .. }) = top.get_mut("services") else { return Ok(file) };
    for service in services.values_mut() {
        let Yaml::Map(service) = &mut service.value else { continue };
        if let Some(environment) = service.get_mut("environment") {
            pairs(environment)?;
        }
        let Some(build) = service.get_mut("build") else { continue };
        if let Yaml::Scalar(..) = build.value {
            let context = build.clone();
            build.value = Yaml::Map(BTreeMap::from([("context".to_owned(), context)]));
        }
        let Yaml::Map(build) = &mut build.value else { continue };
        for name in ["args", "labels", "additional_contexts"] {
            if let Some(list) = build.get_mut(name) {
                pairs(list)?;
            }
        }
    }
    Ok(file)
}

/// `[KEY=VALUE, KEY]` as `{KEY: VALUE, KEY: null}`.
fn pairs(node: &mut Node) -> Result<()> {
    let Yaml::List(items) = &node.value else { return Ok(()) };
    let mut map = BTreeMap::new();
    for item in items {
        let text = item.text()?;
        let (key, value) = match text.split_once('=') {
            Some((key, value)) => (key, Yaml::Scalar(value.to_owned(), false)),
            None => (text.as_str(), Yaml::Null),
        };
        map.insert(key.to_owned(), Node { value, span: item.span.clone() });
    }
    node.value = Yaml::Map(map);
    Ok(())
}
