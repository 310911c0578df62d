//! One image: its new config and its new manifest.

use crate::error::{Error, Result};
use crate::exec::Run;
use crate::spec::{Descriptor, Document, History, ImageConfig, ImageManifest};
use crate::store::layout::Layout;

use super::stack::Stack;
use super::tree::Image;
use super::{Changes, SettingChanges, annotations};

/// What will become of an image.
#[derive(Debug)]
pub(super) struct ImagePlan {
    /// With the new settings; layers and history are those of `stack`.
    config: ImageConfig,
    stack: Stack,
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
    pub(super) fn new(run: &Run, image: &Image, changes: &Changes) -> Result<ImagePlan> {
        let mut plan = ImagePlan { config: image.config.value.clone(), stack: Stack::of(image), changes: Vec::new() };
        plan.apply_settings(run, image, &changes.settings)?;
        let annotated = annotations::of_manifest(image, &changes.annotations);
        plan.changes.extend(annotations::changed(&image.manifest.value.annotations, &annotated));
        Ok(plan)
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

    /// Makes the documents.
    pub(super) fn rewrite(&self, image: &Image, changes: &Changes) -> Result<Rewritten> {
        let mut config = self.config.clone();
        if self.stack != Stack::of(image) {
            self.stack.write(&mut config);
        }
        let config = match config.says_the_same_as(&image.config.value) {
            true => image.config.clone(),
            false => {
                let new = Document::create(image.config.descriptor.media_type.clone(), config)?;
                Document { descriptor: replaced(&image.config.descriptor, &new.descriptor), ..new }
            }
        };
        let old = &image.manifest;
        let mut value = ImageManifest { config: config.descriptor.clone(), ..old.value.clone() };
        value.annotations = annotations::of_manifest(image, &changes.annotations);
        let manifest = match value == old.value {
            true => old.clone(),
            false => Document::create(old.descriptor.media_type.clone(), value)?,
        };
        Ok(Rewritten { manifest, config })
    }
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
