//! The indexes above the images: new where something below them or they themselves changed, and else as they were.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::build::spec::Level;
use crate::error::Result;
use crate::spec::{Annotations, Descriptor, Digest, Document, Family, ImageIndex};
use crate::store::layout::Layout;

use super::changes::Changes;
use super::image::{Rewritten, replaced};
use super::tree::{Child, Index, Left, Node, Tree};
use super::{annotations, convert};

/// What the name is to stand on.
#[derive(Debug)]
pub(super) struct Rebuilt {
    /// Digest, size and media type; what the entry says beyond that is not known here.
    pub(super) root: Descriptor,
    /// Entries that are left out because they tell of what is no longer there.
    pub(super) dropped: Vec<(Descriptor, Left)>,
    /// What manifests and indexes had for digests that have others now.
    pub(super) gone: HashSet<Digest>,
    /// The new indexes, what is below before what is above.
    documents: Vec<Document<ImageIndex>>,
}

/// Makes the indexes anew, from the bottom up.
pub(super) fn rebuild(tree: &Tree, images: &BTreeMap<usize, Rewritten>, changes: &Changes) -> Result<Rebuilt> {
    let old = |position: &usize| &tree.image(*position).manifest.descriptor.digest;
    let gone = images.iter().filter(|(position, image)| image.manifest.descriptor.digest != *old(position)).map(|(position, _)| old(position).clone());
    let rebuilt = Rebuilt { root: pointer(tree, tree.root()), dropped: Vec::new(), gone: gone.collect(), documents: Vec::new() };
    let mut builder = Builder { tree, images, changes, done: HashMap::new(), rebuilt };
    builder.rebuilt.root = builder.node(tree.root())?;
    Ok(builder.rebuilt)
}

impl Rebuilt {
    /// Stores the new indexes.
    pub(super) fn write(&self, layout: &Layout) -> Result<()> {
        for document in &self.documents {
            layout.put_document(document.descriptor.media_type.clone(), &document.bytes).map_err(|error| error.context("cannot write the index"))?;
        }
        Ok(())
    }
}

/// How a document was pointed to.
fn pointer(tree: &Tree, position: usize) -> Descriptor {
    match tree.node(position) {
        Node::Index(index) => index.document.descriptor.clone(),
        Node::Image(image) => image.manifest.descriptor.clone(),
    }
}

struct Builder<'a> {
    tree: &'a Tree,
    images: &'a BTreeMap<usize, Rewritten>,
    changes: &'a Changes,
    done: HashMap<usize, Descriptor>,
    rebuilt: Rebuilt,
}

impl Builder<'_> {
    /// What is to stand in the place of a node.
    fn node(&mut self, position: usize) -> Result<Descriptor> {
        if let Some(done) = self.done.get(&position) {
            return Ok(done.clone());
        }
        let new = match self.tree.node(position) {
            Node::Image(image) => self.images.get(&position).map_or_else(|| image.manifest.descriptor.clone(), |new| new.manifest.descriptor.clone()),
            Node::Index(index) => self.index(position, index)?,
        };
        self.done.insert(position, new.clone());
        Ok(new)
    }

    fn index(&mut self, position: usize, index: &Index) -> Result<Descriptor> {
        let old = &index.document;
        let mut entries: Vec<Option<Descriptor>> = vec![None; index.children.len()];
        // Attachments of an image may stand before it, so the images come first.
        for ((slot, child), entry) in entries.iter_mut().zip(&index.children).zip(&old.value.manifests) {
            if let Child::Node(below) = child {
                *slot = Some(self.entry(entry, *below)?);
            }
        }
        for ((slot, child), entry) in entries.iter_mut().zip(&index.children).zip(&old.value.manifests) {
            let Child::Left(left) = child else { continue };
            match left.attached_to.as_ref().is_some_and(|digest| self.rebuilt.gone.contains(digest)) {
                true => self.rebuilt.dropped.push((entry.clone(), left.clone())),
                false => *slot = Some(entry.clone()),
            }
        }
        let mut value = ImageIndex { manifests: entries.into_iter().flatten().collect(), ..old.value.clone() };
        if position == self.tree.root() {
            annotations::update_bases(&mut value.annotations, self.images.values().map(|image| &image.base));
            value.annotations = annotations::edited(&value.annotations, Level::Index, None, &self.changes.annotations);
        }
        let mut media_type = old.descriptor.media_type.clone();
        if let Some(family) = self.changes.media_types {
            self.convert(&mut value, family);
            if Family::of(&media_type) != family {
                media_type = family.index();
                value.media_type = Some(media_type.clone());
            }
        }
        if value == old.value && media_type == old.descriptor.media_type {
            return Ok(old.descriptor.clone());
        }
        let new = Document::create(media_type, value)?;
        self.rebuilt.gone.insert(old.descriptor.digest.clone());
        let descriptor = new.descriptor.clone();
        self.rebuilt.documents.push(new);
        Ok(descriptor)
    }

    /// Takes away what an index of `family` has no place for.
    fn convert(&self, index: &mut ImageIndex, family: Family) {
        if family == Family::Docker {
            index.annotations = Annotations::new();
            index.manifests = std::mem::take(&mut index.manifests).into_iter().map(|entry| convert::pointer(entry, family)).collect();
        }
    }

    fn entry(&mut self, entry: &Descriptor, below: usize) -> Result<Descriptor> {
        let mut new = replaced(entry, &self.node(below)?);
        if let Some(image) = self.images.get(&below) {
            image.base.update(&mut new.annotations);
        }
        if let Node::Image(image) = self.tree.node(below) {
            new.annotations = annotations::edited(&new.annotations, Level::ManifestDescriptor, Some(&image.platform), &self.changes.annotations);
        }
        Ok(new)
    }
}
