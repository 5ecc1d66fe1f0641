//! The functions that expressions may call: those of buildx's standard library. One file for each kind; this one finds them.

mod collections;
mod encoding;
mod format;
mod numbers;
mod semver;
mod strings;
mod time;

use crate::Facts;
use crate::fault::{Fault, Result, fault};
use crate::value::Value;

/// A function. What it may know of the world beside its arguments is in the facts.
pub(crate) type Function = fn(&Facts, &[Value]) -> Result<Value>;

/// All, by kind.
const TABLES: &[&[(&str, Function)]] =
    &[collections::TABLE, encoding::TABLE, format::TABLE, numbers::TABLE, semver::TABLE, strings::TABLE, time::TABLE];

/// What buildx has and this has not, so that nobody looks for another spelling.
const MISSING: &[&str] =
    &["bcrypt", "cidrhost", "cidrnetmask", "cidrsubnet", "cidrsubnets", "rsadecrypt", "uuidv4", "uuidv5"];

/// A function by its name.
pub(crate) fn find(name: &str) -> Option<Function> {
    TABLES.iter().flat_map(|table| table.iter()).find(|(known, _)| *known == name).map(|(_, function)| *function)
}

/// There is none of this name.
pub(crate) fn unknown<'a>(name: &str, own: impl IntoIterator<Item = &'a str>) -> Box<Fault> {
    if MISSING.contains(&name) {
        return fault(format!("the function `{name}` is not supported yet"));
    }
    let known = TABLES.iter().flat_map(|table| table.iter()).map(|(known, _)| *known);
    fault(format!("there is no function `{name}`")).propose(name, known.chain(["try", "can", "convert"]).chain(own))
}

/// Exactly so many arguments.
fn exactly<const N: usize>(arguments: &[Value]) -> Result<&[Value; N]> {
    arguments.try_into().map_err(|_| fault(format!("{N} arguments are required, and these are {}", arguments.len())))
}

/// Exactly so many, all of them texts.
fn texts<const N: usize>(arguments: &[Value]) -> Result<[String; N]> {
    let all = exactly::<N>(arguments)?.iter().map(Value::text).collect::<Result<Vec<_>>>()?;
    all.try_into().map_err(|_| fault("texts are required"))
}
