//! Editing a Docker `config.json` without losing what others keep in it.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use crate::CredentialsError;
use crate::credentials::normal;

pub(crate) struct AuthDocument {
    path: PathBuf,
    root: Map<String, Value>,
}

impl AuthDocument {
    /// A file that does not exist is empty.
    pub(crate) fn open(path: &Path) -> Result<Self, CredentialsError> {
        // A link is followed once, here: the rename at the end would replace it.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => String::new(),
            Err(e) => return Err(wrong(&path, e.to_string())),
        };
        let root = if text.trim().is_empty() {
            Map::new()
        } else {
            serde_json::from_str(&text).map_err(|e| {
                wrong(&path, format!("not a JSON object (line {}, column {}); it is left alone", e.line(), e.column()))
            })?
        };
        if root.get("auths").is_some_and(|auths| !auths.is_object() && !auths.is_null()) {
            return Err(wrong(&path, "`auths` is not an object; the file is left alone".into()));
        }
        Ok(Self { path, root })
    }

    /// The helper that keeps the credentials of a registry.
    pub(crate) fn helper(&self, registry: &str) -> Option<String> {
        let own = self.root.get("credHelpers").and_then(Value::as_object).and_then(|helpers| {
            helpers.iter().find(|(key, _)| normal(key) == registry).and_then(|(_, name)| name.as_str())
        });
        own.or_else(|| self.root.get("credsStore").and_then(Value::as_str)).filter(|h| !h.is_empty()).map(str::to_owned)
    }

    pub(crate) fn insert(&mut self, key: &str, auth: String) {
        self.remove(&normal(key));
        let auths = self.root.entry("auths").or_insert_with(|| json!({}));
        if auths.is_null() {
            *auths = json!({});
        }
        if let Some(auths) = auths.as_object_mut() {
            auths.insert(key.to_owned(), json!({ "auth": auth }));
        }
    }

    /// Removes every spelling of the registry's key.
    pub(crate) fn remove(&mut self, registry: &str) -> bool {
        let Some(auths) = self.root.get_mut("auths").and_then(Value::as_object_mut) else { return false };
        let before = auths.len();
        auths.retain(|key, _| normal(key) != registry);
        auths.len() != before
    }

    /// Replaces the file at once, readable by its owner only.
    pub(crate) fn save(&self) -> Result<(), CredentialsError> {
        self.write().map_err(|e| wrong(&self.path, e.to_string()))
    }

    fn write(&self) -> io::Result<()> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let temporary = self.path.with_extension(format!("json.{}", std::process::id()));
        let written = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)
            .and_then(|mut file| {
                let mut text = serde_json::to_vec_pretty(&self.root)?;
                text.push(b'\n');
                file.write_all(&text)?;
                file.sync_all()
            })
            .and_then(|()| fs::rename(&temporary, &self.path));
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        written
    }
}

fn wrong(path: &Path, reason: String) -> CredentialsError {
    CredentialsError::File { file: path.display().to_string(), reason }
}
