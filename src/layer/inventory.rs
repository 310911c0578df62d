//! The inventory of a root filesystem: every name, what the layers say of it, and whatever the reader keeps of the content of files.
//!
//! What entries do to each other is decided by [`apply`](super::apply). Nothing is written, and no content is held but what the reader keeps, so memory grows with
//! the number of names and not with what is in the files: about 300 bytes for each.

use std::io::Read;
use std::sync::Arc;

use super::apply::{Change, Follow, NodeId, Rootfs};
use super::entry::{Xattrs, xattrs_size};
use super::remarks::Remarks;
use super::{Entry, EntryKind};
use crate::error::Result;
use crate::tar;

/// A root filesystem. `C` is what is kept of the content of a regular file.
#[derive(Debug)]
pub struct Inventory<C> {
    rootfs: Rootfs<Option<Arc<Inode<C>>>>,
    implied: Arc<Inode<C>>,
}

/// What all names of a file share.
#[derive(Debug)]
pub struct Inode<C> {
    /// What it is.
    pub kind: InodeKind<C>,
    /// Permission bits with setuid, setgid and sticky.
    pub mode: u32,
    /// Numeric owner.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
    /// Modification time in whole seconds since 1970.
    pub mtime: i64,
    /// Extended attributes.
    pub xattrs: Xattrs,
    /// Where it is described; none for a directory that is only on the way to something.
    pub origin: Option<Origin>,
}

/// What a file is. The text of a symbolic link is that of its name in the root filesystem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InodeKind<C> {
    /// A regular file.
    File {
        /// Length of the content in bytes.
        size: u64,
        /// What is kept of it.
        content: C,
    },
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A character device.
    CharDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A block device.
    BlockDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A named pipe.
    Fifo,
}

/// An entry of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The layer, the lowest being 0.
    pub layer: usize,
    /// The entry, the first being 0.
    pub entry: u64,
}

impl<C> Clone for Inventory<C> {
    fn clone(&self) -> Self {
        Inventory { rootfs: self.rootfs.clone(), implied: self.implied.clone() }
    }
}

impl<C> Default for Inventory<C> {
    /// An empty root.
    fn default() -> Self {
        let implied = Inode { kind: InodeKind::Directory, mode: 0o755, uid: 0, gid: 0, mtime: 0, xattrs: Xattrs::new(), origin: None };
        Inventory { rootfs: Rootfs::default(), implied: Arc::new(implied) }
    }
}

impl<C> Inventory<C> {
    /// The names.
    pub fn rootfs(&self) -> &Rootfs<Option<Arc<Inode<C>>>> {
        &self.rootfs
    }

    /// What the name `id` names.
    pub fn inode(&self, id: NodeId) -> &Arc<Inode<C>> {
        self.rootfs.node(id).payload().as_ref().unwrap_or(&self.implied)
    }

    /// What `path` means, if there is something. Fails as [`Rootfs::find`].
    pub fn find(&self, path: &[u8], follow: Follow) -> Result<Option<NodeId>> {
        self.rootfs.find(path, follow)
    }

    /// Begins the next layer.
    pub(super) fn begin_layer(&mut self) {
        self.rootfs.begin_layer();
    }

    /// Applies the next entry of the layer. Kinds: those of [`Rootfs::apply`]. After a failure nothing may be relied on.
    pub(super) fn enter(&mut self, described: &Described<C>) -> Result<Change> {
        let Described { entry, inode } = described;
        self.rootfs.charge(inode.as_ref().map_or(0, |inode| xattrs_size(&inode.xattrs)))?;
        let change = self.rootfs.apply(entry, inode.clone())?;
        // The names stay known, what they named is no longer needed.
        for gone in &change.gone {
            *self.rootfs.payload_mut(*gone) = None;
        }
        Ok(change)
    }

    /// Applies the layer at position `layer` to what lower layers made. `keep` is shown each regular file with its content, of which it reads what it wants.
    ///
    /// Kinds: those of [`tar::Reader::next_entry`] and [`Rootfs::apply`], and of `keep`. After a failure nothing may be relied on.
    pub fn apply<R: Read>(&mut self, layer: usize, entries: &mut tar::Reader<R>, keep: &mut Keep<'_, C, R>) -> Result<Remarks> {
        let mut remarks = Remarks::default();
        let mut origin = Origin { layer, entry: 0 };
        self.begin_layer();
        while let Some(described) = Described::next(entries, origin, keep)? {
            remarks.look(&described.entry);
            if self.enter(&described)?.repeated {
                remarks.repeated(&described.entry);
            }
            origin.entry += 1;
        }
        remarks.hear(entries);
        Ok(remarks)
    }
}

/// Is shown a regular file with its content, and keeps what it wants of it.
pub type Keep<'a, C, R> = dyn FnMut(&Entry, &mut tar::Reader<R>) -> Result<C> + 'a;

/// An entry of a layer.
#[derive(Debug)]
pub(super) struct Described<C> {
    /// Without its extended attributes, which the file has.
    pub(super) entry: Entry,
    /// The file that it describes: none for a hard link, which is what its target is.
    inode: Option<Arc<Inode<C>>>,
}

