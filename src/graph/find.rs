//! Finding what a selector means, also below the names.

use std::collections::HashSet;

use crate::error::{ErrorKind, Result};
use crate::spec::{Descriptor, Digest, ImageIndex, Kind, Selector, limits, links};
use crate::store::Source;

/// The entry that is meant, or with a digest that is no entry's the document below the entries that has it.
///
/// Kinds: as [`Selector::select`].
pub fn select(source: &dyn Source, index: &ImageIndex, selector: &Selector) -> Result<Descriptor> {
    match (selector.select(index), selector) {
        (Ok(entry), _) => Ok(entry.clone()),
        (Err(absent), Selector::Digest(digest)) => below(source, index, digest)?.ok_or(absent),
        (Err(error), _) => Err(error),
    }
}

/// What is meant in `source`, as [`select`] finds it. Kinds: also those of [`Source::entries_for`].
pub fn resolve(source: &dyn Source, selector: &Selector) -> Result<Descriptor> {
    let found = source.entries_for(selector).and_then(|index| select(source, &index, selector));
    found.map_err(|error| error.context(format!("cannot find an image in {}", source.location())))
}

/// The descriptor of a document that the entries lead to, level by level; none where nothing has this digest. What cannot be read leads nowhere.
///
/// Fails with kind `interrupted` only.
pub fn below(source: &dyn Source, index: &ImageIndex, wanted: &Digest) -> Result<Option<Descriptor>> {
    let mut seen = HashSet::new();
    let mut level: Vec<Descriptor> = index.manifests.clone();
    for _ in 0..limits::INDEX_DEPTH {
        let mut next = Vec::new();
        level.retain(|document| Kind::of(&document.media_type) == Kind::Index && seen.insert(document.digest.clone()));
        for document in &level {
            let children = source.read(document, limits::MANIFEST_BYTES).and_then(|bytes| links::children(document, &bytes));
            match children {
                Ok(children) => next.extend(children.into_iter().map(|child| child.descriptor)),
                Err(error) if error.kind() == ErrorKind::Interrupted => return Err(error),
                Err(_) => {}
            }
        }
        if let Some(found) = next.iter().find(|child| child.digest == *wanted) {
            return Ok(Some(found.clone()));
        }
        level = next;
    }
    Ok(None)
}
