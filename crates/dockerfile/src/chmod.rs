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
    Symbolic(Vec<Step>),
}

/// What a symbolic mode does, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Set(u32),
    Clear(u32),
    /// `X`: for directories, and for what could be executed to begin with.
    SetIfRuns(u32),
    /// Sets (or takes away) what the owner, the group or the others have.
    Copy {
        /// How far the bits of the one are to the left.
        from: u32,
        /// For whom, as a mask of 0o777.
        to: u32,
        operation: char,
    },
}

const SET_ID: u32 = 0o6000;
const STICKY: u32 = 0o1000;

impl Chmod {
    /// A mode as a number.
    #[must_use]
    pub fn octal(mode: u32) -> Self {
        Self { text: format!("{mode:04o}"), change: Change::Absolute(mode & 0o7777) }
    }

    /// Reads it.
    ///
    /// # Errors
    /// A sentence that says why it is no mode.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = |reason| format!("invalid chmod parameter: '{text}'. {reason}");
        let change = if text.starts_with(|c: char| c.is_ascii_digit()) {
            let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o7777);
            Change::Absolute(mode.ok_or_else(|| wrong("it should be octal string and between 0 and 07777"))?)
        } else {
            let mut steps = Vec::new();
            for clause in text.split(',') {
                clause_steps(clause, &mut steps)
                    .ok_or_else(|| wrong("invalid syntax: it should be like 0755 or u=rwX,go=rX"))?;
            }
            Change::Symbolic(steps)
        };
        Ok(Self { text: text.into(), change })
    }

    /// The mode itself, where it is not made of what is there.
    #[must_use]
    pub fn absolute(&self) -> Option<u32> {
        match &self.change {
            Change::Absolute(mode) => Some(*mode),
            Change::Symbolic(_) => None,
        }
    }

    /// The mode that something gets which has `mode` now.
    #[must_use]
    pub fn apply(&self, mode: u32, directory: bool) -> u32 {
        let steps = match &self.change {
            Change::Absolute(mode) => return *mode,
            Change::Symbolic(steps) => steps,
        };
        let runs = directory || mode & 0o111 != 0;
        let mut mode = mode & 0o7777;
        for step in steps {
            match *step {
                Step::Set(bits) => mode |= bits,
                Step::Clear(bits) => mode &= !bits,
                Step::SetIfRuns(bits) => mode |= if runs { bits } else { 0 },
                Step::Copy { from, to, operation } => {
                    let bits = (((mode >> from) & 7) * 0o111) & to;
                    match operation {
                        '+' => mode |= bits,
                        '-' => mode &= !bits,
                        _ => mode = (mode & !to) | bits,
                    }
                }
            }
        }
        mode
    }
}

/// Reads `ugo+rw-x`. `None`: it is something else.
fn clause_steps(clause: &str, steps: &mut Vec<Step>) -> Option<()> {
    let mut rest = clause.trim_start_matches(['u', 'g', 'o', 'a']);
    let named = clause[..clause.len() - rest.len()].chars().fold(0, |who, c| {
        who | match c {
            'u' => 0o4700,
            'g' => 0o2070,
            'o' => 0o007,
            _ => SET_ID | 0o777,
        }
    });
    if rest.is_empty() {
        return None;
    }
    while let Some(operation) = rest.chars().next() {
        rest = rest.strip_prefix(['+', '-', '='])?;
        let after = rest.trim_start_matches(['r', 'w', 'x', 'X', 's', 't', 'u', 'g', 'o']);
        operation_steps(operation, named, &rest[..rest.len() - after.len()], steps);
        rest = after;
    }
    Some(())
}

/// `named` are the bits of those before the operation, 0 if nobody is named.
fn operation_steps(operation: char, named: u32, permissions: &str, steps: &mut Vec<Step>) {
    const COPIES: [char; 3] = ['u', 'g', 'o'];
    let mut who = named;
    // Set-id and sticky bits are nothing for the others alone.
    let special = named & !0o007 != 0 || named == 0;
    // Permissions, and behind them perhaps whose to copy.
    let pieces = permissions.split_inclusive(COPIES).chain(permissions.is_empty().then_some(""));
    for piece in pieces {
        let flags = piece.trim_end_matches(COPIES);
        let (mut bits, mut runs) = (0, 0);
        for flag in flags.chars() {
            match flag {
                'r' => bits |= 0o444,
                'w' => bits |= 0o222,
                'X' if operation != '-' => runs = 0o111,
                's' if special => bits |= SET_ID,
                't' if special => {
                    who |= STICKY;
                    bits |= STICKY;
                }
                'x' | 'X' => bits |= 0o111,
                _ => {}
            }
        }
        let of = |bits: u32| if who == 0 { bits } else { bits & who };
        match operation {
            '-' => steps.push(Step::Clear(of(bits))),
            '+' => steps.push(Step::Set(of(bits))),
            // A copy does its clearing itself.
            _ if bits == 0 && flags.len() < piece.len() => {}
            _ => {
                steps.push(Step::Clear(if who == 0 { SET_ID | 0o777 } else { who }));
                steps.push(Step::Set(of(bits)));
            }
        }
        steps.push(Step::SetIfRuns(of(runs)));
        let from = match piece.get(flags.len()..) {
            Some("u") => 6,
            Some("g") => 3,
            Some("o") => 0,
            _ => continue,
        };
        steps.push(Step::Copy { from, to: if who == 0 { 0o777 } else { who & 0o777 }, operation });
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
            ("go=u-w", 0o640, false, 0o644),
            ("a+r-x,u+x", 0o711, false, 0o744),
            ("go=", 0o777, false, 0o700),
            ("u=rwx", 0o4644, false, 0o744),
            ("g=u", 0o2640, false, 0o2660),
            ("+t", 0o777, true, 0o1777),
            ("o+s", 0o755, false, 0o755),
            ("a=,a+X", 0o755, false, 0o111),
        ] {
            assert_eq!(Chmod::parse(text).unwrap().apply(mode, directory), result, "{text}");
        }
        for bad in ["", "99", "10000", "u=q", "rwx", "x=r", "u+x,", "u", "u+x7", "+644"] {
            assert!(Chmod::parse(bad).is_err(), "{bad}");
        }
        let wrong = Chmod::parse("64a").unwrap_err();
        assert_eq!(wrong, "invalid chmod parameter: '64a'. it should be octal string and between 0 and 07777");
    }
}
