//! The image that a build stands upon: one manifest of a layout for each target platform.

use std::sync::Arc;

use super::place::At;
use super::spec::BaseSpec;
use crate::error::{Error, Result};
use crate::graph::image::{Choice, Image};
use crate::spec::config::ImageConfig;
use crate::spec::media_type::{Family, Kind};
use crate::spec::name::ImageName;
use crate::spec::{Descriptor, Digest, Platform, text};
use crate::store::layout::{Layout, Options};
use crate::store::location::Location;

/// An opened base: a layout and the image selected in it.
#[derive(Clone, Debug)]
pub(super) struct Base {
    /// The layout; its layers are linked from there.
    layout: Arc<Layout>,
    /// The image or index that the name stands on.
    root: Descriptor,
    /// The name for the annotations, without any path of this machine.
    name: Option<String>,
    spec: BaseSpec,
}

/// What an image of one platform stands upon: an image of a layout, or what the stages of a Dockerfile made.
#[derive(Clone, Debug)]
pub struct PlatformBase {
    /// The image that it is in the end; none where everything was made here.
    pub origin: Option<BaseOrigin>,
    /// Its layers, bottom first, with the media types of an OCI manifest.
    pub layers: Vec<BaseLayer>,
    /// How many of them come from the image.
    pub inherited: usize,
    /// Its config.
    pub config: ImageConfig,
    /// Where it was asked for.
    pub asked: At<String>,
}

/// An image of a layout.
#[derive(Clone, Debug)]
pub struct BaseOrigin {
    /// Digest of its manifest.
    pub digest: Digest,
    /// What it is called there.
    pub name: Option<String>,
}

/// A layer that is there already.
#[derive(Clone, Debug)]
pub struct BaseLayer {
    /// The blob.
    pub descriptor: Descriptor,
    /// The layout that has it.
    pub layout: Arc<Layout>,
    /// Whether that is certain.
    pub proof: Proof,
}

/// Whether a blob is known to be what its digest says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// This build wrote it, and computed its digest of what it wrote.
    Written,
    /// It has to be read.
    Missing,
}

impl Base {
    /// Opens the layout and selects the image.
    pub(super) fn open(spec: &BaseSpec, options: &Options) -> Result<Self> {
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
    pub(super) fn select(&self, platform: &Platform) -> Result<PlatformBase> {
        self.find(platform).map_err(|error| {
            let message = format!("cannot use the base `{}` for platform {platform}", text::shown(&self.spec.location.value));
            self.spec.location.place.wrap(error, message)
        })
    }

    fn find(&self, platform: &Platform) -> Result<PlatformBase> {
        let image = Image::find(&*self.layout, &self.root, &Choice::For(platform.clone()))?;
        let layer = |layer| Ok(BaseLayer { descriptor: oci_layer(layer)?, layout: self.layout.clone(), proof: Proof::Missing });
        let layers = image.manifest.value.layers.iter().map(layer).collect::<Result<Vec<_>>>()?;
        let origin = BaseOrigin { digest: image.manifest.descriptor.digest, name: self.name.clone() };
        Ok(PlatformBase { origin: Some(origin), inherited: layers.len(), layers, config: image.config, asked: self.spec.location.clone() })
    }
}

/// The same layer with the media type that an OCI manifest must use; the blob is the same.
pub(super) fn oci_layer(layer: &Descriptor) -> Result<Descriptor> {
    let media_type = match Kind::of(&layer.media_type) {
        Kind::Layer(media) => Family::Oci.layer(media),
        _ => None,
    };
    let media_type = media_type.ok_or_else(|| Error::unsupported(format!("`{}` is not a layer of an image", text::shown(layer.media_type.as_ref()))))?;
    Ok(Descriptor { media_type, ..layer.clone() })
}
