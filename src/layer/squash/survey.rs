//! What the layers come to, and what one layer must say so that it comes to the same.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::ControlFlow;

use crate::error::{Error, Result};
use crate::exec::{Run, Task};
use crate::layer::apply::{NodeId, Rootfs};
use crate::layer::entry::{Xattrs, xattrs_size};
use crate::layer::remarks::Remarks;
use crate::layer::stack::{Entries, Stack};
use crate::layer::{Entry, EntryKind};

/// What is to be said, in this order: `heads`, then `survivors`.
#[derive(Debug)]
pub(super) struct Survey {
    pub(super) rootfs: Rootfs<Mark>,
    /// What has no content and need not be read again.
    pub(super) heads: Vec<Head>,
    /// Names of files, links and devices, in the order of the entries that made them, all names of one beside each other.
    pub(super) survivors: Vec<Survivor>,
    /// Names in the layers below that go on to name what an entry of theirs made.
    pub(super) anchors: HashMap<Place, NodeId>,
}

/// Who said what a name is.
#[derive(Clone, Debug, Default)]
pub(super) enum Mark {
    /// Nobody: a directory on the way to something.
    #[default]
    Implied,
    /// An entry for a directory.
    Directory(Box<Described>),
    /// An entry for anything else; further names have the entry of the first.
    Made(Place),
}

/// What the last entry for a directory says, and in which layer.
#[derive(Clone, Debug)]
pub(super) struct Described {
    layer: usize,
    pub(super) mode: u32,
    pub(super) owner: (u32, u32),
    pub(super) mtime: i64,
    pub(super) xattrs: Xattrs,
}

/// An entry: its layer, and its position there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Place {
    pub(super) layer: u32,
    pub(super) entry: u32,
}

/// Something to say that no content belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Head {
    /// The attributes of a directory.
    Directory(NodeId),
    /// That a directory has nothing of the layers below.
    Opaque(NodeId),
    /// That a name of the layers below is gone.
    Hidden(NodeId),
}

/// A name to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Survivor {
    pub(super) place: Place,
    pub(super) node: NodeId,
}

impl Survey {
    /// Reads and applies all layers. Those from position `first` on are the ones that are to be one.
    pub(super) fn take(run: &Run, stack: &Stack<'_>, first: usize, task: &Task) -> Result<Survey> {
        let mut rootfs = Rootfs::default();
        let mut lower = Lower::of(&rootfs);
        stack.read(task, |position, entries| {
            if position == first {
                lower = Lower::of(&rootfs);
            }
            let remarks = apply(&mut rootfs, position, entries)?;
            if let Some(layer) = stack.descriptor(position) {
                remarks.tell(run, layer);
            }
            Ok(ControlFlow::Continue(()))
        })?;
        let first = u32::try_from(first).map_err(|_| too_many())?;
        let heads = heads(&rootfs, &lower, first);
        let (survivors, anchors) = survivors(&rootfs, &lower, first);
        Ok(Survey { rootfs, heads, survivors, anchors })
    }

    /// Bytes to read again.
    pub(super) fn size(&self, stack: &Stack<'_>) -> u64 {
        let layers: HashSet<u32> = self.survivors.iter().map(|survivor| survivor.place.layer).collect();
        layers.into_iter().fold(0, |sum, layer| sum.saturating_add(stack.size_of(layer as usize)))
    }
}

fn apply(rootfs: &mut Rootfs<Mark>, layer: usize, entries: &mut Entries<'_>) -> Result<Remarks> {
    let number = u32::try_from(layer).map_err(|_| too_many())?;
    rootfs.begin_layer();
    let (mut position, mut remarks) = (0_u32, Remarks::default());
    while let Some(entry) = entries.next_entry()? {
        let mark = match entry.kind {
            EntryKind::Directory => {
                rootfs.charge(xattrs_size(&entry.xattrs))?;
                Mark::Directory(Box::new(Described::of(layer, &entry)))
            }
            _ => Mark::Made(Place { layer: number, entry: position }),
        };
        if rootfs.apply(&entry, mark)?.repeated {
            remarks.repeated(&entry);
        }
        remarks.look(&entry);
        position = position.checked_add(1).ok_or_else(too_many)?;
    }
    remarks.hear(entries);
    Ok(remarks)
}

fn too_many() -> Error {
    Error::unsupported(format!("there are more than {} layers, or entries in one", u32::MAX))
}

impl Described {
    fn of(layer: usize, entry: &Entry) -> Described {
        Described { layer, mode: entry.mode, owner: (entry.uid, entry.gid), mtime: entry.mtime, xattrs: entry.xattrs.clone() }
    }
}

/// What the layers below made, by the positions of nodes.
struct Lower(Vec<Was>);

/// What a node was before the first layer that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Was {
    /// Gone already.
    Absent,
    /// A directory that nobody described, with so many names in it.
    Implied(u32),
    /// Anything else, with so many names in it.
    There(u32),
}

