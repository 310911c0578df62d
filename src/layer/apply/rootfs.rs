//! The nodes of a root filesystem.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::layer::entry::MAX_PATH;
use crate::spec::text;

/// The most nodes that all layers of an image may make: 4 194 304. A node takes about 150 bytes; images with more than a million files are rare.
const MAX_NODES: usize = 1 << 22;

/// The most bytes of names, of texts of links, and of what comes with the payload, that all layers of an image may bring into memory: 128 MiB. A layer that is stored in
/// a megabyte can say gigabytes of them; a million names, each with a label, take less than half of it.
const MAX_TEXT: usize = 128 << 20;

/// What layers make together. Every node carries a `T` of whoever applies them; the default is that of a directory that nobody described.
#[derive(Clone, Debug)]
pub struct Rootfs<T> {
    pub(super) nodes: Vec<Node<T>>,
    /// The layer that is being applied, counted from 1.
    pub(super) layer: u32,
    /// Bytes of text so far, of what is gone as well.
    text: usize,
}

/// Names a node for as long as its root filesystem lives, also after it has gone from there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(u32);

impl NodeId {
    /// Its position among all nodes that there ever were, those that have gone included.
    pub fn position(self) -> usize {
        self.0 as usize
    }
}

/// One name in a root filesystem.
#[derive(Clone, Debug)]
pub struct Node<T> {
    pub(super) parent: NodeId,
    pub(super) name: Arc<[u8]>,
    pub(super) kind: Kind,
    pub(super) payload: T,
    /// The layer that put it there, or described it last.
    pub(super) said: u32,
    /// The last layer that put or described something here or below.
    pub(super) touched: u32,
    /// The last layer that hid what lower layers have below.
    pub(super) cleared: u32,
    pub(super) origin: Origin,
}

/// How a node came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// By an entry.
    Described,
    /// As a directory on the way to an entry.
    Implied,
    /// It is no longer there.
    Gone,
}

/// What a node is, as far as applying layers needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A directory, with what is in it in the byte order of the names.
    Directory(BTreeMap<Arc<[u8]>, NodeId>),
    /// A symbolic link with its text.
    Symlink(Box<[u8]>),
    /// A regular file.
    File,
    /// A device or a named pipe.
    Special,
}

impl<T> Node<T> {
    /// Its name; empty for the root.
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// What it is.
    pub fn kind(&self) -> &Kind {
        &self.kind
    }

    /// What was given with its entry.
    pub fn payload(&self) -> &T {
        &self.payload
    }

    /// The directory it is in; for the root the root.
    pub fn parent(&self) -> NodeId {
        self.parent
    }

    /// Whether some layer describes it. Directories on the way to other entries need not be described.
    pub fn is_described(&self) -> bool {
        self.origin == Origin::Described
    }

    /// Whether it is no longer there.
    pub fn is_gone(&self) -> bool {
        self.origin == Origin::Gone
    }

    /// Whether it is a directory.
    pub fn is_directory(&self) -> bool {
        matches!(self.kind, Kind::Directory(_))
    }
}

impl<T: Clone + Default> Default for Rootfs<T> {
    fn default() -> Self {
        let root = Node {
            parent: Rootfs::<T>::ROOT,
            name: Arc::default(),
            kind: Kind::Directory(BTreeMap::new()),
            payload: T::default(),
            said: 0,
            touched: 0,
            cleared: 0,
            origin: Origin::Implied,
        };
        Rootfs { nodes: vec![root], layer: 0, text: 0 }
    }
}

impl<T> Rootfs<T> {
    /// The root itself.
    pub const ROOT: NodeId = NodeId(0);

    /// The node `id`, be it gone or not.
    pub fn node(&self, id: NodeId) -> &Node<T> {
        &self.nodes[id.0 as usize]
    }

    /// What was given with the entry of `id`, to be changed.
    pub fn payload_mut(&mut self, id: NodeId) -> &mut T {
        &mut self.node_mut(id).payload
    }

    /// The path of a node, in the form of [`Entry::path`](crate::layer::Entry::path). Of one that is gone, the path it had.
    pub fn path(&self, id: NodeId) -> Vec<u8> {
        let mut names = Vec::new();
        let mut at = id;
        while at != Self::ROOT {
            names.push(&*self.node(at).name);
            at = self.node(at).parent;
        }
        names.reverse();
        names.join(&b'/')
    }

