//! How two root filesystems differ, path by path.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::Serialize;

use super::apply::{Kind, NodeId, Rootfs};
use super::inventory::{Inode, InodeKind, Inventory};

/// A path at which there is not the same on both sides.
#[derive(Debug)]
pub struct Difference<C> {
    /// The path, in the form of [`Entry::path`](super::Entry::path).
    pub path: Vec<u8>,
    /// What there is on the first side.
    pub a: Option<State<C>>,
    /// What there is on the second side.
    pub b: Option<State<C>>,
    /// In what they differ, where there is something on both sides.
    pub aspects: Vec<Aspect>,
}

/// What stands at a path.
#[derive(Debug)]
pub struct State<C> {
    /// The file.
    pub inode: Arc<Inode<C>>,
    /// The text of a symbolic link.
    pub target: Option<Box<[u8]>>,
    /// The first path of the file, where that is another one: they are hard links.
    pub first: Option<Vec<u8>>,
}

/// In what files differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Aspect {
    /// What it is: file, directory, link, device, pipe.
    Type,
    /// Permission bits. Those of a symbolic link mean nothing and are not compared.
    Mode,
    /// Numeric owner.
    Uid,
    /// Numeric group.
    Gid,
    /// Modification time.
    Mtime,
    /// Length of the content.
    Size,
    /// The content.
    Content,
    /// The text of a symbolic link.
    Target,
    /// The numbers of a device.
    Device,
    /// Extended attributes.
    Xattrs,
    /// Which paths are names of the same file.
    Links,
}

/// What becomes of modification times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    /// They are compared.
    Compared,
    /// They mean nothing.
    Ignored,
}

/// Compares two root filesystems. The differences are in the order of changesets.
pub fn compare<C: PartialEq>(a: &Inventory<C>, b: &Inventory<C>, times: Times) -> Vec<Difference<C>> {
    let (a, b) = (Side::new(a), Side::new(b));
    let mut differences = Vec::new();
    let mut pending = vec![(Some(Rootfs::<()>::ROOT), Some(Rootfs::<()>::ROOT))];
    while let Some((at_a, at_b)) = pending.pop() {
        let aspects = match (at_a, at_b) {
            (Some(at_a), Some(at_b)) => aspects(&a, at_a, &b, at_b, times),
            _ => Vec::new(),
        };
        let path = match (at_a, at_b) {
            (Some(_), Some(_)) if aspects.is_empty() => None,
            (Some(id), _) => Some(a.inventory.rootfs().path(id)),
            (None, Some(id)) => Some(b.inventory.rootfs().path(id)),
            (None, None) => None,
        };
        if let Some(path) = path {
            differences.push(Difference { path, a: at_a.map(|id| a.state(id)), b: at_b.map(|id| b.state(id)), aspects });
        }
        let mut below: BTreeMap<&[u8], (Option<NodeId>, Option<NodeId>)> = BTreeMap::new();
        at_a.map(|id| a.children(id)).into_iter().flatten().for_each(|(name, id)| below.entry(name).or_default().0 = Some(*id));
        at_b.map(|id| b.children(id)).into_iter().flatten().for_each(|(name, id)| below.entry(name).or_default().1 = Some(*id));
        pending.extend(below.into_values().rev());
    }
    differences
}

struct Side<'a, C> {
    inventory: &'a Inventory<C>,
    /// The first name of each file that has several.
    firsts: HashMap<*const Inode<C>, NodeId>,
}

impl<'a, C> Side<'a, C> {
    fn new(inventory: &'a Inventory<C>) -> Self {
        let mut names: HashMap<*const Inode<C>, (NodeId, usize)> = HashMap::new();
        for id in inventory.rootfs().walk() {
            // Nothing names a directory twice, and those that nobody describes share one description.
            if !inventory.rootfs().node(id).is_directory() {
                names.entry(Arc::as_ptr(inventory.inode(id))).or_insert((id, 0)).1 += 1;
            }
        }
        let firsts = names.into_iter().filter(|(_, (_, names))| *names > 1).map(|(inode, (first, _))| (inode, first)).collect();
        Side { inventory, firsts }
    }

    fn children(&self, id: NodeId) -> impl Iterator<Item = (&'a [u8], &'a NodeId)> {
        let children = match self.inventory.rootfs().node(id).kind() {
            Kind::Directory(children) => Some(children),
            _ => None,
        };
        children.into_iter().flatten().map(|(name, id)| (&**name, id))
    }

