//! Builders: names that scripts create, use and remove. One engine is behind them all, so a small file keeps them.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::shared;
use crate::environment::Environment;
use crate::errors::Error;

/// The builder that is always there.
pub(super) const DEFAULT: &str = "default";

/// A builder that somebody made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Builder {
    pub(super) name: String,
    pub(super) driver: String,
    /// The platforms that its maker wants to see first.
    #[serde(default)]
    pub(super) platforms: Vec<String>,
    /// When it was made, in seconds since 1970.
    #[serde(default)]
    pub(super) created: i64,
}

/// All of them, as they are in the file.
#[derive(Debug)]
pub(super) struct Builders {
    path: PathBuf,
    kept: Kept,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Kept {
    current: Option<String>,
    builders: Vec<Builder>,
}

impl Builders {
    /// Reads the file, which need not be there.
    pub(super) fn read(environment: &Environment) -> Result<Self, Error> {
        let path = environment.docker_state()?.join("builders.json");
        let told = || Error::io(path.display().to_string());
        let kept = match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|e| told()(e.into()))?,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Kept::default(),
            Err(e) => return Err(told()(e)),
        };
        Ok(Self { path, kept })
    }

    /// Writes it.
    pub(super) fn write(&self) -> Result<(), Error> {
        shared::write_state(&self.path, &self.kept)
    }

    /// Those that somebody made.
    pub(super) fn all(&self) -> &[Builder] {
        &self.kept.builders
    }

    /// The one that is used where none is named.
    pub(super) fn current(&self) -> &str {
        self.kept.current.as_deref().unwrap_or(DEFAULT)
    }

    /// One of them, or the default one.
    pub(super) fn get(&self, name: &str) -> Result<Builder, Error> {
        if name == DEFAULT {
            let driver = "docker".into();
            return Ok(Builder { name: DEFAULT.into(), driver, platforms: vec![], created: 0 });
        }
        let found = self.kept.builders.iter().find(|builder| builder.name == name);
        found
            .cloned()
            .ok_or_else(|| Error::Usage(format!("no builder \"{name}\" found; `docker buildx ls` shows them")))
    }

    /// Whether a name, if one is given, is a builder's.
    pub(super) fn check(&self, name: Option<&str>) -> Result<(), Error> {
        name.map_or(Ok(()), |name| self.get(name).map(drop))
    }

    /// A name that none has.
    pub(super) fn free_name(&self) -> String {
        let taken = |name: &String| self.kept.builders.iter().any(|builder| builder.name == *name);
        (0_u32..).map(|n| format!("builder{n}")).find(|name| !taken(name)).unwrap_or_default()
    }

    /// Adds one.
    pub(super) fn add(&mut self, builder: Builder) -> Result<(), Error> {
        if builder.name == DEFAULT || self.kept.builders.iter().any(|known| known.name == builder.name) {
            return Err(Error::Usage(format!(
                "existing instance for \"{}\": remove it first, or use it",
                builder.name
            )));
        }
        self.kept.builders.push(builder);
        Ok(())
    }

    /// Makes one the current one.
    pub(super) fn choose(&mut self, name: &str) -> Result<(), Error> {
        self.get(name)?;
        self.kept.current = Some(name.to_owned());
        Ok(())
    }

    /// Forgets one.
    pub(super) fn remove(&mut self, name: &str) -> Result<(), Error> {
        if name == DEFAULT {
            return Err(Error::Usage("the default builder cannot be removed".into()));
        }
        self.get(name)?;
        self.kept.builders.retain(|builder| builder.name != name);
        self.kept.current.take_if(|current| current == name);
        Ok(())
    }
}
