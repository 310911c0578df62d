//! An image layout on disk. image-spec, image-layout.md.
//!
//! What holds at every moment, whatever is killed, pulled out or run at the same time:
//!
//! 1. A file `blobs/<algorithm>/<encoded>` is complete, verified and brought to the disk before it has that name, and never changed after.
//! 2. A manifest is named after everything it references; `index.json` changes after the manifests it names.
//! 3. `index.json` is replaced by rename, under an exclusive lock held from reading to writing. Unreadable or unknown is an error, never
//!    "start empty". Other entries and unknown fields survive.
//! 4. The index lock is an exclusive `flock` on `index.json.lock` in the root, BuildKit's file, so that buildx and larder can share a layout. larder waits
//!    for it, checks once it holds it that the name still means the locked file (BuildKit removes it), and never removes it.
//!    The presence lock is a `flock` on `oci-layout`, held while a [`Layout`] is open: shared, and exclusive for garbage collection. Read-only media need none.
//! 5. Removal goes the other way: first the name, then, only in garbage collection ([`Sweep`]), the content.
//! 6. Temporary data lives in one staging directory on the same file system, locked while its owner lives. Dead ones are swept by the next writer.
//! 7. No clock, host name, user, directory order, locale, umask, thread count or timing reaches any byte written.
//! 8. Reading never trusts: every byte passes [`VerifyingReader`](crate::fsio::VerifyingReader). One stated exception: content that [`reuse`](crate::store::Destination::reuse)
//!    links or reflinks from another place is shared, not read; only its size is checked. Whoever wants proof reads it before. Documents are always read.
//!
//! Exit means durable: after [`Layout::update_index`] returned, a power cut loses nothing of it, nor of the content that was stored or found through this [`Layout`]. Relies on [`crate::fsio`]. On network file
//! systems locks may exclude only the processes of one machine.

mod barrier;
mod blob;
mod index;
mod open;
mod staging;
mod stored;
mod sweep;
#[cfg(test)]
mod tests;
mod transport;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::error::Result;
use crate::fsio::{Dir, Lock, Patience};
use crate::spec::Digest;

use super::header::NAME as HEADER;
use barrier::Barrier;
use staging::Staging;

pub use blob::BlobWriter;
pub use stored::{Stored, StoredBlob};
pub use sweep::{Removal, Sweep};
pub use transport::OciLayout;

pub use super::options::Options;

const INDEX: &str = "index.json";
const INDEX_LOCK: &str = "index.json.lock";
const BLOBS: &str = "blobs";
const FILE_MODE: u32 = 0o644;
const DIRECTORY_MODE: u32 = 0o755;

/// An open image layout. Clones share it; it may be used by many threads at once.
#[derive(Clone, Debug)]
pub struct Layout {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    root: Arc<Dir>,
    options: Options,
    barrier: Barrier,
    /// Made by the first write, so that reading creates nothing.
    staging: OnceLock<Staging>,
    /// Held while it is made.
    staging_begins: Mutex<()>,
    /// What is strange about `index.json`, once that was seen.
    remark: OnceLock<&'static str>,
    /// Held for what it keeps others from.
    _presence: Lock,
}

impl Layout {
    /// The path the layout was opened by.
    pub fn path(&self) -> &Path {
        self.shared.root.path()
    }

    /// Removes the staging directories of writers that no longer live, and returns how many there were.
    pub fn sweep_staging(&self) -> Result<usize> {
        Staging::sweep(&self.shared.root)
    }

    /// The names of the staging directories of writers that no longer live.
    pub fn dead_staging(&self) -> Result<Vec<PathBuf>> {
        Staging::dead(&self.shared.root)
    }
}

impl Shared {
    fn patience(&self) -> Patience {
        Patience::new(self.options.lock_timeout, self.options.cancel.clone())
    }

    fn staging(&self) -> Result<&Staging> {
        if let Some(staging) = self.staging.get() {
            return Ok(staging);
        }
        // One thread at a time: no other begins to write before the sweep is over.
        let _alone = self.staging_begins.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(staging) = self.staging.get() {
            return Ok(staging);
        }
        // What cannot be swept now is swept later, by another writer or by garbage collection.
        let _ = Staging::sweep(&self.root);
        let new = Staging::create(&self.root)?;
        Ok(self.staging.get_or_init(|| new))
    }
}

/// Where the content of `digest` lies, relative to the root.
fn blob_path(digest: &Digest) -> PathBuf {
    [BLOBS, digest.algorithm().as_str(), digest.encoded()].iter().collect()
}
