//! `--secret` and `--ssh`: what steps may see and no layer keeps.

use std::path::{Path, PathBuf};

use archipel_build::{Secret, SecretSource};

use super::csv::pairs;
use crate::environment::Environment;

/// `id=NAME[,src=FILE|env=VARIABLE]`; with neither, the variable of that name, else the file of that name, as docker does.
pub(crate) fn parse(text: &str, environment: &Environment) -> Result<Secret, String> {
    let (mut id, mut file, mut variable, mut kind) = (None, None, None, None);
    for (key, value) in pairs(text)? {
        let value = value.ok_or_else(|| format!("`{key}` should be KEY=VALUE"))?;
        match key.as_str() {
            "id" => id = Some(value),
            "src" | "source" => file = Some(value),
            "env" => variable = Some(value),
            "type" if value == "file" || value == "env" => kind = Some(value),
            "type" => return Err(format!("type={value} is not known: file or env")),
            _ => return Err(format!("`{key}=` is not known: id=, src=, env= or type=")),
        }
    }
    let id = id.filter(|id| !id.is_empty()).ok_or("it has no id=")?;
    if kind.as_deref() == Some("env") && variable.is_none() {
        variable = file.take();
    }
    let source = match (file, variable) {
        (Some(file), None) => SecretSource::File(existing(&file)?),
        (None, Some(variable)) => from_variable(environment, &variable).unwrap_or(SecretSource::Value(vec![])),
        (None, None) => match from_variable(environment, &id) {
            Some(value) => value,
            None => SecretSource::File(existing(&id)?),
        },
        (Some(_), Some(_)) => return Err("src= and env= together: one of them".into()),
    };
    Ok(Secret { id, source })
}

/// `default` or `ID[=SOCKET|KEY[,KEY]]`.
pub(crate) fn ssh(text: &str, environment: &Environment) -> Result<(String, Vec<PathBuf>), String> {
    let (id, paths) = text.split_once('=').unwrap_or((text, ""));
    if id.is_empty() {
        return Err("it should be `default`, ID=SOCKET or ID=KEYFILE".into());
    }
    let paths: Vec<PathBuf> = paths.split(',').filter(|p| !p.is_empty()).map(PathBuf::from).collect();
    if !paths.is_empty() {
        return Ok((id.to_owned(), paths));
    }
    match environment.variable("SSH_AUTH_SOCK").filter(|v| !v.is_empty()) {
        Some(socket) => Ok((id.to_owned(), vec![socket.into()])),
        None => Err("no agent is running (SSH_AUTH_SOCK is not set): start one, or name a key with ID=KEYFILE".into()),
    }
}

fn from_variable(environment: &Environment, name: &str) -> Option<SecretSource> {
    use std::os::unix::ffi::OsStringExt;
    environment.variable(name).map(|value| SecretSource::Value(value.into_vec()))
}

/// A secret that is not there should be told before the build has run for minutes.
fn existing(path: &str) -> Result<PathBuf, String> {
    match std::fs::metadata(path) {
        Ok(found) if found.is_dir() => Err(format!("{path} is a folder")),
        Ok(_) => Ok(Path::new(path).to_owned()),
        Err(e) => Err(format!("{path}: {e}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources() {
        let environment = Environment::default();
        let read = |text: &str| parse(text, &environment);
        assert!(matches!(read("id=a,src=/etc/hosts"), Ok(Secret { source: SecretSource::File(_), .. })));
        assert!(
            matches!(read("type=env,id=a,src=PATH"), Ok(Secret { source: SecretSource::Value(v), .. }) if !v.is_empty())
        );
        assert!(matches!(read("id=PATH"), Ok(Secret { source: SecretSource::Value(_), .. })));
        for wrong in
            ["", "src=/etc/hosts", "id=a,src=/no/such", "id=a,src=/etc", "id=a,what=b", "id=no-such-variable-or-file"]
        {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
