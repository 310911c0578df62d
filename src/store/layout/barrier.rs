//! The barrier between content and the names that point to it.
//!
//! Other tools leave content in the page cache. So what is only found is brought to the disk like what is written, before anything points to it.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;

use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::fsio::durable::sync_dir;
use crate::fsio::{Dir, regular};
use crate::spec::{Algorithm, Digest};

/// Which blob directories have names that a power cut might take.
#[derive(Debug, Default)]
pub(super) struct Barrier {
    dirty: Mutex<BTreeSet<Algorithm>>,
    /// Content that was found, and may be nowhere but in memory.
    found: Mutex<BTreeSet<Digest>>,
    /// Held while directories are brought to the disk: who comes second must wait for the first, whose work includes its own.
    syncing: Mutex<Health>,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Health {
    #[default]
    Good,
    /// The disk failed once; a later success would prove nothing.
    Failed,
}

impl Barrier {
    /// Notes that a name below `algorithm` is relied upon: it was just made here, or found and perhaps just made by another process.
    /// To be called after the name is there.
    pub(super) fn mark(&self, algorithm: &Algorithm) {
        let mut dirty = lock(&self.dirty);
        if !dirty.contains(algorithm) {
            dirty.insert(algorithm.clone());
        }
    }

    /// Notes that content which was found is relied upon.
    pub(super) fn mark_found(&self, digest: &Digest) {
        lock(&self.found).insert(digest.clone());
        self.mark(digest.algorithm());
    }

    /// Brings all content that was found and all marked directories below `blobs` to the disk.
    pub(super) fn sync(&self, root: &Dir) -> Result<()> {
        let mut health = lock(&self.syncing);
        if *health == Health::Failed {
            return Err(Error::new(ErrorKind::Io, "content could not be brought to the disk before").subject(crate::spec::text::path(root.path())));
        }
        for digest in std::mem::take(&mut *lock(&self.found)) {
            if let Err(error) = sync_found(root, &digest) {
                *health = Health::Failed;
                return Err(error);
            }
        }
        for algorithm in std::mem::take(&mut *lock(&self.dirty)) {
            let path = Path::new(super::BLOBS).join(algorithm.as_str());
            if let Err(error) = root.open_below(&path).and_then(|dir| sync_dir(&dir)) {
                *health = Health::Failed;
                return Err(error);
            }
        }
        Ok(())
    }
}

/// An fsync of what is on the disk already costs next to nothing. Read-only file systems have nothing in memory.
fn sync_found(root: &Dir, digest: &Digest) -> Result<()> {
    let path = super::blob_path(digest);
    let file = regular::open(root, &path)?.file;
    match rustix::io::retry_on_intr(|| rustix::fs::fdatasync(&file)) {
        Ok(()) | Err(Errno::ROFS | Errno::INVAL) => Ok(()),
        Err(error) => Err(error).at("bring to the disk", &root.path().join(path)),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