    fn target(&self, id: NodeId) -> Option<&'a [u8]> {
        match self.inventory.rootfs().node(id).kind() {
            Kind::Symlink(target) => Some(target),
            _ => None,
        }
    }

    /// The path of the first name of the same file, where that is another one.
    fn first(&self, id: NodeId) -> Option<Vec<u8>> {
        let first = self.firsts.get(&Arc::as_ptr(self.inventory.inode(id))).copied();
        first.filter(|first| *first != id).map(|first| self.inventory.rootfs().path(first))
    }

    fn state(&self, id: NodeId) -> State<C> {
        State { inode: self.inventory.inode(id).clone(), target: self.target(id).map(Into::into), first: self.first(id) }
    }
}

fn aspects<C: PartialEq>(a: &Side<'_, C>, at_a: NodeId, b: &Side<'_, C>, at_b: NodeId, times: Times) -> Vec<Aspect> {
    let (one, other) = (a.inventory.inode(at_a), b.inventory.inode(at_b));
    let mut aspects = Vec::new();
    // A lower layer that both have was read once.
    if !Arc::ptr_eq(one, other) {
        kinds(one, other, &mut aspects);
        let is_link = |inode: &Inode<C>| matches!(inode.kind, InodeKind::Symlink);
        let parts = [
            (Aspect::Target, a.target(at_a) != b.target(at_b) && is_link(one) && is_link(other)),
            (Aspect::Mode, one.mode != other.mode && !is_link(one) && !is_link(other)),
            (Aspect::Uid, one.uid != other.uid),
            (Aspect::Gid, one.gid != other.gid),
            (Aspect::Mtime, one.mtime != other.mtime && times == Times::Compared),
            (Aspect::Xattrs, one.xattrs != other.xattrs),
        ];
        aspects.extend(parts.into_iter().filter(|(_, differs)| *differs).map(|(aspect, _)| aspect));
    }
    if a.first(at_a) != b.first(at_b) {
        aspects.push(Aspect::Links);
    }
    aspects.sort_unstable();
    aspects
}

