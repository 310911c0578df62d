//! Changesets: the paths of one layer, in order, with where their content comes from.
//!
//! A changeset is planned from what a walk saw and described only when the layer is built: link texts and extended attributes are read then, and a
//! file that is not what the walk saw is an error. Paths are unique and in [`path_order`], so a directory precedes its content and equal inputs
//! give equal layers whatever the order of directories on disk.

use std::collections::HashMap;
use std::fs::File;
use std::sync::Arc;

use super::entry::{Entry, EntryKind, Xattrs, path_order};
use super::tree::{Found, Tree};
use crate::error::{Error, Result};
use crate::exec::Timestamps;
use crate::spec::text;

/// One path of a planned changeset.
#[derive(Clone, Debug)]
pub struct Item {
    /// Destination, in the form of [`Entry::path`].
    pub path: Vec<u8>,
    /// What stands there.
    pub node: Node,
}

/// What stands at a path.
#[derive(Clone, Debug)]
pub enum Node {
    /// Made by the specification itself; its content, if any, is in memory.
    Made(Box<Entry>, Arc<[u8]>),
    /// Found by a walk.
    Found(Arc<SourceTree>, Box<Found>),
    /// Another name of the file at this path of the same changeset.
    Hardlink(Arc<SourceTree>, Box<Found>, Vec<u8>),
    /// Described by an archive; the content stands at an offset of its (unpacked) bytes.
    Stored(Box<Entry>, Arc<File>, u64),
}

/// A source tree with the rules for what is taken over from it.
#[derive(Debug)]
pub struct SourceTree {
    /// The tree.
    pub tree: Arc<Tree>,
    /// Owner, mode and the rest.
    pub rules: Rules,
}

/// What is kept of a found file and what is normalised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rules {
    /// Permission bits.
    pub modes: Modes,
    /// Owner and group.
    pub owner: Owner,
    /// Whether extended attributes are taken over.
    pub xattrs: XattrRule,
}

/// Which permission bits a file gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Modes {
    /// 0755 for directories and for files that their owner may execute, else 0644: independent of any umask.
    Normal,
    /// As found.
    Keep,
    /// These bits for files; directories get 0755.
    Fixed(u32),
    /// These bits, for directories too.
    Exactly(u32),
}

/// Whom a file belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Owner {
    /// As found.
    Keep,
    /// Numeric owner and group.
    Fixed(u32, u32),
}

/// Whether extended attributes are taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum XattrRule {
    /// None.
    Drop,
    /// All but those that belong to the machine: security labels of its policy, integrity seals, and overlayfs' own. Nor those of `trusted.`, which only
    /// root sees: with them the layer would depend on who builds it.
    Keep,
}

impl XattrRule {
    pub(super) fn keeps(self, name: &[u8]) -> bool {
        self == XattrRule::Keep && !is_of_machine(name) && !name.starts_with(b"trusted.")
    }
}

/// Whether an extended attribute belongs to a machine and not to a file that moves between machines: security labels of its policy, integrity seals, and
/// overlayfs' own.
pub fn is_of_machine(name: &[u8]) -> bool {
    const MACHINE: [&[u8]; 7] =
        [b"security.selinux", b"security.ima", b"security.evm", b"security.SMACK64", b"system.nfs4_acl", b"trusted.overlay.", b"user.overlay."];
    MACHINE.iter().any(|prefix| name.starts_with(prefix))
}

impl Node {
    /// Whether it is a directory, so that other items can be below it.
    pub fn is_directory(&self) -> bool {
        match self {
            Node::Made(entry, _) | Node::Stored(entry, ..) => entry.kind == EntryKind::Directory,
            Node::Found(_, found) => found.stat.is_dir(),
            Node::Hardlink(..) => false,
        }
    }

    /// Bytes of content, for progress and for plans.
    pub fn size(&self) -> u64 {
        match self {
            Node::Made(entry, _) | Node::Stored(entry, ..) => entry.size(),
            Node::Found(_, found) => found.stat.file_size(),
            Node::Hardlink(..) => 0,
        }
    }
}

impl Item {
    /// Describes the entry as it goes into the layer. Reads link texts and extended attributes of found files; fails with kind `io` when
    /// the file cannot be read or has become another kind of file.
    pub fn entry(&self, timestamps: Timestamps) -> Result<Entry> {
        let mut entry = match &self.node {
            Node::Made(entry, _) | Node::Stored(entry, ..) => Entry { path: self.path.clone(), ..(**entry).clone() },
            Node::Found(source, found) => source.describe(&self.path, found, None)?,
            Node::Hardlink(source, found, target) => source.describe(&self.path, found, Some(target))?,
        };
        entry.mtime = timestamps.clamp(entry.mtime);
        Ok(entry)
    }
}

