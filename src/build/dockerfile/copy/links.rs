//! Files with several names.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::sync::Arc;

use super::{Planned, PlannedNode};
use crate::build::dockerfile::files::ContentAt;
use crate::layer::changeset::Node;
use crate::layer::entry::Xattrs;
use crate::layer::{Entry, EntryKind};

/// What the names of one file have in common.
#[derive(PartialEq, Eq, Hash)]
enum Same {
    /// The inode of a context.
    Inode(u64, u64),
    /// The entry of a layer.
    Content(ContentAt),
}

/// Makes hard links of the later names of files that have several. `items` must be in order.
pub(super) fn link_names(items: &mut [Planned]) {
    let mut first: HashMap<Same, Vec<u8>> = HashMap::new();
    for item in items {
        let same = match &item.node {
            PlannedNode::Ready(Node::Found(_, found)) if found.stat.is_file() && found.stat.nlink > 1 => Same::Inode(found.stat.dev, found.stat.ino),
            PlannedNode::Content(_, at) => Same::Content(*at),
            PlannedNode::Ready(_) => continue,
        };
        let target = match first.entry(same) {
            Slot::Vacant(slot) => {
                slot.insert(item.path.clone());
                continue;
            }
            Slot::Occupied(slot) => slot.get().clone(),
        };
        item.node = match &item.node {
            PlannedNode::Ready(Node::Found(source, found)) => PlannedNode::Ready(Node::Hardlink(source.clone(), found.clone(), target)),
            PlannedNode::Content(entry, _) => {
                let entry = Entry { kind: EntryKind::Hardlink { target }, xattrs: Xattrs::new(), ..(**entry).clone() };
                PlannedNode::Ready(Node::Made(Box::new(entry), Arc::default()))
            }
            PlannedNode::Ready(node) => PlannedNode::Ready(node.clone()),
        };
    }
}
