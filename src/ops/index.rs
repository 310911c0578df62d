//! Making indexes of images, and changing them: what `docker manifest` does, on layouts.
//!
//! A new index is put together from images of any stores, whose content comes along. An index that exists is replaced by a changed one under the same name;
//! where somebody else moves that name meanwhile, the change is made anew on what is there then, so that none is lost.

mod change;
mod create;
#[cfg(test)]
mod tests;

use serde::Serialize;

use crate::copy::How;
use crate::error::{Error, Result, Side};
use crate::graph::find;
use crate::graph::merge::{Clash, Nesting};
use crate::spec::{Annotations, Descriptor, Digest, ImageIndex, ImageName, Platform};
use crate::store::{Location, Options};

pub use change::change;
pub use create::create;

/// A new index.
#[derive(Clone, Debug)]
pub struct CreateRequest {
    /// The images and indexes it is made of, in order.
    pub sources: Vec<Location>,
    /// The store it goes to.
    pub destination: Location,
    /// What it is called there. Not empty.
    pub names: Vec<ImageName>,
    /// What becomes of indexes among the sources.
    pub nesting: Nesting,
    /// What becomes of a second image for one platform.
    pub clash: Clash,
    /// Its annotations.
    pub annotations: Annotations,
    /// How content comes over.
    pub how: How,
    /// Whether anything is written.
    pub effect: Effect,
    /// How stores are opened.
    pub options: Options,
}

/// A change of an index in a layout.
#[derive(Clone, Debug)]
pub struct ChangeRequest {
    /// The index.
    pub index: Location,
    /// What the changed one is called; where there is nothing here, it takes the name of the old one.
    pub names: Vec<ImageName>,
    /// What changes.
    pub change: Change,
    /// How content comes over.
    pub how: How,
    /// Whether anything is written.
    pub effect: Effect,
    /// How stores are opened.
    pub options: Options,
}

/// What changes in an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// More images; a single image becomes an index that has it first.
    Append {
        /// The images and indexes.
        sources: Vec<Location>,
        /// What becomes of indexes among them.
        nesting: Nesting,
        /// What becomes of a second image for one platform.
        clash: Clash,
    },
    /// Fewer images. The attestations about them go too.
    Remove(Vec<Target>),
    /// The images of these platforms only, with the attestations about them.
    Filter(Vec<Platform>),
    /// Other annotations, or another platform, of entries or of the index as a whole.
    Annotate {
        /// Which entries; the index itself where there is nothing here.
        targets: Vec<Target>,
        /// Annotations to set.
        set: Annotations,
        /// Keys of annotations to take away.
        unset: Vec<String>,
        /// What the entries are said to run on.
        platform: Option<Platform>,
    },
}

/// Which entries of an index are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Those for this platform.
    Platform(Platform),
    /// The one with this digest.
    Digest(Digest),
}

/// Whether anything is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Effect {
    /// It is only said what would be.
    Told,
    /// It is done.
    #[default]
    Done,
}

/// An index as it is now.
#[derive(Clone, Debug, Serialize)]
pub struct IndexReport {
    /// The store.
    pub store: String,
    /// The names that stand on it.
    pub names: Vec<String>,
    /// Its digest.
    pub digest: Digest,
    /// Its media type.
    pub media_type: String,
    /// The digest of what it was made from by a change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Digest>,
    /// Its entries, in order.
    pub members: Vec<MemberReport>,
    /// What is no longer in it, or was not taken in.
    pub removed: Vec<MemberReport>,
}

/// An entry of an index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MemberReport {
    /// What it runs on, where that is said.
    pub platform: Option<String>,
    /// Its digest.
    pub digest: Digest,
    /// Its media type. Foreign text.
    pub media_type: String,
    /// Bytes of the manifest itself.
    pub size: u64,
}

impl From<&Descriptor> for MemberReport {
    fn from(entry: &Descriptor) -> Self {
        MemberReport {
            platform: entry.platform.as_ref().map(ToString::to_string),
            digest: entry.digest.clone(),
            media_type: entry.media_type.to_string(),
            size: entry.size,
        }
    }
}

fn report(store: &Location, names: &[ImageName], index: &crate::spec::Document<ImageIndex>, before: Option<Digest>, removed: &[Descriptor]) -> IndexReport {
    IndexReport {
        store: store.store().to_string(),
        names: names.iter().map(|name| name.as_str().to_owned()).collect(),
        digest: index.descriptor.digest.clone(),
        media_type: index.descriptor.media_type.to_string(),
        before,
        members: index.value.manifests.iter().map(MemberReport::from).collect(),
        removed: removed.iter().map(MemberReport::from).collect(),
    }
}

/// The entries that put `names` on `root`.
fn entries(root: &Descriptor, names: &[ImageName]) -> Vec<Descriptor> {
    let named = |name: &ImageName| {
        let mut entry = root.clone();
        name.apply(&mut entry);
        entry
    };
    names.iter().map(named).collect()
}

fn no_name(store: &Location) -> Error {
    Error::usage("the index has no name").hint(format!("write {}:NAME, or add --tag NAME", store.store()))
}

/// One image of a store, which `location` names.
fn select(source: &dyn crate::store::Source, location: &Location) -> Result<Descriptor> {
    let cannot = |error: Error| error.context(format!("cannot find an image in {}", source.location())).side(Side::Source);
    find::select(source, &source.index().map_err(cannot)?, location.selector()).map_err(cannot)
}
