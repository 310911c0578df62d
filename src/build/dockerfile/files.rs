//! The files of a stage, in memory: what its layers make together, with where the content of each file is.

use std::collections::HashMap;
use std::sync::Arc;

use super::copy::Planned;
use super::listing::Listing;
use crate::error::{Error, Result};
use crate::exec::Run;
use crate::layer::apply::{Follow, Kind, NodeId, Rootfs};
use crate::layer::{Entry, EntryKind};
use crate::spec::text;

/// All of them. A directory that no layer describes has no information.
pub(super) type Files = Rootfs<Option<Arc<FileInfo>>>;

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FileInfo {
    /// What its layer says of it. The path is empty: a file may have several.
    pub(super) entry: Entry,
    /// Where its content is.
    pub(super) at: ContentAt,
}

/// An entry of a layer of a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct ContentAt {
    /// The position of the layer, bottom first.
    pub(super) layer: usize,
    /// The position of the entry.
    pub(super) entry: usize,
}

/// Applies the entries of the layer at `position`.
pub(super) fn apply(files: &mut Files, position: usize, listing: &Listing) -> Result<()> {
    files.begin_layer();
    for (number, entry) in listing.entries.iter().enumerate() {
        let info = FileInfo { entry: Entry { path: Vec::new(), ..entry.clone() }, at: ContentAt { layer: position, entry: number } };
        files.apply(entry, Some(Arc::new(info)))?;
    }
    Ok(())
}

/// The entries of a layer that was made of `planned`.
pub(super) fn listing_of(run: &Run, planned: &[Planned]) -> Result<Listing> {
    let entries = run.pool.try_map(planned.iter().collect(), |item: &Planned| item.entry(run.timestamps))?;
    Ok(Listing { small: HashMap::new(), entries })
}

/// What there is at a path, links in it followed as a process in the stage would.
pub(super) fn find<'a>(files: &'a Files, path: &[u8], follow: Follow) -> Result<Option<(NodeId, &'a Kind)>> {
    Ok(files.find(path, follow)?.map(|id| (id, files.node(id).kind())))
}

/// A regular file, for what needs its content.
pub(super) fn regular<'a>(files: &'a Files, path: &[u8]) -> Result<Option<&'a Arc<FileInfo>>> {
    let Some((id, Kind::File)) = find(files, path, Follow::Yes)? else { return Ok(None) };
    let info = files.node(id).payload().as_ref();
    let info = info.ok_or_else(|| Error::corrupt(format!("`/{}` is a file that no layer describes", text::bytes(path))))?;
    Ok(Some(info).filter(|info| matches!(info.entry.kind, EntryKind::File { .. })))
}
