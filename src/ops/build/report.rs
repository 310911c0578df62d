//! What a build says of itself.

use serde::Serialize;

use crate::spec::Digest;

/// What was built.
#[derive(Clone, Debug, Serialize)]
pub struct BuildReport {
    /// Digest of what the names stand on.
    pub digest: Digest,
    /// Its media type.
    pub media_type: String,
    /// The names.
    pub names: Vec<String>,
    /// The layouts and archives.
    pub outputs: Vec<String>,
    /// The images, in the order of the index.
    pub images: Vec<ImageReport>,
    /// The layers that were made or taken from the cache, each once.
    pub layers: Vec<LayerReport>,
}

/// One platform's image.
#[derive(Clone, Debug, Serialize)]
pub struct ImageReport {
    /// The platform.
    pub platform: String,
    /// Digest of the manifest.
    pub digest: Digest,
    /// Number of layers, the base's included.
    pub layers: usize,
    /// Number of layers of the base.
    pub base_layers: usize,
    /// Bytes of all layers as stored.
    pub size: u64,
}

/// One layer.
#[derive(Clone, Debug, Serialize)]
pub struct LayerReport {
    /// What it is.
    pub label: String,
    /// Digest of the blob.
    pub digest: Digest,
    /// Digest of the tar.
    pub diff_id: Digest,
    /// Bytes of the blob.
    pub size: u64,
    /// Bytes of the tar.
    pub uncompressed: u64,
    /// Bytes of the blob that were taken over from an earlier one.
    pub reused: u64,
    /// Whether the cache knew the whole layer, so that no file was read.
    pub cached: bool,
}

/// What would be built.
#[derive(Clone, Debug, Serialize)]
pub struct BuildPlanReport {
    /// The names.
    pub names: Vec<String>,
    /// The layouts and archives that would be written.
    pub outputs: Vec<String>,
    /// The platforms, in order.
    pub platforms: Vec<PlatformPlanReport>,
    /// The layers that would be made, each once.
    pub layers: Vec<LayerPlanReport>,
    /// How layers would be compressed.
    pub compression: String,
}

/// One platform that would be built.
#[derive(Clone, Debug, Serialize)]
pub struct PlatformPlanReport {
    /// The platform.
    pub platform: String,
    /// The manifest that it stands upon.
    pub base: Option<Digest>,
    /// Layers of the base.
    pub base_layers: usize,
    /// Positions in the list of layers.
    pub layers: Vec<usize>,
}

/// One layer that would be made.
#[derive(Clone, Debug, Serialize)]
pub struct LayerPlanReport {
    /// What it is.
    pub label: String,
    /// Number of entries; not known for an archive before it is read.
    pub entries: Option<usize>,
    /// Bytes to read; not known for a step of a Dockerfile before it is done.
    pub bytes: Option<u64>,
    /// Whether the cache knows it and a layout still has it; not known for a step of a Dockerfile.
    pub cached: Option<bool>,
}
