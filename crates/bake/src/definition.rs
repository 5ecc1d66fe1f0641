//! What the files say together: groups and targets with every expression evaluated, inheritance not yet applied.

use crate::compose;
use crate::eval::Scope;
use crate::fault::{Error, Result, fault};
use crate::source::{self, Block};
use crate::target::{Target, attribute, once, texts};
use crate::value::Value;
use crate::variable::Shown;
use crate::world::{Named, World, only};

/// A file, already read.
#[derive(Clone, Debug)]
pub struct File {
    /// Its name, whose end says what it is.
    pub name: String,
    /// What it says.
    pub text: String,
}

/// What expressions may know of the world.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The time, in seconds since 1970.
    pub now: i64,
    /// The person's own folder.
    pub home: String,
    /// `BAKE_CMD_CONTEXT`: where the command was called.
    pub command_context: String,
    /// `BAKE_LOCAL_PLATFORM`: this machine's.
    pub local_platform: String,
}

/// Where variables have their values from.
#[derive(Clone, Copy)]
pub struct Lookup<'a> {
    /// For variables of bake files.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
    /// For compose files, which know `.env` too.
    pub compose: &'a dyn Fn(&str) -> Option<String>,
}

impl std::fmt::Debug for Lookup<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Lookup")
    }
}

/// Names of targets and groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// For people.
    pub description: String,
    /// What it stands for.
    pub targets: Vec<String>,
}

/// What the files say.
#[derive(Clone, Debug, Default)]
pub struct Definition {
    /// The groups.
    pub groups: Vec<Group>,
    /// The targets.
    pub targets: Vec<Target>,
    /// The variables, by name.
    pub variables: Vec<Shown>,
    pub(crate) files: Vec<File>,
}

/// Reads the files, of which later ones are laid over earlier ones.
pub fn read(files: &[File], facts: &Facts, lookup: Lookup<'_>) -> std::result::Result<Definition, Error> {
    let mut definition = Definition { files: files.to_vec(), ..Definition::default() };
    definition.fill(facts, lookup).map_err(|fault| fault.told(files))?;
    Ok(definition)
}

impl Definition {
    fn fill(&mut self, facts: &Facts, lookup: Lookup<'_>) -> Result<()> {
        let (mut sources, mut composed) = (Vec::new(), Vec::new());
        for (number, file) in self.files.iter().enumerate() {
            match compose::is_compose(file) {
                true => composed.push(number),
                false => sources.push(source::read(file, number)?),
            }
        }
        if !composed.is_empty() {
            let (group, targets) = compose::read(&self.files, &composed, lookup.compose)?;
            self.groups.push(group);
            self.targets = targets;
        }
        if !sources.is_empty() {
            let world = World::new(sources, facts.clone(), lookup.variable)?;
            world.check()?;
            self.variables =
                world.variables.iter().map(|(name, variable)| variable.shown(&world, name)).collect::<Result<_>>()?;
            self.take(&world)?;
        }
        for group in &mut self.groups {
            group.targets = once(std::mem::take(&mut group.targets));
        }
        Ok(())
    }

    fn take(&mut self, world: &World<'_>) -> Result<()> {
        let mut named = Vec::new();
        // Labels that stand for other names, as a matrix makes them.
        let mut labels: Vec<(String, Vec<String>)> = Vec::new();
        for (number, block) in world.blocks.iter().enumerate() {
            let all = names(world, block, number)?;
            let label = block.labels.first().cloned().unwrap_or_default();
            let own = all.iter().map(|named| named.name.clone());
            match labels.iter_mut().find(|(known, _)| *known == label) {
                Some((_, names)) => names.extend(own),
                None => labels.push((label, own.collect())),
            }
            named.extend(all);
        }
        world.named.borrow_mut().clone_from(&named);
        for Named { name, block, matrix } in named {
            let block = &world.blocks[block];
            if block.kind == "group" {
                let group = group(world, block, name)?;
                match self.groups.iter_mut().find(|known| known.name == group.name) {
                    Some(known) => *known = group,
                    None => self.groups.push(group),
                }
                continue;
            }
            let target = target(world, block, name, matrix)?;
            match self.targets.iter_mut().find(|known| known.name == target.name) {
                Some(known) => known.merge(&target),
                None => self.targets.push(target),
            }
        }
        for (label, names) in labels {
            let targets = once(names);
            if targets != [label.as_str()] {
                self.groups.push(Group { name: label, targets, ..Group::default() });
            }
        }
        Ok(())
    }
}

