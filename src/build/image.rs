//! The documents of an image: config, manifest, index. All go through the canonical encoder.

use super::execute::{BuiltImage, OwnLayers, cannot_write};
use super::plan::{BuildPlan, PlatformPlan};
use super::spec::{AnnotationSpec, ConfigSpec, Level};
use crate::error::Result;
use crate::exec::{Run, Timestamps};
use crate::spec::config::{History, ImageConfig};
use crate::spec::{Annotations, Descriptor, Document, ImageIndex, ImageManifest, MediaType, Platform, annotation};
use crate::store::layout::Layout;

/// Writes the config and the manifest of one platform.
pub(super) fn write(run: &Run, plan: &BuildPlan, platform: &PlatformPlan, own: &OwnLayers<'_>, layout: &Layout) -> Result<BuiltImage> {
    let config = Document::create(MediaType::ImageConfig, config(&plan.config, platform, own, run.timestamps)?)?;
    // With a base that says more than was asked for, this is more.
    let runs_on = config.value.platform()?;
    let below = platform.base.iter().flat_map(|base| &base.layers).map(|layer| layer.descriptor.clone());
    let layers: Vec<Descriptor> = below.chain(own.iter().map(|(_, layer)| layer.descriptor.clone())).collect();
    let mut manifest = ImageManifest::new(config.descriptor.clone(), layers.clone());
    if let Some(base) = platform.base.as_ref().and_then(|base| base.origin.as_ref()) {
        manifest.annotations.insert(annotation::BASE_DIGEST.to_owned(), base.digest.to_string());
        if let Some(name) = &base.name {
            manifest.annotations.insert(annotation::BASE_NAME.to_owned(), name.clone());
        }
    }
    manifest.annotations.extend(annotations(&plan.annotations, Level::Manifest, &platform.platform));
    let manifest = Document::create(MediaType::ImageManifest, manifest)?;

    layout.put_document(MediaType::ImageConfig, &config.bytes).map_err(cannot_write(platform))?;
    layout.put_document(MediaType::ImageManifest, &manifest.bytes).map_err(cannot_write(platform))?;
    let mut descriptor = manifest.descriptor;
    descriptor.platform = Some(runs_on.clone());
    descriptor.annotations = annotations(&plan.annotations, Level::ManifestDescriptor, &platform.platform);
    Ok(BuiltImage {
        platform: runs_on,
        manifest: descriptor,
        config: config.descriptor,
        layers,
        base_layers: platform.base.as_ref().map_or(0, |base| base.inherited),
    })
}

/// Writes the index around the manifests, in their order.
pub(super) fn write_index(plan: &BuildPlan, images: &[BuiltImage], layout: &Layout) -> Result<Descriptor> {
    let mut index = ImageIndex::new(images.iter().map(|image| image.manifest.clone()).collect());
    index.annotations = whole(&plan.annotations, Level::Index);
    let document = Document::create(MediaType::ImageIndex, index)?;
    layout.put_document(MediaType::ImageIndex, &document.bytes)?;
    let mut descriptor = document.descriptor;
    descriptor.annotations = whole(&plan.annotations, Level::IndexDescriptor);
    Ok(descriptor)
}

/// What a name stands on where there is no index.
pub(super) fn single(image: &BuiltImage) -> Descriptor {
    image.manifest.clone()
}

/// Whether the settings can be written, before anything else is.
pub(super) fn check(spec: &ConfigSpec, platform: &Platform) -> Result<()> {
    spec.apply(&mut ImageConfig::new(platform))
}

/// Later annotations of one key win, so that flags win over the file.
fn annotations(specs: &[AnnotationSpec], level: Level, platform: &Platform) -> Annotations {
    let meant = |spec: &&AnnotationSpec| spec.level == level && spec.platform.as_ref().is_none_or(|only| only == platform);
    specs.iter().filter(meant).map(|spec| (spec.key.clone(), spec.value.clone())).collect()
}

fn whole(specs: &[AnnotationSpec], level: Level) -> Annotations {
    specs.iter().filter(|spec| spec.level == level).map(|spec| (spec.key.clone(), spec.value.clone())).collect()
}

fn config(spec: &ConfigSpec, platform: &PlatformPlan, own: &OwnLayers<'_>, timestamps: Timestamps) -> Result<ImageConfig> {
    let created = timestamps.created();
    let mut config = match &platform.base {
        Some(base) => base.config.clone(),
        None => ImageConfig::new(&platform.platform),
    };
    config.refine_platform(&platform.platform);
    config.set_created(&created);
    spec.apply(&mut config)?;
    for (plan, layer) in own {
        let history =
            History { created: Some(created.clone()), created_by: Some(plan.created_by.clone()), comment: plan.comment.clone(), ..History::default() };
        config.push_layer(&layer.diff_id, history);
    }
    Ok(config)
}

impl ConfigSpec {
    /// Puts these settings over those of a config. Fails with kind `usage` for a variable or a port that cannot be one.
    pub fn apply(&self, config: &mut ImageConfig) -> Result<()> {
        if let Some(entrypoint) = &self.entrypoint {
            config.set_entrypoint(entrypoint);
            // Arguments of the base were meant for the entry point of the base.
            if self.cmd.is_none() {
                config.set_cmd::<&str>(&[]);
            }
        }
        if let Some(cmd) = &self.cmd {
            config.set_cmd(cmd);
        }
        for (key, value) in &self.env {
            config.set_env(key, value)?;
        }
        for (key, value) in &self.labels {
            config.set_label(key, value);
        }
        for port in &self.ports {
            config.add_exposed_port(port)?;
        }
        for volume in &self.volumes {
            config.add_volume(volume);
        }
        if let Some(user) = &self.user {
            config.set_user(user);
        }
        if let Some(workdir) = &self.workdir {
            config.set_working_dir(workdir);
        }
        if let Some(signal) = &self.stop_signal {
            config.set_stop_signal(signal);
        }
        if let Some(author) = &self.author {
            config.set_author(author);
        }
        Ok(())
    }
}
