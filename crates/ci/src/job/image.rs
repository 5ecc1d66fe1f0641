//! `image` and `services`.

use crate::reader::Reader;
use crate::span::{Span, Spanned};
use crate::variable::Variable;
use crate::yaml::{Node, Value};

/// What a job runs in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Its name, before expansion.
    pub name: Spanned<String>,
    /// Instead of the image's own; `[""]` is none.
    pub entrypoint: Option<Vec<String>>,
    /// `docker:platform`.
    pub platform: Option<String>,
    /// `docker:user`.
    pub user: Option<String>,
    /// `pull_policy`.
    pub pull: Option<PullPolicy>,
}

/// When a registry is asked for an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PullPolicy {
    /// Every time.
    Always,
    /// Where it is not here.
    IfNotPresent,
    /// Never.
    Never,
}

/// What runs beside a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its image.
    pub image: Image,
    /// Further names that the job knows it by.
    pub aliases: Vec<String>,
    /// Instead of the image's own.
    pub command: Option<Vec<String>>,
    /// Its variables, over the job's.
    pub variables: Vec<Variable>,
}

impl Image {
    pub(crate) fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let Value::Map(map) = &node.value else { return Some(Self::named(reader.string("image", node)?)) };
        reader.keys("image", map, &["name", "entrypoint", "docker", "pull_policy"], &["kubernetes"]);
        Self::details(node, node.span, reader)
    }

    fn named(name: Spanned<String>) -> Self {
        Self { name, entrypoint: None, platform: None, user: None, pull: None }
    }

    fn details(node: &Node, span: Span, reader: &mut Reader<'_>) -> Option<Self> {
        let map = reader.map("image", node)?;
        let Some(name) = map.get("name") else {
            reader.findings.error("the image has no name", span);
            return None;
        };
        let mut image = Self::named(reader.string("name", name)?);
        image.entrypoint = map.get("entrypoint").map(|node| words("entrypoint", node, reader));
        if let Some(docker) = map.get("docker").and_then(|node| reader.map("docker", node)) {
            reader.keys("docker", docker, &["platform", "user"], &[]);
            let mut text = |key: &str| docker.get(key).and_then(|node| reader.string(key, node)).map(|text| text.value);
            (image.platform, image.user) = (text("platform"), text("user"));
        }
        // A list names what to try when the one before does not work out; what is tried first is what counts here.
        if let Some(node) = map.get("pull_policy") {
            let policies = [
                ("always", PullPolicy::Always),
                ("if-not-present", PullPolicy::IfNotPresent),
                ("never", PullPolicy::Never),
            ];
            let items = if let Value::Seq(items) = &node.value { items } else { std::slice::from_ref(node) };
            let read: Vec<_> = items.iter().filter_map(|item| reader.word("pull_policy", item, &policies)).collect();
            image.pull = read.first().copied();
        }
        Some(image)
    }
}

/// Words as they are: unlike commands, a single text is one word.
fn words(what: &str, node: &Node, reader: &mut Reader<'_>) -> Vec<String> {
    reader.strings(what, node).into_iter().map(|word| word.value).collect()
}

impl Service {
    pub(crate) fn read_list(node: &Node, reader: &mut Reader<'_>) -> Vec<Self> {
        let items = reader.list("services", node).unwrap_or_default();
        items.iter().filter_map(|item| Self::read(item, reader)).collect()
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let Value::Map(map) = &node.value else {
            let image = Image::named(reader.string("services", node)?);
            return Some(Self { image, aliases: Vec::new(), command: None, variables: Vec::new() });
        };
        let known = ["name", "alias", "entrypoint", "command", "variables", "docker", "pull_policy"];
        reader.keys("a service", map, &known, &["kubernetes"]);
        let image = Image::details(node, node.span, reader)?;
        let alias = map.get("alias").and_then(|node| reader.string("alias", node));
        let aliases =
            alias.map(|text| text.value.split([' ', ',']).filter(|a| !a.is_empty()).map(Into::into).collect());
        Some(Self {
            image,
            aliases: aliases.unwrap_or_default(),
            command: map.get("command").map(|node| words("command", node, reader)),
            variables: map.get("variables").map(|node| super::variables(node, false, reader)).unwrap_or_default(),
        })
    }
}
