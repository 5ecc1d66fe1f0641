//! `FileOp`: actions to nodes. Actions that build on one another are one node and one layer, as in BuildKit; an action whose result
//! is asked for by itself ends one.

use std::collections::{BTreeSet, HashMap};

use archipel_dockerfile::Chmod;
use archipel_gateway::pb::file_action::Action;
use archipel_gateway::pb::{self, user_opt};

use super::graph::{Made, assembled, input_at, root_of};
use super::session::State;
use crate::Error;
use crate::plan::{Account, CopyFiles, FileAction, FileOp, Op, Owner, Root, Source};
use crate::tree::Selection;

struct Files<'a, 's> {
    state: &'s mut State,
    made: &'a Made<'a>,
    actions: &'a [pb::FileAction],
    inputs: &'a [Source],
    /// Results of actions that were asked for.
    known: HashMap<usize, Root>,
}

/// The outputs of the operation.
pub(super) fn file(
    state: &mut State,
    made: &Made<'_>,
    op: &pb::FileOp,
    inputs: &[Source],
) -> Result<Vec<Source>, Error> {
    let mut files = Files { state, made, actions: &op.actions, inputs, known: HashMap::new() };
    // In their order, for they refer to earlier ones only: no depth of references is a depth of calls.
    for n in files.wanted()? {
        files.make(n)?;
    }
    let mut outputs: Vec<Option<Source>> = Vec::new();
    for (n, action) in op.actions.iter().enumerate() {
        let Ok(place) = usize::try_from(action.output) else { continue };
        if place >= op.actions.len() {
            return Err(Error::Request(format!("a change of files has an output {place}, of {}", op.actions.len())));
        }
        if outputs.len() <= place {
            outputs.resize(place + 1, None);
        }
        outputs[place] = files.known.get(&n).cloned().map(Source::Root);
    }
    let all: Option<Vec<Source>> = outputs.into_iter().collect();
    all.filter(|outputs| !outputs.is_empty())
        .ok_or_else(|| Error::Request("changes of files without a result, or with a gap among their results".into()))
}

impl Files<'_, '_> {
    /// The actions whose results are asked for by themselves: as outputs, or to copy from, or for their accounts.
    fn wanted(&self) -> Result<BTreeSet<usize>, Error> {
        let mut wanted = BTreeSet::new();
        for (n, action) in self.actions.iter().enumerate() {
            if action.output >= 0 {
                wanted.insert(n);
            }
            for index in std::iter::once(action.secondary_input).chain(accounts(action)) {
                wanted.extend(self.earlier(index, n)?);
            }
        }
        Ok(wanted)
    }

    /// Makes a node of an action and of those before it whose results nobody else asks for.
    fn make(&mut self, n: usize) -> Result<(), Error> {
        let mut chain = vec![n];
        let root = loop {
            let first = chain[chain.len() - 1];
            match self.earlier(self.actions[first].input, first)? {
                None => {
                    let source = input_at(self.inputs, self.actions[first].input)?;
                    break root_of(self.state, self.made, source);
                }
                Some(before) => match self.known.get(&before) {
                    Some(known) => break known.clone(),
                    None => chain.push(before),
                },
            }
        };
        let actions = chain.into_iter().rev().map(|n| self.action(n)).collect::<Result<_, _>>()?;
        let node = assembled(self.made, root, Op::Files(FileOp { actions }));
        let made = Root::Node(self.state.intern(node));
        self.known.insert(n, made);
        Ok(())
    }

    /// The action that an index means, if it is beyond those of the inputs.
    fn earlier(&self, index: i64, n: usize) -> Result<Option<usize>, Error> {
        let Some(place) = usize::try_from(index).ok().and_then(|index| index.checked_sub(self.inputs.len())) else {
            return Ok(None);
        };
        if place < n {
            return Ok(Some(place));
        }
        Err(Error::Request(format!("a change of files needs the result of number {place}, which comes later")))
    }

    fn source(&self, index: i64, n: usize) -> Result<Source, Error> {
        match self.earlier(index, n)? {
            Some(before) => match self.known.get(&before) {
                Some(known) => Ok(Source::Root(known.clone())),
                None => Err(Error::Request(format!("a change of files needs the result of number {before}"))),
            },
            None => input_at(self.inputs, index),
        }
    }