impl<C> Described<C> {
    /// Reads the next entry, which is the one of `origin`. None at the end.
    pub(super) fn next<R: Read>(entries: &mut tar::Reader<R>, origin: Origin, keep: &mut Keep<'_, C, R>) -> Result<Option<Self>> {
        let Some(mut entry) = entries.next_entry()? else { return Ok(None) };
        let kind = match entry.kind {
            EntryKind::File { size } => InodeKind::File { size, content: keep(&entry, entries)? },
            EntryKind::Directory => InodeKind::Directory,
            EntryKind::Symlink { .. } => InodeKind::Symlink,
            EntryKind::CharDevice { major, minor } => InodeKind::CharDevice { major, minor },
            EntryKind::BlockDevice { major, minor } => InodeKind::BlockDevice { major, minor },
            EntryKind::Fifo => InodeKind::Fifo,
            EntryKind::Hardlink { .. } => return Ok(Some(Described { entry, inode: None })),
        };
        // The names of the file share them.
        let xattrs = std::mem::take(&mut entry.xattrs);
        let inode = Inode { kind, mode: entry.mode, uid: entry.uid, gid: entry.gid, mtime: entry.mtime, xattrs, origin: Some(origin) };
        Ok(Some(Described { entry, inode: Some(Arc::new(inode)) }))
    }

    /// Bytes of names, texts of links and extended attributes.
    pub(super) fn text(&self) -> usize {
        let target = match &self.entry.kind {
            EntryKind::Symlink { target } | EntryKind::Hardlink { target } => target.len(),
            _ => 0,
        };
        self.entry.path.len() + target + self.inode.as_ref().map_or(0, |inode| xattrs_size(&inode.xattrs))
    }
}

#[cfg(test)]
pub(crate) mod sample {
    //! Root filesystems made by hand.

    use super::*;
    use crate::error::Error;
    use crate::tar::write;

    fn entry(path: &str, kind: EntryKind, mode: u32) -> Entry {
        Entry { path: path.into(), kind, mode, uid: 0, gid: 0, mtime: 1_000_000_000, xattrs: Xattrs::new() }
    }

    pub(crate) fn file(path: &str, content: &'static str) -> (Entry, &'static str) {
        (entry(path, EntryKind::File { size: content.len() as u64 }, 0o644), content)
    }

    pub(crate) fn dir(path: &str) -> (Entry, &'static str) {
        (entry(path, EntryKind::Directory, 0o755), "")
    }

    pub(crate) fn link(path: &str, target: &str) -> (Entry, &'static str) {
        (entry(path, EntryKind::Symlink { target: target.into() }, 0o777), "")
    }

    pub(crate) fn hardlink(path: &str, target: &str) -> (Entry, &'static str) {
        (entry(path, EntryKind::Hardlink { target: target.into() }, 0o644), "")
    }

    pub(crate) fn device(path: &str, major: u32, minor: u32) -> (Entry, &'static str) {
        (entry(path, EntryKind::CharDevice { major, minor }, 0o644), "")
    }

    pub(crate) fn fifo(path: &str) -> (Entry, &'static str) {
        (entry(path, EntryKind::Fifo, 0o644), "")
    }

    /// The layer of these entries.
    pub(crate) fn layer(entries: &[(Entry, &str)]) -> Vec<u8> {
        let mut tar = Vec::new();
        for (entry, content) in entries {
            write::header(entry, &mut tar).expect("a good entry");
            tar.extend_from_slice(content.as_bytes());
            tar.resize(tar.len() + write::padding(content.len() as u64), 0);
        }
        tar.resize(tar.len() + write::END, 0);
        tar
    }

    /// Keeps the content of a file.
    pub(crate) fn keep_text(_: &Entry, content: &mut tar::Reader<&[u8]>) -> Result<String> {
        let mut text = String::new();
        content.read_to_string(&mut text).map_err(|error| Error::io("cannot read", error)).map(|_| text)
    }

    /// What these layers make together. Of each file its content is kept.
    pub(crate) fn inventory(layers: &[Vec<(Entry, &str)>]) -> Inventory<String> {
        let mut inventory = Inventory::default();
        for (position, entries) in layers.iter().enumerate() {
            let layer = layer(entries);
            inventory.apply(position, &mut tar::Reader::new(&layer[..]), &mut keep_text).expect("good layers");
        }
        inventory
    }
}

#[cfg(test)]
mod tests {
    use super::sample::{dir, file, hardlink, inventory, link};
    use super::*;

    #[track_caller]
    fn at<'a>(inventory: &'a Inventory<String>, path: &str) -> &'a Arc<Inode<String>> {
        let id = inventory.find(path.as_bytes(), Follow::Yes).expect("no loop");
        inventory.inode(id.unwrap_or_else(|| panic!("{path} is there")))
    }

    fn content(inode: &Inode<String>) -> &str {
        match &inode.kind {
            InodeKind::File { content, .. } => content,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_file_tells_what_it_is_and_where_it_is_described() {
        let found = inventory(&[vec![dir("etc"), file("etc/a", "1"), link("l", "etc/a")], vec![file("etc/a", "22"), file("x/y", "")]]);
        for path in ["etc/a", "/l"] {
            let inode = at(&found, path);
            assert_eq!((content(inode), inode.origin, inode.mtime), ("22", Some(Origin { layer: 1, entry: 0 }), 1_000_000_000));
        }
        assert_eq!(at(&found, "etc").origin, Some(Origin { layer: 0, entry: 0 }));
        let implied = at(&found, "x");
        assert_eq!((implied.origin, implied.mode, implied.mtime), (None, 0o755, 0));
    }

    #[test]
    fn tar_11_names_of_one_file_share_it_for_as_long_as_they_are_its_names() {
        let found = inventory(&[vec![file("a", "1"), hardlink("b", "a")], vec![hardlink("c", "b"), file("a", "2")]]);
        assert!(Arc::ptr_eq(at(&found, "b"), at(&found, "c")));
        assert_eq!([content(at(&found, "a")), content(at(&found, "c"))], ["2", "1"]);
        assert_eq!(Arc::strong_count(at(&found, "a")), 1, "nothing else holds it");
        assert_eq!(Arc::strong_count(at(&found, "b")), 2);
    }
}
