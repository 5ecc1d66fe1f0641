//! Registries that others wrote.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

/// Debian's `docker-registry` on a free loopback port, over a folder that goes with the value.
#[derive(Debug)]
pub struct DockerRegistry {
    child: Child,
    address: String,
    _dir: TempDir,
}

impl DockerRegistry {
    /// Starts one. The test asks for it first: `requires!("docker-registry")`.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start() -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let config = dir.path().join("config.yml");
        fs::write(
            &config,
            format!(
                "version: 0.1\nlog: {{level: info}}\nhttp: {{addr: \"127.0.0.1:0\"}}\n\
                 storage: {{filesystem: {{rootdirectory: {}}}, delete: {{enabled: true}}}}\n",
                dir.path().join("data").display()
            ),
        )
        .expect("a configuration");
        let mut child = Command::new("docker-registry")
            .arg("serve")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("docker-registry starts");
        let log = BufReader::new(child.stderr.take().expect("its log"));
        let (found, address) = mpsc::channel();
        // The log is read to its end: a full pipe would stop the registry.
        thread::spawn(move || {
            for line in log.lines().map_while(Result::ok) {
                if let Some((_, rest)) = line.split_once("listening on ") {
                    let port: String = rest.chars().take_while(|c| !matches!(c, '"' | ' ' | ',')).collect();
                    drop(found.send(port));
                }
            }
        });
        let address = address.recv_timeout(Duration::from_secs(20)).expect("docker-registry says where it listens");
        Self { child, address, _dir: dir }
    }

    /// Where it listens: `127.0.0.1:PORT`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }
}

impl Drop for DockerRegistry {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
