//! Looking at images: everything that documents say, as one tree.
//!
//! Documents and configs are read and verified, layers are only looked for. What is missing or damaged below the image that was asked for is marked in
//! the tree and ends nothing, because a look at the rest is what somebody with a damaged layout needs; the document that was asked for itself must be whole.
//! Each document and each config is read once, however many ways lead to it, so the time depends on what is there and not on how it is linked.

mod choose;
mod read;
mod referrer;
mod report;
#[cfg(test)]
mod tests;
mod totals;

use crate::error::{Error, Result};
use crate::exec::Run;
use crate::graph::image::{self, Choice};
use crate::spec::{Descriptor, Kind, Platform, Selector, limits, links, shape};
use crate::store::{Location, Options, Source, transport};

pub use report::{
    Body, ConfigReport, Content, DocumentReport, EntryReport, Form, ImageReport, InspectReport, LayerReport, Problem, ReferrerReport, Settings, Totals, Via,
};

use choose::Image;
use read::Reader;

/// What to look at.
#[derive(Clone, Debug)]
pub struct InspectRequest {
    /// The store, and the image that is meant; without one, all of them.
    pub location: Location,
    /// The one platform that is meant.
    pub platform: Option<Platform>,
    /// How the store is opened.
    pub options: Options,
}

/// A document whose bytes are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The manifest or index that is meant.
    Manifest,
    /// The config of the manifest that is meant.
    Config,
}

/// Looks at the image that is meant, or at all.
///
/// Kinds: those of [`transport::source`]; `not_found` where there is no such image or platform; `usage` for a platform of several images; and, where one image
/// is meant, whatever is wrong with its first document.
pub fn execute(run: &Run, request: &InspectRequest) -> Result<InspectReport> {
    let source = transport::source(&request.location, &request.options)?;
    let index = source.index()?;
    let images = match (request.location.selector(), &request.platform) {
        (Selector::Only, None) => choose::all(&index)?,
        (selector, platform) => {
            let mut image = choose::one(source.as_ref(), &index, selector)?;
            if let Some(wanted) = platform {
                image.root = image::select(source.as_ref(), &image.root, &Choice::For(wanted.clone()))?.descriptor;
            }
            vec![image]
        }
    };
    if let [only] = images.as_slice() {
        check(source.as_ref(), &only.root)?;
    }
    let mut reader = Reader::new(source.as_ref(), run);
    let read = |image: Image| Ok(ImageReport { document: reader.document(&image.root, 0)?, entries: image.entries });
    let mut report = InspectReport { location: source.location(), images: images.into_iter().map(read).collect::<Result<_>>()?, totals: Totals::default() };
    referrer::attach(run, source.as_ref(), &index, &mut report)?;
    totals::count(&mut report);
    Ok(report)
}

/// The exact bytes of one document.
///
/// Kinds: as [`execute`], and `usage` where several images are meant or, for a config, several platforms.
pub fn document(request: &InspectRequest, part: Part) -> Result<Vec<u8>> {
    let source = transport::source(&request.location, &request.options)?;
    let source = source.as_ref();
    let root = choose::one(source, &source.index()?, request.location.selector())?.root;
    let manifest = match (&request.platform, part) {
        (Some(wanted), _) => image::select(source, &root, &Choice::For(wanted.clone()))?.descriptor,
        (None, Part::Manifest) => root,
        (None, Part::Config) => choose::only_manifest(source, &root)?,
    };
    let bytes = source.read(&manifest, limits::MANIFEST_BYTES)?;
    match part {
        Part::Manifest => Ok(bytes),
        Part::Config if Kind::of(&manifest.media_type) == Kind::Manifest => source.read(&shape::manifest(&manifest, &bytes)?.config, limits::CONFIG_BYTES),
        Part::Config => Err(Error::unsupported("it is no image manifest, so it has no config").subject(&manifest.digest)),
    }
}

/// Fails where the document that was asked for is not there, or is not what it must be.
fn check(source: &dyn Source, root: &Descriptor) -> Result<()> {
    match Kind::of(&root.media_type) {
        Kind::Index | Kind::Manifest => links::children(root, &source.read(root, limits::MANIFEST_BYTES)?).map(|_| ()),
        _ => source.open(root).map(|_| ()),
    }
}
