//! Values of attributes that are either one text in docker's notation (`type=local,dest=out`) or an object with the same fields.

use std::collections::BTreeMap;

use archipel_dockerfile::{boolean, csv_fields};

use crate::fault::{Result, fault};
use crate::value::Value;

/// The fields of an output, a cache, an attestation or a secret, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry(BTreeMap<String, String>);

impl Entry {
    /// One of its fields.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// All of them, by name.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// As one text.
    #[must_use]
    pub fn csv(&self) -> String {
        let quoted = |(key, value): (&String, &String)| {
            let pair = format!("{key}={value}");
            if pair.contains([',', '"', '\n']) { format!("\"{}\"", pair.replace('"', "\"\"")) } else { pair }
        };
        // The type says what the others mean.
        let (first, rest): (Vec<_>, Vec<_>) = self.0.iter().partition(|(key, _)| *key == "type");
        first.into_iter().chain(rest).map(quoted).collect::<Vec<_>>().join(",")
    }

    pub(crate) fn of(fields: &[(&str, &str)]) -> Self {
        Self(fields.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
    }

    pub(crate) fn set(&mut self, key: &str, value: &str) {
        self.0.insert(key.to_owned(), value.to_owned());
    }

    fn object(fields: &BTreeMap<String, Value>) -> Result<Self> {
        let given = fields.iter().filter(|(_, value)| **value != Value::Null);
        given.map(|(key, value)| Ok((key.clone(), value.text()?))).collect::<Result<_>>().map(Self)
    }

    fn pairs(text: &str, lower: bool) -> Result<Self> {
        let mut entry = Self::default();
        for field in csv_fields(text).map_err(fault)? {
            let (key, value) = field.split_once('=').ok_or_else(|| fault(format!("`{field}` should be KEY=VALUE")))?;
            let key = if lower { key.trim().to_lowercase() } else { key.to_owned() };
            entry.0.insert(key, value.to_owned());
        }
        Ok(entry)
    }

    fn typed(self) -> Result<Self> {
        match self.get("type") {
            Some(kind) if !kind.is_empty() => Ok(self),
            _ => Err(fault("`type` is required")),
        }
    }
}

/// What a list of entries is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Attest,
    Cache,
    Output,
    Secret,
}

impl Form {
    /// The entries of an attribute.
    pub(crate) fn read(self, value: &Value) -> Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for item in value.list()? {
            match item {
                Value::String(text) => entries.extend(self.parse(text)?),
                Value::Map(fields) => entries.push(self.checked(Entry::object(fields)?)?),
                other => return Err(fault(format!("a text or an object is required, and this is a {}", other.kind()))),
            }
        }
        Ok(entries)
    }

    /// The entry that a text is. None for an empty one, and for caches several names may stand in one.
    pub(crate) fn parse(self, text: &str) -> Result<Vec<Entry>> {
        if text.is_empty() {
            return Ok(Vec::new());
        }
        let entry = match self {
            Self::Cache if !text.contains('=') => {
                let names = csv_fields(text).map_err(fault)?;
                return Ok(names.iter().map(|name| Entry::of(&[("ref", name), ("type", "registry")])).collect());
            }
            Self::Output if text == "-" => Entry::of(&[("dest", "-"), ("type", "tar")]),
            Self::Output if !text.contains(',') && !text.starts_with("type=") => {
                Entry::of(&[("dest", text), ("type", "local")])
            }
            Self::Secret => secret(Entry::pairs(text, true)?)?,
            Self::Attest => Entry::pairs(text, false)?,
            _ => Entry::pairs(text, true)?,
        };
        self.checked(entry).map(|entry| vec![entry])
    }

    fn checked(self, mut entry: Entry) -> Result<Entry> {
        match self {
            Self::Secret => Ok(entry),
            Self::Cache => entry.typed(),
            Self::Output => {
                entry.0.retain(|key, value| key != "dest" || !value.is_empty());
                entry.typed()
            }
            Self::Attest => {
                match entry.0.remove("disabled").as_deref().map(|text| (boolean(text), text)) {
                    None | Some((Some(false), _)) => {}
                    Some((Some(true), _)) => entry.set("disabled", "true"),
                    Some((None, text)) => return Err(fault(format!("disabled={text} should be true or false"))),
                }
                entry.typed()
            }
        }
    }

    /// Each once. What has an id has the place of the first of it, and the content of the last.
    pub(crate) fn unique(self, entries: Vec<Entry>) -> Vec<Entry> {
        match self {
            Self::Secret => last_of_each(entries, |entry| entry.get("id").unwrap_or_default().to_owned()),
            Self::Attest => last_of_each(entries, |entry| entry.get("type").unwrap_or_default().to_owned()),
            Self::Cache | Self::Output => {
                let mut entries = entries;
                // buildx's own way, for the order that comes of it: the last takes the place of a later double.
                for i in (0..entries.len().saturating_sub(1)).rev() {
                    if let Some(j) = (i + 1..entries.len()).find(|j| entries[i] == entries[*j]) {
                        entries.swap_remove(j);
                    }
                }
                entries
            }
        }
    }
}