    fn action(&self, n: usize) -> Result<FileAction, Error> {
        let action = &self.actions[n];
        let time = |nanoseconds: i64| (nanoseconds >= 0).then_some(nanoseconds);
        let bits = |mode: i32| u32::try_from(mode).unwrap_or(0) & 0o777;
        let absolute = |path: &str| format!("/{}", path.trim_start_matches('/'));
        Ok(match &action.action {
            Some(Action::Copy(copy)) => FileAction::Copy(Box::new(self.copy(copy, action.secondary_input, n)?)),
            Some(Action::Mkfile(file)) => FileAction::MakeFile {
                path: absolute(&file.path),
                mode: bits(file.mode),
                content: file.data.as_slice().into(),
                owner: self.owner(file.owner.as_ref(), n)?,
                time: time(file.timestamp),
            },
            Some(Action::Mkdir(dir)) => FileAction::MakeDir {
                path: absolute(&dir.path),
                mode: bits(dir.mode),
                parents: dir.make_parents,
                owner: self.owner(dir.owner.as_ref(), n)?,
                time: time(dir.timestamp),
            },
            Some(Action::Symlink(link)) => FileAction::Symlink {
                target: link.oldpath.clone(),
                path: absolute(&link.newpath),
                owner: self.owner(link.owner.as_ref(), n)?,
                time: time(link.timestamp),
            },
            Some(Action::Rm(rm)) => FileAction::Remove {
                path: absolute(&rm.path),
                may_be_absent: rm.allow_not_found,
                wildcard: rm.allow_wildcard,
            },
            None => return Err(Error::Request("a change of files of a kind that is not known".into())),
        })
    }

    fn copy(&self, copy: &pb::FileActionCopy, from: i64, n: usize) -> Result<CopyFiles, Error> {
        let chmod = match (copy.mode_str.as_str(), u32::try_from(copy.mode)) {
            ("", Err(_)) => None,
            ("", Ok(mode)) => Some(Chmod::octal(mode)),
            (text, _) => Some(Chmod::parse(text).map_err(Error::Request)?),
        };
        // A `.` at the end is like a `/`, as in BuildKit.
        let dest = match copy.dest.strip_suffix("/.") {
            Some(folder) => format!("{folder}/"),
            None => copy.dest.clone(),
        };
        Ok(CopyFiles {
            from: self.source(from, n)?,
            path: copy.src.clone(),
            dest: format!("/{}", dest.trim_start_matches('/')),
            owner: self.owner(copy.owner.as_ref(), n)?,
            chmod,
            time: (copy.timestamp >= 0).then_some(copy.timestamp),
            selection: Selection {
                parents: false,
                excludes: copy.exclude_patterns.clone(),
                includes: copy.include_patterns.clone(),
                literal: !copy.allow_wildcard,
                no_follow: !copy.follow_symlink,
                named: !copy.dir_copy_contents,
            },
            may_be_empty: copy.allow_empty_wildcard,
            contents: copy.dir_copy_contents,
            unpack: copy.attempt_unpack_docker_compatibility,
            make_parents: copy.create_dest_path,
            replace: copy.always_replace_existing_dest_paths,
            required: if copy.include_patterns.is_empty() { Vec::new() } else { copy.required_paths.clone() },
        })
    }

    fn owner(&self, owner: Option<&pb::ChownOpt>, n: usize) -> Result<Owner, Error> {
        let Some(owner) = owner else { return Ok(Owner::default()) };
        let account = |given: &Option<pb::UserOpt>| -> Result<Option<Account>, Error> {
            Ok(match given.as_ref().and_then(|given| given.user.as_ref()) {
                None => None,
                Some(user_opt::User::ById(id)) => Some(Account::Id(*id)),
                Some(user_opt::User::ByName(named)) => {
                    Some(Account::Name { name: named.name.clone(), of: self.source(named.input, n)? })
                }
            })
        };
        Ok(Owner { user: account(&owner.user)?, group: account(&owner.group)? })
    }
}

/// The inputs whose accounts an action asks for.
fn accounts(action: &pb::FileAction) -> impl Iterator<Item = i64> {
    let owner = match &action.action {
        Some(Action::Copy(copy)) => copy.owner.as_ref(),
        Some(Action::Mkfile(file)) => file.owner.as_ref(),
        Some(Action::Mkdir(dir)) => dir.owner.as_ref(),
        Some(Action::Symlink(link)) => link.owner.as_ref(),
        Some(Action::Rm(_)) | None => None,
    };
    let given = owner.into_iter().flat_map(|owner| [&owner.user, &owner.group]).flatten();
    given.filter_map(|account| match &account.user {
        Some(user_opt::User::ByName(named)) => Some(named.input),
        Some(user_opt::User::ById(_)) | None => None,
    })
}
