//! From what was asked for to what is built: groups expanded, inheritance and `--set` applied, linked targets added.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use crate::definition::{Definition, Group, Lookup};
use crate::entry;
use crate::fault::{Error, Result, fault};
use crate::overrides::Overrides;
use crate::path::{clean, is_remote, matches};
use crate::target::{Target, once};

/// How long a row of targets may be in which each inherits from the next.
const MAX_INHERITED: usize = 100;

/// More targets than these are not listed where one was not found.
const MANY: usize = 8;

/// What is built.
#[derive(Clone, Debug, Default)]
pub struct Bake {
    /// The groups that were named.
    pub groups: BTreeMap<String, Group>,
    /// The targets, linked ones too.
    pub targets: BTreeMap<String, Target>,
}

impl Bake {
    /// The targets in an order in which each comes after those that it takes results from.
    #[must_use]
    pub fn order(&self) -> Vec<&Target> {
        let mut ordered = Vec::new();
        for target in self.targets.values() {
            self.put(target, &mut ordered);
        }
        ordered
    }

    fn put<'a>(&'a self, target: &'a Target, ordered: &mut Vec<&'a Target>) {
        if ordered.iter().any(|known| known.name == target.name) {
            return;
        }
        for (_, name) in target.links() {
            if let Some(linked) = self.targets.get(name) {
                self.put(linked, ordered);
            }
        }
        ordered.push(target);
    }
}

impl Definition {
    /// Resolves names and patterns; `overrides` are the values of `--set`.
    pub fn resolve(
        &self,
        wanted: &[String],
        overrides: &[String],
        lookup: Lookup<'_>,
    ) -> std::result::Result<Bake, Error> {
        self.bake(wanted, overrides, lookup).map_err(|fault| fault.told(&self.files))
    }

    fn bake(&self, wanted: &[String], overrides: &[String], lookup: Lookup<'_>) -> Result<Bake> {
        let mut names = Vec::new();
        for one in wanted {
            names.extend(self.meant(&one.replace('.', "_"))?);
        }
        let names = once(names);
        let overrides = Overrides::read(overrides, &self.targets, lookup.variable)?;
        let mut bake = Bake::default();
        for name in &names {
            let (targets, groups) = self.expand(name)?;
            for name in targets {
                if let Entry::Vacant(place) = bake.targets.entry(name) {
                    let target = self.target(place.key(), &overrides)?;
                    place.insert(target);
                }
            }
            for name in groups {
                if let Some(group) = self.group(&name) {
                    bake.groups.insert(name, group.clone());
                }
            }
        }
        for name in names {
            if name == "default" && bake.groups.contains_key("default") {
                continue;
            }
            let group = bake.groups.entry("default".into());
            group.or_insert_with(|| Group { name: "default".into(), ..Group::default() }).targets.push(name);
        }
        if let Some(group) = bake.groups.get_mut("default") {
            group.targets = once(std::mem::take(&mut group.targets));
            group.targets.sort();
        }
        let own: Vec<String> = bake.targets.keys().cloned().collect();
        for name in own {
            self.link(&name, &mut bake, &overrides, &mut Vec::new())?;
        }
        for target in bake.targets.values_mut() {
            finish(target)?;
        }
        Ok(bake)
    }

    fn group(&self, name: &str) -> Option<&Group> {
        self.groups.iter().find(|group| group.name == name)
    }

    /// The names that a pattern means; a plain name is itself.
    fn meant(&self, pattern: &str) -> Result<Vec<String>> {
        if !pattern.contains(['*', '?', '[', ']']) {
            return Ok(vec![pattern.to_owned()]);
        }
        let all = self.names().filter(|name| matches(pattern, name)).map(str::to_owned).collect::<Vec<_>>();
        if all.is_empty() { Err(fault(format!("no target is meant by `{pattern}`"))) } else { Ok(all) }
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.groups
            .iter()
            .map(|group| &group.name)
            .chain(self.targets.iter().map(|target| &target.name))
            .map(String::as_str)
    }

    /// The targets of a group and of groups in it, and those groups.
    fn expand(&self, name: &str) -> Result<(Vec<String>, Vec<String>)> {
        let (mut targets, mut groups) = (Vec::new(), Vec::new());
        self.expand_into(name, &mut targets, &mut groups, &mut Vec::new())?;
        Ok((once(targets), groups))
    }

