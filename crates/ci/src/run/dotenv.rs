//! `artifacts:reports:dotenv`: variables that a job leaves to those after it.

use crate::script::is_name;
use crate::variable::Variable;

/// How long such a file may be (GitLab's number).
pub(super) const MAX_BYTES: usize = 5 << 10;

/// How many variables it may have (GitLab's largest number).
const MAX_VARIABLES: usize = 150;

/// Reads `NAME=value` lines; an error is a sentence. Values are taken as they are.
pub(super) fn parse(text: &[u8]) -> Result<Vec<Variable>, String> {
    let text = std::str::from_utf8(text).map_err(|_| "it is not UTF-8".to_owned())?;
    let mut found = Vec::new();
    for (n, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let told = |what: &str| format!("line {}: {what}", n + 1);
        let (name, value) = line.split_once('=').ok_or_else(|| told("it should be NAME=value"))?;
        let name = name.trim();
        if !is_name(name) {
            return Err(told(&format!("`{name}` is not the name of a variable")));
        }
        let value = value.trim();
        let within = |quote: char| value.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
        found.push(Variable::raw(name, within('"').or_else(|| within('\'')).unwrap_or(value)));
        if found.len() > MAX_VARIABLES {
            return Err(format!("it has more than {MAX_VARIABLES} variables"));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_variables() {
        let found = parse(b"A=1\n\n# no\nB=\"x y\"\n C = $A=\n").unwrap();
        assert_eq!(found, [Variable::raw("A", "1"), Variable::raw("B", "x y"), Variable::raw("C", "$A=")]);
        assert_eq!(parse(b"A=1\nB"), Err("line 2: it should be NAME=value".into()));
        assert!(parse(b"A-B=1").unwrap_err().contains("`A-B`"));
        assert!(parse(b"A=\xff").is_err());
    }
}
