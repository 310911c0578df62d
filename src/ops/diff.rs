//! How two images differ: their documents, their layers, and the files of their root filesystems.
//!
//! Images for several platforms are compared platform by platform. What has the same digest on both sides is the same and is not read; of layers that both have at
//! the bottom one copy is read. Everything that is read is proved. Of files the metadata and the SHA-256 of the content are kept, so memory grows with the number
//! of names and not with what is in them.

mod document;
mod files;
mod index;
mod layers;
mod meaning;
mod pairs;
mod report;
#[cfg(test)]
mod tests;

use crate::error::{Error, Result};
use crate::exec::Run;
use crate::graph::find;
use crate::graph::image::{self, Candidate, Choice, Image};
use crate::layer::difference::Times;
use crate::spec::{Descriptor, Kind, Platform};
use crate::store::{Location, Options, Source, transport};

pub use document::FieldDifference;
pub use report::{Change, DiffReport, FileReport, FileSide, FilesReport, ImageReport, LayerReport, LayerSide, SideReport};

use pairs::Pair;

/// What to compare.
#[derive(Clone, Debug)]
pub struct DiffRequest {
    /// One image.
    pub a: Location,
    /// The other.
    pub b: Location,
    /// The one platform that is meant; without one, all are compared.
    pub platform: Option<Platform>,
    /// What counts.
    pub strictness: Strictness,
    /// How stores are opened.
    pub options: Options,
}

/// What counts as a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strictness {
    /// Every byte.
    Exact,
    /// What a container of the image can see: settings, annotations and files, without times, order and names, and however it is stored.
    Semantic,
}

impl Strictness {
    fn times(self) -> Times {
        match self {
            Strictness::Exact => Times::Compared,
            Strictness::Semantic => Times::Ignored,
        }
    }
}

/// One side, opened.
struct Side {
    source: Box<dyn Source>,
    root: Descriptor,
}

/// An image of one side.
struct Member<'a> {
    source: &'a dyn Source,
    image: Image,
}

/// Compares.
///
/// Kinds: those of [`transport::source`]; `not_found` for an image or a platform; `corrupt` for damage and for layers that make no sense; `unsupported` for what
/// is no container image, and beyond limits; `usage` where both are stdin.
pub fn execute(run: &Run, request: &DiffRequest) -> Result<DiffReport> {
    if request.a.is_stream() && request.b.is_stream() {
        return Err(Error::usage("stdin can be one of the two, not both").subject(&request.a).hint("write one of them to a file first"));
    }
    let (a, b) = (Side::open(&request.a, request)?, Side::open(&request.b, request)?);
    let mut report = DiffReport::new((&request.a, &a.root), (&request.b, &b.root), request.strictness);
    if a.root.digest == b.root.digest {
        return Ok(report);
    }
    let (of_a, of_b) = (a.candidates()?, b.candidates()?);
    let pairs = pairs::pair(of_a, of_b);
    if request.platform.is_none() {
        report.index = index::compare(&a, &b, &pairs, request.strictness)?;
    }
    report.images = pairs.iter().map(|pair| compare(run, request, &a, &b, pair)).collect::<Result<_>>()?;
    report.judge();
    Ok(report)
}

impl Side {
    fn open(location: &Location, request: &DiffRequest) -> Result<Side> {
        let open = || {
            let source = transport::source(location, &request.options)?;
            let mut root = find::resolve(&*source, location.selector())?;
            if let Some(platform) = &request.platform {
                root = image::select(&*source, &root, &Choice::For(platform.clone()))?.descriptor;
            }
            Ok(Side { source, root })
        };
        open().map_err(|error: Error| error.context(format!("cannot use {location}")))
    }

    /// The images that are compared.
    fn candidates(&self) -> Result<Vec<Candidate>> {
        image::candidates(&*self.source, &self.root).map_err(|error| error.context(format!("cannot use {}", self.source.location())))
    }

    fn is_index(&self) -> bool {
        Kind::of(&self.root.media_type) == Kind::Index
    }

    fn member(&self, candidate: &Candidate) -> Result<Member<'_>> {
        let image = Image::of(&*self.source, candidate).map_err(|error| error.context(format!("cannot use an image of {}", self.source.location())))?;
        Ok(Member { source: &*self.source, image })
    }
}

/// Compares the images for one platform.
fn compare(run: &Run, request: &DiffRequest, a: &Side, b: &Side, pair: &Pair) -> Result<ImageReport> {
    let mut report = ImageReport::new(pair);
    let (Some(of_a), Some(of_b)) = (&pair.a, &pair.b) else { return Ok(report) };
    if report.change == Change::Same {
        return Ok(report);
    }
    let (x, y) = (a.member(of_a)?, b.member(of_b)?);
    report.manifest = document::manifests(&x.image, &y.image, request.strictness)?;
    report.config = document::configs(&x.image, &y.image, request.strictness)?;
    if request.strictness == Strictness::Exact {
        report.layers = layers::compare(&x.image, &y.image)?;
    }
    report.files = files::compare(run, &x, &y, request.strictness.times())?.into();
    if request.strictness == Strictness::Semantic && report.is_empty() {
        report.change = Change::Same;
    }
    Ok(report)
}