    /// What there is, the root first and every directory directly before its content, in the order of changesets.
    pub fn walk(&self) -> Vec<NodeId> {
        let mut found = Vec::new();
        let mut pending = vec![Self::ROOT];
        while let Some(id) = pending.pop() {
            found.push(id);
            if let Kind::Directory(children) = &self.node(id).kind {
                pending.extend(children.values().rev());
            }
        }
        found
    }

    /// All nodes that there ever were, in the order in which they came, which have gone as well as which are there.
    pub fn ever(&self) -> impl Iterator<Item = NodeId> + use<T> {
        (0..u32::try_from(self.nodes.len()).unwrap_or(u32::MAX)).map(NodeId)
    }

    /// Counts what a payload holds in memory besides itself, in bytes. Fails with kind `unsupported` where that is too much in all.
    pub fn charge(&mut self, bytes: usize) -> Result<()> {
        self.text = self.text.saturating_add(bytes);
        match self.text > MAX_TEXT {
            true => Err(Error::unsupported(format!("names, links and extended attributes of the layers have more than {} MiB", MAX_TEXT >> 20))),
            false => Ok(()),
        }
    }

    pub(super) fn node_mut(&mut self, id: NodeId) -> &mut Node<T> {
        &mut self.nodes[id.0 as usize]
    }

    /// How many names there are in a node; none in what is no directory.
    pub fn children(&self, id: NodeId) -> usize {
        match &self.node(id).kind {
            Kind::Directory(children) => children.len(),
            _ => 0,
        }
    }

    /// What is called `name` in `directory`.
    pub fn child(&self, directory: NodeId, name: &[u8]) -> Option<NodeId> {
        match &self.node(directory).kind {
            Kind::Directory(children) => children.get(name).copied(),
            _ => None,
        }
    }

    /// Puts a new node into `directory`, where nothing may have its name. Fails with kind `unsupported` beyond limits.
    pub(super) fn insert(&mut self, directory: NodeId, name: &[u8], kind: Kind, origin: Origin, payload: T) -> Result<NodeId> {
        let id = match u32::try_from(self.nodes.len()) {
            Ok(id) if self.nodes.len() < MAX_NODES => NodeId(id),
            _ => return Err(Error::unsupported(format!("the layers have more than {MAX_NODES} entries"))),
        };
        self.charge(name.len() + if let Kind::Symlink(target) = &kind { target.len() } else { 0 })?;
        let name: Arc<[u8]> = name.into();
        let (said, touched) = (self.layer, self.layer);
        self.nodes.push(Node { parent: directory, name: name.clone(), kind, payload, said, touched, cleared: 0, origin });
        if let Kind::Directory(children) = &mut self.node_mut(directory).kind {
            children.insert(name, id);
        }
        self.check_length(id)?;
        self.touch(directory);
        Ok(id)
    }

    /// Paths that links made longer than the kernel takes in one call are refused, rather than reached in steps.
    fn check_length(&self, id: NodeId) -> Result<()> {
        let mut length = 0;
        let mut at = id;
        while at != Self::ROOT {
            length += self.node(at).name.len() + 1;
            at = self.node(at).parent;
        }
        if length > MAX_PATH + 1 {
            let path = self.path(id);
            return Err(Error::unsupported(format!("`{}` is a path longer than {MAX_PATH} bytes", text::bytes(&path))));
        }
        Ok(())
    }

    /// Notes that the present layer put or described something at `id` or below.
    pub(super) fn touch(&mut self, mut id: NodeId) {
        let layer = self.layer;
        loop {
            let node = self.node_mut(id);
            if node.touched == layer {
                return;
            }
            node.touched = layer;
            id = node.parent;
        }
    }

    /// Takes `id` away with everything below. Adds what has gone to `gone`, content before its directory.
    pub(super) fn remove(&mut self, id: NodeId, gone: &mut Vec<NodeId>) {
        let (parent, name) = (self.node(id).parent, self.node(id).name.clone());
        if let Kind::Directory(children) = &mut self.node_mut(parent).kind {
            children.remove(&name);
        }
        let first = gone.len();
        let mut pending = vec![id];
        while let Some(id) = pending.pop() {
            gone.push(id);
            let node = self.node_mut(id);
            node.origin = Origin::Gone;
            if let Kind::Directory(children) = &mut node.kind {
                pending.extend(std::mem::take(children).into_values());
            }
        }
        // Found with every directory before its content; to be removed the other way round.
        gone[first..].reverse();
    }
}
