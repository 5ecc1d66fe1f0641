//! What `--print` shows: the bytes that buildx prints.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};

use crate::resolve::Bake;
use crate::{Entry, Target};

/// Letters that mean something in HTML, as Go writes them.
pub(crate) fn escaped(json: &str) -> String {
    let mut shown = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => shown.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => shown.push(c),
        }
    }
    shown
}

impl Bake {
    /// The definition with everything resolved, as JSON that is a bake file again.
    #[must_use]
    pub fn json(&self) -> String {
        let mut top = Map::new();
        let groups: Map<_, _> = self
            .groups
            .iter()
            .map(|(name, group)| {
                let mut shown = Map::new();
                if !group.description.is_empty() {
                    shown.insert("description".into(), group.description.clone().into());
                }
                shown.insert("targets".into(), json!(group.targets));
                (name.clone(), Json::Object(shown))
            })
            .collect();
        if !groups.is_empty() {
            top.insert("group".into(), groups.into());
        }
        let targets: Map<_, _> = self.targets.iter().map(|(name, target)| (name.clone(), shown(target))).collect();
        top.insert("target".into(), targets.into());
        let text = serde_json::to_string_pretty(&Json::Object(top)).unwrap_or_default();
        // Go writes an empty list or object without a line between.
        escaped(&text) + "\n"
    }
}

/// So that a template reads as the text that it is.
fn literal(text: &str) -> String {
    text.replace("${", "$${").replace("%{", "%%{")
}

fn shown(target: &Target) -> Json {
    let mut all = Map::new();
    let mut put = |key: &str, value: Option<Json>| drop(value.map(|value| all.insert(key.into(), value)));
    let text = |text: &Option<String>| text.as_ref().map(|text| json!(text));
    let list = |list: &Option<Vec<String>>| list.as_ref().filter(|list| !list.is_empty()).map(|list| json!(list));
    let map = |map: &BTreeMap<String, String>| (!map.is_empty()).then(|| json!(map));
    let literals = |map: &BTreeMap<String, String>| {
        let all: Map<_, _> = map.iter().map(|(key, value)| (key.clone(), literal(value).into())).collect();
        (!all.is_empty()).then(|| Json::Object(all))
    };
    let entries = |list: &Option<Vec<Entry>>| {
        list.as_ref().filter(|list| !list.is_empty()).map(|list| Json::Array(list.iter().map(entry).collect()))
    };
    put("description", (!target.description.is_empty()).then(|| json!(target.description)));
    let annotations = target.annotations.as_ref().map(|all| all.iter().map(|text| literal(text)).collect());
    put("annotations", list(&annotations));
    put("attest", entries(&target.attest));
    put("context", text(&target.context));
    put("contexts", map(&target.contexts));
    put("dockerfile", text(&target.dockerfile));
    put("dockerfile-inline", text(&target.dockerfile_inline.as_deref().map(literal)));
    put("args", literals(&target.args));
    put("labels", literals(&target.labels));
    put("tags", list(&target.tags));
    put("cache-from", entries(&target.cache_from));
    put("cache-to", entries(&target.cache_to));
    put("target", text(&target.target));
    let secrets = target.secret.as_ref().filter(|all| !all.is_empty());
    put("secret", secrets.map(|all| Json::Array(all.iter().map(secret).collect())));
    let agents = target.ssh.as_ref().filter(|all| !all.is_empty());
    put(
        "ssh",
        agents.map(|all| {
            all.iter()
                .map(|ssh| {
                    let mut shown = Map::new();
                    if !ssh.id.is_empty() {
                        shown.insert("id".into(), json!(ssh.id));
                    }
                    if !ssh.paths.is_empty() {
                        shown.insert("paths".into(), json!(ssh.paths));
                    }
                    Json::Object(shown)
                })
                .collect()
        }),
    );
    put("platforms", list(&target.platforms));
    put("output", entries(&target.output));
    put("pull", target.pull.map(Json::Bool));
    put("no-cache", target.no_cache.map(Json::Bool));
    put("network", text(&target.network));
    put("no-cache-filter", list(&target.no_cache_filter));
    put("shm-size", text(&target.shm_size));
    put("ulimits", list(&target.ulimits));
    put("call", text(&target.call));
    put("entitlements", list(&target.entitlements));
    put("extra-hosts", literals(&target.extra_hosts));
    Json::Object(all)
}

fn entry(entry: &Entry) -> Json {
    let value = |key: &str, value: &str| if key == "disabled" && value == "true" { json!(true) } else { json!(value) };
    Json::Object(entry.fields().map(|(key, text)| (key.to_owned(), value(key, text))).collect())
}

fn secret(entry: &Entry) -> Json {
    let field = |key: &str| entry.get(key).filter(|text| !text.is_empty()).map(|text| (key.to_owned(), json!(text)));
    Json::Object(["id", "src", "env"].into_iter().filter_map(field).collect())
}
