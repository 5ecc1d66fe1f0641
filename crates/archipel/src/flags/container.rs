//! From what was typed after `run` to the library's request.

use std::path::Path;

use archipel_build::{PullPolicy, RunRequest, Tmpfs, Volume};
use archipel_oci::Reference;

use super::request::each;
use super::value;
use crate::commands::{RunArgs, RunPull};
use crate::environment::Environment;
use crate::errors::Error;

/// Resolves the arguments of `run`.
pub(crate) fn resolve(args: &RunArgs, image: Reference, environment: &Environment) -> Result<RunRequest, Error> {
    if args.tty && !rustix::termios::isatty(rustix::stdio::stdin()) {
        return Err(Error::Usage("--tty: standard input is not a terminal".into()));
    }
    let platform = match &args.platform {
        Some(platform) => Some(platform.clone()),
        None => environment.default_platform()?,
    };
    Ok(RunRequest {
        platform,
        pull: match args.pull {
            RunPull::Missing => PullPolicy::Missing,
            RunPull::Always => PullPolicy::Always,
            RunPull::Never => PullPolicy::Never,
        },
        command: args.command().to_vec(),
        entrypoint: args.entrypoint.clone(),
        env: variables(args, environment)?,
        workdir: args.workdir.clone(),
        user: args.user.clone(),
        volumes: each("--volume", &args.volume, volume)?,
        tmpfs: each("--tmpfs", &args.tmpfs, tmpfs)?,
        network: args.network.clone(),
        hostname: args.hostname.clone(),
        add_hosts: args.add_host.clone(),
        terminal: args.tty,
        read_only: args.read_only,
        privileged: args.privileged,
        shm_size: args.shm_size,
        ulimits: args.ulimit.clone(),
        ..RunRequest::new(image)
    })
}

/// Those of files first, so that those of the command line win. A name alone takes its value from here, and is left out where
/// it has none.
fn variables(args: &RunArgs, environment: &Environment) -> Result<Vec<(String, String)>, Error> {
    let mut all = vec![];
    for path in &args.env_file {
        let text = std::fs::read_to_string(path).map_err(Error::io(path.display().to_string()))?;
        let lines = text.lines().map(str::trim_start).filter(|line| !line.is_empty() && !line.starts_with('#'));
        all.extend(lines.map(str::to_owned));
    }
    all.extend(args.env.iter().cloned());
    all.into_iter().filter_map(|text| variable(&text, environment).transpose()).collect()
}

fn variable(text: &str, environment: &Environment) -> Result<Option<(String, String)>, Error> {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => match environment.variable(text).map(std::ffi::OsString::into_string) {
            Some(Err(_)) => return Err(Error::Usage(format!("--env {text}: its value is not UTF-8"))),
            value => (text, value.and_then(Result::ok)),
        },
    };
    if name.is_empty() {
        return Err(Error::Usage(format!("--env {text}: it should be NAME=VALUE or NAME")));
    }
    Ok(value.map(|value| (name.to_owned(), value)))
}

/// `SOURCE:TARGET[:ro]`.
fn volume(text: &str) -> Result<Volume, String> {
    let mut parts = text.split(':');
    let (source, target, options) = match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(source), Some(target), options, None) => (source, target, options),
        (Some(_), None, ..) => return Err("volumes without a SOURCE are not supported yet: write SOURCE:TARGET".into()),
        _ => return Err("it should be SOURCE:TARGET[:ro]".into()),
    };
    if !source.starts_with(['/', '.']) {
        return Err("named volumes are not supported yet: SOURCE should be a path such as ./data".into());
    }
    if !target.starts_with('/') || target == "/" {
        return Err("TARGET should be an absolute path, and not the root".into());
    }
    let read_only = match options {
        None | Some("rw") => false,
        Some("ro") => true,
        Some(other) => return Err(format!("`{other}` is not supported yet: ro or rw")),
    };
    let source = std::path::absolute(Path::new(source)).map_err(|e| e.to_string())?;
    Ok(Volume { source, target: target.to_owned(), read_only })
}

/// `FOLDER[:size=BYTES,mode=MODE]`.
fn tmpfs(text: &str) -> Result<Tmpfs, String> {
    let (target, options) = text.split_once(':').unwrap_or((text, ""));
    if !target.starts_with('/') {
        return Err("FOLDER should be an absolute path".into());
    }
    let mut tmpfs = Tmpfs { target: target.to_owned(), size: None, mode: 0o1777 };
    for option in options.split(',').filter(|o| !o.is_empty() && *o != "rw") {
        match option.split_once('=') {
            Some(("size", size)) => tmpfs.size = Some(value::size(size)?),
            Some(("mode", mode)) => {
                tmpfs.mode = u32::from_str_radix(mode, 8)
                    .ok()
                    .filter(|mode| *mode <= 0o7777)
                    .ok_or_else(|| format!("mode={mode} should be octal, such as 1777"))?;
            }
            _ => return Err(format!("`{option}` is not supported yet: size=, mode= or rw")),
        }
    }
    Ok(tmpfs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes() {
        let read = volume("/a:/b:ro").unwrap();
        assert_eq!((read.source.to_str(), read.target.as_str(), read.read_only), (Some("/a"), "/b", true));
        assert!(volume("./a:/b").unwrap().source.is_absolute());
        for wrong in ["/a", "name:/b", "/a:b", "/a:/", "/a:/b:z", "/a:/b:ro:x"] {
            assert!(volume(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn folders_in_memory() {
        assert_eq!(tmpfs("/t").unwrap(), Tmpfs { target: "/t".into(), size: None, mode: 0o1777 });
        assert_eq!(
            tmpfs("/t:rw,size=1m,mode=700").unwrap(),
            Tmpfs { target: "/t".into(), size: Some(1 << 20), mode: 0o700 }
        );
        for wrong in ["t", "/t:noexec", "/t:mode=9", "/t:mode=77777"] {
            assert!(tmpfs(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn variables_without_a_value_are_left_out() {
        let read = |text| variable(text, &Environment::default());
        assert_eq!(read("A=b=c").unwrap(), Some(("A".into(), "b=c".into())));
        assert_eq!(read("NO_SUCH_VARIABLE_AT_ALL").unwrap(), None);
        assert!(read("PATH").unwrap().is_some() && read("=x").is_err());
    }
}
