//! A root file system to be: names and where their content comes from. Nothing lies on disk under its final name, so owners
//! and modes need no privileges and the caller's umask does not show.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// Every time stamp in a base image: any fixed value will do.
const MTIME: u64 = 1_700_000_000;

#[derive(Debug)]
enum Node {
    Dir(u32),
    Symlink(String),
    Text(String),
    File(PathBuf, u32),
}

/// Paths without a leading slash, in order: a folder comes before what is in it.
#[derive(Debug, Default)]
pub(crate) struct Tree(BTreeMap<String, Node>);

impl Tree {
    /// Adds a folder and those above it.
    pub(crate) fn dir(&mut self, path: &str, mode: u32) {
        self.parents(path);
        self.0.insert(path.into(), Node::Dir(mode));
    }

    /// Adds a symbolic link, unless something of the name is there.
    pub(crate) fn symlink(&mut self, path: &str, target: &str) {
        self.parents(path);
        self.0.entry(path.into()).or_insert_with(|| Node::Symlink(target.into()));
    }

    /// Adds a text file.
    pub(crate) fn text(&mut self, path: &str, text: &str) {
        self.parents(path);
        self.0.insert(path.into(), Node::Text(text.into()));
    }

    /// Adds a file of this machine, following links to it; it is executable if it is so here.
    pub(crate) fn file(&mut self, path: &str, source: &Path) -> Result<()> {
        let meta = fs::metadata(source).with_context(|| format!("{}", source.display()))?;
        let mode = if meta.permissions().mode() & 0o100 != 0 { 0o755 } else { 0o644 };
        self.parents(path);
        self.0.insert(path.into(), Node::File(source.into(), mode));
        Ok(())
    }

    /// Adds what is in a folder of this machine, as far as `keep` (told the path below the folder) says so.
    pub(crate) fn copy(&mut self, path: &str, source: &Path, keep: &dyn Fn(&str) -> bool) -> Result<()> {
        self.copy_below(path, source, "", keep)
    }

    fn copy_below(&mut self, to: &str, source: &Path, below: &str, keep: &dyn Fn(&str) -> bool) -> Result<()> {
        for entry in fs::read_dir(source).with_context(|| format!("{}", source.display()))? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { bail!("{}: not UTF-8", entry.path().display()) };
            let rel = if below.is_empty() { name.clone() } else { format!("{below}/{name}") };
            if !keep(&rel) {
                continue;
            }
            let path = format!("{to}/{name}");
            if entry.file_type()?.is_dir() {
                self.dir(&path, 0o755);
                self.copy_below(&path, &entry.path(), &rel, keep)?;
            } else {
                self.file(&path, &entry.path())?;
            }
        }
        Ok(())
    }

    fn parents(&mut self, path: &str) {
        for (end, _) in path.match_indices('/') {
            let (parent, _) = path.split_at(end);
            self.0.entry(parent.into()).or_insert(Node::Dir(0o755));
        }
    }

    /// Writes it as a tar, owned by root; the same tree gives the same bytes.
    pub(crate) fn write_tar<W: Write>(&self, out: W) -> Result<W> {
        let mut tar = tar::Builder::new(out);
        for (path, node) in &self.0 {
            let mut header = tar::Header::new_gnu();
            header.set_mtime(MTIME);
            header.set_uid(0);
            header.set_gid(0);
            header.set_size(0);
            match node {
                Node::Dir(mode) => {
                    header.set_entry_type(tar::EntryType::Directory);
                    header.set_mode(*mode);
                    tar.append_data(&mut header, format!("{path}/"), std::io::empty())?;
                }
                Node::Symlink(target) => {
                    header.set_entry_type(tar::EntryType::Symlink);
                    header.set_mode(0o777);
                    tar.append_link(&mut header, path, target)?;
                }
                Node::Text(text) => {
                    header.set_mode(0o644);
                    header.set_size(text.len() as u64);
                    tar.append_data(&mut header, path, text.as_bytes())?;
                }
                Node::File(source, mode) => {
                    let file = File::open(source).with_context(|| format!("{}", source.display()))?;
                    header.set_mode(*mode);
                    header.set_size(file.metadata()?.len());
                    tar.append_data(&mut header, path, file)?;
                }
            }
        }
        Ok(tar.into_inner()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_come_first_and_root_owns_all() {
        let mut tree = Tree::default();
        tree.symlink("bin/ls", "busybox");
        tree.text("etc/passwd", "root\n");
        tree.dir("tmp", 0o1777);
        tree.dir("etc", 0o700);
        let bytes = tree.write_tar(Vec::new()).unwrap();
        assert_eq!(bytes, tree.write_tar(Vec::new()).unwrap());
        let mut archive = tar::Archive::new(bytes.as_slice());
        let listed: Vec<String> = archive
            .entries()
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let header = entry.header();
                assert_eq!((header.uid().unwrap(), header.gid().unwrap()), (0, 0));
                format!("{} {:o}", entry.path().unwrap().display(), header.mode().unwrap())
            })
            .collect();
        assert_eq!(listed, ["bin/ 755", "bin/ls 777", "etc/ 700", "etc/passwd 644", "tmp/ 1777"]);
    }
}
