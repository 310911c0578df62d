//! The images that a Dockerfile builds upon or copies from: those of the layouts that the call names, and never of a network.

use std::path::PathBuf;
use std::sync::Arc;

use crate::build::base;
use crate::build::place::At;
use crate::error::{Error, ErrorKind, Result};
use crate::graph::find;
use crate::graph::image::{Choice, Image};
use crate::spec::config::ImageConfig;
use crate::spec::name::ImageName;
use crate::spec::{Descriptor, DiffId, Digest, ImageIndex, Platform, Reference, Selector, text};
use crate::store::layout::{Layout, Options};
use crate::store::location::Location;

/// How many names an error lists.
const LISTED: usize = 12;

/// The layouts, opened.
#[derive(Debug, Default)]
pub(super) struct Bases {
    shelves: Vec<Shelf>,
}

/// A layout, and which of its images are meant.
#[derive(Debug)]
struct Shelf {
    location: At<String>,
    layout: Arc<Layout>,
    entries: Vec<Descriptor>,
}

/// The image of one platform.
#[derive(Clone, Debug)]
pub struct BaseImage {
    /// Where its layers are.
    pub layout: Arc<Layout>,
    /// Its manifest.
    pub manifest: Descriptor,
    /// Its layers, bottom first, with the media types of an OCI manifest.
    pub layers: Vec<Descriptor>,
    /// Digests of the layers' tars.
    pub diff_ids: Vec<DiffId>,
    /// Its config.
    pub config: ImageConfig,
    /// What it runs on.
    pub platform: Platform,
    /// What it is called in its layout.
    pub name: Option<String>,
}

impl PartialEq for BaseImage {
    fn eq(&self, other: &Self) -> bool {
        self.manifest.digest == other.manifest.digest && self.layout.path() == other.layout.path()
    }
}

impl Bases {
    /// Opens `locations`, each `oci:DIR`, which means all its images, or `oci:DIR:NAME`, which means one. Errors name the place.
    pub(super) fn open(locations: &[At<String>], options: &Options) -> Result<Self> {
        let shelves = locations.iter().map(|location| Shelf::open(location, options)).collect::<Result<_>>()?;
        Ok(Bases { shelves })
    }

    /// The image that `name` means, for a platform.
    ///
    /// Kinds: `not_found` where there is none, with the names there are, or none for the platform; `usage` where several are meant; those of [`Image::find`].
    pub(super) fn find(&self, name: &At<String>, platform: &Platform) -> Result<BaseImage> {
        let shown = text::shown(&name.value);
        for shelf in &self.shelves {
            let found = shelf.select(&name.value).map_err(|error| name.place.wrap(error, format!("`{shown}` is not one image in {}", shelf.shown())))?;
            if let Some(root) = found {
                let cannot = |error| name.place.wrap(error, format!("cannot use the image `{shown}` of {} for platform {platform}", shelf.shown()));
                return shelf.read(&root, platform).map_err(cannot);
            }
        }
        Err(self.absent(name))
    }

    fn absent(&self, name: &At<String>) -> Error {
        let shown = text::shown(&name.value);
        if self.shelves.is_empty() {
            let error = name.place.error(ErrorKind::NotFound, format!("there is no image `{shown}`: no layout with bases is given, and nothing is downloaded"));
            return error.hint("copy the image into a layout, and say --base oci:DIR");
        }
        let names: Vec<String> = self.shelves.iter().flat_map(|shelf| &shelf.entries).filter_map(ImageName::of).map(|name| name.to_string()).collect();
        let places: Vec<String> = self.shelves.iter().map(Shelf::shown).collect();
        let mut listed = names.iter().take(LISTED).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        if names.len() > LISTED {
            listed.push_str(&format!(" and {} more", names.len() - LISTED));
        }
        let there = if names.is_empty() { "has no image".to_owned() } else { format!("has {listed}") };
        let error = name.place.error(ErrorKind::NotFound, format!("there is no image `{shown}`; {} {there}", places.join(", ")));
        error.hint("bases come from the layouts that --base and --build-context name, never from a network: copy the image into one of them")
    }
}

impl Shelf {
    fn open(location: &At<String>, options: &Options) -> Result<Self> {
        let open = || {
            let parsed = Location::parse(&location.value)?;
            let layout = Layout::open(parsed.layout()?, options.clone())?;
            let index = layout.index()?;
            let entries = match parsed.selector() {
                Selector::Only => index.manifests.clone(),
                selector => vec![find::select(&layout, &index, selector)?],
            };
            Ok(Shelf { location: location.clone(), layout: Arc::new(layout), entries })
        };
        open().map_err(|error: Error| location.place.wrap(error, "cannot use these bases"))
    }

    fn shown(&self) -> String {
        text::shown(&self.location.value).into_owned()
    }

    /// What the name means here, if it means something. One tag of several repositories means none of them.
    fn select(&self, name: &str) -> Result<Option<Descriptor>> {
        let index = ImageIndex::new(self.entries.clone());
        if let Some(digest) = name.rsplit_once('@').and_then(|(_, digest)| digest.parse::<Digest>().ok()) {
            return match find::select(&*self.layout, &index, &Selector::Digest(digest)) {
                Ok(found) => Ok(Some(found)),
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
                Err(error) => Err(error),
            };
        }
        let wanted = ImageName::parse_reference(name).ok().and_then(|name| name.reference());
        let is_it = |entry: &&Descriptor| ImageName::of(entry).is_some_and(|own| is_called(&own, name, wanted.as_ref()));
        let selector = Selector::Name(name.to_owned());
        let hits: Vec<&Descriptor> = selector.entries(&index).into_iter().filter(is_it).collect();
        match hits.as_slice() {
            [] => Ok(None),
            [first, rest @ ..] if rest.iter().all(|hit| hit.digest == first.digest) => Ok(Some((*first).clone())),
            several => Err(selector.ambiguous(several)),
        }
    }

    fn read(&self, root: &Descriptor, platform: &Platform) -> Result<BaseImage> {
        let image = Image::find(&*self.layout, root, &Choice::For(platform.clone()))?;
        let layers = image.manifest.value.layers.iter().map(base::oci_layer).collect::<Result<_>>()?;
        Ok(BaseImage {
            layout: self.layout.clone(),
            manifest: image.manifest.descriptor,
            layers,
            diff_ids: image.diff_ids,
            config: image.config,
            platform: image.platform,
            name: ImageName::of(root).map(|name| name.as_str().to_owned()),
        })
    }
}

/// Whether an entry is called so in full: the tag of some repository is not enough.
fn is_called(own: &ImageName, name: &str, wanted: Option<&Reference>) -> bool {
    let written = own.image().or(own.ref_name());
    written == Some(name) || wanted.is_some() && own.reference().as_ref() == wanted
}

/// A context that is an image: one layout location with one image.
pub(super) fn only(location: &At<String>, platform: &Platform, options: &Options) -> Result<BaseImage> {
    let shelf = Shelf::open(location, options)?;
    let cannot = |error: Error| location.place.wrap(error, format!("cannot use `{}` for platform {platform}", text::shown(&location.value)));
    let index = ImageIndex::new(shelf.entries.clone());
    let root = Selector::Only.select(&index).map_err(cannot)?.clone();
    shelf.read(&root, platform).map_err(cannot)
}

/// Where a context on this machine is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContextSource {
    /// A directory.
    Directory(PathBuf),
    /// An image in a layout.
    Layout(At<String>),
    /// An image of the bases.
    Base(At<String>),
}
