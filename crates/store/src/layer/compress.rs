//! Compression on all cores. A stream is cut into pieces of fixed length, each of which becomes a gzip member or zstd frame
//! of its own: so the bytes do not depend on how many threads there are.

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;

use archipel_oci::media_type;

use crate::{Error, Result};

const PIECE: usize = 1024 * 1024;

/// How layers are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip; 0 to 12, 6 unless told.
    Gzip {
        /// How hard to try.
        level: Option<i32>,
    },
    /// zstd; 1 to 22, 3 unless told.
    Zstd {
        /// How hard to try.
        level: Option<i32>,
    },
}

impl Compression {
    /// The type of a layer that is compressed so.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::None => media_type::OCI_LAYER,
            Self::Gzip { .. } => media_type::OCI_LAYER_GZIP,
            Self::Zstd { .. } => media_type::OCI_LAYER_ZSTD,
        }
    }

    pub(super) fn check(self) -> Result<()> {
        let (level, least, most) = match self {
            Self::None => return Ok(()),
            Self::Gzip { level } => (level.unwrap_or(6), 0, 12),
            Self::Zstd { level } => (level.unwrap_or(3), 1, 22),
        };
        if (least..=most).contains(&level) { Ok(()) } else { Err(Error::Level { level, least, most }) }
    }
}

type Piece = (Vec<u8>, Sender<io::Result<Vec<u8>>>);

/// Lets `produce` write a stream, and writes it compressed to `sink`. At most a few pieces per thread are in memory.
pub(super) fn compress<T>(
    compression: Compression,
    threads: usize,
    sink: &mut (impl Write + Send),
    produce: impl FnOnce(&mut dyn Write) -> Result<T>,
    failed: impl FnOnce(io::Error) -> Error,
) -> Result<T> {
    if compression == Compression::None {
        let mut buffered = io::BufWriter::with_capacity(PIECE, sink);
        let value = produce(&mut buffered)?;
        return buffered.flush().map(|()| value).map_err(failed);
    }
    thread::scope(|scope| {
        let (give, take) = sync_channel::<Piece>(threads);
        // Pieces are written in the order in which they were given, each as soon as it is ready.
        let (order, ordered) = sync_channel::<Receiver<io::Result<Vec<u8>>>>(2 * threads);
        let take = std::sync::Arc::new(Mutex::new(take));
        for _ in 0..threads {
            let take = take.clone();
            scope.spawn(move || work(compression, &take));
        }
        // Only workers may hold the receiver: once they are gone, giving fails instead of waiting.
        drop(take);
        let writer = scope.spawn(move || -> io::Result<()> {
            for ready in ordered {
                let piece = ready.recv().map_err(|_| io::Error::other("a compressing thread died"))??;
                sink.write_all(&piece)?;
            }
            Ok(())
        });
        let mut cut = Cut { piece: Vec::with_capacity(PIECE), give, order };
        let produced = produce(&mut cut);
        let ended = match &produced {
            Ok(_) => cut.send(),
            Err(_) => Ok(()),
        };
        drop(cut);
        // The writer knows why the pipe broke, if it did; the producer only that it did.
        match writer.join() {
            Ok(Err(e)) => Err(failed(e)),
            Ok(Ok(())) => produced.and_then(|value| ended.map(|()| value).map_err(failed)),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

struct Cut {
    piece: Vec<u8>,
    give: SyncSender<Piece>,
    order: SyncSender<Receiver<io::Result<Vec<u8>>>>,
}

impl Cut {
    fn send(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE));
        let (done, ready) = channel();
        let gone = || io::Error::from(io::ErrorKind::BrokenPipe);
        self.order.send(ready).map_err(|_| gone())?;
        self.give.send((piece, done)).map_err(|_| gone())
    }
}

impl Write for Cut {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(PIECE - self.piece.len());
        self.piece.extend_from_slice(bytes.get(..taken).unwrap_or_default());
        if self.piece.len() == PIECE {
            self.send()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn work(compression: Compression, take: &Mutex<Receiver<Piece>>) {
    loop {
        let next = take.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((piece, done)) = next else { return };
        // Nobody waits for it where the writer failed.
        let _ = done.send(squeeze(compression, &piece));
    }
}

fn squeeze(compression: Compression, piece: &[u8]) -> io::Result<Vec<u8>> {
    match compression {
        Compression::None => Ok(piece.to_vec()),
        Compression::Gzip { level } => {
            let level = libdeflater::CompressionLvl::new(level.unwrap_or(6))
                .map_err(|e| io::Error::other(format!("gzip: {e:?}")))?;
            let mut compressor = libdeflater::Compressor::new(level);
            let mut out = vec![0; compressor.gzip_compress_bound(piece.len())];
            let length =
                compressor.gzip_compress(piece, &mut out).map_err(|e| io::Error::other(format!("gzip: {e}")))?;
            out.truncate(length);
            Ok(out)
        }
        Compression::Zstd { level } => zstd::bulk::compress(piece, level.unwrap_or(3)),
    }
}
