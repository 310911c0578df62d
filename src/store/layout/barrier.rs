//! The barrier between content and the names that point to it.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::{Error, ErrorKind, Result};
use crate::fsio::Dir;
use crate::fsio::durable::sync_dir;
use crate::spec::Algorithm;

/// Which blob directories have names that a power cut might take.
#[derive(Debug, Default)]
pub(super) struct Barrier {
    dirty: Mutex<BTreeSet<Algorithm>>,
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

    /// Brings all marked directories below `blobs` to the disk.
    pub(super) fn sync(&self, root: &Dir) -> Result<()> {
        let mut health = lock(&self.syncing);
        if *health == Health::Failed {
            return Err(Error::new(ErrorKind::Io, "content could not be brought to the disk before").subject(crate::spec::text::path(root.path())));
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
