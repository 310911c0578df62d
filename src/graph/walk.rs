//! Everything that some descriptors lead to, each digest once.
//!
//! Documents are read in parallel, one level of indexes after the other, and the result is in the order in which the documents name their children, so that
//! threads never show. Time and memory grow with the number of descriptors: content that is reached in many ways is read once, and nothing recurses.
//! image-spec, image-index.md and manifest.md.

use std::collections::HashMap;

use crate::error::{Error, Result};
use crate::exec::Run;
use crate::spec::links::{self, Node, Role};
use crate::spec::{Descriptor, Digest, Kind, limits};
use crate::store::Source;

/// What was reached, parents before the children that they name first.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    reached: Vec<Reached>,
    positions: HashMap<Digest, usize>,
}

/// One piece of content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reached {
    /// What it is, with what only the first pointer to it said left out.
    pub descriptor: Descriptor,
    /// How it is reached; where it is reached as both, as a manifest.
    pub role: Role,
    /// What it points to: positions in the graph. Empty for leaves.
    pub children: Vec<usize>,
    /// What it is attached to.
    pub subject: Option<Descriptor>,
    /// How many documents lie below it on the longest way, itself included: 0 for leaves.
    pub height: usize,
}

impl Reached {
    /// Whether this is a document that was read for its children.
    pub fn is_document(&self) -> bool {
        self.node().is_document()
    }

    fn node(&self) -> Node {
        Node { role: self.role, descriptor: self.descriptor.clone() }
    }
}

impl Graph {
    /// Everything below `roots`, and they themselves.
    ///
    /// Kinds: those of [`Source::open`] for documents, `corrupt` and `unsupported` for those that cannot be read, `interrupted`.
    pub fn walk(run: &Run, source: &dyn Source, roots: &[Descriptor]) -> Result<Graph> {
        Graph::walk_where(run, source, roots, |_, _| true)
    }

    /// As [`Graph::walk`], following only those children for which `wanted`, called with parent and child, says so.
    pub fn walk_where(run: &Run, source: &dyn Source, roots: &[Descriptor], wanted: impl Fn(&Descriptor, &Descriptor) -> bool) -> Result<Graph> {
        let mut graph = Graph::default();
        graph.extend(run, source, roots, wanted)?;
        Ok(graph)
    }

    /// Adds everything below `roots`. Errors as [`Graph::walk`].
    pub fn extend(&mut self, run: &Run, source: &dyn Source, roots: &[Descriptor], wanted: impl Fn(&Descriptor, &Descriptor) -> bool) -> Result<()> {
        let mut level = Vec::new();
        for root in roots {
            self.reach(Node::manifest(root.clone()), &mut level)?;
        }
        for depth in 0.. {
            if level.is_empty() {
                break;
            }
            if depth > limits::INDEX_DEPTH {
                return Err(too_deep(&self.reached[level[0]].descriptor.digest));
            }
            let documents = std::mem::take(&mut level);
            // Reading waits, for a disk or for a network; a document is small.
            let read = run.pool.waiting(documents.clone(), |position| {
                run.cancel.check()?;
                read(source, &self.reached[position].descriptor)
            })?;
            for (parent, (nodes, subject)) in documents.into_iter().zip(read) {
                let mut children = Vec::with_capacity(nodes.len());
                for node in nodes {
                    if wanted(&self.reached[parent].descriptor, &node.descriptor) {
                        children.push(self.reach(node, &mut level)?);
                    }
                }
                self.reached[parent].children = children;
                self.reached[parent].subject = subject;
            }
        }
        self.measure()
    }

    /// Notes content; documents that are new are added to `level`.
    fn reach(&mut self, node: Node, level: &mut Vec<usize>) -> Result<usize> {
        let next = self.reached.len();
        let position = *self.positions.entry(node.descriptor.digest.clone()).or_insert(next);
        if position == next {
            let is_document = node.is_document();
            let descriptor = node.descriptor.bare();
            self.reached.push(Reached { descriptor, role: node.role, children: Vec::new(), subject: None, height: 0 });
            if is_document {
                level.push(position);
            }
            return Ok(position);
        }
        let known = &mut self.reached[position];
        agree(&known.descriptor, &node.descriptor)?;
        let was_document = known.is_document();
        if node.is_document() && !was_document {
            (known.role, known.descriptor) = (node.role, node.descriptor.bare());
            level.push(position);
        } else if node.role == Role::Manifest && !was_document {
            known.role = Role::Manifest;
        } else if node.is_document() && Kind::of(&known.descriptor.media_type) != Kind::of(&node.descriptor.media_type) {
            return Err(two_claims(&known.descriptor, &node.descriptor, "media types", &known.descriptor.media_type, &node.descriptor.media_type));
        }
        Ok(position)
    }

