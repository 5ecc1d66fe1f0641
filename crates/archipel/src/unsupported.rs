//! Commands that docker has and archipel has not: said by name, so that nobody looks for a spelling that would work.

use clap::error::{ContextKind, ContextValue, ErrorKind};

/// What a command would need that is not there.
const WHY: &[(&[&str], &str)] = &[
    (
        &["commit", "export", "import"],
        "it is not supported yet; `save` and `load` bring images to and from archives, `build --output` files",
    ),
    (
        &[
            "attach", "cp", "create", "diff", "events", "exec", "kill", "logs", "pause", "port", "ps", "rename",
            "restart", "start", "stats", "stop", "top", "unpause", "update", "wait",
        ],
        "it is not supported yet; a container lives as long as the `run` that started it, and there is no list of them",
    ),
    (&["compose", "network", "volume"], "it is not supported yet; `run -v` takes folders of this machine"),
    (&["search"], "it is not supported yet; registries other than Docker Hub do not offer it"),
    (
        &["config", "context", "node", "plugin", "secret", "service", "stack", "swarm", "trust"],
        "it is about docker's daemons, of which there is none here",
    ),
];

/// The same error in better words, where it is about a command that there is not.
pub(crate) fn explain(mut error: clap::Error, command: &mut clap::Command) -> clap::Error {
    let Some(ContextValue::String(name)) = error.get(ContextKind::InvalidSubcommand) else { return error };
    let name = name.clone();
    if let Some((_, why)) = WHY.iter().find(|(names, _)| names.contains(&name.as_str())) {
        return clap::Error::raw(ErrorKind::InvalidSubcommand, format!("no command `{name}`: {why}\n"))
            .with_cmd(command);
    }
    // clap proposes commands that the help does not show, and several of them.
    let visible: Vec<&str> =
        command.get_subcommands().filter(|c| !c.is_hide_set()).map(clap::Command::get_name).collect();
    if let Some(ContextValue::Strings(proposed)) = error.get(ContextKind::SuggestedSubcommand)
        && let Some(nearest) = archipel_dockerfile::nearest(&name, visible)
        && proposed.iter().any(|p| p == nearest)
    {
        let only = ContextValue::Strings(vec![nearest.to_owned()]);
        let _ = error.insert(ContextKind::SuggestedSubcommand, only);
    }
    error
}
