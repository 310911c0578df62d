//! What the kinds of archives differ in.

use crate::error::Result;
use crate::exec::Events;
use crate::spec::{Descriptor, ImageIndex};

use super::Reading;

/// Reads a manifest or an index of the archive, verified.
pub(in crate::store) type ReadDocument<'a> = &'a dyn Fn(&Descriptor) -> Result<Vec<u8>>;

/// A kind of archive.
pub(in crate::store) trait Form: Send + Sync {
    /// The scheme of its locations.
    fn scheme(&self) -> &'static str;

    /// The files behind the content, in their order. `index.json` is one of them.
    fn documents(&self) -> &'static [&'static str];

    /// Whether [`write`](Self::write) reads manifests and indexes.
    fn reads_documents(&self) -> bool;

    /// The content of these files for an archive with the entries of `index`. What they cannot say of it is told.
    fn write(&self, index: &ImageIndex, read: ReadDocument<'_>, events: &Events) -> Result<Vec<Vec<u8>>>;

    /// Fails with kind `conflict` where the archive is of another kind.
    fn accept(&self, archive: &Reading) -> Result<()>;
}
