//! Questions to the person at the terminal.

use std::io::{BufRead, Write};

use archipel_remote::Secret;
use rustix::termios::{self, LocalModes, OptionalActions, SpecialCodeIndex, Termios};

use crate::errors::Error;

/// What Ctrl-C sends.
const INTERRUPT: u8 = 3;

/// Asks for a line. Without a terminal nobody can answer, and waiting would look like a hang.
pub(crate) fn line(question: &str) -> Result<String, Error> {
    ask(question)
}

/// The same, without showing what is typed.
pub(crate) fn secret(question: &str) -> Result<Secret, Error> {
    let hidden = Hidden::new()?;
    let answer = ask(question);
    drop(hidden);
    // The newline that ended the answer was not shown either.
    let _ = std::io::stderr().write_all(b"\n");
    match answer? {
        answer if answer.as_bytes().contains(&INTERRUPT) => Err(Error::Interrupted),
        answer => Ok(Secret::new(answer)),
    }
}

fn ask(question: &str) -> Result<String, Error> {
    let stdin = std::io::stdin();
    if !termios::isatty(&stdin) {
        return Err(Error::Usage("there is no terminal to ask at: give --username and --password-stdin".into()));
    }
    let mut stderr = std::io::stderr();
    stderr.write_all(question.as_bytes()).and_then(|()| stderr.flush()).map_err(Error::io("the terminal"))?;
    let mut answer = String::new();
    stdin.lock().read_line(&mut answer).map_err(Error::io("the terminal"))?;
    Ok(answer.trim_end_matches(['\r', '\n']).to_owned())
}

/// A terminal that does not echo, until dropped. Ctrl-C would end the program and leave it so; hence it is read as a
/// character that ends the line.
struct Hidden(Option<Termios>);

impl Hidden {
    fn new() -> Result<Self, Error> {
        let stdin = std::io::stdin();
        if !termios::isatty(&stdin) {
            return Ok(Self(None));
        }
        let told = || Error::io("the terminal");
        let before = termios::tcgetattr(&stdin).map_err(|e| told()(e.into()))?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO | LocalModes::ISIG);
        silent.special_codes[SpecialCodeIndex::VEOL] = INTERRUPT;
        termios::tcsetattr(&stdin, OptionalActions::Flush, &silent).map_err(|e| told()(e.into()))?;
        Ok(Self(Some(before)))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            // Nothing can be done about a terminal that went away.
            let _ = termios::tcsetattr(std::io::stdin(), OptionalActions::Flush, before);
        }
    }
}
