//! One image: its new config and its new manifest.

use crate::build::spec::Level;
use crate::error::{Error, Result};
use crate::exec::Run;
use crate::layer::{Layer, Stored};
use crate::spec::{Annotations, Descriptor, DiffId, Document, Family, ImageConfig, ImageManifest};
use crate::store::layout::Layout;

use super::annotations::{self, BaseNote};
use super::base::Base;
use super::changes::Changes;
use super::convert;
use super::layers::Works;
use super::planner::{Given, Planner};
use super::settled::Settled;
use super::stack::Stack;
use super::tree::Image;

/// What will become of an image.
#[derive(Debug)]
pub(super) struct ImagePlan {
    /// With the new settings; layers and history are those of `layers`.
    config: ImageConfig,
    layers: Settled,
    /// Whether history is another one.
    steps: Steps,
    family: Family,
    /// What is at the bottom instead of the base.
    base: Option<Base>,
    /// What is done, for people; nothing where nothing changes.
    pub(super) changes: Vec<String>,
}

/// Whether history is another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Steps {
    Kept,
    Changed,
}

/// The documents of an image after the edit. Those that did not change are the old ones, byte for byte.
#[derive(Debug)]
pub(super) struct Rewritten {
    pub(super) manifest: Document<ImageManifest>,
    config: Document<ImageConfig>,
    /// What is to be noted of its base.
    pub(super) base: BaseNote,
    /// What was done, for people.
    pub(super) changes: Vec<String>,
}

impl ImagePlan {
    /// Decides. Kinds: `usage` for what cannot be; `unsupported` for what the media types cannot say.
    pub(super) fn new(run: &Run, image: &Image, changes: &Changes, given: Given<'_>, works: &mut Works) -> Result<ImagePlan> {
        let family = changes.media_types.unwrap_or(Family::of(&image.manifest.descriptor.media_type));
        let created = changes.settings.created.clone().unwrap_or_else(|| run.timestamps.created());
        let base = given.new_base.cloned();
        let mut planner = Planner::new(image, given, created, run.timestamps);
        planner.change_layers(&changes.layers)?;
        planner.apply_settings(&changes.settings)?;
        let Planner { config, stack, mut done, .. } = planner;
        let annotated = annotations::of_manifest(image, &changes.annotations);
        done.extend(annotations::changed(&image.manifest.value.annotations, &annotated));
        done.extend(conversion(image, family));
        let steps = if stack.has_steps_of(&Stack::of(image)) { Steps::Kept } else { Steps::Changed };
        let layers = stack.settle(family, changes.media_types, works)?;
        Ok(ImagePlan { config, layers, steps, family, base, changes: done })
    }

    /// The layers that are not made here.
    pub(super) fn kept(&self) -> impl Iterator<Item = &Stored> {
        self.layers.kept()
    }

    /// Makes the documents. `made` are the layers that were to be made.
    pub(super) fn rewrite(&self, image: &Image, made: &[Layer], changes: &Changes) -> Result<Rewritten> {
        let (layers, diff_ids): (Vec<_>, Vec<_>) = self.layers.finish(made).into_iter().map(|layer| (layer.descriptor, layer.diff_id)).unzip();
        let config = self.rewrite_config(image, &diff_ids, changes)?;
        let old = &image.manifest;
        let mut value = ImageManifest { config: config.descriptor.clone(), layers, ..old.value.clone() };
        let base = self.base_note(image, &diff_ids);
        let mut done = self.changes.clone();
        let mut kept = old.value.annotations.clone();
        if base.set(&mut kept) {
            done.push(base.told());
        }
        value.annotations = annotations::edited(&kept, Level::Manifest, Some(&image.platform), &changes.annotations);
        let mut media_type = old.descriptor.media_type.clone();
        if self.family != Family::of(&media_type) {
            media_type = self.family.manifest();
            value.media_type = Some(media_type.clone());
        }
        if changes.media_types == Some(Family::Docker) {
            value.annotations = Annotations::new();
        }
        let manifest = match value == old.value && media_type == old.descriptor.media_type {
            true => old.clone(),
            false => Document::create(media_type, value)?,
        };
        // What was looked for and not found is no change.
        let changes = if manifest.descriptor.digest == old.descriptor.digest { Vec::new() } else { done };
        Ok(Rewritten { manifest, config, base, changes })
    }

