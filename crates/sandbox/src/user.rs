//! `USER`: names and numbers, looked up in an image's own account files. Pure: the files come as bytes.

/// Who a process runs as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Every group, the primary one included.
    pub groups: Vec<u32>,
    /// The home folder; `/` for who has none.
    pub home: String,
}

/// Whom files belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// The names that nobody has.
    pub unknown: Vec<UserError>,
}

/// Why a `USER` means nobody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UserError {
    /// No such user.
    #[error("unable to find user {0}: no matching entries in passwd file")]
    User(String),
    /// A number that is none of a user or group.
    #[error("{0:?}: uids and gids are numbers from 0 to 2147483647")]
    Range(String),
    /// No such group.
    #[error("unable to find group {0}: no matching entries in group file")]
    Group(String),
}

/// What docker takes for an id.
const MAX_ID: u32 = i32::MAX.unsigned_abs();

struct Account<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

/// Finds who `name`, `uid`, `name:group` or `uid:gid` is; an empty text is root. A number need not be listed. Where a group is given it
/// is the only one; else the primary group and those that list the user (runc `user.GetExecUser`).
pub fn resolve(spec: &str, passwd: Option<&[u8]>, group: Option<&[u8]>) -> Result<User, UserError> {
    let passwd = String::from_utf8_lossy(passwd.unwrap_or_default());
    let group_file = String::from_utf8_lossy(group.unwrap_or_default());
    let (who, group) = match spec.split_once(':') {
        Some((who, group)) => (who, (!group.is_empty()).then_some(group)),
        None => (spec, None),
    };
    let who = if who.is_empty() { "0" } else { who };
    let number = who.parse::<u32>().ok();
    // A name wins over a number, as some names are numbers.
    let account =
        accounts(&passwd).find(|a| a.name == who).or_else(|| accounts(&passwd).find(|a| Some(a.uid) == number));
    let (uid, primary, home, name) = match (&account, number) {
        (Some(a), _) => (a.uid, a.gid, a.home, Some(a.name)),
        (None, Some(uid)) if uid > MAX_ID => return Err(UserError::Range(who.into())),
        (None, Some(uid)) => (uid, 0, if uid == 0 { "/root" } else { "/" }, None),
        (None, None) => return Err(UserError::User(who.into())),
    };
    let home = if home.is_empty() { "/" } else { home }.to_owned();
    if let Some(group) = group {
        let gid = match groups(&group_file).find(|g| g.0 == group) {
            Some((_, gid, _)) => gid,
            None => group.parse().map_err(|_| UserError::Group(group.into()))?,
        };
        if gid > MAX_ID {
            return Err(UserError::Range(group.into()));
        }
        return Ok(User { uid, gid, groups: vec![gid], home });
    }
    let mut all = vec![primary];
    for (_, gid, members) in groups(&group_file) {
        if name.is_some_and(|name| members.split(',').any(|m| m == name)) && !all.contains(&gid) {
            all.push(gid);
        }
    }
    Ok(User { uid, gid: primary, groups: all, home })
}

/// The ids that files get for a `user[:group]`, which are not those that a process gets: a number is an id whatever is listed, and
/// alone stands for the group too; nothing beside a colon is 0; a name that is not listed is 0, or for a group leaves the user's
/// (BuildKit's `--chown`). A number that is too large for an id is a name.
#[must_use]
pub fn owner(spec: &str, passwd: Option<&[u8]>, group: Option<&[u8]>) -> Owner {
    let id = |text: &str| match text {
        "" | "root" => Some(0),
        _ => text.parse().ok().filter(|number| *number <= MAX_ID),
    };
    let (passwd, group) = [passwd, group].map(|file| String::from_utf8_lossy(file.unwrap_or_default())).into();
    let (user, group_name) = spec.split_once(':').map_or((spec, None), |(user, group)| (user, Some(group)));
    let listed = || accounts(&passwd).find(|a| a.name == user).map(|a| (a.uid, a.gid));
    let ids = id(user).map(|number| (number, number)).or_else(listed);
    let mut unknown = Vec::new();
    if ids.is_none() {
        unknown.push(UserError::User(user.into()));
    }
    let (uid, mut gid) = ids.unwrap_or((0, 0));
    if let Some(name) = group_name {
        match id(name).or_else(|| groups(&group).find(|g| g.0 == name).map(|g| g.1)) {
            Some(number) => gid = number,
            None => unknown.push(UserError::Group(name.into())),
        }
    }
    Owner { uid, gid, unknown }
}

