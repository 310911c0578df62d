//! What lies below `blobs`, whether something leads to it or not.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::FileType;

use crate::error::Result;
use crate::fsio::Dir;
use crate::fsio::stamp::Stamp;
use crate::spec::{Algorithm, Digest};

use super::{BLOBS, Layout};

/// Everything below `blobs` at one moment.
#[derive(Clone, Debug, Default)]
pub struct Stored {
    /// Content, in the order of its digests. Nobody has read it.
    pub blobs: Vec<StoredBlob>,
    /// What is no content, as paths in the layout: whatever is not a regular file with the name of a SHA-256 or SHA-512 digest in the directory of that algorithm.
    pub strays: Vec<PathBuf>,
}

/// A file of content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredBlob {
    /// What its content should be.
    pub digest: Digest,
    pub(super) stamp: Stamp,
}

impl StoredBlob {
    /// The size of the file in bytes.
    pub fn size(&self) -> u64 {
        self.stamp.size()
    }

    /// When the file was written or came to lie here, in time since 1970.
    pub fn changed(&self) -> Duration {
        self.stamp.changed()
    }
}

impl Layout {
    /// Lists what lies below `blobs`. Fails with kind `corrupt` where a directory on the way is something else.
    pub fn stored(&self) -> Result<Stored> {
        let root = &self.shared.root;
        let mut stored = Stored::default();
        if root.kind(Path::new(BLOBS))?.is_none() {
            return Ok(stored);
        }
        for (name, kind) in root.open_below(Path::new(BLOBS))?.entries()? {
            let path = Path::new(BLOBS).join(&name);
            match [Algorithm::Sha256, Algorithm::Sha512].into_iter().find(|algorithm| name == OsStr::new(algorithm.as_str())) {
                // A link in place of the directory is refused when it is opened.
                Some(algorithm) if matches!(kind, FileType::Directory | FileType::Symlink) => list(&root.open_below(&path)?, &algorithm, &path, &mut stored)?,
                _ => stored.strays.push(path),
            }
        }
        Ok(stored)
    }
}

fn list(dir: &Dir, algorithm: &Algorithm, path: &Path, stored: &mut Stored) -> Result<()> {
    for (name, _) in dir.entries()? {
        let digest = name.to_str().and_then(|encoded| format!("{}:{encoded}", algorithm.as_str()).parse::<Digest>().ok());
        // What vanished since it was listed is not there.
        let Some(stamp) = Stamp::of(dir, Path::new(&name))? else { continue };
        match digest.filter(|_| stamp.is_file()) {
            Some(digest) => stored.blobs.push(StoredBlob { digest, stamp }),
            None => stored.strays.push(path.join(name)),
        }
    }
    Ok(())
}
