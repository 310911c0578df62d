//! One image: its new config and its new manifest.

use std::sync::Arc;

use crate::build::LayerPlan;
use crate::build::spec::Level;
use crate::error::{Error, Result};
use crate::exec::Run;
use crate::layer::{Codec, Layer};
use crate::spec::media_type::Family;
use crate::spec::{Descriptor, Document, History, ImageConfig, ImageManifest};
use crate::store::layout::Layout;

use super::layer_id::LayerId;
use super::layers::{self, Works};
use super::stack::{Slot, Stack};
use super::tree::Image;
use super::{AUTHOR, Changes, SettingChanges, annotations};

/// What will become of an image.
#[derive(Debug)]
pub(super) struct ImagePlan {
    /// With the new settings; layers and history are those of `stack`.
    config: ImageConfig,
    stack: Stack,
    family: Family,
    /// When the steps of this edit were made, as RFC 3339.
    created: String,
    /// What is done, for people; nothing where nothing changes.
    pub(super) changes: Vec<String>,
}

/// The documents of an image after the edit. Those that did not change are the old ones, byte for byte.
#[derive(Debug)]
pub(super) struct Rewritten {
    pub(super) manifest: Document<ImageManifest>,
    config: Document<ImageConfig>,
    /// What was done, for people.
    pub(super) changes: Vec<String>,
}

impl ImagePlan {
    /// Decides. Kinds: `usage` for a setting that cannot be.
    pub(super) fn new(run: &Run, image: &Image, changes: &Changes, appended: &[Arc<LayerPlan>], works: &mut Works) -> Result<ImagePlan> {
        let family = Family::of(&image.manifest.descriptor.media_type);
        let created = changes.settings.created.clone().unwrap_or_else(|| run.timestamps.created());
        let mut plan = ImagePlan { config: image.config.value.clone(), stack: Stack::of(image), family, created, changes: Vec::new() };
        plan.drop_layers(image, &changes.layers.drop)?;
        plan.append(appended, changes.layers.compression.unwrap_or_default(), works)?;
        if plan.stack.layers() == 0 && !image.diff_ids.is_empty() {
            return Err(Error::usage("no layer would be left").hint("an image without layers cannot run"));
        }
        if let Some(codec) = changes.layers.compression {
            plan.compress(codec, works)?;
        }
        plan.apply_settings(image, &changes.settings)?;
        let annotated = annotations::of_manifest(image, &changes.annotations);
        plan.changes.extend(annotations::changed(&image.manifest.value.annotations, &annotated));
        Ok(plan)
    }

    /// A step of this edit.
    fn step(&self, what: &str) -> History {
        History { created: Some(self.created.clone()), created_by: Some(format!("{AUTHOR}: {what}")), ..History::default() }
    }

    fn drop_layers(&mut self, image: &Image, layers: &[LayerId]) -> Result<()> {
        for id in layers {
            let Some(number) = id.number(image)? else { continue };
            let Some(layer) = self.stack.drop_layer(number) else { continue };
            self.stack.note(self.step(&format!("drop layer {}", layer.descriptor.digest)));
            self.changes.push(format!("layer {number} dropped"));
        }
        Ok(())
    }

    fn append(&mut self, layers: &[Arc<LayerPlan>], codec: Codec, works: &mut Works) -> Result<()> {
        for layer in layers {
            layers::check_compression(self.family, codec.compression())?;
            let work = works.build(layer, codec);
            let history = History {
                created: Some(self.created.clone()),
                created_by: Some(layer.created_by.clone()),
                comment: layer.comment.clone(),
                ..History::default()
            };
            self.stack.push(history, work);
            let what = layer.created_by.strip_prefix(AUTHOR).and_then(|rest| rest.strip_prefix(": ")).unwrap_or(&layer.created_by);
            self.changes.push(format!("layer added: {what}"));
        }
        Ok(())
    }

    /// Compresses all layers but those that are what they are because nobody may distribute others.
    fn compress(&mut self, codec: Codec, works: &mut Works) -> Result<()> {
        layers::check_compression(self.family, codec.compression())?;
        let (mut again, mut kept) = (0, 0);
        for slot in self.stack.slots_mut() {
            let Slot::Kept(_, layer) = slot else { continue };
            if layer.media()?.non_distributable {
                kept += 1;
                continue;
            }
            *slot = Slot::Made { work: works.recompress(layer, codec), pointer: Some(layer.descriptor.clone()) };
            again += 1;
        }
        if again > 0 {
            self.changes.push(format!("{} compressed with {codec}", count(again, "layer")));
        }
        if kept > 0 {
            self.changes.push(format!("{} kept that must not be distributed", count(kept, "layer")));
        }
        Ok(())
    }

    fn apply_settings(&mut self, image: &Image, settings: &SettingChanges) -> Result<()> {
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
            self.stack.note(self.step(&changed.join(", ")));
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
        let mut done = self.changes.clone();
        let mut kept = old.value.annotations.clone();
        if diff_ids.first() != image.diff_ids.first() && annotations::forget_base(&mut kept) {
            done.push("annotations of the base removed: what is at the bottom is no longer the base".to_owned());
        }
        value.annotations = annotations::edited(&kept, Level::Manifest, Some(&image.platform), &changes.annotations);
        let manifest = match value == old.value {
            true => old.clone(),
            false => Document::create(old.descriptor.media_type.clone(), value)?,
        };
        Ok(Rewritten { manifest, config, changes: done })
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
