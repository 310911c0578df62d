//! Removing content: the one place that deletes what has a digest for its name.

use std::path::Path;

use rustix::fs::AtFlags;
use rustix::io::Errno;

use crate::error::{Error, IoContext, Result};
use crate::fsio::durable::sync_dir;
use crate::fsio::stamp::Stamp;
use crate::fsio::{Lock, Patience};
use crate::spec::{Algorithm, ImageIndex, text};

use super::open::Presence;
use super::{BLOBS, INDEX, INDEX_LOCK, Layout, Options, StoredBlob};

/// A layout that no other larder has open, and whose names nobody who asks for the index lock can change, for as long as this lives. Tools that take no locks
/// can still write: what they did since is looked for before every removal.
#[derive(Debug)]
pub struct Sweep {
    layout: Layout,
    index: ImageIndex,
    /// That of `index.json`, from before it was read.
    stamp: Option<Stamp>,
    _index_lock: Lock,
}

/// What became of a blob that was to be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// It is gone.
    Removed,
    /// Somebody has written, replaced or removed it since it was listed: it was left alone.
    Changed,
}

impl Layout {
    /// Opens the layout in the directory `path` for removing content.
    ///
    /// Kinds: as [`Layout::open`]; `conflict` where other processes have the layout open past the timeout; `corrupt` where its names cannot be read; `io` where the
    /// file system knows no locks.
    pub fn open_for_sweep(path: &Path, options: Options) -> Result<Sweep> {
        let mut patience = Patience::new(options.lock_timeout, options.cancel.clone());
        let layout = Layout::open_as(path, options, Presence::Alone)?;
        let root = &layout.shared.root;
        let index_lock = Lock::of_file(root, Path::new(INDEX_LOCK), &mut patience)?;
        let stamp = Stamp::of(root, Path::new(INDEX))?;
        // Not `index()`, which waits for the lock that is held here.
        let index = layout.read_index()?;
        Ok(Sweep { layout, index, stamp, _index_lock: index_lock })
    }
}

impl Sweep {
    /// The layout, for reading.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The names, as they were when the locks were taken.
    pub fn index(&self) -> &ImageIndex {
        &self.index
    }

    /// Removes a blob if it still is what was listed.
    ///
    /// Fails with kind `conflict`, and removes nothing, once somebody without a lock has changed `index.json`: the blob may have a name now.
    pub fn remove(&self, blob: &StoredBlob) -> Result<Removal> {
        let root = &self.layout.shared.root;
        let dir = root.open_below(&Path::new(BLOBS).join(blob.digest.algorithm().as_str()))?;
        let name = Path::new(blob.digest.encoded());
        if Stamp::of(&dir, name)? != Some(blob.stamp) {
            return Ok(Removal::Changed);
        }
        if Stamp::of(root, Path::new(INDEX))? != self.stamp {
            let path = text::path(self.layout.path()).into_owned();
            return Err(Error::conflict(format!("another tool changed {path}/{INDEX} meanwhile")).subject(path).hint("run it again when that tool is done"));
        }
        match rustix::fs::unlinkat(&dir, name, AtFlags::empty()) {
            Ok(()) => Ok(Removal::Removed),
            Err(Errno::NOENT) => Ok(Removal::Changed),
            Err(error) => Err(error).at("remove", &dir.path().join(name)),
        }
    }

    /// Brings to the disk that what was removed is gone.
    pub fn finish(&self) -> Result<()> {
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            let path = Path::new(BLOBS).join(algorithm.as_str());
            if self.layout.shared.root.kind(Path::new(BLOBS))?.is_some() && self.layout.shared.root.kind(&path)?.is_some() {
                sync_dir(&self.layout.shared.root.open_below(&path)?)?;
            }
        }
        Ok(())
    }
}