    fn rewrite_config(&self, image: &Image, diff_ids: &[DiffId], changes: &Changes) -> Result<Document<ImageConfig>> {
        let old = &image.config;
        let media_type = match changes.media_types {
            Some(family) if family != Family::of(&old.descriptor.media_type) => family.config(),
            _ => old.descriptor.media_type.clone(),
        };
        let mut config = self.config.clone();
        if self.steps == Steps::Changed || diff_ids != image.diff_ids {
            self.layers.write(diff_ids, &mut config);
        }
        let new = match config.says_the_same_as(&old.value) {
            true => Document { descriptor: Descriptor { media_type, ..old.descriptor.bare() }, ..old.clone() },
            false => Document::create(media_type, config)?,
        };
        let descriptor = replaced(&old.descriptor, &new.descriptor);
        let descriptor = if changes.media_types == Some(Family::Docker) { convert::pointer(descriptor, Family::Docker) } else { descriptor };
        Ok(Document { descriptor, ..new })
    }

    /// A base is at the bottom as long as its layers are.
    fn base_note(&self, image: &Image, diff_ids: &[DiffId]) -> BaseNote {
        match &self.base {
            Some(base) if diff_ids.starts_with(&base.diff_ids) => match self.family {
                Family::Oci => BaseNote::Is { manifest: base.digest.clone(), root: base.root.clone(), name: base.name.clone() },
                // There is no place for it.
                Family::Docker => BaseNote::Gone,
            },
            None if diff_ids.first() == image.diff_ids.first() => BaseNote::AsItWas,
            Some(_) | None => BaseNote::Gone,
        }
    }
}

/// What becomes of the media types of an image, for people.
fn conversion(image: &Image, family: Family) -> Vec<String> {
    let mut lines = Vec::new();
    if Family::of(&image.manifest.descriptor.media_type) != family {
        lines.push(format!("media types: {family}"));
        let annotations = &image.manifest.value;
        let annotations = annotations.annotations.len() + annotations.layers.iter().map(|layer| layer.annotations.len()).sum::<usize>();
        if family == Family::Docker && annotations > 0 {
            lines.push(convert::left_out(annotations, "the manifest"));
        }
    }
    lines
}

impl Rewritten {
    /// Stores the documents that are not those of `image`, the config first.
    pub(super) fn write(&self, image: &Image, layout: &Layout) -> Result<()> {
        let put = |new: &Descriptor, old: &Descriptor, bytes: &[u8]| match new.digest == old.digest {
            true => Ok(()),
            false => layout.put_document(new.media_type.clone(), bytes).map(drop),
        };
        let cannot = |error: Error| error.context(format!("cannot write the image for {}", image.platform));
        put(&self.config.descriptor, &image.config.descriptor, &self.config.bytes).map_err(cannot)?;
        put(&self.manifest.descriptor, &image.manifest.descriptor, &self.manifest.bytes).map_err(cannot)
    }
}

/// A pointer that now points to `new`. What it says of the content stays, but not where the old content may be fetched from, nor the old content itself.
pub(super) fn replaced(pointer: &Descriptor, new: &Descriptor) -> Descriptor {
    if (&pointer.digest, pointer.size, &pointer.media_type) == (&new.digest, new.size, &new.media_type) {
        return pointer.clone();
    }
    let (media_type, digest) = (new.media_type.clone(), new.digest.clone());
    Descriptor { media_type, digest, size: new.size, urls: Vec::new(), data: None, ..pointer.clone() }
}