/// In what the files differ by their kind.
fn kinds<C: PartialEq>(a: &Inode<C>, b: &Inode<C>, aspects: &mut Vec<Aspect>) {
    use InodeKind::{BlockDevice, CharDevice, File};
    match (&a.kind, &b.kind) {
        (File { size, content }, File { size: other, content: different }) => {
            if size != other {
                aspects.push(Aspect::Size);
            }
            if content != different {
                aspects.push(Aspect::Content);
            }
        }
        (CharDevice { .. }, CharDevice { .. }) | (BlockDevice { .. }, BlockDevice { .. }) if a.kind != b.kind => aspects.push(Aspect::Device),
        (a, b) if std::mem::discriminant(a) != std::mem::discriminant(b) => aspects.push(Aspect::Type),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::Entry;
    use crate::layer::inventory::sample::{device, dir, fifo, file, hardlink, inventory, link};

    type Layer = Vec<(Entry, &'static str)>;

    /// Each difference as one line: the path, `+` or `-` for what is on one side only, else the aspects.
    fn differences(a: &[Layer], b: &[Layer], times: Times) -> Vec<String> {
        let (a, b) = (inventory(a), inventory(b));
        let line = |found: &Difference<String>| {
            let path = String::from_utf8_lossy(&found.path).into_owned();
            match (&found.a, &found.b) {
                (Some(_), None) => format!("- {path}"),
                (None, Some(_)) => format!("+ {path}"),
                _ => format!("{path} {:?}", found.aspects),
            }
        };
        compare(&a, &b, times).iter().map(line).collect()
    }

    #[track_caller]
    fn assert_differ(a: Vec<Layer>, b: Vec<Layer>, expected: &[&str]) {
        assert_eq!(differences(&a, &b, Times::Compared), expected);
        assert_eq!(differences(&a, &a, Times::Compared), [""; 0]);
        let swapped = expected.iter().map(|line| match line.split_at(2) {
            ("+ ", path) => format!("- {path}"),
            ("- ", path) => format!("+ {path}"),
            _ => (*line).to_owned(),
        });
        assert_eq!(differences(&b, &a, Times::Compared), swapped.collect::<Vec<_>>());
    }

    #[test]
    fn what_is_on_one_side_only_is_told_name_by_name_in_order() {
        let a = vec![vec![dir("a"), file("a/x", "x"), file("a-b", "")]];
        let b = vec![vec![dir("a"), file("a/y/z", "z"), file("a!", "")]];
        assert_differ(a, b, &["- a/x", "+ a/y", "+ a/y/z", "+ a!", "- a-b"]);
    }

    #[test]
    fn every_attribute_counts_by_itself() {
        let change = |edit: fn(&mut Entry)| {
            let mut changed = file("f", "content");
            edit(&mut changed.0);
            vec![vec![changed]]
        };
        let plain = || vec![vec![file("f", "content")]];
        assert_differ(plain(), change(|entry| entry.mode = 0o4755), &["f [Mode]"]);
        assert_differ(plain(), change(|entry| entry.uid = 1), &["f [Uid]"]);
        assert_differ(plain(), change(|entry| entry.gid = 1), &["f [Gid]"]);
        assert_differ(plain(), change(|entry| entry.mtime = 1), &["f [Mtime]"]);
        assert_differ(plain(), change(|entry| drop(entry.xattrs.insert(b"user.x".to_vec(), b"1".to_vec()))), &["f [Xattrs]"]);
        assert_differ(plain(), vec![vec![file("f", "CONTENT")]], &["f [Content]"]);
        assert_differ(plain(), vec![vec![file("f", "longer content")]], &["f [Size, Content]"]);
        assert_differ(vec![vec![device("d", 1, 3)]], vec![vec![device("d", 1, 5)]], &["d [Device]"]);
        assert_differ(vec![vec![link("l", "a")]], vec![vec![link("l", "b")]], &["l [Target]"]);
        let [mut one, mut other] = [link("l", "a"), link("l", "a")];
        (one.0.mode, other.0.mode) = (0o777, 0o755);
        assert_differ(vec![vec![one]], vec![vec![other]], &[]);
    }

    #[test]
    fn another_type_is_told_as_such_and_what_was_below_goes() {
        assert_differ(vec![vec![dir("d"), file("d/x", "")]], vec![vec![file("d", "")]], &["d [Type, Mode]", "- d/x"]);
        assert_differ(vec![vec![device("d", 1, 3)]], vec![vec![fifo("d")]], &["d [Type]"]);
        assert_differ(vec![vec![link("d", "x")]], vec![vec![file("d", "x")]], &["d [Type]"]);
    }

    #[test]
    fn names_of_one_file_are_told_from_copies() {
        let linked = vec![vec![file("a", "x"), hardlink("b", "a")]];
        assert_differ(linked, vec![vec![file("a", "x"), file("b", "x")]], &["b [Links]"]);
        // Which name is the file and which the link is a matter of order.
        assert_differ(vec![vec![file("a", "x"), hardlink("b", "a")]], vec![vec![file("b", "x"), hardlink("a", "b")]], &[]);
        assert_differ(vec![vec![file("a", "x"), hardlink("b", "a")]], vec![vec![file("a", "y"), hardlink("b", "a")]], &["a [Content]", "b [Content]"]);
        // What an upper layer took away was no name of it any more.
        assert_differ(vec![vec![file("a", "x"), hardlink("b", "a")], vec![file(".wh.a", "")]], vec![vec![file("b", "x")]], &[]);
    }

    #[test]
    fn only_what_is_left_in_the_end_is_compared() {
        let a = vec![vec![dir("d"), file("d/old", "x"), file("f", "1")], vec![file("d/.wh.old", ""), file("f", "2"), file("d/new", "n")]];
        assert_differ(a, vec![vec![file("f", "2"), dir("d"), file("d/new", "n")]], &[]);
        assert_differ(vec![vec![file("d/x", "")]], vec![vec![dir("d"), file("d/x", "")]], &["d [Mtime]"]);
    }

    #[test]
    fn times_mean_nothing_where_they_are_ignored() {
        let mut later = file("f", "x");
        later.0.mtime += 5;
        assert_eq!(differences(&[vec![file("f", "x")]], &[vec![later]], Times::Ignored), [""; 0]);
        assert_eq!(differences(&[vec![file("f", "x")]], &[vec![file("f", "y")]], Times::Ignored), ["f [Content]"]);
    }
}