    /// Computes heights from the leaves up, without recursion: a chain of documents may be as long as somebody cares to make it.
    fn measure(&mut self) -> Result<()> {
        let mut parents: Vec<Vec<usize>> = vec![Vec::new(); self.reached.len()];
        let mut unmeasured: Vec<usize> = vec![0; self.reached.len()];
        for (position, reached) in self.reached.iter().enumerate() {
            unmeasured[position] = reached.children.len();
            for child in &reached.children {
                parents[*child].push(position);
            }
        }
        let mut ready: Vec<usize> = (0..self.reached.len()).filter(|position| unmeasured[*position] == 0).collect();
        while let Some(position) = ready.pop() {
            let reached = &self.reached[position];
            let below = reached.children.iter().map(|child| self.reached[*child].height).max().unwrap_or(0);
            let height = below + usize::from(reached.is_document());
            // A manifest is no nesting.
            if height > limits::INDEX_DEPTH + 1 {
                return Err(too_deep(&reached.descriptor.digest));
            }
            self.reached[position].height = height;
            for parent in &parents[position] {
                unmeasured[*parent] -= 1;
                if unmeasured[*parent] == 0 {
                    ready.push(*parent);
                }
            }
        }
        Ok(())
    }

    /// All content, in the order in which it was reached.
    pub fn reached(&self) -> &[Reached] {
        &self.reached
    }

    /// What was reached under a digest.
    pub fn get(&self, digest: &Digest) -> Option<&Reached> {
        self.positions.get(digest).map(|position| &self.reached[*position])
    }

    /// Whether something was reached under a digest.
    pub fn contains(&self, digest: &Digest) -> bool {
        self.positions.contains_key(digest)
    }
}

/// The children of a document and what it is attached to.
fn read(source: &dyn Source, descriptor: &Descriptor) -> Result<(Vec<Node>, Option<Descriptor>)> {
    let bytes = source.read(descriptor, limits::MANIFEST_BYTES)?;
    Ok((links::children(descriptor, &bytes)?, links::subject(descriptor, &bytes)?))
}

fn too_deep(digest: &Digest) -> Error {
    Error::corrupt(format!("indexes are nested more than {} deep at {digest}", limits::INDEX_DEPTH)).subject(digest)
}

/// One digest has one size.
fn agree(known: &Descriptor, new: &Descriptor) -> Result<()> {
    match known.size == new.size {
        true => Ok(()),
        false => Err(two_claims(known, new, "sizes", known.size, new.size)),
    }
}

