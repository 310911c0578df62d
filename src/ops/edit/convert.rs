//! Media types: the same image in the documents of the OCI image specification and in those of Docker's schema 2.
//!
//! Blobs stay what they are, layers and configs alike; what points to them says another type. Docker's documents are poorer: they have no annotations and know neither Zstandard, nor
//! indexes in indexes, nor anything that is no image. Annotations are left out, and what else has no counterpart is an error.

use crate::error::{Error, Result};
use crate::spec::{Annotations, Descriptor, Family, ImageManifest, Kind, text};

use super::tree::{Child, Image, Index, Left, Node, Tree, Why};

/// Whether everything below `tree` can be of `family`, as far as layers do not decide it. Kinds: `unsupported` for what has no counterpart; `usage` for an index of which a part would
/// stay what it is and must not.
pub(super) fn check(tree: &Tree, family: Family) -> Result<()> {
    if family == Family::Oci {
        return Ok(());
    }
    for (_, image) in tree.images() {
        let ImageManifest { subject, artifact_type, .. } = &image.manifest.value;
        if subject.is_some() || artifact_type.is_some() {
            let field = if subject.is_some() { "subject" } else { "artifactType" };
            return Err(no_counterpart(&format!("the manifest for {} has `{field}`", image.platform)));
        }
    }
    let Node::Index(index) = tree.node(tree.root()) else { return Ok(()) };
    check_index(tree, index)
}

fn check_index(tree: &Tree, index: &Index) -> Result<()> {
    let value = &index.document.value;
    if value.subject.is_some() || value.artifact_type.is_some() {
        return Err(no_counterpart("the index is attached to something, or an artifact"));
    }
    for (entry, child) in value.manifests.iter().zip(&index.children) {
        match child {
            Child::Node(position) if matches!(tree.node(*position), Node::Index(_)) => {
                return Err(no_counterpart("there is an index in the index").hint("larder index create makes one without"));
            }
            Child::Node(_) => {}
            Child::Left(left) if is_about_what_changes(tree, left) => {}
            Child::Left(left) => check_left(entry, left)?,
        }
    }
    Ok(())
}

/// What is about an image that becomes another goes with it.
fn is_about_what_changes(tree: &Tree, left: &Left) -> bool {
    let changes = |image: &Image| Family::of(&image.manifest.descriptor.media_type) == Family::Oci;
    left.attached_to.as_ref().is_some_and(|digest| tree.images().any(|(_, image)| image.manifest.descriptor.digest == *digest && changes(image)))
}

fn check_left(entry: &Descriptor, left: &Left) -> Result<()> {
    match left.why {
        Why::OtherPlatform if Family::of(&entry.media_type) == Family::Docker => Ok(()),
        Why::OtherPlatform => Err(Error::usage(format!("{} stays an OCI manifest, and Docker's manifest lists have Docker's manifests only", entry.digest))
            .subject(&entry.digest)
            .hint("leave --platform out to convert all platforms")),
        Why::Attestation | Why::Artifact | Why::Unknown => {
            Err(no_counterpart(&format!("{} in the index is no image ({})", entry.digest, left.why.as_str())).subject(&entry.digest))
        }
    }
}

fn no_counterpart(what: &str) -> Error {
    Error::unsupported(format!("{what}, which has no counterpart in Docker's schema 2"))
}

/// The pointer to a layer in a manifest of `family`. Kind `unsupported` where the family has no media type for it.
pub(super) fn layer(layer: &Descriptor, family: Family) -> Result<Descriptor> {
    if Family::of(&layer.media_type) == family {
        return Ok(layer.clone());
    }
    let media_type = match Kind::of(&layer.media_type) {
        Kind::Layer(media) => family.layer(media),
        _ => None,
    };
    let Some(media_type) = media_type else {
        let shown = text::shown(layer.media_type.as_ref());
        return Err(no_counterpart(&format!("layer {} is `{shown}`", layer.digest)).subject(&layer.digest).hint("compress it with gzip: --compression gzip"));
    };
    Ok(pointer(Descriptor { media_type, ..layer.clone() }, family))
}

/// A pointer without what the documents of `family` cannot say.
pub(super) fn pointer(pointer: Descriptor, family: Family) -> Descriptor {
    match family {
        Family::Oci => pointer,
        Family::Docker => Descriptor { annotations: Annotations::new(), artifact_type: None, data: None, ..pointer },
    }
}

/// What becomes of an index that is the root, for people.
pub(super) fn around(tree: &Tree, family: Family) -> Vec<String> {
    let Node::Index(index) = tree.node(tree.root()) else { return Vec::new() };
    let mut lines = Vec::new();
    if Family::of(&index.document.descriptor.media_type) != family {
        lines.push(match family {
            Family::Oci => "manifest list becomes an OCI index".to_owned(),
            Family::Docker => "index becomes Docker's manifest list".to_owned(),
        });
    }
    let value = &index.document.value;
    let annotations = value.annotations.len() + tree.pointers().map(|(pointer, _)| pointer.annotations.len()).sum::<usize>();
    if family == Family::Docker && annotations > 0 {
        lines.push(left_out(annotations, "the index and its entries"));
    }
    lines
}

/// That annotations are lost, for people.
pub(super) fn left_out(annotations: usize, of: &str) -> String {
    format!("{annotations} annotation{} of {of} left out: Docker has none", if annotations == 1 { "" } else { "s" })
}
