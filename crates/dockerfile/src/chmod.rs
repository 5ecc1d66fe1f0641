//! `--chmod`: octal, or symbolic as chmod(1) has it.

use std::fmt;

/// A mode, or a change of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chmod {
    text: String,
    change: Change,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Change {
    Absolute(u32),
    Symbolic(Vec<Clause>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Clause {
    /// Which of the three groups of bits, as a mask of 0o777.
    who: u32,
    operation: char,
    permissions: String,
}

impl Chmod {
    /// Reads it.
    ///
    /// # Errors
    /// A sentence that says why it is no mode.
    pub fn parse(text: &str) -> Result<Self, String> {
        let change = if text.starts_with(|c: char| c.is_ascii_digit()) {
            let mode = u32::from_str_radix(text, 8).ok().filter(|m| *m <= 0o7777);
            Change::Absolute(mode.ok_or_else(|| {
                format!("invalid chmod parameter: {text:?}; it should be octal and between 0 and 07777")
            })?)
        } else {
            Change::Symbolic(text.split(',').map(|clause| Self::clause(clause, text)).collect::<Result<_, _>>()?)
        };
        Ok(Self { text: text.into(), change })
    }

    fn clause(clause: &str, text: &str) -> Result<Clause, String> {
        let wrong = || format!("invalid chmod parameter: {text:?}; write it as 0755 or u=rwX,go=rX");
        let at = clause.find(['+', '-', '=']).ok_or_else(wrong)?;
        let mut who = 0;
        for c in clause[..at].chars() {
            who |= match c {
                'u' => 0o700,
                'g' => 0o070,
                'o' => 0o007,
                'a' => 0o777,
                _ => return Err(wrong()),
            };
        }
        let permissions = clause[at + 1..].to_owned();
        if !permissions.chars().all(|c| "rwxXstugo".contains(c)) {
            return Err(wrong());
        }
        let operation = clause[at..].chars().next().ok_or_else(wrong)?;
        Ok(Clause { who: if who == 0 { 0o777 } else { who }, operation, permissions })
    }

    /// The mode that something gets which has `mode` now. Symbolic `X` is execute for directories and what has it already.
    #[must_use]
    pub fn apply(&self, mode: u32, directory: bool) -> u32 {
        let clauses = match &self.change {
            Change::Absolute(mode) => return *mode,
            Change::Symbolic(clauses) => clauses,
        };
        let mut mode = mode & 0o7777;
        for clause in clauses {
            let mut bits = 0;
            for c in clause.permissions.chars() {
                bits |= match c {
                    'r' => 0o444 & clause.who,
                    'w' => 0o222 & clause.who,
                    'x' => 0o111 & clause.who,
                    'X' if directory || mode & 0o111 != 0 => 0o111 & clause.who,
                    's' => {
                        (if clause.who & 0o700 != 0 { 0o4000 } else { 0 })
                            | (if clause.who & 0o070 != 0 { 0o2000 } else { 0 })
                    }
                    't' => 0o1000,
                    'u' => (((mode >> 6) & 7) * 0o111) & clause.who,
                    'g' => (((mode >> 3) & 7) * 0o111) & clause.who,
                    'o' => ((mode & 7) * 0o111) & clause.who,
                    _ => 0,
                };
            }
            match clause.operation {
                '+' => mode |= bits,
                '-' => mode &= !bits,
                _ => mode = (mode & !clause.who) | bits,
            }
        }
        mode
    }
}

impl fmt::Display for Chmod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_chmod_does() {
        for (text, mode, directory, result) in [
            ("0644", 0o777, false, 0o644),
            ("4755", 0, false, 0o4755),
            ("u=rwX,go=rX", 0o600, false, 0o644),
            ("u=rwX,go=rX", 0o700, true, 0o755),
            ("a+x", 0o644, false, 0o755),
            ("+x", 0o644, false, 0o755),
            ("go-rwx", 0o777, false, 0o700),
            ("g=u", 0o640, false, 0o660),
            ("u+s", 0o755, false, 0o4755),
        ] {
            assert_eq!(Chmod::parse(text).unwrap().apply(mode, directory), result, "{text}");
        }
        for bad in ["", "99", "10000", "u=q", "rwx", "x=r"] {
            assert!(Chmod::parse(bad).is_err(), "{bad}");
        }
    }
}
