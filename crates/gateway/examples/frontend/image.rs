//! The language: what each line does to an image.

use archipel_gateway::pb::file_action::Action;
use archipel_gateway::pb::op::Op as Kind;
use archipel_gateway::pb::{MountType, user_opt};
use archipel_gateway::{pb, status};
use serde_json::{Value, json};

use crate::definition::{Definition, Place, copy, local};
use crate::{Frontend, Result, wrong};

/// An image on its way.
pub(crate) struct Image<'a> {
    frontend: &'a Frontend,
    platform: pb::Platform,
    definition: Definition,
    results: Vec<Place>,
    now: Place,
    config: Value,
    /// What is left out of the context, and what alone is taken of it.
    ignored: Vec<String>,
    wanted: Vec<String>,
    attestations: Vec<pb::Attestation>,
    notes: Vec<(String, Vec<u8>)>,
}

/// What a text comes to.
pub(crate) struct Finished {
    pub(crate) files: pb::Ref,
    pub(crate) config: Vec<u8>,
    pub(crate) attestations: Vec<pb::Attestation>,
    /// Annotations of the image, as metadata.
    pub(crate) notes: Vec<(String, Vec<u8>)>,
}

impl<'a> Image<'a> {
    pub(crate) fn new(frontend: &'a Frontend, platform: pb::Platform, text: &str) -> Self {
        let mut config = json!({"config": {}, "rootfs": {"type": "layers", "diff_ids": []}});
        describe(&platform, &mut config);
        let anew = frontend.options.contains_key("no-cache");
        let text = pb::SourceInfo { filename: "build".into(), data: text.into(), ..Default::default() };
        let definition = Definition::new(text, anew);
        let (results, ignored, wanted) = (Vec::new(), Vec::new(), Vec::new());
        let (attestations, notes) = (Vec::new(), Vec::new());
        Self { frontend, platform, definition, results, now: None, config, ignored, wanted, attestations, notes }
    }

    /// What the builder calls the files, the config, and what is said of both.
    pub(crate) async fn finish(self) -> Result<Finished> {
        let files = pb::Ref { id: self.solved().await?, def: None };
        let (attestations, notes) = (self.attestations, self.notes);
        Ok(Finished { files, config: self.config.to_string().into_bytes(), attestations, notes })
    }