/// A block's names, with what its matrix sets for each.
fn names(world: &World<'_>, block: &Block, number: usize) -> Result<Vec<Named>> {
    let label = block.labels.first().cloned().unwrap_or_default();
    checked(&label).map_err(|e| e.at(block.span.clone()))?;
    let matrix = match (block.attribute("matrix"), block.kind.as_str()) {
        (Some(matrix), "target") => matrix,
        (None, "target") if block.attribute("name").is_some() => {
            return Err(fault("`name` needs `matrix`").at(block.attribute("name").and_then(|name| name.span.clone())));
        }
        _ => return Ok(vec![Named { name: label, block: number, matrix: Vec::new() }]),
    };
    let place = || matrix.value.span();
    let axes = world.eval_top(&matrix.value)?;
    let mut combinations: Vec<Vec<(String, Value)>> = vec![Vec::new()];
    for (axis, values) in axes.map().map_err(|e| e.at(place()))? {
        let values = match values {
            Value::Map(items) => items.values().cloned().collect(),
            other => other.list().map_err(|e| e.named(axis).at(place()))?.to_vec(),
        };
        let with = |value: &Value| {
            let value = value.clone();
            move |head: &Vec<(String, Value)>| [head.as_slice(), &[(axis.clone(), value.clone())]].concat()
        };
        combinations =
            values.iter().flat_map(|value| combinations.iter().map(with(value)).collect::<Vec<_>>()).collect();
    }
    let mut all: Vec<Named> = Vec::new();
    for matrix in combinations {
        let name = match block.attribute("name") {
            Some(name) => {
                let scope = Scope { file: name.value.file, parent: None, names: matrix.clone() };
                let text = world.eval(&name.value.expression, &scope)?.text();
                text.and_then(|text| checked(&text).map(|()| text)).map_err(|e| e.at(name.value.span()))?
            }
            None => label.clone(),
        };
        if all.iter().any(|other| other.name == name) {
            let place = block.attribute("name").map_or_else(place, |name| name.value.span());
            return Err(fault(format!("the matrix makes two targets `{name}`")).at(place));
        }
        all.push(Named { name, block: number, matrix });
    }
    Ok(all)
}

/// Whether this may be the name of a target.
pub(crate) fn checked(name: &str) -> Result<()> {
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-') {
        return Err(fault(format!("`{name}` cannot be a name: letters, digits, `_` and `-` can")));
    }
    Ok(())
}

fn group(world: &World<'_>, block: &Block, name: String) -> Result<Group> {
    only(block, &["targets", "description"])?;
    let mut group = Group { name, ..Group::default() };
    for attribute in &block.attributes {
        let value = world.eval_top(&attribute.value)?;
        let set = match attribute.name.as_str() {
            "targets" => texts(&value).map(|targets| group.targets = targets),
            _ => value.text().map(|description| group.description = description),
        };
        set.map_err(|e| e.at(attribute.value.span()))?;
    }
    match block.attribute("targets") {
        Some(_) => Ok(group),
        None => Err(fault("a group needs `targets`").at(block.span.clone())),
    }
}

fn target(world: &World<'_>, block: &Block, name: String, names: Vec<(String, Value)>) -> Result<Target> {
    let mut target = Target { name, ..Target::default() };
    if let Some(inner) = block.blocks.first() {
        // A map is written with `=`, which is easily forgotten.
        let wrong = fault(format!("a target has no blocks in it: write `{} = {{..}}`", inner.kind));
        return Err(wrong.at(inner.span.clone()));
    }
    for one in &block.attributes {
        let known = attribute(&one.name).map_err(|e| e.at(one.span.clone()))?;
        let scope = Scope { file: one.value.file, parent: None, names: names.clone() };
        // The matrix, and the name that comes of it, are done.
        if matches!(known, "matrix" | "name") {
            continue;
        }
        let value = world.eval(&one.value.expression, &scope)?;
        target.set(known, &value).map_err(|e| e.named(known).at(one.value.span()))?;
        target.places.extend(one.value.span().map(|span| (known, span)));
    }
    Ok(target)
}
