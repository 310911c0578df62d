//! What each entry of a layer does to what lower layers made.

use std::collections::BTreeMap;

use super::resolve::Follow;
use super::rootfs::{Kind, NodeId, Origin, Rootfs};
use crate::error::{Error, Result};
use crate::layer::whiteout::Whiteout;
use crate::layer::{Entry, EntryKind};
use crate::spec::text;

/// What an entry did. To do the same elsewhere, remove what has gone, in the order given; then make the implied directories; then the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What is no longer there, content before its directory.
    pub gone: Vec<NodeId>,
    /// New directories that nobody described, outer ones first.
    pub implied: Vec<NodeId>,
    /// Directories that a whiteout reaches and that stay for what their own layer put there: nobody describes them any more.
    pub forgotten: Vec<NodeId>,
    /// What the entry put there; none for a whiteout.
    pub placed: Option<Placement>,
    /// Whether the layer had described the same path before.
    pub repeated: bool,
}

/// What an entry put there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// A node that was not there.
    New(NodeId),
    /// A directory that was there and has new attributes.
    Redescribed(NodeId),
    /// Another name of a node.
    Link {
        /// The new name.
        node: NodeId,
        /// What it names.
        target: NodeId,
    },
}

impl<T: Clone + Default> Rootfs<T> {
    /// Begins the next layer.
    pub fn begin_layer(&mut self) {
        self.layer += 1;
    }

    /// Applies the next entry of the layer; `payload` goes with the node it makes. A hard link takes over the payload of its target.
    ///
    /// Fails with kind `corrupt` for whiteouts and hard links that mean nothing, and with `unsupported` beyond limits. After a failure nothing may be relied on.
    pub fn apply(&mut self, entry: &Entry, payload: T) -> Result<Change> {
        let mut change = Change { gone: Vec::new(), implied: Vec::new(), forgotten: Vec::new(), placed: None, repeated: false };
        match Whiteout::of(entry)? {
            Some(Whiteout::Explicit(path)) => self.hide(&path, &mut change)?,
            Some(Whiteout::Opaque(directory)) => {
                if let Some(directory) = self.find(&directory, Follow::Yes)? {
                    self.clear(directory, &mut change);
                }
            }
            None => self.place(entry, payload, &mut change)?,
        }
        Ok(change)
    }

    /// Hides what lower layers have at `path`: the link where it is one.
    fn hide(&mut self, path: &[u8], change: &mut Change) -> Result<()> {
        let (parent, name) = split(path);
        let Some(parent) = self.find(parent, Follow::Yes)? else { return Ok(()) };
        if let Some(hidden) = self.child(parent, name) {
            self.hide_node(hidden, change);
            self.clear(hidden, change);
        }
        Ok(())
    }

    /// Takes away what only lower layers made. A directory in which the present layer has something stays, but no longer as lower layers described it.
    fn hide_node(&mut self, id: NodeId, change: &mut Change) {
        let layer = self.layer;
        let node = self.node_mut(id);
        if node.touched < layer {
            self.remove(id, &mut change.gone);
        } else if node.said < layer {
            (node.said, node.origin, node.payload) = (layer, Origin::Implied, T::default());
            change.forgotten.push(id);
        }
    }

    /// Takes away what lower layers have below a directory. Each directory is looked through once in a layer, because nothing lower comes later.
    fn clear(&mut self, directory: NodeId, change: &mut Change) {
        let mut pending = vec![directory];
        while let Some(directory) = pending.pop() {
            let layer = self.layer;
            let node = self.node_mut(directory);
            let Kind::Directory(children) = &node.kind else { continue };
            if node.origin == Origin::Gone || std::mem::replace(&mut node.cleared, layer) == layer {
                continue;
            }
            for child in children.values().copied().collect::<Vec<_>>() {
                self.hide_node(child, change);
                pending.push(child);
            }
        }
    }

    fn place(&mut self, entry: &Entry, payload: T, change: &mut Change) -> Result<()> {
        if entry.path.is_empty() {
            change.placed = Some(self.redescribe(Self::ROOT, payload, change));
            return Ok(());
        }
        let (parent, name) = split(&entry.path);
        let target = match &entry.kind {
            EntryKind::Hardlink { target } => Some(self.link_target(entry, target)?),
            _ => None,
        };
        let directory = self.ensure_directory(parent, &mut change.implied, &mut change.gone)?;
        if let Some(there) = self.child(directory, name) {
            let node = self.node(there);
            change.repeated = node.said == self.layer && node.origin == Origin::Described;
            if entry.kind == EntryKind::Directory && node.is_directory() {
                change.placed = Some(self.redescribe(there, payload, change));
                return Ok(());
            }
            if target == Some(there) {
                return Err(bad_link(entry, "is a hard link to itself"));
            }
            self.remove(there, &mut change.gone);
        }
        let (kind, payload) = match (&entry.kind, target) {
            (_, Some(target)) => {
                let node = self.node(target);
                if node.origin == Origin::Gone {
                    return Err(bad_link(entry, "is a hard link to something that it replaces"));
                }
                (node.kind.clone(), node.payload.clone())
            }
            (EntryKind::Directory, _) => (Kind::Directory(BTreeMap::new()), payload),
            (EntryKind::Symlink { target }, _) => (Kind::Symlink(target.as_slice().into()), payload),
            (EntryKind::File { .. } | EntryKind::Hardlink { .. }, _) => (Kind::File, payload),
            (EntryKind::CharDevice { .. } | EntryKind::BlockDevice { .. } | EntryKind::Fifo, _) => (Kind::Special, payload),
        };
        let node = self.insert(directory, name, kind, Origin::Described, payload)?;
        change.placed = Some(target.map_or(Placement::New(node), |target| Placement::Link { node, target }));
        Ok(())
    }

    fn redescribe(&mut self, directory: NodeId, payload: T, change: &mut Change) -> Placement {
        let layer = self.layer;
        let node = self.node_mut(directory);
        change.repeated = node.said == layer && node.origin == Origin::Described;
        (node.said, node.origin, node.payload) = (layer, Origin::Described, payload);
        self.touch(directory);
        Placement::Redescribed(directory)
    }

    /// What a hard link names: what is at its target at this moment, a symbolic link itself and not what it leads to.
    fn link_target(&self, entry: &Entry, target: &[u8]) -> Result<NodeId> {
        let found = self.find(target, Follow::No)?;
        let found = found.ok_or_else(|| bad_link(entry, &format!("is a hard link to `{}`, which is not there", text::bytes(target))))?;
        if self.node(found).is_directory() {
            return Err(bad_link(entry, &format!("is a hard link to `{}`, which is a directory", text::bytes(target))));
        }
        Ok(found)
    }
}

fn bad_link(entry: &Entry, why: &str) -> Error {
    Error::corrupt(format!("`{}` {why}", text::bytes(&entry.path)))
}

/// The directory and the last component.
fn split(path: &[u8]) -> (&[u8], &[u8]) {
    path.iter().rposition(|byte| *byte == b'/').map_or((&b""[..], path), |slash| (&path[..slash], &path[slash + 1..]))
}
