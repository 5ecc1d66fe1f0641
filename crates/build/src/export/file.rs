//! Files that are there whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::Error;

static NEXT: AtomicU64 = AtomicU64::new(0);

/// A file on its way, under a temporary name beside the one that it will have. Dropped without [`Whole::finish`], it is
/// gone. A device, a pipe or standard output is written to as it is.
pub(crate) struct Whole {
    to: BufWriter<Box<dyn Write + Send>>,
    path: PathBuf,
    temporary: Option<PathBuf>,
}

impl Whole {
    /// Starts a file. A link is followed: the file that it leads to is replaced, not the link.
    pub(crate) fn create(path: &Path) -> Result<Self, Error> {
        let told = || Error::io(path.display().to_string());
        let target = match fs::canonicalize(path) {
            Ok(target) => target,
            Err(e) if e.kind() == io::ErrorKind::NotFound => path.to_owned(),
            Err(e) => return Err(told()(e)),
        };
        match fs::metadata(&target) {
            Ok(meta) if meta.is_dir() => return Err(told()(io::ErrorKind::IsADirectory.into())),
            Ok(meta) if !meta.is_file() => {
                let file = OpenOptions::new().write(true).open(&target).map_err(told())?;
                return Ok(Self { to: BufWriter::new(Box::new(file)), path: target, temporary: None });
            }
            _ => {}
        }
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        loop {
            // A long name with an addition may be too long.
            let short: String = name.chars().take(32).collect();
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let temporary = target.with_file_name(format!(".{short}.{}-{number}", std::process::id()));
            match File::create_new(&temporary) {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(told()(e)),
                Ok(file) => {
                    let to = BufWriter::with_capacity(256 * 1024, Box::new(file) as Box<dyn Write + Send>);
                    return Ok(Self { to, path: target, temporary: Some(temporary) });
                }
            }
        }
    }

    /// Standard output, where there is no path.
    pub(crate) fn create_or_stdout(path: Option<&Path>) -> Result<Self, Error> {
        match path {
            Some(path) => Self::create(path),
            None => Ok(Self {
                to: BufWriter::with_capacity(256 * 1024, Box::new(io::stdout())),
                path: "standard output".into(),
                temporary: None,
            }),
        }
    }

    /// Ends it: it gets its name.
    pub(crate) fn finish(mut self) -> Result<(), Error> {
        let told = || Error::io(self.path.display().to_string());
        self.to.flush().map_err(told())?;
        if let Some(temporary) = &self.temporary {
            fs::rename(temporary, &self.path).map_err(told())?;
        }
        self.temporary = None;
        Ok(())
    }
}

impl Write for Whole {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.to.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

impl Drop for Whole {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            // Nothing can be done about an error here.
            let _ = fs::remove_file(temporary);
        }
    }
}

impl std::fmt::Debug for Whole {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Whole({})", self.path.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.tar");
        fs::write(&path, "old").unwrap();
        let mut half = Whole::create(&path).unwrap();
        half.write_all(b"new").unwrap();
        drop(half);
        assert_eq!(fs::read(&path).unwrap(), b"old");
        std::os::unix::fs::symlink("out.tar", dir.path().join("link")).unwrap();
        let mut file = Whole::create(&dir.path().join("link")).unwrap();
        file.write_all(b"new").unwrap();
        file.finish().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_device_is_not_replaced() {
        let mut file = Whole::create(Path::new("/dev/null")).unwrap();
        file.write_all(b"x").unwrap();
        file.finish().unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
        assert!(Whole::create(Path::new("/tmp")).is_err());
    }
}