    pub(crate) async fn line(&mut self, number: i32, line: &str) -> Result<()> {
        self.definition.line = number;
        let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
        let words: Vec<&str> = rest.split_whitespace().collect();
        let (first, text) = rest.split_once(' ').unwrap_or((rest, ""));
        self.now = match (name, words.as_slice()) {
            ("image", [reference]) => self.base(reference).await?,
            ("scratch", []) => None,
            ("result", [n]) => self.result(n)?,
            ("source", [name]) => self.source(name),
            ("run", [_, ..]) => self.run(&words, None, line),
            ("shell", [_, ..]) => self.shell(rest, None, line),
            ("out", [_, ..]) => {
                let written = pb::Mount { input: -1, dest: "/out".into(), output: 1, ..Default::default() };
                let made = self.shell(rest, Some(written), line);
                made.map(|made| pb::Input { index: 1, ..made })
            }
            ("secret", [id, _, ..]) => {
                let opt = pb::SecretOpt { id: (*id).into(), mode: 0o400, ..Default::default() };
                let mount = pb::Mount { dest: "/secret".into(), secret_opt: Some(opt), ..beside(MountType::Secret) };
                self.shell(text, Some(mount), line)
            }
            ("ssh", [_, ..]) => {
                let mount = pb::Mount { dest: "/agent".into(), ..beside(MountType::Ssh) };
                self.shell(rest, Some(mount), line)
            }
            ("cache", [id, _, ..]) => {
                let opt = pb::CacheOpt { id: (*id).into(), ..Default::default() };
                let mount = pb::Mount { dest: "/cache".into(), cache_opt: Some(opt), ..beside(MountType::Cache) };
                self.shell(text, Some(mount), line)
            }
            ("file", [_, ..]) => self.file(first, format!("{text}\n").into_bytes(), line),
            ("read", [path, new]) => {
                let data = self.frontend.read(&self.solved().await?, path).await?;
                self.file(new, data, line)
            }
            ("list", [path, new]) => {
                let request =
                    pb::ReadDirRequest { r#ref: self.solved().await?, dir_path: (*path).into(), ..Default::default() };
                let found: pb::ReadDirResponse = self.frontend.client.call("ReadDir", &request).await?;
                let names: String = found.entries.into_iter().map(|stat| stat.path + "\n").collect();
                self.file(new, names.into_bytes(), line)
            }
            ("stat", [path, new]) => {
                let request =
                    pb::StatFileRequest { r#ref: self.solved().await?, path: (*path).into(), ..Default::default() };
                let found: pb::StatFileResponse = self.frontend.client.call("StatFile", &request).await?;
                let stat = found.stat.unwrap_or_default();
                self.file(new, format!("{} {:o} {}\n", stat.path, stat.mode, stat.size).into_bytes(), line)
            }
            ("env-opt", [key, new]) => {
                let value = format!("{}\n", self.frontend.option(key, ""));
                self.file(new, value.into_bytes(), line)
            }
            ("mkdir", [path]) => {
                let path = (*path).into();
                let action = pb::FileActionMkDir { path, mode: 0o755, make_parents: true, timestamp: -1, owner: None };
                self.change(Action::Mkdir(action), None, line)
            }
            ("rm", [path]) => {
                let (path, allow_wildcard) = ((*path).into(), path.contains('*'));
                self.change(Action::Rm(pb::FileActionRm { path, allow_wildcard, allow_not_found: false }), None, line)
            }
            ("link", [old, new]) => {
                let (oldpath, newpath) = ((*old).into(), (*new).into());
                let action = pb::FileActionSymlink { oldpath, newpath, timestamp: -1, owner: None };
                self.change(Action::Symlink(action), None, line)
            }
            ("copy", [source, dest]) => {
                let mut context = local(self.frontend.option("contextkey", "context"), None);
                let patterns =
                    [("local.excludepatterns", &self.ignored), ("local.includepattern", &self.wanted)].into_iter();
                let given = patterns.filter(|(_, list)| !list.is_empty());
                context.attrs.extend(given.map(|(name, list)| (name.to_owned(), json!(list).to_string())));
                let context = self.definition.add(Vec::new(), Kind::Source(context), None, "context");
                self.change(Action::Copy(copy(source, dest)), Some(context), line)
            }
            ("take", [n, source, dest]) => {
                let from = self.result(n)?;
                self.change(Action::Copy(copy(source, dest)), from, line)
            }
            ("give", [owner, mode, n, source, dest]) => {
                let from = self.result(n)?;
                let mode = i32::from_str_radix(mode, 8).map_err(wrong)?;
                let owner = Some(pb::ChownOpt { user: Some(account(owner)), group: None });
                self.change(Action::Copy(pb::FileActionCopy { owner, mode, ..copy(source, dest) }), from, line)
            }
            ("merge", [n, m]) => {
                let inputs = vec![self.result(n)?, self.result(m)?];
                self.over(inputs, line, |inputs| {
                    Kind::Merge(pb::MergeOp { inputs: inputs.map(|input| pb::MergeInput { input }).into() })
                })
            }
            ("diff", [n, m]) => {
                let inputs = vec![self.result(n)?, self.result(m)?];
                let side = |input| Some(pb::DiffInput { input });
                self.over(inputs, line, |[n, m]| Kind::Diff(pb::DiffOp { lower: side(n), upper: side(m) }))
            }
            _ => return self.other(name, rest, &words).await,
        };
        self.results.push(self.now.clone());
        Ok(())
    }

    /// The lines that make no file system.
    async fn other(&mut self, name: &str, rest: &str, words: &[&str]) -> Result<()> {
        let config = &mut self.config["config"];
        match (name, words) {
            ("label", [key, value]) => config["Labels"][*key] = (*value).into(),
            ("env", [key, value]) => match &mut config["Env"] {
                Value::Array(list) => list.push(format!("{key}={value}").into()),
                none => *none = json!([format!("{key}={value}")]),
            },
            ("cmd", [_, ..]) => config["Cmd"] = json!(words),
            ("warn", [_, ..]) => {
                let digest = self.now.as_ref().map(|input| input.digest.clone()).unwrap_or_default();
                let request = pb::WarnRequest { digest, level: 1, short: rest.into(), ..Default::default() };
                let _: pb::Empty = self.frontend.client.call("Warn", &request).await?;
            }
            ("attest", [predicate_type, path]) => {
                let attestation = pb::Attestation {
                    kind: pb::AttestationKind::InToto as i32,
                    r#ref: Some(pb::Ref { id: self.solved().await?, def: None }),
                    path: (*path).into(),
                    in_toto_predicate_type: (*predicate_type).into(),
                    ..Default::default()
                };
                self.attestations.push(attestation);
            }
            ("note", [key, value]) => self.notes.push((format!("annotation.{key}"), (*value).into())),
            ("ignore", [pattern]) => self.ignored.push((*pattern).into()),
            ("only", [pattern]) => self.wanted.push((*pattern).into()),
            ("history", [_, ..]) => match &mut self.config["history"] {
                Value::Array(list) => list.push(json!({ "created_by": rest })),
                none => *none = json!([{ "created_by": rest }]),
            },
            ("wait", []) => std::future::pending().await,
            ("exit", []) => std::process::exit(0),
            ("exit", [seconds]) => {
                let pause = std::time::Duration::from_secs(seconds.parse().map_err(wrong)?);
                std::thread::spawn(move || {
                    std::thread::sleep(pause);
                    std::process::exit(0);
                });
            }
            ("fail", _) => return Err(status::error(status::UNKNOWN, rest)),
            _ => return Err(status::error(status::INVALID_ARGUMENT, format!("no such instruction: {name} {rest}"))),
        }
        Ok(())
    }

    /// An image by the digest that its name has now, so that the config is the one of the files.
    async fn base(&mut self, reference: &str) -> Result<Place> {
        let platform = Some(self.platform.clone());
        let request = pb::ResolveImageConfigRequest {
            r#ref: reference.into(),
            platform: platform.clone(),
            resolve_mode: "default".into(),
            log_name: format!("the config of {reference}"),
            ..Default::default()
        };
        let found: pb::ResolveImageConfigResponse = self.frontend.client.call("ResolveImageConfig", &request).await?;
        self.config = serde_json::from_slice(&found.config).map_err(wrong)?;
        let name = if found.r#ref.is_empty() { reference } else { &found.r#ref };
        let name = if name.contains('@') { name.into() } else { format!("{name}@{}", found.digest) };
        let source = pb::SourceOp { identifier: format!("docker-image://{name}"), ..Default::default() };
        Ok(Some(self.definition.add(Vec::new(), Kind::Source(source), platform, reference)))
    }

    fn result(&self, number: &str) -> Result<Place> {
        let place = number.parse().ok().and_then(|number: usize| self.results.get(number).cloned());
        place.ok_or_else(|| status::error(status::INVALID_ARGUMENT, format!("there is no result {number} here")))
    }

    /// What the builder calls the file system that there is now.
    async fn solved(&self) -> Result<String> {
        self.frontend.solve(self.definition.end(&self.now)).await
    }

    /// What a name of a context stands for, or else that source itself.
    fn source(&mut self, name: &str) -> Place {
        let given = self.frontend.option(&format!("context:{name}"), name);
        let identifier = given.strip_prefix("local:").map_or_else(|| given.into(), |key| format!("local://{key}"));
        let layout = identifier.strip_prefix("oci-layout://").and_then(|rest| rest.split_once('@'));
        let attrs = layout.map(|(store, _)| ("oci.store".to_owned(), store.to_owned())).into_iter().collect();
        let source = Kind::Source(pb::SourceOp { identifier, attrs });
        Some(self.definition.add(Vec::new(), source, Some(self.platform.clone()), name))
    }

    fn shell(&mut self, text: &str, mount: Option<pb::Mount>, name: &str) -> Place {
        self.run(&["/bin/sh", "-c", text], mount, name)
    }

    /// A process over what there is.
    fn run(&mut self, args: &[&str], mount: Option<pb::Mount>, name: &str) -> Place {
        let config = &self.config["config"];
        let texts = |value: &Value| {
            value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
        };
        let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        let meta = pb::Meta {
            args: args.iter().map(|word| (*word).to_owned()).collect(),
            env: texts(&config["Env"]),
            cwd: text(&config["WorkingDir"]).unwrap_or_else(|| "/".into()),
            user: text(&config["User"]).unwrap_or_default(),
            ..Default::default()
        };
        let platform = Some(self.platform.clone());
        let inputs: Vec<_> = self.now.clone().into_iter().collect();
        let root = pb::Mount { input: if inputs.is_empty() { -1 } else { 0 }, dest: "/".into(), ..Default::default() };
        let exec =
            pb::ExecOp { meta: Some(meta), mounts: [root].into_iter().chain(mount).collect(), ..Default::default() };
        Some(self.definition.add(inputs, Kind::Exec(Box::new(exec)), platform, name))
    }

    fn file(&mut self, path: &str, data: Vec<u8>, name: &str) -> Place {
        let action = pb::FileActionMkFile { path: path.into(), mode: 0o644, data, timestamp: -1, owner: None };
        self.change(Action::Mkfile(action), None, name)
    }

    /// A change of what there is, which may need something else.
    fn change(&mut self, action: Action, other: Place, name: &str) -> Place {
        self.over(vec![self.now.clone(), other], name, |[input, secondary_input]| {
            let action = pb::FileAction { input, secondary_input, output: 0, action: Some(action) };
            Kind::File(pb::FileOp { actions: vec![action] })
        })
    }

    /// An operation over two file systems, whose places among the inputs it is told: nothing is below zero.
    fn over(&mut self, places: Vec<Place>, name: &str, kind: impl FnOnce([i64; 2]) -> Kind) -> Place {
        let mut inputs = Vec::new();
        let mut numbers = [-1, -1];
        for (number, place) in numbers.iter_mut().zip(places) {
            if let Some(input) = place {
                *number = if inputs.is_empty() { 0 } else { 1 };
                inputs.push(input);
            }
        }
        Some(self.definition.add(inputs, kind(numbers), Some(self.platform.clone()), name))
    }
}

/// A mount that has no input and is no result.
fn beside(kind: MountType) -> pb::Mount {
    pb::Mount { input: -1, output: -1, mount_type: kind as i32, ..Default::default() }
}

/// Who owns a file: a number, or a name among the users of what is changed.
fn account(owner: &str) -> pb::UserOpt {
    let by_name = || user_opt::User::ByName(pb::NamedUserOpt { name: owner.into(), input: 0 });
    pb::UserOpt { user: Some(owner.parse().map_or_else(|_| by_name(), user_opt::User::ById)) }
}

/// Adds a platform to a JSON object, as configs and results have it.
pub(crate) fn describe(platform: &pb::Platform, object: &mut Value) {
    object["os"] = platform.os.clone().into();
    object["architecture"] = platform.architecture.clone().into();
    if !platform.variant.is_empty() {
        object["variant"] = platform.variant.clone().into();
    }
}
