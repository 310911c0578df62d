//! The image that a build stands upon: one manifest of a layout for each target platform.

use std::sync::Arc;

use super::spec::BaseSpec;
use crate::error::{Error, Result};
use crate::graph::image::{Choice, Image};
use crate::spec::config::ImageConfig;
use crate::spec::media_type::{Family, Kind};
use crate::spec::name::ImageName;
use crate::spec::{Descriptor, DiffId, Platform, text};
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

    /// A level above `error` that says that the base `cannot` be used so, and where it is asked for.
    pub(super) fn cannot(&self, error: Error, cannot: String) -> Error {
        self.spec.location.place.wrap(error, format!("{cannot} of the base `{}`", text::shown(&self.spec.location.value)))
    }

    fn find(&self, platform: &Platform) -> Result<PlatformBase> {
        let image = Image::find(&*self.layout, &self.root, &Choice::For(platform.clone()))?;
        let layers = image.manifest.value.layers.iter().map(oci_layer).collect::<Result<_>>()?;
        Ok(PlatformBase { manifest: image.manifest.descriptor, layers, config: image.config, diff_ids: image.diff_ids, name: self.name.clone() })
    }
}

/// The same layer with the media type that an OCI manifest must use; the blob is the same.
fn oci_layer(layer: &Descriptor) -> Result<Descriptor> {
    let media_type = match Kind::of(&layer.media_type) {
        Kind::Layer(media) => Family::Oci.layer(media),
        _ => None,
    };
    let media_type = media_type.ok_or_else(|| Error::unsupported(format!("`{}` is not a layer of an image", text::shown(layer.media_type.as_ref()))))?;
    Ok(Descriptor { media_type, ..layer.clone() })
}
