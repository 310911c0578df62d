//! One image: its new config and its new manifest.

use crate::error::{Error, Result};
use crate::exec::Run;
use crate::layer::{Codec, Layer};
use crate::spec::media_type::Family;
use crate::spec::{Descriptor, Document, History, ImageConfig, ImageManifest};
use crate::store::layout::Layout;

use super::layers::{self, Works};
use super::stack::{Slot, Stack};
use super::tree::Image;
use super::{Changes, SettingChanges, annotations};

/// What will become of an image.
#[derive(Debug)]
pub(super) struct ImagePlan {
    /// With the new settings; layers and history are those of `stack`.
    config: ImageConfig,
    stack: Stack,
    family: Family,
    /// What is done, for people; nothing where nothing changes.
    pub(super) changes: Vec<String>,
}

/// The documents of an image after the edit. Those that did not change are the old ones, byte for byte.
#[derive(Debug)]
pub(super) struct Rewritten {
    pub(super) manifest: Document<ImageManifest>,
    config: Document<ImageConfig>,
}

impl ImagePlan {
    /// Decides. Kinds: `usage` for a setting that cannot be.
    pub(super) fn new(run: &Run, image: &Image, changes: &Changes, works: &mut Works) -> Result<ImagePlan> {
        let family = Family::of(&image.manifest.descriptor.media_type);
        let mut plan = ImagePlan { config: image.config.value.clone(), stack: Stack::of(image), family, changes: Vec::new() };
        if let Some(codec) = changes.layers.compression {
            plan.compress(codec, works)?;
        }
        plan.apply_settings(run, image, &changes.settings)?;
        let annotated = annotations::of_manifest(image, &changes.annotations);
        plan.changes.extend(annotations::changed(&image.manifest.value.annotations, &annotated));
        Ok(plan)
    }

    /// Compresses all layers but those that are what they are because nobody may distribute others.
    fn compress(&mut self, codec: Codec, works: &mut Works) -> Result<()> {
        layers::check_compression(self.family, codec.compression())?;
        let (mut again, mut kept) = (0, 0);
        for slot in self.stack.slots_mut() {
            let Slot::Kept(layer) = slot else { continue };
            if layer.media()?.non_distributable {
                kept += 1;
                continue;
            }
            *slot = Slot::Made { work: works.recompress(layer, codec), pointer: Some(layer.descriptor.clone()) };
            again += 1;
        }
        self.changes.push(format!("{} compressed with {codec}", count(again, "layer")));
        if kept > 0 {
            self.changes.push(format!("{} kept that must not be distributed", count(kept, "layer")));
        }
        Ok(())
    }

    fn apply_settings(&mut self, run: &Run, image: &Image, settings: &SettingChanges) -> Result<()> {
        let before = &image.config.value;
        for name in &settings.unset_env {
            self.config.remove_env(name);
        }
        for key in &settings.unset_labels {
            self.config.remove_label(key);
        }
        settings.set.apply(&mut self.config)?;
        let changed = self.config.changed_settings(before);
        if !changed.is_empty() {
            let created = settings.created.clone().unwrap_or_else(|| run.timestamps.created());
            let created_by = format!("larder edit: {}", changed.join(", "));
            self.stack.note(History { created: Some(created), created_by: Some(created_by), ..History::default() });
        }
        self.changes.extend(changed);
        if let Some(created) = settings.created.as_deref().filter(|created| before.created() != Some(*created)) {
            self.config.set_created(created);
            self.changes.push(format!("created {created}"));
        }
        Ok(())
    }

    /// Makes the documents. `made` are the layers that were to be made.
    pub(super) fn rewrite(&self, image: &Image, made: &[Layer], changes: &Changes) -> Result<Rewritten> {
        let (layers, diff_ids): (Vec<_>, Vec<_>) = self.stack.finish(made, self.family).into_iter().map(|layer| (layer.descriptor, layer.diff_id)).unzip();
        let mut config = self.config.clone();
        if !self.stack.has_steps_of(&Stack::of(image)) || diff_ids != image.diff_ids {
            self.stack.write(&diff_ids, &mut config);
        }
        let config = match config.says_the_same_as(&image.config.value) {
            true => image.config.clone(),
            false => {
                let new = Document::create(image.config.descriptor.media_type.clone(), config)?;
                Document { descriptor: replaced(&image.config.descriptor, &new.descriptor), ..new }
            }
        };
        let old = &image.manifest;
        let mut value = ImageManifest { config: config.descriptor.clone(), layers, ..old.value.clone() };
        value.annotations = annotations::of_manifest(image, &changes.annotations);
        let manifest = match value == old.value {
            true => old.clone(),
            false => Document::create(old.descriptor.media_type.clone(), value)?,
        };
        Ok(Rewritten { manifest, config })
    }
}

fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
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
