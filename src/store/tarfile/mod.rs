//! Tars that hold an image layout: what `oci-archive` and `docker-archive` share.
//!
//! # Reading
//!
//! A plain tar is indexed once, header by header, and blobs are read at their offsets, verified and by any number of threads: nothing is unpacked and nothing
//! copied. What is compressed or comes through a pipe is written once into a file without a name. Links, devices and names that lead elsewhere are refused.
//!
//! # The bytes of an archive
//!
//! An archive that is written anew has the same bytes whatever its images come from, with any number of threads and at any time. This is a contract, and
//! golden digests in the tests hold it in place:
//!
//! 1. `oci-layout`;
//! 2. the content as it was announced, each as `blobs/ALGORITHM/ENCODED`; before the first of an algorithm stand the directories `blobs/` (the very first
//!    time) and `blobs/ALGORITHM/`;
//! 3. `manifest.json` in a `docker-archive`;
//! 4. `index.json`;
//! 5. two blocks of zeros.
//!
//! Headers are those of [`crate::tar::write`]: ustar, with a pax record only for a name or a size that ustar cannot hold; mode 0644, of directories 0755;
//! owner, group and time 0.
//!
//! # What holds at every moment
//!
//! * A new archive has no name before it is whole, verified and on the disk, and then replaces nothing.
//! * Sizes are known before content, so every blob has its place beforehand and is written there: parallel writing shows in nothing.
//! * To an archive that exists, content is added behind its end. One write of one block makes it visible: the header of the old `index.json`, which becomes that of
//!   a file [`SUPERSEDED`] that reaches up to the new content. Before that write the old archive is whole, after it the new one, for every reader of tars.
//!   The archive has one `index.json` at every moment.
//! * To stdout goes one archive, in the order of its bytes. What fails leaves it cut off, which every reader notices: its `index.json` is missing.
//! * An exclusive `flock` on the archive excludes other writers; readers take no lock.

mod append;
mod extent;
mod file;
mod form;
mod frame;
mod input;
mod members;
mod pen;
mod plan;
mod queue;
mod reading;
mod stream;
mod tail;

pub(super) use extent::Extent;
#[cfg(test)]
pub(super) use file::FileArchive;
pub(super) use form::{Form, ReadDocument};
pub(super) use members::{Links, resolve};
#[cfg(test)]
pub(super) use plan::Plan;
pub(super) use reading::Reading;

use std::path::Path;

use crate::error::Result;
use crate::spec::Digest;

use super::{Destination, Options};

/// Where names stand.
pub(super) const INDEX: &str = "index.json";

/// Where Docker looks for images.
pub(super) const MANIFESTS: &str = "manifest.json";

/// Where blobs are.
const BLOBS: &str = "blobs";

/// What an `index.json` becomes when a later one takes its place.
const SUPERSEDED: &str = "superseded-index.json";

/// Opens the archive at `path` for adding to it, begins a new one there, or one to stdout for `-`.
///
/// Kinds: `conflict` where something else is there, or another process writes it past the timeout; `unsupported` where nothing can be added to it;
/// `not_found` without the directory it belongs in; `usage` without a stdout for archives.
pub(super) fn destination(path: &Path, form: &'static dyn Form, options: &Options) -> Result<Box<dyn Destination>> {
    if path == Path::new(input::STREAM) {
        return Ok(Box::new(stream::StreamArchive::new(form, options)?));
    }
    Ok(Box::new(file::FileArchive::ensure(path, form, options)?))
}

/// The name of content in an archive.
pub(super) fn blob_name(digest: &Digest) -> String {
    format!("{BLOBS}/{}/{}", digest.algorithm().as_str(), digest.encoded())
}
