//! What an edit tells: what would be done, and what was done.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::layer::Layer;
use crate::ops::tag::GivenName;
use crate::spec::{Descriptor, Digest, ImageName};
use crate::store::Source;

use super::Plan;
use super::image::Rewritten;
use super::index::Rebuilt;
use super::names::Named;
use super::tree::{Left, Why};

/// What would be done.
#[derive(Clone, Debug, Serialize)]
pub struct EditPlanReport {
    /// The layout.
    pub layout: String,
    /// What the name stands on now.
    pub digest: Digest,
    /// The names that the new image would get. Foreign text.
    pub names: Vec<String>,
    /// The images, in the order of the index.
    pub images: Vec<ImagePlanReport>,
    /// The layers that would be made, each once.
    pub layers: Vec<LayerPlanReport>,
    /// Layers of the new base that would come from another store.
    pub brought: Vec<BroughtReport>,
    /// What would be done to indexes and to what points to them and to manifests, one line each.
    pub around: Vec<String>,
    /// What would not be touched, because it is no image for one of the platforms. What is attached to an image that changes goes.
    pub untouched: Vec<UntouchedReport>,
}

/// What would be done to an image.
#[derive(Clone, Debug, Serialize)]
pub struct ImagePlanReport {
    /// The platform.
    pub platform: String,
    /// Digest of the manifest as it is.
    pub digest: Digest,
    /// What would be done, one line each; nothing where it stays as it is.
    pub changes: Vec<String>,
}

/// A layer that would be made.
#[derive(Clone, Debug, Serialize)]
pub struct LayerPlanReport {
    /// What it is.
    pub label: String,
    /// The blobs that it would be made of.
    pub from: Vec<Digest>,
}

/// What was done.
#[derive(Clone, Debug, Serialize)]
pub struct EditReport {
    /// The layout.
    pub layout: String,
    /// What the name stood on.
    pub before: Digest,
    /// Digest of the new image; the same where nothing changed.
    pub digest: Digest,
    /// Its media type.
    pub media_type: String,
    /// The names of the new image.
    pub names: Vec<GivenName>,
    /// The images, in the order of the index.
    pub images: Vec<ImageReport>,
    /// The layers that were made, each once. One of which no time had to change is the one that it is made of.
    pub layers: Vec<LayerReport>,
    /// Layers of the new base that came from another store.
    pub brought: Vec<BroughtReport>,
    /// What was done to indexes and to what points to them and to manifests, one line each.
    pub around: Vec<String>,
    /// What is left out of the new index because it told of an image that changed.
    pub dropped: Vec<DroppedReport>,
    /// What was not touched because it is no image for one of the platforms.
    pub untouched: Vec<UntouchedReport>,
    /// Names of signatures and other attachments that are bound to the old content; the new content has none. Foreign text.
    pub left_behind: Vec<String>,
}

/// What was done to an image.
#[derive(Clone, Debug, Serialize)]
pub struct ImageReport {
    /// The platform.
    pub platform: String,
    /// Digest of the old manifest.
    pub before: Digest,
    /// Digest of the new manifest; the same where nothing changed.
    pub digest: Digest,
    /// Number of layers.
    pub layers: usize,
    /// Bytes of all layers as stored.
    pub size: u64,
    /// What was done, one line each.
    pub changes: Vec<String>,
}

/// A layer that was made.
#[derive(Clone, Debug, Serialize)]
pub struct LayerReport {
    /// What it is.
    pub label: String,
    /// The blobs that it was made of.
    pub from: Vec<Digest>,
    /// Digest of the blob.
    pub digest: Digest,
    /// Digest of the tar.
    pub diff_id: Digest,
    /// Bytes of the blob.
    pub size: u64,
    /// Bytes of the tar.
    pub uncompressed: u64,
}

/// A layer of a new base that the layout did not have.
#[derive(Clone, Debug, Serialize)]
pub struct BroughtReport {
    /// Digest of the blob.
    pub digest: Digest,
    /// Bytes of the blob.
    pub size: u64,
}