/// `type=env,src=X` is `env=X`.
fn secret(mut entry: Entry) -> Result<Entry> {
    let kind = entry.0.remove("type");
    if let Some(source) = entry.0.remove("source") {
        entry.0.insert("src".into(), source);
    }
    if let Some(key) = entry.0.keys().find(|key| !matches!(key.as_str(), "id" | "src" | "env")) {
        return Err(fault(format!("`{key}=` is not known: id=, src=, env= or type=")));
    }
    match kind.as_deref() {
        None | Some("file") => {}
        Some("env") if entry.get("env").is_none() => {
            if let Some(name) = entry.0.remove("src") {
                entry.0.insert("env".into(), name);
            }
        }
        Some("env") => {}
        Some(other) => return Err(fault(format!("type={other} is not known: file or env"))),
    }
    Ok(entry)
}

fn last_of_each<T>(all: Vec<T>, id: impl Fn(&T) -> String) -> Vec<T> {
    let mut once: Vec<T> = Vec::new();
    for one in all {
        match once.iter_mut().find(|other| id(other) == id(&one)) {
            Some(other) => *other = one,
            None => once.push(one),
        }
    }
    once
}

/// An agent or keys for `RUN --mount=type=ssh`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ssh {
    /// Its name.
    pub id: String,
    /// Sockets or keys; the running agent if none.
    pub paths: Vec<String>,
}

impl Ssh {
    /// `ID[=PATH,PATH]`. None for an empty text.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (id, paths) = text.split_once('=').map_or((text, None), |(id, paths)| (id, Some(paths)));
        let paths = paths.map_or_else(Vec::new, |paths| paths.split(',').map(str::to_owned).collect());
        (!text.is_empty()).then(|| Self { id: id.to_owned(), paths })
    }

    pub(crate) fn read(value: &Value) -> Result<Vec<Self>> {
        let mut all = Vec::new();
        for item in value.list()? {
            match item {
                Value::String(text) => all.extend(Self::parse(text)),
                Value::Map(fields) => {
                    let id = fields.get("id").map_or_else(|| Ok(String::new()), Value::text)?;
                    let paths = match fields.get("paths") {
                        None | Some(Value::Null) => Vec::new(),
                        Some(paths) => paths.list()?.iter().map(Value::text).collect::<Result<_>>()?,
                    };
                    all.push(Self { id, paths });
                }
                other => return Err(fault(format!("a text or an object is required, and this is a {}", other.kind()))),
            }
        }
        Ok(all)
    }

    pub(crate) fn unique(all: Vec<Self>) -> Vec<Self> {
        last_of_each(all, |ssh| ssh.id.clone())
    }

    /// As one text.
    #[must_use]
    pub fn text(&self) -> String {
        if self.paths.is_empty() { self.id.clone() } else { format!("{}={}", self.id, self.paths.join(",")) }
    }
}
