//! `RUN --mount`: options with their variables expanded get their meaning here.

use crate::diagnostic::Diagnostic;
use crate::instruction::MountFlag;
use crate::mount::{BindMount, CacheMount, Mount, SecretMount, Sharing, SshMount, TmpfsMount};
use crate::scope::Scope;
use crate::span::{Span, Spanned};
use crate::{number, path};

const TYPES: [&str; 5] = ["bind", "cache", "tmpfs", "secret", "ssh"];
const SHARING: [&str; 3] = ["shared", "private", "locked"];
const KEYS: [&str; 19] = [
    "type",
    "from",
    "source",
    "src",
    "target",
    "dst",
    "destination",
    "readonly",
    "ro",
    "readwrite",
    "rw",
    "id",
    "sharing",
    "required",
    "size",
    "mode",
    "uid",
    "gid",
    "env",
];

/// The options of one mount, as they come.
#[derive(Default)]
struct Options {
    kind: String,
    from: Option<String>,
    source: Option<String>,
    target: Option<String>,
    id: Option<String>,
    env: Option<String>,
    read_only: Option<bool>,
    required: Option<bool>,
    size: Option<u64>,
    sharing: Option<Sharing>,
    mode: Option<u32>,
    uid: Option<u32>,
    gid: Option<u32>,
}

impl Scope {
    pub(super) fn mount(&mut self, flag: &MountFlag) -> Result<Mount, Diagnostic> {
        let mut options = Options { kind: "bind".into(), ..Options::default() };
        for (key, value) in &flag.fields {
            let value = match value {
                Some(value) => Some(self.expand(&Spanned::new(value.clone(), flag.span.clone()))?),
                None => None,
            };
            options.set(key, value, &flag.span)?;
        }
        options.check(&flag.span)?;
        self.meaning(options, &flag.span)
    }

    fn meaning(&self, options: Options, span: &Span) -> Result<Mount, Diagnostic> {
        let invalid = |message: String| Err(Diagnostic::error("invalid-mount", message, span.clone()));
        let target = options.target.clone().filter(|target| !target.is_empty());
        let here = |target: &str| path::absolute(&self.workdir, target);
        let source = path::absolute("/", options.source.as_deref().unwrap_or_default());
        let from = options.from.clone().filter(|from| !from.is_empty());
        let place = here(target.as_deref().unwrap_or_default());
        if matches!(options.kind.as_str(), "bind" | "cache" | "tmpfs") && place == "/" {
            return invalid(format!("invalid mount target {place:?}"));
        }
        Ok(match options.kind.as_str() {
            "bind" => {
                Mount::Bind(BindMount { from, source, target: place, writable: !options.read_only.unwrap_or(true) })
            }
            "cache" => Mount::Cache(CacheMount {
                id: match options.id.filter(|id| !id.is_empty()) {
                    Some(id) => id,
                    None => path::clean(target.as_deref().unwrap_or_default()),
                },
                from,
                source,
                target: place,
                sharing: options.sharing.unwrap_or_default(),
                read_only: options.read_only.unwrap_or(false),
                uid: options.uid,
                gid: options.gid,
                mode: options.mode,
            }),
            "tmpfs" => Mount::Tmpfs(TmpfsMount {
                target: place,
                size: options.size,
                read_only: options.read_only.unwrap_or(false),
            }),
            "secret" => {
                let given = [options.source, options.id].into_iter().flatten().find(|id| !id.is_empty());
                let id = given.unwrap_or_else(|| path::base_name(target.as_deref().unwrap_or_default()).to_owned());
                // With a variable alone there is no file, unless one is named.
                let file = match (target, &options.env) {
                    (Some(target), _) => Some(here(&target)),
                    (None, Some(_)) => None,
                    (None, None) => Some(format!("/run/secrets/{}", path::base_name(&id))),
                };
                Mount::Secret(SecretMount {
                    id,
                    target: file,
                    env: options.env,
                    required: options.required.unwrap_or(false),
                    uid: options.uid,
                    gid: options.gid,
                    mode: options.mode,
                })
            }
            _ if options.source.is_some_and(|source| !source.is_empty()) => {
                return invalid("ssh does not support source".into());
            }
            _ => Mount::Ssh(SshMount {
                id: options.id.filter(|id| !id.is_empty()).unwrap_or_else(|| "default".into()),
                target: target.as_deref().map(here),
                required: options.required.unwrap_or(false),
                uid: options.uid,
                gid: options.gid,
                mode: options.mode,
            }),
        })
    }
}

