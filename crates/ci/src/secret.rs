//! Variables whose values never show, from a file that nobody else can read.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::mask::{self, Unmaskable};
use crate::script::is_name;
use crate::variable::Variable;

/// How long such a file may be.
const MAX_BYTES: usize = 1 << 20;

/// Why a file of secrets is not taken. No value is in it.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// It cannot be read.
    #[error("{}: {source}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Others can read it.
    #[error("{}: others can read this file (mode {mode:03o}); `chmod 600` it", .path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// It is too long to be a file of variables.
    #[error("{}: it is longer than {MAX_BYTES} bytes, the most that a file of variables may have; give several files", .path.display())]
    Long {
        /// The file.
        path: PathBuf,
    },
    /// A line is no variable.
    #[error("{}:{line}: it should be NAME=value", .path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
    },
    /// A value cannot be hidden.
    #[error("{}:{line}: the value of {name} cannot be masked: {reason}", .path.display())]
    Unmaskable {
        /// The file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// The variable.
        name: String,
        /// What is wrong with it.
        reason: Unmaskable,
    },
}

/// Reads `NAME=value` lines. Values are taken as they are: nothing in them is expanded, and quotes are part of them.
///
/// # Errors
/// Others can read the file, it is too long, or a line is not what it should be.
pub fn read(path: &Path) -> Result<Vec<Variable>, SecretError> {
    let told = |source| SecretError::Io { path: path.to_owned(), source };
    let file = File::open(path).map_err(told)?;
    // Of the file that is open, not of the name: that may lead elsewhere a moment later.
    let mode = file.metadata().map_err(told)?.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(SecretError::Open { path: path.to_owned(), mode });
    }
    let mut text = String::new();
    file.take(MAX_BYTES as u64 + 1).read_to_string(&mut text).map_err(told)?;
    if text.len() > MAX_BYTES {
        return Err(SecretError::Long { path: path.to_owned() });
    }
    let mut found = Vec::new();
    for (n, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#')) {
        let (path, line_number) = (path.to_owned(), n + 1);
        let pair = line.split_once('=').filter(|(name, _)| is_name(name));
        let Some((name, value)) = pair else { return Err(SecretError::Line { path, line: line_number }) };
        if let Err(reason) = mask::check(value) {
            let name = name.to_owned();
            return Err(SecretError::Unmaskable { path, line: line_number, name, reason });
        }
        found.push(Variable::raw(name, value));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn file(text: &str, mode: u32) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        fs::set_permissions(file.path(), Permissions::from_mode(mode)).unwrap();
        file
    }

    #[test]
    fn values_are_taken_as_they_are() {
        let file = file("# mine\nTOKEN=a$b=\"c\"123\n\nOTHER=12345678\n", 0o600);
        assert_eq!(
            read(file.path()).unwrap(),
            [Variable::raw("TOKEN", "a$b=\"c\"123"), Variable::raw("OTHER", "12345678")]
        );
    }

    #[test]
    fn a_file_is_read_whole_or_not_at_all() {
        let line = |length: usize| format!("TOKEN={}", "x".repeat(length - "TOKEN=".len()));
        assert_eq!(read(file(&line(MAX_BYTES), 0o600).path()).unwrap()[0].value.len(), MAX_BYTES - "TOKEN=".len());
        let error = read(file(&line(MAX_BYTES + 1), 0o600).path()).unwrap_err().to_string();
        assert!(error.contains("it is longer than 1048576 bytes"), "{error}");
    }

    #[test]
    fn what_is_wrong_is_told_without_values() {
        for (text, mode, expected) in [
            ("T=12345678", 0o640, "others can read this file (mode 640)"),
            ("T=12345678", 0o604, "others can read this file (mode 604)"),
            ("T=12345678\nX", 0o600, ":2: it should be NAME=value"),
            ("T=secret", 0o400, ":1: the value of T cannot be masked: it has fewer than 8 characters"),
            ("T=secret secret", 0o400, ":1: the value of T cannot be masked: it has spaces or more than one line"),
        ] {
            let error = read(file(text, mode).path()).unwrap_err().to_string();
            assert!(error.contains(expected) && !error.contains("secret"), "{error}");
        }
    }
}
