//! What a document points to: the one definition that copying, verifying and collecting garbage share.
//!
//! An index points to manifests, a manifest to its config and its layers. The edge decides the role of what it leads to, not the media
//! type. `subject` points the other way, from an attachment to what it is attached to, and so is no child. What has an unknown media type
//! is a leaf. image-spec, image-index.md and manifest.md.

use super::descriptor::Descriptor;
use super::media_type::{self, Kind};
use super::shape;
use crate::error::Result;

/// How registries and layouts treat content: the edge that leads to it decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// Named by an index or by a layout; registries keep it as a manifest.
    Manifest,
    /// Named by a manifest; registries keep it as a blob.
    Blob,
}

/// One piece of content in the graph of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// How it is reached.
    pub role: Role,
    /// What it is.
    pub descriptor: Descriptor,
}

impl Node {
    /// A node that an index or a layout names.
    pub fn manifest(descriptor: Descriptor) -> Self {
        Node { role: Role::Manifest, descriptor }
    }

    /// A node that a manifest names.
    pub fn blob(descriptor: Descriptor) -> Self {
        Node { role: Role::Blob, descriptor }
    }

    /// Whether this is a document to read for its [`children`]; all else is a leaf. A schema 1 manifest counts, and reading it says why not.
    pub fn is_document(&self) -> bool {
        let media_type = &self.descriptor.media_type;
        self.role == Role::Manifest && (matches!(Kind::of(media_type), Kind::Index | Kind::Manifest) || media_type::is_schema_1(media_type))
    }
}

/// What the document `bytes`, named by `descriptor`, points to, in its own order: the manifests of an index; the config and the layers,
/// bottom first, of a manifest; nothing for other media types.
///
/// Kinds: `corrupt`, and `unsupported` for Docker's schema 1.
pub fn children(descriptor: &Descriptor, bytes: &[u8]) -> Result<Vec<Node>> {
    match Kind::of(&descriptor.media_type) {
        Kind::Index => Ok(shape::index(descriptor, bytes)?.manifests.into_iter().map(Node::manifest).collect()),
        Kind::Manifest => {
            let manifest = shape::manifest(descriptor, bytes)?;
            Ok(std::iter::once(manifest.config).chain(manifest.layers).map(Node::blob).collect())
        }
        _ if media_type::is_schema_1(&descriptor.media_type) => shape::manifest(descriptor, bytes).map(|_| Vec::new()),
        _ => Ok(Vec::new()),
    }
}

/// What the document `bytes`, named by `descriptor`, is attached to.
///
/// Kinds: `corrupt`, and `unsupported` for Docker's schema 1.
pub fn subject(descriptor: &Descriptor, bytes: &[u8]) -> Result<Option<Descriptor>> {
    match Kind::of(&descriptor.media_type) {
        Kind::Index => Ok(shape::index(descriptor, bytes)?.subject),
        Kind::Manifest => Ok(shape::manifest(descriptor, bytes)?.subject),
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::spec::{Digest, Document, ImageIndex, ImageManifest, MediaType};

    fn leaf(media_type: &str, content: &[u8]) -> Descriptor {
        Descriptor::new(media_type, Digest::sha256(content), content.len() as u64)
    }

    #[test]
    fn the_edge_decides_the_role() {
        let config = leaf("application/vnd.oci.image.config.v1+json", b"{}");
        // A manifest in the place of a layer is a blob, and a leaf.
        let layers = vec![leaf("application/vnd.oci.image.layer.v1.tar", b"a"), leaf("application/vnd.oci.image.manifest.v1+json", b"b")];
        let mut manifest = ImageManifest::new(config.clone(), layers.clone());
        manifest.subject = Some(leaf("application/vnd.oci.image.manifest.v1+json", b"s"));
        let manifest = Document::create(MediaType::ImageManifest, manifest).expect("created");
        let nodes = children(&manifest.descriptor, &manifest.bytes).expect("readable");
        assert_eq!(nodes, [Node::blob(config), Node::blob(layers[0].clone()), Node::blob(layers[1].clone())]);
        assert!(nodes.iter().all(|node| !node.is_document()));
        assert_eq!(subject(&manifest.descriptor, &manifest.bytes).expect("readable"), manifest.value.subject);
    }

    #[test]
    fn lay_47_an_unknown_media_type_is_a_leaf() {
        let opaque = leaf("application/vnd.example+json", br#"{"layers":[],"manifests":[]}"#);
        let index = Document::create(MediaType::ImageIndex, ImageIndex::new(vec![opaque.clone()])).expect("created");
        let nodes = children(&index.descriptor, &index.bytes).expect("readable");
        assert_eq!(nodes, [Node::manifest(opaque.clone())]);
        assert!(!nodes[0].is_document());
        assert_eq!(children(&opaque, br#"{"layers":[],"manifests":[]}"#).expect("a leaf"), []);
        assert_eq!(subject(&index.descriptor, &index.bytes).expect("readable"), None);
    }

    #[test]
    fn lay_45_schema_1_is_unsupported_and_not_a_leaf() {
        let old = leaf("application/vnd.docker.distribution.manifest.v1+prettyjws", b"{}");
        assert!(Node::manifest(old.clone()).is_document());
        assert_eq!(children(&old, b"{}").expect_err("unsupported").kind(), ErrorKind::Unsupported);
    }
}
