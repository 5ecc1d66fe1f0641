//! Definitions as they are written: operations, each named by the digest of its bytes.

use std::collections::HashSet;

use archipel_gateway::pb;
use archipel_gateway::pb::op::Op as Kind;
use prost::Message as _;
use serde_json::json;

/// A file system: an output of an operation, or nothing.
pub(crate) type Place = Option<pb::Input>;

/// Operations, those that are needed before those that need them.
#[derive(Clone, Default)]
pub(crate) struct Definition {
    ops: Vec<Written>,
    /// What is read, and which line of it.
    text: pb::SourceInfo,
    pub(crate) line: i32,
    /// Operations are to be done whether their results are known or not.
    anew: bool,
}

#[derive(Clone)]
struct Written {
    digest: String,
    bytes: Vec<u8>,
    needs: Vec<String>,
    metadata: pb::OpMetadata,
    line: i32,
}

impl Definition {
    pub(crate) fn new(text: pb::SourceInfo, anew: bool) -> Self {
        Self { text, anew, ..Self::default() }
    }

    pub(crate) fn add(
        &mut self,
        inputs: Vec<pb::Input>,
        kind: Kind,
        platform: Option<pb::Platform>,
        name: &str,
    ) -> pb::Input {
        let needs = inputs.iter().map(|input| input.digest.clone()).collect();
        let bytes = pb::Op { inputs, op: Some(kind), platform }.encode_to_vec();
        let digest = archipel_oci::Digest::of(&bytes).to_string();
        let description = [("llb.customname".to_owned(), name.to_owned())].into();
        let metadata = pb::OpMetadata { description, ignore_cache: self.anew, ..Default::default() };
        if self.ops.iter().all(|op| op.digest != digest) {
            self.ops.push(Written { digest: digest.clone(), bytes, needs, metadata, line: self.line });
        }
        pb::Input { digest, index: 0 }
    }

    /// The definition of one of its file systems, with what that needs and nothing else.
    pub(crate) fn end(&self, place: &Place) -> pb::Definition {
        let Some(input) = place else { return pb::Definition::default() };
        let last = pb::Op { inputs: vec![input.clone()], ..Default::default() };
        let mut definition = pb::Definition { def: vec![last.encode_to_vec()], ..Default::default() };
        let mut source = pb::Source { infos: vec![self.text.clone()], ..Default::default() };
        let mut needed = HashSet::from([&input.digest]);
        for op in self.ops.iter().rev() {
            if !needed.contains(&op.digest) {
                continue;
            }
            needed.extend(&op.needs);
            definition.def.push(op.bytes.clone());
            definition.metadata.insert(op.digest.clone(), op.metadata.clone());
            let location = pb::Location { source_index: 0, ranges: vec![line(op.line)] };
            source.locations.insert(op.digest.clone(), pb::Locations { locations: vec![location] });
        }
        definition.source = Some(source);
        definition.def.reverse();
        definition
    }
}

/// A whole line.
fn line(number: i32) -> pb::Range {
    let position = Some(pb::Position { line: number, character: 0 });
    pb::Range { start: position.clone(), end: position }
}

/// A folder of the user's machine, or one file of it.
pub(crate) fn local(name: &str, only: Option<&str>) -> pb::SourceOp {
    let attrs = only.map(|path| ("local.followpaths".to_owned(), json!([path]).to_string()));
    pb::SourceOp { identifier: format!("local://{name}"), attrs: attrs.into_iter().collect() }
}

/// A file alone.
pub(crate) fn file(path: &str, data: &str) -> Kind {
    let (path, data) = (path.to_owned(), data.as_bytes().to_vec());
    let file = pb::FileActionMkFile { path, mode: 0o644, data, owner: None, timestamp: -1 };
    let action = Some(pb::file_action::Action::Mkfile(file));
    let action = pb::FileAction { input: -1, secondary_input: -1, output: 0, action };
    Kind::File(pb::FileOp { actions: vec![action] })
}

/// A copy as COPY makes it.
pub(crate) fn copy(source: &str, dest: &str) -> pb::FileActionCopy {
    pb::FileActionCopy {
        src: format!("/{}", source.trim_start_matches('/')),
        dest: dest.into(),
        mode: -1,
        follow_symlink: true,
        dir_copy_contents: true,
        create_dest_path: true,
        allow_wildcard: true,
        timestamp: -1,
        ..Default::default()
    }
}

/// A platform by its name.
pub(crate) fn platform(name: &str) -> pb::Platform {
    let mut parts = name.split('/').map(str::to_owned);
    let mut next = || parts.next().unwrap_or_default();
    pb::Platform { os: next(), architecture: next(), variant: next(), ..Default::default() }
}

/// The name of a platform.
pub(crate) fn name(platform: &pb::Platform) -> String {
    let parts = [&platform.os, &platform.architecture, &platform.variant].map(String::as_str);
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/")
}
