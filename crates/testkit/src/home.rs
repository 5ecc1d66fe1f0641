//! A home of its own for every test.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// A temporary folder with everything that the binary would otherwise look for in the user's home; it goes with the value.
#[derive(Debug)]
pub struct TempHome {
    dir: TempDir,
}

impl Default for TempHome {
    fn default() -> Self {
        Self::new()
    }
}

impl TempHome {
    /// An empty home.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("archipel-test-").tempdir().expect("a temporary folder");
        for sub in ["data", "config", "cache", "docker", "tmp", "work"] {
            fs::create_dir(dir.path().join(sub)).expect("a folder in the home");
        }
        let home = Self { dir };
        home.write_config("");
        home
    }

    /// The home itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Where the store is.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.path().join("data/archipel")
    }

    /// The configuration file.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.path().join("config.toml")
    }

    /// The folder that commands run in: a place for build contexts.
    #[must_use]
    pub fn work(&self) -> PathBuf {
        self.path().join("work")
    }

    /// What must be set for the binary to live here; nothing else of the caller's environment names a home.
    #[must_use]
    pub fn env(&self) -> Vec<(&'static str, PathBuf)> {
        let path = |sub: &str| self.path().join(sub);
        vec![
            ("HOME", path("")),
            ("XDG_DATA_HOME", path("data")),
            ("XDG_CONFIG_HOME", path("config")),
            ("XDG_CACHE_HOME", path("cache")),
            ("DOCKER_CONFIG", path("docker")),
            ("REGISTRY_AUTH_FILE", path("docker/config.json")),
            ("TMPDIR", path("tmp")),
            ("ARCHIPEL_CONFIG", self.config()),
        ]
    }

    /// Replaces the configuration file.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write_config(&self, toml: &str) {
        fs::write(self.config(), toml).expect("the configuration file");
    }

    /// Makes a registry stand in for docker.io.
    pub fn mirror_docker_hub(&self, to: &str) {
        self.write_config(&format!("[registry.\"docker.io\"]\nmirrors = [\"{to}\"]\n"));
    }

    /// Writes files below [`TempHome::work`], making folders as needed; returns the folder `dir`.
    ///
    /// # Panics
    /// When one cannot be written.
    pub fn context<N: AsRef<Path>, C: AsRef<[u8]>>(
        &self,
        dir: &str,
        files: impl IntoIterator<Item = (N, C)>,
    ) -> PathBuf {
        let root = self.work().join(dir);
        fs::create_dir_all(&root).expect("a context");
        for (name, content) in files {
            let path = root.join(name);
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent).expect("a folder of the context");
            }
            fs::write(&path, content).expect("a file of the context");
        }
        root
    }
}