    fn expand_into<'a>(
        &'a self,
        name: &'a str,
        targets: &mut Vec<String>,
        groups: &mut Vec<String>,
        path: &mut Vec<&'a str>,
    ) -> Result<()> {
        let Some(group) = self.group(name) else {
            targets.push(name.to_owned());
            return Ok(());
        };
        // A group that names itself names the target of that name.
        if path.contains(&name) {
            targets.push(name.to_owned());
            return match self.targets.iter().any(|target| target.name == name) {
                true => Ok(()),
                false => Err(fault(format!("groups name each other in a circle: {} -> {name}", path.join(" -> ")))),
            };
        }
        if groups.iter().any(|known| known == name) {
            return Ok(());
        }
        groups.push(name.to_owned());
        path.push(name);
        for inner in &group.targets {
            self.expand_into(inner, targets, groups, path)?;
        }
        path.pop();
        Ok(())
    }

    fn target(&self, name: &str, overrides: &Overrides) -> Result<Target> {
        let mut target = self.inherited(name, overrides, &mut Vec::new())?;
        target.context.get_or_insert_with(|| ".".into());
        if target.dockerfile.as_deref().is_none_or(str::is_empty) {
            target.dockerfile = Some("Dockerfile".into());
        }
        Ok(target)
    }

    fn inherited(&self, name: &str, overrides: &Overrides, path: &mut Vec<String>) -> Result<Target> {
        let Some(own) = self.targets.iter().find(|target| target.name == name) else {
            let missing = fault(format!("there is no target `{name}`"));
            return Err(match self.names().take(MANY + 1).collect::<Vec<_>>() {
                // Where few are known, all of them may be meant.
                few if !few.is_empty() && few.len() <= MANY => missing.help(format!("there is: {}", few.join(", "))),
                _ => missing,
            }
            .propose(name, self.names()));
        };
        if path.iter().any(|above| above == name) {
            let circle = format!("{} -> {name}", path.join(" -> "));
            return Err(fault(format!("targets inherit from each other in a circle: {circle}"))
                .at(own.places.get("inherits").cloned()));
        }
        if path.len() >= MAX_INHERITED {
            return Err(fault(format!("more than {MAX_INHERITED} targets inherit from each other in a row")));
        }
        path.push(name.to_owned());
        let mut target = Target { name: name.to_owned(), ..Target::default() };
        for above in &own.inherits {
            let above = self.inherited(above, overrides, path);
            target.merge(&above.map_err(|e| e.at(own.places.get("inherits").cloned()))?);
        }
        path.pop();
        target.merge(own);
        overrides.apply(&mut target)?;
        target.normalize();
        Ok(target)
    }

    /// Adds the targets that a target's contexts are the results of.
    fn link(&self, name: &str, bake: &mut Bake, overrides: &Overrides, path: &mut Vec<String>) -> Result<()> {
        path.push(name.to_owned());
        let Some(target) = bake.targets.get(name) else { return Ok(()) };
        let place = target.places.get("contexts").cloned();
        let links: Vec<String> = target.links().map(|(_, link)| link.to_owned()).collect();
        for link in links {
            if link == name {
                return Err(fault(format!("the target `{name}` is a context of itself")).at(place));
            }
            if path.contains(&link) {
                let circle = format!("{} -> {link}", path.join(" -> "));
                return Err(fault(format!("targets are contexts of each other in a circle: {circle}")).at(place));
            }
            if !bake.targets.contains_key(&link) {
                let mut linked = self.target(&link, overrides).map_err(|e| e.at(place.clone()))?;
                linked.output = Some(vec![entry::Entry::of(&[("type", "cacheonly")])]);
                linked.linked = true;
                bake.targets.insert(link.clone(), linked);
            }
            self.link(&link, bake, overrides, path)?;
            self.fits(name, &link, bake).map_err(|e| e.at(place.clone()))?;
        }
        path.pop();
        Ok(())
    }

    /// What a linked target may do, and the platforms that there are of it, concern who links it.
    fn fits(&self, name: &str, link: &str, bake: &mut Bake) -> Result<()> {
        let Some(linked) = bake.targets.get(link) else { return Ok(()) };
        let (allowed, theirs) = (linked.entitlements.clone(), linked.platforms.clone().unwrap_or_default());
        let Some(target) = bake.targets.get_mut(name) else { return Ok(()) };
        for what in allowed.unwrap_or_default() {
            target.entitle(&what);
        }
        let own = target.platforms.clone().unwrap_or_default();
        if own.len() > 1 && theirs.len() > 1 && own.iter().any(|platform| !theirs.contains(platform)) {
            let (own, theirs) = (own.join(", "), theirs.join(", "));
            return Err(fault(format!("`{name}` is for {own}, and its context `{link}` only for {theirs}")));
        }
        Ok(())
    }
}

/// Paths as they are used: relative to where the command was called.
fn finish(target: &mut Target) -> Result<()> {
    let place = |name| target.places.get(name).cloned();
    if target.context.as_deref() == Some("-") {
        return Err(fault("a context cannot come from standard input here").at(place("context")));
    }
    if target.dockerfile.as_deref() == Some("-") {
        return Err(fault("a Dockerfile cannot come from standard input here").at(place("dockerfile")));
    }
    if let Some(context) = &mut target.context {
        let bare = context.strip_prefix("cwd://").unwrap_or(context);
        if !is_remote(bare) {
            *context = clean(bare);
        }
    }
    Ok(())
}