/// An entry that is left out of the new index.
#[derive(Clone, Debug, Serialize)]
pub struct DroppedReport {
    /// Its digest.
    pub digest: Digest,
    /// What it is: an attestation or an artifact.
    pub kind: String,
    /// The manifest that it told of.
    pub attached_to: Option<Digest>,
}

/// An entry that stays as it is.
#[derive(Clone, Debug, Serialize)]
pub struct UntouchedReport {
    /// Its digest.
    pub digest: Digest,
    /// Its media type. Foreign text.
    pub media_type: String,
    /// Its platform, where the index says one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// What it is.
    pub kind: String,
}

pub(super) fn planned(plan: &Plan) -> EditPlanReport {
    let images = plan.images.iter().map(|(position, image)| {
        let old = plan.tree.image(*position);
        ImagePlanReport { platform: old.platform.to_string(), digest: old.manifest.descriptor.digest.clone(), changes: image.changes.clone() }
    });
    EditPlanReport {
        layout: plan.layout.location(),
        digest: plan.naming.root().digest.clone(),
        names: plan.naming.names().iter().map(|name: &ImageName| name.as_str().to_owned()).collect(),
        images: images.collect(),
        layers: plan.works.iter().map(|work| LayerPlanReport { label: work.label.clone(), from: work.from() }).collect(),
        brought: plan.brought.iter().map(brought).collect(),
        around: plan.around.clone(),
        untouched: plan.tree.left().into_iter().map(untouched).collect(),
    }
}

pub(super) fn done(plan: &Plan, made: &[Layer], rewritten: &BTreeMap<usize, Rewritten>, rebuilt: &Rebuilt, named: Named) -> EditReport {
    let images = rewritten.iter().map(|(position, new)| {
        let old = plan.tree.image(*position);
        let layers = &new.manifest.value.layers;
        ImageReport {
            platform: old.platform.to_string(),
            before: old.manifest.descriptor.digest.clone(),
            digest: new.manifest.descriptor.digest.clone(),
            layers: layers.len(),
            size: layers.iter().map(|layer| layer.size).fold(0, u64::saturating_add),
            changes: new.changes.clone(),
        }
    });
    let layers = plan.works.iter().zip(made).map(|(work, layer)| LayerReport {
        label: work.label.clone(),
        from: work.from(),
        digest: layer.descriptor.digest.clone(),
        diff_id: layer.diff_id.0.clone(),
        size: layer.descriptor.size,
        uncompressed: layer.uncompressed,
    });
    let is_dropped = |digest: &Digest| rebuilt.dropped.iter().any(|(entry, _)| entry.digest == *digest);
    let dropped = rebuilt.dropped.iter().map(|(entry, left)| DroppedReport {
        digest: entry.digest.clone(),
        kind: left.why.as_str().to_owned(),
        attached_to: left.attached_to.clone(),
    });
    EditReport {
        layout: plan.layout.location(),
        before: plan.naming.root().digest.clone(),
        digest: rebuilt.root.digest.clone(),
        media_type: rebuilt.root.media_type.to_string(),
        names: named.names,
        images: images.collect(),
        layers: layers.collect(),
        brought: plan.brought.iter().map(brought).collect(),
        around: plan.around.clone(),
        dropped: dropped.collect(),
        untouched: plan.tree.left().into_iter().filter(|(entry, _)| !is_dropped(&entry.digest)).map(untouched).collect(),
        left_behind: named.left_behind,
    }
}

fn brought(layer: &Descriptor) -> BroughtReport {
    BroughtReport { digest: layer.digest.clone(), size: layer.size }
}

fn untouched((entry, left): (&Descriptor, &Left)) -> UntouchedReport {
    // The platform of an attestation means none.
    let platform = entry.platform.as_ref().filter(|platform| left.why != Why::Attestation && !platform.is_attestation());
    UntouchedReport {
        digest: entry.digest.clone(),
        media_type: entry.media_type.to_string(),
        platform: platform.map(ToString::to_string),
        kind: left.why.as_str().to_owned(),
    }
}
