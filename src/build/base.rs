//! The image that a build stands upon: one manifest of a layout for each target platform.

use std::sync::Arc;

use super::spec::BaseSpec;
use crate::error::{Error, ErrorKind, Result};
use crate::spec::config::ImageConfig;
use crate::spec::media_type::Kind;
use crate::spec::name::ImageName;
use crate::spec::{Descriptor, DiffId, ImageIndex, ImageManifest, MediaType, Platform, limits, platform, shape, text};
use crate::store::layout::{Layout, Options};
use crate::store::location::Location;

/// An opened base: a layout and the image selected in it.
#[derive(Clone, Debug)]
pub struct Base {
    /// The layout; its layers are linked from there.
    pub layout: Arc<Layout>,
    /// The image or index that the name stands on.
    root: Descriptor,
    /// The name for the annotations, without any path of this machine.
    name: Option<String>,
    spec: BaseSpec,
}

/// The base of one platform.
#[derive(Clone, Debug)]
pub struct PlatformBase {
    /// Digest of the manifest.
    pub manifest: Descriptor,
    /// Its layers, bottom first, with the media types of an OCI manifest.
    pub layers: Vec<Descriptor>,
    /// Its config.
    pub config: ImageConfig,
    /// Digests of the layers' tars.
    pub diff_ids: Vec<DiffId>,
    /// The name of the base.
    pub name: Option<String>,
}

impl Base {
    /// Opens the layout and selects the image.
    pub fn open(spec: &BaseSpec, options: &Options) -> Result<Self> {
        let place = &spec.location.place;
        let cannot = |error: Error| place.wrap(error, format!("cannot use the base `{}`", text::shown(&spec.location.value)));
        let location = Location::parse(&spec.location.value).map_err(cannot)?;
        let path = spec.relative_to.join(location.layout().map_err(cannot)?);
        let layout = Layout::open(&path, options.clone()).map_err(cannot)?;
        let index = layout.index().map_err(cannot)?;
        let root = location.selector().select(&index).map_err(cannot)?.clone();
        let name = ImageName::of(&root).map(|name| name.as_str().to_owned());
        Ok(Base { layout: Arc::new(layout), root, name, spec: spec.clone() })
    }

    /// The manifest for a platform: of its own architecture, in containerd's order of preference.
    pub fn select(&self, platform: &Platform) -> Result<PlatformBase> {
        self.find(platform).map_err(|error| {
            let message = format!("cannot use the base `{}` for platform {platform}", text::shown(&self.spec.location.value));
            self.spec.location.place.wrap(error, message)
        })
    }

    fn find(&self, platform: &Platform) -> Result<PlatformBase> {
        let mut descriptor = self.root.clone();
        for _ in 0..limits::INDEX_DEPTH {
            let bytes = self.layout.read(&descriptor, limits::MANIFEST_BYTES)?;
            match Kind::of(&descriptor.media_type) {
                Kind::Index => descriptor = choose(&shape::index(&descriptor, &bytes)?, platform)?,
                Kind::Manifest => return self.read(descriptor.clone(), shape::manifest(&descriptor, &bytes)?, platform),
                _ => return Err(Error::unsupported(format!("{} is neither an image nor an index", descriptor.media_type))),
            }
        }
        Err(Error::corrupt(format!("indexes are nested more than {} deep", limits::INDEX_DEPTH)))
    }

    fn read(&self, descriptor: Descriptor, manifest: ImageManifest, platform: &Platform) -> Result<PlatformBase> {
        let config = ImageConfig::parse(&self.layout.read(&manifest.config, limits::CONFIG_BYTES)?, limits::CONFIG_BYTES)?;
        let own = config.platform()?;
        if own.os != platform.os || own.architecture != platform.architecture {
            return Err(Error::not_found(format!("the image is for {own}")));
        }
        let diff_ids = config.diff_ids()?;
        if diff_ids.len() != manifest.layers.len() {
            let message = format!("its config has {} diff IDs for {} layers", diff_ids.len(), manifest.layers.len());
            return Err(Error::corrupt(message).subject(&descriptor.digest));
        }
        let layers = manifest.layers.iter().map(oci_layer).collect::<Result<_>>()?;
        Ok(PlatformBase { manifest: descriptor, layers, config, diff_ids, name: self.name.clone() })
    }
}

fn choose(index: &ImageIndex, wanted: &Platform) -> Result<Descriptor> {
    // An image for another architecture may run on this one, but it is no base for an image of this one.
    let same: Vec<(&Descriptor, &Platform)> = index
        .manifests
        .iter()
        .filter_map(|child| Some((child, child.platform.as_ref()?)))
        .filter(|(_, platform)| platform.normalized().architecture == wanted.architecture)
        .collect();
    if let Some(found) = platform::select(wanted, same.iter().map(|(_, platform)| *platform)) {
        return Ok(same[found].0.clone());
    }
    // A single nested index or an image without a platform decides by its content.
    if let [only] = index.manifests.as_slice()
        && only.platform.is_none()
    {
        return Ok(only.clone());
    }
    let there: Vec<String> =
        index.manifests.iter().filter_map(|child| child.platform.as_ref()).filter(|p| !p.is_attestation()).map(ToString::to_string).collect();
    let error = Error::not_found(format!("it has no image for {wanted}"));
    Err(if there.is_empty() { error } else { error.hint(format!("it has {}", there.join(", "))) })
}

/// The same layer with the media type that an OCI manifest must use; the blob is the same.
fn oci_layer(layer: &Descriptor) -> Result<Descriptor> {
    let media_type = match layer.media_type.as_ref() {
        "application/vnd.docker.image.rootfs.diff.tar" => MediaType::ImageLayer,
        "application/vnd.docker.image.rootfs.diff.tar.gzip" => MediaType::ImageLayerGzip,
        "application/vnd.docker.image.rootfs.diff.tar.zstd" => MediaType::ImageLayerZstd,
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip" => MediaType::ImageLayerNonDistributableGzip,
        _ if matches!(Kind::of(&layer.media_type), Kind::Layer(_)) => layer.media_type.clone(),
        other => return Err(Error::new(ErrorKind::Unsupported, format!("`{}` is not a layer of an image", text::shown(other)))),
    };
    Ok(Descriptor { media_type, ..layer.clone() })
}