impl SourceTree {
    fn describe(&self, path: &[u8], found: &Found, hardlink: Option<&Vec<u8>>) -> Result<Entry> {
        let stat = &found.stat;
        let kind = match hardlink {
            Some(target) => EntryKind::Hardlink { target: target.clone() },
            None if stat.is_file() => EntryKind::File { size: stat.file_size() },
            None if stat.is_dir() => EntryKind::Directory,
            None if stat.is_symlink() => EntryKind::Symlink { target: self.tree.read_link(found)? },
            None if stat.is_char_device() => EntryKind::CharDevice { major: stat.major(), minor: stat.minor() },
            None if stat.is_block_device() => EntryKind::BlockDevice { major: stat.major(), minor: stat.minor() },
            None if stat.is_fifo() => EntryKind::Fifo,
            None => return Err(Error::unsupported(format!("{} is neither a file, a directory, a link nor a device", text::path(&self.tree.path_of(found))))),
        };
        let mode = match self.rules.modes {
            // The mode of a symbolic link means nothing; Linux shows 0777.
            _ if stat.is_symlink() => 0o777,
            Modes::Keep => stat.permissions(),
            Modes::Exactly(mode) => mode,
            Modes::Fixed(mode) if stat.is_file() => mode,
            Modes::Normal | Modes::Fixed(_) if stat.is_dir() || stat.permissions() & 0o100 != 0 => 0o755,
            Modes::Normal | Modes::Fixed(_) => 0o644,
        };
        let (uid, gid) = match self.rules.owner {
            Owner::Keep => (stat.uid, stat.gid),
            Owner::Fixed(uid, gid) => (uid, gid),
        };
        // A hard link shares the attributes of the file it names; the layer says them there.
        let xattrs = match (self.rules.xattrs, hardlink) {
            (XattrRule::Keep, None) => self.tree.xattrs(found)?.into_iter().filter(|(name, _)| self.rules.xattrs.keeps(name)).collect(),
            _ => Xattrs::new(),
        };
        Ok(Entry { path: path.to_vec(), kind, mode, uid, gid, mtime: stat.mtime.0, xattrs })
    }
}

/// Sorts items and makes further names of one file hard links to its first name.
///
/// Fails when two items cannot be in one layer; `clash` makes the error from their positions in `items`.
pub fn arrange(items: Vec<Item>, clash: impl FnOnce(Clash, usize, usize) -> Error) -> Result<Vec<Item>> {
    let mut items: Vec<(usize, Item)> = items.into_iter().enumerate().collect();
    items.sort_by(|(_, a), (_, b)| path_order(&a.path, &b.path));
    for pair in items.windows(2) {
        if let Some(found) = Clash::of(&pair[0].1, &pair[1].1) {
            return Err(match found {
                Clash::Twice => clash(found, pair[0].0.min(pair[1].0), pair[0].0.max(pair[1].0)),
                Clash::Below => clash(found, pair[0].0, pair[1].0),
            });
        }
    }
    Ok(items.into_iter().map(|(_, item)| item).collect())
}

/// Why two items cannot be in one layer: whoever applies it would have to choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clash {
    /// They have the same path.
    Twice,
    /// The path of the second is below that of the first, which is not a directory.
    Below,
}

impl Clash {
    /// What is between two items that follow each other in [`path_order`]. All clashes are between such: what a path contains comes directly behind it.
    pub fn of(first: &Item, second: &Item) -> Option<Clash> {
        match second.path.strip_prefix(first.path.as_slice())? {
            [] => Some(Clash::Twice),
            [b'/', ..] if !first.node.is_directory() => Some(Clash::Below),
            _ => None,
        }
    }
}

/// Makes hard links of the later names of files that a tree holds under several names. `items` must be in order.
pub fn link_names(items: &mut [Item]) {
    let mut first: HashMap<(u64, u64), usize> = HashMap::new();
    for index in 0..items.len() {
        let Node::Found(source, found) = &items[index].node else { continue };
        if !found.stat.is_file() || found.stat.nlink < 2 {
            continue;
        }
        match first.entry((found.stat.dev, found.stat.ino)) {
            std::collections::hash_map::Entry::Vacant(slot) => {
                slot.insert(index);
            }
            std::collections::hash_map::Entry::Occupied(slot) => {
                let (source, found, target) = (source.clone(), found.clone(), items[*slot.get()].path.clone());
                items[index].node = Node::Hardlink(source, found, target);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_that_only_root_sees_are_not_kept() {
        for (name, kept) in [(&b"trusted.x"[..], false), (b"trusted.overlay.opaque", false), (b"user.x", true), (b"security.capability", true)] {
            assert_eq!(XattrRule::Keep.keeps(name), kept, "{}", text::bytes(name));
            assert!(!XattrRule::Drop.keeps(name));
        }
    }
}
