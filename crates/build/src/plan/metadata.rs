//! What instructions say to the image's config.

use archipel_dockerfile::{Healthcheck, Step};
use archipel_oci::ContainerConfig;
use serde_json::json;

/// Applies a step to a config. Of a step that changes files it is only what the config says of it.
pub(super) fn apply(config: &mut ContainerConfig, author: &mut Option<String>, step: &Step) {
    match step {
        Step::Env(pairs) => pairs.iter().for_each(|(name, value)| set_env(&mut config.env, name, value)),
        Step::Label(pairs) => config.labels.extend(pairs.iter().cloned()),
        Step::Cmd(command) => {
            config.cmd = command_of(command);
            // BuildKit says so of every CMD. It means something on Windows only.
            config.args_escaped = true;
        }
        Step::Entrypoint(command) => config.entrypoint = command_of(command),
        Step::Workdir(dir) => config.working_dir.clone_from(dir),
        Step::Expose(ports) => config.exposed_ports.extend(ports.iter().map(|port| (port.clone(), json!({})))),
        Step::Volume(paths) => config.volumes.extend(paths.iter().map(|path| (path.clone(), json!({})))),
        Step::User(user) => config.user.clone_from(user),
        Step::StopSignal(signal) => config.stop_signal.clone_from(signal),
        Step::Shell(shell) => config.shell = Some(shell.clone()),
        Step::Onbuild(trigger) => config.on_build.push(trigger.clone()),
        Step::Healthcheck(check) => config.healthcheck = Some(health(check)),
        Step::Maintainer(name) => *author = Some(name.clone()),
        _ => {}
    }
}

/// `CMD []` takes a base image's command away.
fn command_of(words: &[String]) -> Option<Vec<String>> {
    Some(words.to_vec()).filter(|words| !words.is_empty())
}

/// Sets a variable where it stands, or at the end.
pub(super) fn set_env(env: &mut Vec<String>, name: &str, value: &str) {
    let line = format!("{name}={value}");
    let same = |have: &&mut String| have.split_once('=').map_or(have.as_str(), |(n, _)| n) == name;
    match env.iter_mut().find(same) {
        Some(have) => *have = line,
        None => env.push(line),
    }
}

fn health(check: &Healthcheck) -> archipel_oci::Healthcheck {
    archipel_oci::Healthcheck {
        test: check.test.clone(),
        interval: check.interval,
        timeout: check.timeout,
        start_period: check.start_period,
        start_interval: check.start_interval,
        retries: check.retries,
    }
}