impl Options {
    fn set(&mut self, key: &str, value: Option<String>, span: &Span) -> Result<(), Diagnostic> {
        let wrong = |message: String| Diagnostic::error("invalid-mount", message, span.clone());
        let shown = value.clone().map_or_else(|| key.to_owned(), |value| format!("{key}={value}"));
        let switch = |value: &Option<String>| match value {
            None => Ok(true),
            Some(value) => number::boolean(value)
                .ok_or_else(|| wrong(format!("invalid value for {key}: {value}")).help("it is true or false")),
        };
        match key {
            "readonly" | "ro" => self.read_only = Some(switch(&value)?),
            "readwrite" | "rw" => self.read_only = Some(!switch(&value)?),
            "required" if matches!(self.kind.as_str(), "secret" | "ssh") => self.required = Some(switch(&value)?),
            "required" => return Err(wrong(format!("unexpected key '{key}' for mount type '{}'", self.kind))),
            _ => {
                let known = KEYS.contains(&key);
                let Some(value) = value else {
                    let wrong = wrong(format!("invalid field '{shown}' must be a key=value pair"));
                    return Err(if known { wrong } else { wrong.propose(key, KEYS) });
                };
                if !known {
                    return Err(wrong(format!("unexpected key '{key}' in '{shown}'")).propose(key, KEYS));
                }
                return self.set_value(key, value, span);
            }
        }
        Ok(())
    }

    fn set_value(&mut self, key: &str, value: String, span: &Span) -> Result<(), Diagnostic> {
        let wrong = |message: String| Diagnostic::error("invalid-mount", message, span.clone());
        let id =
            |value: &str| number::unsigned(value, 10).ok_or_else(|| wrong(format!("invalid value {value} for {key}")));
        match key {
            "type" => {
                self.kind = value.to_lowercase();
                if !TYPES.contains(&self.kind.as_str()) {
                    return Err(wrong(format!("unsupported mount type {value:?}")).propose(&value, TYPES));
                }
            }
            "from" => self.from = Some(value),
            "source" | "src" => self.source = Some(value),
            "target" | "dst" | "destination" => self.target = Some(value),
            "id" => self.id = Some(value),
            "env" => self.env = Some(value),
            "size" if self.kind != "tmpfs" => {
                return Err(wrong(format!("unexpected key '{key}' for mount type '{}'", self.kind)));
            }
            "size" => {
                let size = number::size(&value).ok_or_else(|| wrong(format!("invalid value for {key}: {value}")))?;
                self.size = Some(size);
            }
            "sharing" => {
                self.sharing = Some(match value.to_lowercase().as_str() {
                    "shared" => Sharing::Shared,
                    "private" => Sharing::Private,
                    "locked" => Sharing::Locked,
                    _ => return Err(wrong(format!("unsupported sharing value {value:?}")).propose(&value, SHARING)),
                });
            }
            "mode" => {
                let mode = number::unsigned(&value, 8);
                let mode = mode.ok_or_else(|| wrong(format!("invalid value {value} for mode")).help("it is octal"))?;
                self.mode = Some(mode & 0o7777);
            }
            "uid" => self.uid = Some(id(&value)?),
            _ => self.gid = Some(id(&value)?),
        }
        Ok(())
    }

    fn check(&self, span: &Span) -> Result<(), Diagnostic> {
        let wrong = |message: String| Err(Diagnostic::error("invalid-mount", message, span.clone()));
        let kind = self.kind.as_str();
        if matches!(kind, "bind" | "tmpfs") {
            let given = [("mode", self.mode), ("uid", self.uid), ("gid", self.gid)];
            if let Some((name, _)) = given.iter().find(|(_, value)| value.is_some()) {
                return wrong(format!("{name} not allowed for {kind:?} type mounts"));
            }
        }
        if kind != "cache" && kind != "secret" && self.sharing.is_some() {
            return wrong(format!("invalid cache sharing set for {kind} mount"));
        }
        if kind != "secret" {
            return Ok(());
        }
        let set = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
        if set(&self.from) {
            return wrong("secret mount should not have a from".into());
        }
        if self.sharing.is_some() {
            return wrong("secret mount should not define sharing".into());
        }
        if !set(&self.source) && !set(&self.target) && !set(&self.id) {
            return wrong("invalid secret mount. one of source, target required".into());
        }
        if set(&self.source) && set(&self.id) {
            return wrong("both source and id can't be set".into());
        }
        Ok(())
    }
}
