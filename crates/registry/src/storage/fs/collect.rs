//! Garbage: finding it and removing it while others push and pull.
//!
//! First each repository: a blob that none of its manifests names loses its link, and, if the policy says so, a manifest
//! that no tag leads to. What a tagged index lists is led to, and so is what is about a manifest that is led to. Then the
//! content: what no repository links is removed.
//!
//! **Why a push that runs meanwhile loses nothing.** Only what was not touched for [`Policy::age`] is garbage, and what a
//! push relies on was touched: by writing it, by mounting it, or by asking whether it is there. What a repository loses is
//! judged under the exclusive lock, while nothing can be linked. For content: a link is made after its content was
//! touched, both under one hold of the shared lock. The collection's clock starts under the exclusive lock, so a link was
//! either made before, and the search sees it, or its content was touched after, and is passed over.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, SystemTime};

use archipel_oci::Digest;

use super::super::Result;
use super::tree::{Kind, Tree, digests, modified, remove};
use crate::manifest::Links;
use crate::name::Name;

/// File systems stamp files with a clock that goes in steps, so a stamp may be this much too early.
const CLOCK_STEP: Duration = Duration::from_millis(20);

/// What is garbage.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Nothing that was touched more recently. Longer than the longest push.
    pub age: Duration,
    /// Whether manifests without a tag go. They may still be wanted by those who know their digest.
    pub untagged: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self { age: Duration::from_secs(24 * 3600), untagged: false }
    }
}

/// What was removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Manifests that repositories no longer have.
    pub manifests: u64,
    /// Blobs that repositories no longer have.
    pub links: u64,
    /// Content that is gone.
    pub contents: u64,
    /// Its bytes.
    pub bytes: u64,
}

pub(super) fn collect(tree: &Tree, policy: &Policy) -> Result<Collected> {
    let mut collected = Collected::default();
    let removing = tree.removing()?;
    let started = SystemTime::now();
    drop(removing);
    let Some(before) = started.checked_sub(policy.age + CLOCK_STEP) else { return Ok(collected) };
    let mut names = Vec::new();
    tree.any_repository(|name| {
        names.push(name.clone());
        Ok(false)
    })?;
    for name in &names {
        clean_repository(tree, name, policy, before, &mut collected)?;
    }
    clean_contents(tree, before, &mut collected)?;
    Ok(collected)
}

fn is_old(path: &std::path::Path, before: SystemTime) -> Result<bool> {
    Ok(modified(path)?.is_some_and(|time| time < before))
}

fn clean_repository(
    tree: &Tree,
    name: &Name,
    policy: &Policy,
    before: SystemTime,
    collected: &mut Collected,
) -> Result<()> {
    let mut known = HashMap::new();
    read_manifests(tree, name, &mut known)?;
    let _removing = tree.removing()?;
    // Once more for those that came since; this time nobody can add to them.
    read_manifests(tree, name, &mut known)?;
    if policy.untagged {
        let live = reachable(tree, name, &known)?;
        let dead: Vec<Digest> = known.keys().filter(|digest| !live.contains(*digest)).cloned().collect();
        for digest in dead {
            let link = tree.link(name, Kind::Manifests, &digest);
            if !is_old(&link, before)? {
                continue;
            }
            collected.manifests += u64::from(remove(&link)?);
            if let Some(subject) = known.remove(&digest).and_then(|links| links.subject) {
                tree.remove_referrer(name, &subject, &digest)?;
            }
        }
    }
    let needed: HashSet<&Digest> = known.values().flat_map(Links::all).collect();
    for digest in digests(&tree.folder(name, Kind::Blobs))? {
        let link = tree.link(name, Kind::Blobs, &digest);
        if !needed.contains(&digest) && is_old(&link, before)? {
            collected.links += u64::from(remove(&link)?);
        }
    }
    Ok(())
}

fn read_manifests(tree: &Tree, name: &Name, known: &mut HashMap<Digest, Links>) -> Result<()> {
    for digest in digests(&tree.folder(name, Kind::Manifests))? {
        if known.contains_key(&digest) {
            continue;
        }
        if let Some(manifest) = tree.read_manifest(name, &digest)? {
            // All that is stored was read when it was pushed.
            known.insert(digest, Links::read(&manifest.media_type, &manifest.bytes).unwrap_or_default());
        }
    }
    Ok(())
}

/// The manifests that a tag leads to, straight, through an index, or by being about one of those.
fn reachable(tree: &Tree, name: &Name, known: &HashMap<Digest, Links>) -> Result<HashSet<Digest>> {
    let mut about: HashMap<&Digest, Vec<&Digest>> = HashMap::new();
    for (digest, links) in known {
        if let Some(subject) = &links.subject {
            about.entry(subject).or_default().push(digest);
        }
    }
    let mut waiting = Vec::new();
    for tag in tree.tags(name)?.unwrap_or_default() {
        waiting.extend(tree.resolve(name, &tag)?);
    }
    let mut live = HashSet::new();
    while let Some(digest) = waiting.pop() {
        let Some(links) = known.get(&digest) else { continue };
        waiting.extend(about.get(&digest).into_iter().flatten().filter(|d| !live.contains(**d)).map(|d| (*d).clone()));
        if live.insert(digest) {
            waiting.extend(links.all().filter(|d| !live.contains(*d)).cloned());
        }
    }
    Ok(live)
}

fn clean_contents(tree: &Tree, before: SystemTime, collected: &mut Collected) -> Result<()> {
    let contents = tree.cas.list()?;
    let mut linked = HashSet::new();
    tree.any_repository(|name| {
        linked.extend(digests(&tree.folder(name, Kind::Blobs))?);
        linked.extend(digests(&tree.folder(name, Kind::Manifests))?);
        Ok(false)
    })?;
    for (digest, size) in contents {
        if linked.contains(&digest) {
            continue;
        }
        let _removing = tree.removing()?;
        if is_old(&tree.cas.path(&digest), before)? && tree.cas.remove(&digest)? {
            collected.contents += 1;
            collected.bytes += size;
        }
    }
    Ok(())
}