impl Lower {
    fn of(rootfs: &Rootfs<Mark>) -> Lower {
        let mut was = vec![Was::Absent; rootfs.ever().count()];
        for id in rootfs.walk() {
            let node = rootfs.node(id);
            let names = u32::try_from(rootfs.children(id)).unwrap_or(u32::MAX);
            was[id.position()] = if node.is_described() { Was::There(names) } else { Was::Implied(names) };
        }
        Lower(was)
    }

    /// What a node was; one that came later was not there.
    fn was(&self, id: NodeId) -> Was {
        self.0.get(id.position()).copied().unwrap_or(Was::Absent)
    }

    fn names_in(&self, id: NodeId) -> u32 {
        match self.was(id) {
            Was::Absent => 0,
            Was::Implied(names) | Was::There(names) => names,
        }
    }
}

/// What has to be said of a new directory because of what stood there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stood {
    Directory,
    Else,
}

/// What the layers below have that has gone.
#[derive(Default)]
struct Losses {
    /// By the directory that lost them: names that nothing new has.
    hidden: BTreeMap<NodeId, Vec<NodeId>>,
    /// By the directory that lost them: how many, those that something new has included.
    count: HashMap<NodeId, u32>,
    /// New directories, and what they stand in the place of.
    replaced: HashMap<NodeId, Stood>,
}

impl Losses {
    fn of(rootfs: &Rootfs<Mark>, lower: &Lower) -> Losses {
        let mut losses = Losses::default();
        for id in rootfs.ever().take_while(|id| id.position() < lower.0.len()) {
            let node = rootfs.node(id);
            let parent = node.parent();
            // What was in a directory that has gone goes with it.
            if lower.was(id) == Was::Absent || !node.is_gone() || rootfs.node(parent).is_gone() {
                continue;
            }
            *losses.count.entry(parent).or_default() += 1;
            match rootfs.child(parent, node.name()) {
                None => losses.hidden.entry(parent).or_default().push(id),
                Some(new) if rootfs.node(new).is_directory() => {
                    losses.replaced.insert(new, if node.is_directory() { Stood::Directory } else { Stood::Else });
                }
                Some(_) => {}
            }
        }
        for names in losses.hidden.values_mut() {
            names.sort_by(|a, b| rootfs.node(*a).name().cmp(rootfs.node(*b).name()));
        }
        losses
    }

    /// Whether a directory lost all it had, and more than one whiteout would say.
    fn is_opaque(&self, id: NodeId, lower: &Lower) -> bool {
        let hidden = self.hidden.get(&id).map_or(0, Vec::len);
        hidden > 1 && self.count.get(&id).copied() == Some(lower.names_in(id))
    }
}

fn heads(rootfs: &Rootfs<Mark>, lower: &Lower, first: u32) -> Vec<Head> {
    let losses = Losses::of(rootfs, lower);
    let mut heads = Vec::new();
    for id in rootfs.walk() {
        let node = rootfs.node(id);
        if !node.is_directory() {
            continue;
        }
        let replaced = losses.replaced.get(&id);
        let is_said = match node.payload() {
            Mark::Directory(described) => described.layer >= first as usize,
            // Where something else stood, or was said, it takes an entry to say that it is so no more; and nothing in it says that it is there where it is empty.
            _ => match lower.was(id) {
                Was::Absent => replaced.is_some() || rootfs.children(id) == 0,
                Was::Implied(_) => false,
                Was::There(_) => true,
            },
        };
        if is_said {
            heads.push(Head::Directory(id));
        }
        if replaced == Some(&Stood::Directory) || losses.is_opaque(id, lower) {
            heads.push(Head::Opaque(id));
        } else if let Some(hidden) = losses.hidden.get(&id) {
            heads.extend(hidden.iter().map(|id| Head::Hidden(*id)));
        }
    }
    heads
}

fn survivors(rootfs: &Rootfs<Mark>, lower: &Lower, first: u32) -> (Vec<Survivor>, HashMap<Place, NodeId>) {
    let walk = rootfs.walk();
    let made = |id: &NodeId| match rootfs.node(*id).payload() {
        Mark::Made(place) => Some(Survivor { place: *place, node: *id }),
        _ => None,
    };
    let mut survivors: Vec<Survivor> = walk.iter().filter_map(made).filter(|survivor| lower.was(survivor.node) == Was::Absent).collect();
    // The sort keeps the order of names that have one entry.
    survivors.sort_by_key(|survivor| survivor.place);
    // New names of what the layers below have.
    let below: HashSet<Place> = survivors.iter().map(|survivor| survivor.place).filter(|place| place.layer < first).collect();
    let mut anchors = HashMap::new();
    if !below.is_empty() {
        for survivor in walk.iter().filter_map(made).filter(|survivor| lower.was(survivor.node) != Was::Absent && below.contains(&survivor.place)) {
            anchors.entry(survivor.place).or_insert(survivor.node);
        }
    }
    (survivors, anchors)
}
