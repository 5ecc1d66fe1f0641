//! `type=tar`: the files in one archive, owners and all.

use std::io::{self, Write};
use std::path::Path;

use archipel_store::layer::{Form, Header, Kind, Writer, write_tree};

use super::file::Whole;
use super::rootfs::Root;
use crate::Error;
use crate::progress::Work;

/// Writes the files of all platforms, each below its folder where there are several.
pub(super) fn write(dest: Option<&Path>, roots: &[Root], epoch: Option<i64>, work: &Work) -> Result<(), Error> {
    let failed = |source| Error::Io { what: "write an archive".into(), source };
    let mut tar = Writer::new(Counted { to: Whole::create_or_stdout(dest)?, work: work.clone() });
    for root in roots {
        let prefix = match &root.place {
            Some(place) => {
                // Nobody made this folder: it has no time but the one that the person names.
                let mut header = Header::new(Kind::Dir, place.as_bytes());
                header.mtime = (epoch.unwrap_or(0), 0);
                tar.append(&header, io::empty()).map_err(failed)?;
                format!("{place}/")
            }
            None => String::new(),
        };
        write_tree(root.path(), prefix.as_bytes(), Form::Files, epoch, &mut tar)?;
    }
    tar.finish().map_err(failed)?.to.finish()
}

/// Tells how much was written.
struct Counted {
    to: Whole,
    work: Work,
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.work.add(written as u64);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}
