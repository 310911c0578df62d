//! Which image is meant.

use std::collections::HashMap;

use crate::error::{Error, Result};
use crate::graph::{find, image};
use crate::spec::{Descriptor, Digest, ImageIndex, ImageName, Kind, Selector};
use crate::store::Source;

use super::EntryReport;

/// What is meant, and the entries that stand on it.
pub(super) struct Image {
    pub(super) entries: Vec<EntryReport>,
    pub(super) root: Descriptor,
}

/// All images: entries on the same content are one. Fails with kind `not_found` where there are none.
pub(super) fn all(index: &ImageIndex) -> Result<Vec<Image>> {
    let mut images: Vec<Image> = Vec::new();
    let mut known: HashMap<(&Digest, u64, &str), usize> = HashMap::new();
    for entry in &index.manifests {
        let position = *known.entry((&entry.digest, entry.size, entry.media_type.as_ref())).or_insert(images.len());
        if position == images.len() {
            images.push(Image { entries: Vec::new(), root: plain(entry) });
        }
        images[position].entries.push(entry_report(entry));
    }
    if images.is_empty() { Err(Selector::Only.absent(index)) } else { Ok(images) }
}

/// The image that is meant, with all its names. A digest may also be that of a manifest that the entries only lead to.
///
/// Kinds: as [`Selector::select`].
pub(super) fn one(source: &dyn Source, index: &ImageIndex, selector: &Selector) -> Result<Image> {
    let cannot = |error: Error| error.context(format!("cannot find an image in {}", source.location()));
    match (selector.select(index), selector) {
        (Ok(entry), _) => {
            let same = index.manifests.iter().filter(|other| other.digest == entry.digest);
            Ok(Image { entries: same.map(entry_report).collect(), root: plain(entry) })
        }
        (Err(absent), Selector::Digest(digest)) => match find::below(source, index, digest)? {
            Some(root) => Ok(Image { entries: Vec::new(), root }),
            None => Err(cannot(absent)),
        },
        (Err(error), _) => Err(cannot(error)),
    }
}

/// An entry without its annotations, which belong to the name.
fn plain(entry: &Descriptor) -> Descriptor {
    Descriptor { platform: entry.platform.clone(), ..entry.bare() }
}

fn entry_report(entry: &Descriptor) -> EntryReport {
    EntryReport { name: ImageName::of(entry).map(|name| name.as_str().to_owned()), annotations: entry.annotations.clone() }
}

/// The manifest below `root` where there is only one that runs somewhere. Fails with kind `usage`, naming the platforms, where there are several.
pub(super) fn only_manifest(source: &dyn Source, root: &Descriptor) -> Result<Descriptor> {
    if Kind::of(&root.media_type) != Kind::Index {
        return Ok(root.clone());
    }
    let candidates = image::candidates(source, root)?;
    let Some(first) = candidates.first() else {
        return Err(Error::not_found("it is an index without an image for any platform").subject(&root.digest));
    };
    if candidates.iter().all(|candidate| candidate.descriptor.digest == first.descriptor.digest) {
        return Ok(first.descriptor.clone());
    }
    let platforms: Vec<String> = candidates.iter().map(|candidate| candidate.platform.to_string()).collect();
    Err(Error::usage(format!("there is an image for each of {}", platforms.join(", "))).subject(&root.digest).hint("choose one with --platform"))
}