/// The first name of a user id.
pub(crate) fn name_of(uid: u32, passwd: &[u8]) -> Option<String> {
    let passwd = String::from_utf8_lossy(passwd);
    accounts(&passwd).find(|a| a.uid == uid).map(|a| a.name.to_owned())
}

fn accounts(text: &str) -> impl Iterator<Item = Account<'_>> {
    text.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let number = |n: usize| fields.get(n)?.parse().ok();
        Some(Account { name: fields.first()?, uid: number(2)?, gid: number(3)?, home: fields.get(5).unwrap_or(&"") })
    })
}

fn groups(text: &str) -> impl Iterator<Item = (&str, u32, &str)> {
    text.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let (name, _, gid) = (fields.next()?, fields.next()?, fields.next()?.parse().ok()?);
        Some((name, gid, fields.next().unwrap_or("").trim()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &[u8] = b"root:x:0:0:root:/root:/bin/sh\ndockerio:x:1001:1001::/bin:/bin/false\n# note\nbroken\n";
    const GROUP: &[u8] = b"root:x:0:\nwheel:x:10:root\ndockerio:x:1001:\nsupplementary:x:1002:dockerio,other\n";

    #[test]
    fn owners_of_files() {
        for (spec, owner) in [
            ("1001", (1001, 1001)),
            ("1002:5", (1002, 5)),
            ("dockerio", (1001, 1001)),
            ("dockerio:wheel", (1001, 10)),
            ("7:nosuch", (7, 7)),
            ("nosuch:6", (0, 6)),
            ("nosuch:wheel", (0, 10)),
            (":wheel", (0, 10)),
            ("root:7", (0, 7)),
            ("dockerio:", (1001, 0)),
            ("7:", (7, 0)),
            ("", (0, 0)),
        ] {
            let found = super::owner(spec, Some(PASSWD), Some(GROUP));
            assert_eq!((found.uid, found.gid), owner, "{spec}");
            assert_eq!(found.unknown.is_empty(), !spec.contains("nosuch"), "{spec}");
        }
        assert_eq!(super::owner("dockerio:wheel", None, None).unknown.len(), 2);
        let large = super::owner("4294967295", None, None);
        assert_eq!((large.uid, large.gid, large.unknown.len()), (0, 0, 1));
    }

    #[test]
    fn as_docker_finds_them() {
        for (spec, uid, gid, groups) in [
            ("", 0, 0, vec![0, 10]),
            ("root", 0, 0, vec![0, 10]),
            ("dockerio", 1001, 1001, vec![1001, 1002]),
            ("1001", 1001, 1001, vec![1001, 1002]),
            ("dockerio:supplementary", 1001, 1002, vec![1002]),
            ("1042:1043", 1042, 1043, vec![1043]),
            ("1234", 1234, 0, vec![0]),
            (":1001", 0, 1001, vec![1001]),
        ] {
            let user = resolve(spec, Some(PASSWD), Some(GROUP)).unwrap();
            assert_eq!((user.uid, user.gid, user.groups), (uid, gid, groups), "{spec}");
        }
        assert_eq!(resolve("4294967295", Some(PASSWD), None), Err(UserError::Range("4294967295".into())));
        assert_eq!(resolve("nobody", Some(PASSWD), None), Err(UserError::User("nobody".into())));
        assert_eq!(resolve("root:none", Some(PASSWD), Some(GROUP)), Err(UserError::Group("none".into())));
        assert_eq!(resolve("", None, None).unwrap().home, "/root");
    }
}