fn two_claims(known: &Descriptor, new: &Descriptor, what: &str, one: impl std::fmt::Display, other: impl std::fmt::Display) -> Error {
    Error::corrupt(format!("{} has two {what}: {one} and {other}", known.digest)).subject(&new.digest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::spec::{Document, ImageIndex, ImageManifest, MediaType};
    use crate::store::{Destination as _, MemoryStore};
    use std::num::NonZeroUsize;

    fn run() -> Run {
        Run::new(NonZeroUsize::new(2).expect("two")).expect("a pool")
    }

    fn leaf(store: &MemoryStore, media_type: MediaType, content: &[u8]) -> Descriptor {
        let descriptor = Descriptor::new(media_type, Digest::sha256(content), content.len() as u64);
        store.put(&descriptor, &mut &content[..]).expect("stored");
        descriptor
    }

    fn manifest(store: &MemoryStore, layers: &[&[u8]]) -> Descriptor {
        let config = leaf(store, MediaType::ImageConfig, b"{}");
        let layers = layers.iter().map(|content| leaf(store, MediaType::ImageLayer, content)).collect();
        put(store, MediaType::ImageManifest, ImageManifest::new(config, layers))
    }

    fn index(store: &MemoryStore, manifests: Vec<Descriptor>) -> Descriptor {
        put(store, MediaType::ImageIndex, ImageIndex::new(manifests))
    }

    fn put<T: serde::Serialize>(store: &MemoryStore, media_type: MediaType, value: T) -> Descriptor {
        let document = Document::create(media_type, value).expect("created");
        store.put(&document.descriptor, &mut &document.bytes[..]).expect("stored");
        document.descriptor
    }

    #[test]
    fn each_digest_is_reached_once_and_heights_count_from_the_leaves() {
        let store = MemoryStore::default();
        let (one, two) = (manifest(&store, &[b"a", b"shared"]), manifest(&store, &[b"shared", b"b"]));
        let inner = index(&store, vec![two.clone()]);
        let outer = index(&store, vec![one.clone(), inner.clone(), two.clone()]);
        let graph = Graph::walk(&run(), &store, &[outer.clone(), one.clone()]).expect("walked");
        let height = |descriptor: &Descriptor| graph.get(&descriptor.digest).expect("reached").height;
        assert_eq!([&outer, &inner, &one, &two].map(height), [3, 2, 1, 1]);
        assert_eq!(graph.reached().len(), 4 + 4, "four documents, one config, three layers");
        assert_eq!(graph.get(&Digest::sha256(b"shared")).expect("reached").height, 0);
        let order: Vec<_> = graph.reached().iter().take(4).map(|reached| &reached.descriptor.digest).collect();
        assert_eq!(order, [&outer.digest, &one.digest, &inner.digest, &two.digest]);
    }

    #[test]
    fn lay_50_a_diamond_of_many_ways_is_read_once() {
        let store = MemoryStore::default();
        let mut below = vec![manifest(&store, &[b"a"])];
        for level in 0..limits::INDEX_DEPTH {
            let pair = ["left", "right"].map(|side| {
                let mut index = ImageIndex::new(below.clone());
                index.annotations.insert(level.to_string(), side.into());
                put(&store, MediaType::ImageIndex, index)
            });
            below = pair.to_vec();
        }
        let graph = Graph::walk(&run(), &store, &below).expect("walked");
        assert_eq!(graph.reached().len(), 2 * limits::INDEX_DEPTH + 3);
    }

    fn graph_height(store: &MemoryStore, root: &Descriptor) -> Result<usize> {
        Ok(Graph::walk(&run(), store, std::slice::from_ref(root))?.get(&root.digest).expect("reached").height)
    }

    #[test]
    fn lay_52_nesting_has_a_limit() {
        let store = MemoryStore::default();
        let mut root = manifest(&store, &[]);
        for _ in 0..limits::INDEX_DEPTH {
            root = index(&store, vec![root]);
        }
        assert_eq!(graph_height(&store, &root).expect("at the limit"), limits::INDEX_DEPTH + 1);
        root = index(&store, vec![root]);
        let error = graph_height(&store, &root).expect_err("beyond it");
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        for _ in 0..2000 {
            root = index(&store, vec![root]);
        }
        assert_eq!(graph_height(&store, &root).expect_err("far beyond it").kind(), ErrorKind::Corrupt);
    }

    #[test]
    fn two_claims_on_one_digest_are_corrupt() {
        let store = MemoryStore::default();
        let image = manifest(&store, &[b"a"]);
        let wrong_size = Descriptor { size: image.size + 1, ..image.clone() };
        let both = index(&store, vec![image.clone(), wrong_size]);
        assert_eq!(Graph::walk(&run(), &store, &[both]).expect_err("two sizes").kind(), ErrorKind::Corrupt);
        let wrong_type = Descriptor { media_type: MediaType::ImageIndex, ..image.clone() };
        let both = index(&store, vec![image, wrong_type]);
        assert_eq!(Graph::walk(&run(), &store, &[both]).expect_err("two types").kind(), ErrorKind::Corrupt);
    }

    #[test]
    fn a_manifest_that_is_also_a_blob_is_read_as_a_manifest() {
        let store = MemoryStore::default();
        let image = manifest(&store, &[b"a"]);
        let carrier = put(&store, MediaType::ImageManifest, ImageManifest::new(leaf(&store, MediaType::ImageConfig, b"{}"), vec![image.clone()]));
        for roots in [[carrier.clone(), image.clone()], [image.clone(), carrier.clone()]] {
            let graph = Graph::walk(&run(), &store, &[index(&store, roots.to_vec())]).expect("walked");
            assert_eq!((graph.get(&image.digest).expect("reached").height, graph.get(&carrier.digest).expect("reached").height), (1, 2));
            assert!(graph.contains(&Digest::sha256(b"a")));
        }
    }

    #[test]
    fn only_wanted_children_are_followed() {
        let store = MemoryStore::default();
        let image = manifest(&store, &[b"a"]);
        let absent = Descriptor::new(MediaType::ImageManifest, Digest::sha256(b"absent"), 6);
        let root = index(&store, vec![image, absent.clone()]);
        assert_eq!(Graph::walk(&run(), &store, std::slice::from_ref(&root)).expect_err("absent").kind(), ErrorKind::NotFound);
        let graph = Graph::walk_where(&run(), &store, &[root], |_, child| child.digest != absent.digest).expect("walked");
        assert!(!graph.contains(&absent.digest));
    }
}
