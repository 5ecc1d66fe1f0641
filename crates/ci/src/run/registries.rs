//! How the programs in a job reach registries: as the person does. The files of certificates and keys that the person's configuration
//! names are bound into the job, with the owners and modes that they have, and the configuration that the job sees names them there.
//! Its folders of devices are not: what the specs in them name, nodes and files of the machine, a job does not have either.

use std::path::{Path, PathBuf};

use archipel_remote::{Config, ConfigError};
use archipel_sandbox::Mount;

use super::container::OURS;

/// Where docker and its kin look for the certificates of registries, and our program too.
const CERTS_D: &str = "/etc/containers/certs.d";

/// A configuration, and the files that belong to it.
#[derive(Clone, Debug, Default)]
pub struct Registries {
    /// The `config.toml` for jobs.
    text: Option<String>,
    /// What is where in a job.
    files: Vec<(PathBuf, String)>,
}

impl Registries {
    /// Of the text of a `config.toml`, if there is one, and of folders in the form of Docker's `certs.d`.
    ///
    /// # Errors
    /// The text is none.
    pub fn new(text: Option<&str>, certs_d: &[PathBuf]) -> Result<Self, ConfigError> {
        let mut files = Vec::new();
        let mut place = |path: &Path| {
            // A file that is not there is told in the job as it is outside: by its name, when somebody wants it.
            let source = std::path::absolute(path).ok().filter(|path| path.is_file())?;
            let known = files.iter().find(|(other, _)| *other == source).map(|(_, target)| String::clone(target));
            Some(known.unwrap_or_else(|| {
                let target = format!("{OURS}/registries/{}.pem", files.len());
                files.push((source, target.clone()));
                target
            }))
        };
        let text = text.map(|text| Config::relocated(text, &mut place)).transpose()?;
        for (n, folder) in certs_d.iter().enumerate() {
            for host in entries(folder) {
                let named = host.file_name().and_then(|name| name.to_str()).map(str::to_owned);
                for file in entries(&host).into_iter().filter(|file| file.is_file()) {
                    // The number keeps the files of several folders apart, a key beside its certificate, and the order.
                    if let (Some(host), Some(name)) = (&named, file.file_name().and_then(|name| name.to_str())) {
                        files.push((file.clone(), format!("{CERTS_D}/{host}/{n}-{name}")));
                    }
                }
            }
        }
        Ok(Self { text, files })
    }

    /// What of it is mounted in a job, and the variable that names the configuration.
    pub(super) fn mounts(&self) -> (Vec<Mount>, Option<(String, String)>) {
        let bind = |(source, target): &(PathBuf, String)| Mount::Bind {
            source: source.clone(),
            target: target.clone(),
            read_only: true,
        };
        let mut mounts: Vec<Mount> = self.files.iter().map(bind).collect();
        let variable = self.text.as_ref().map(|text| {
            let target = format!("{OURS}/config.toml");
            let (content, mode, uid, gid) = (text.clone().into_bytes(), 0o644, 0, 0);
            mounts.push(Mount::File { target: target.clone(), content, mode, uid, gid, read_only: false });
            ("ARCHIPEL_CONFIG".to_owned(), target)
        });
        (mounts, variable)
    }
}

/// What is in a folder, in order. One that is not there has nothing.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path()).collect();
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn files_are_where_the_configuration_says() {
        let home = tempfile::tempdir().unwrap();
        let path = |name: &str| home.path().join(name);
        for name in ["ca.pem", "key.pem", "certs.d/r.example:5000/client.key", "certs.d/r.example:5000/client.cert"] {
            fs::create_dir_all(path(name).parent().unwrap()).unwrap();
            fs::write(path(name), name).unwrap();
        }
        let text = format!(
            "[registry.a]\nca = [\"{0}/ca.pem\", \"{0}/gone.pem\"]\nkeypair = [{{ key = \"{0}/key.pem\", cert = \"{0}/ca.pem\" }}]\n\
             [cdi]\nspecDirs = [\"{0}/certs.d\"]\n",
            home.path().display()
        );
        let (mounts, variable) = Registries::new(Some(&text), &[path("none"), path("certs.d")]).unwrap().mounts();
        let config = "/run/archipel/config.toml";
        assert_eq!(variable, Some(("ARCHIPEL_CONFIG".into(), config.into())));
        let mut bound = Vec::new();
        let mut seen = String::new();
        for mount in mounts {
            match mount {
                Mount::Bind { source, target, read_only: true } => {
                    bound.push((source.strip_prefix(home.path()).unwrap().display().to_string(), target));
                }
                Mount::File { target, content, .. } if target == config => seen = String::from_utf8(content).unwrap(),
                other => panic!("{other:?}"),
            }
        }
        let pair = |source: &str, target: &str| (source.to_owned(), target.to_owned());
        assert_eq!(
            bound,
            [
                pair("ca.pem", "/run/archipel/registries/0.pem"),
                pair("key.pem", "/run/archipel/registries/1.pem"),
                pair("certs.d/r.example:5000/client.cert", "/etc/containers/certs.d/r.example:5000/1-client.cert"),
                pair("certs.d/r.example:5000/client.key", "/etc/containers/certs.d/r.example:5000/1-client.key"),
            ]
        );
        assert_eq!(
            seen,
            format!(
                "[registry.a]\nca = [\"/run/archipel/registries/0.pem\", \"{}\"]\nkeypair = [{{ key = \
                 \"/run/archipel/registries/1.pem\", cert = \"/run/archipel/registries/0.pem\" }}]\n\
                 [cdi]\nspecDirs = [\"{}\"]\n",
                path("gone.pem").display(),
                path("certs.d").display()
            )
        );
        let (mounts, variable) = Registries::new(None, &[]).unwrap().mounts();
        assert!(mounts.is_empty() && variable.is_none());
    }
}
