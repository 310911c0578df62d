//! The names: which of them the new image gets, and how they come there.

use std::collections::HashSet;

use crate::build::spec::Level;
use crate::error::{Error, Result};
use crate::ops::tag::{self, GivenName};
use crate::spec::{Descriptor, Digest, ImageIndex, ImageName, Kind, text};
use crate::store::entries;
use crate::store::layout::Layout;

use super::changes::Changes;
use super::image::replaced;
use super::{EditRequest, annotations};

/// What is decided of the names before the work begins.
#[derive(Debug)]
pub(super) struct Naming {
    /// The entries that are meant: at least one, all with one digest.
    old: Vec<Descriptor>,
    /// The names to give; with none the entries move.
    new: Vec<ImageName>,
}

/// What became of the names.
#[derive(Debug)]
pub(super) struct Named {
    pub(super) names: Vec<GivenName>,
    /// Names of signatures and the like that are bound to content which the new image does not have.
    pub(super) left_behind: Vec<String>,
}

impl Naming {
    /// Kinds: `not_found` where there is no such image; `usage` where several are meant, or for what cannot be a name.
    pub(super) fn of(layout: &Layout, request: &EditRequest) -> Result<Naming> {
        let index = layout.index()?;
        let selected = request.image.select(&index).map_err(|error| error.context(format!("cannot find an image in oci:{}", text::path(layout.path()))))?;
        let new = match request.names.is_empty() {
            true => Vec::new(),
            false => tag::new_names(&request.names, &request.image, &index, selected)?,
        };
        let mut old: Vec<Descriptor> = request.image.entries(&index).into_iter().cloned().collect();
        old.dedup();
        Ok(Naming { old, new })
    }

    /// What the names stand on.
    pub(super) fn root(&self) -> &Descriptor {
        &self.old[0]
    }

    /// The names that the new image gets.
    pub(super) fn names(&self) -> Vec<ImageName> {
        match self.new.is_empty() {
            true => self.old.iter().filter_map(ImageName::of).collect(),
            false => self.new.clone(),
        }
    }

    /// Lets the names stand on `root`. Kind `conflict` where another process changed an entry that is to move.
    pub(super) fn commit(&self, layout: &Layout, root: &Descriptor, gone: &HashSet<Digest>, changes: &Changes) -> Result<Named> {
        layout.update_index(|index| {
            let names = tag::given(index, &self.names(), &root.digest);
            let left_behind = left_behind(index, gone);
            match self.new.is_empty() {
                true => self.replace(index, root, changes)?,
                false => entries::enter(index, &self.new.iter().map(|name| named(&self.entry(self.root(), root, changes), name)).collect::<Vec<_>>()),
            }
            Ok(Named { names, left_behind })
        })
    }

    fn replace(&self, index: &mut ImageIndex, root: &Descriptor, changes: &Changes) -> Result<()> {
        for old in &self.old {
            let mut there = false;
            for entry in index.manifests.iter_mut().filter(|entry| *entry == old) {
                *entry = self.entry(old, root, changes);
                there = true;
            }
            if !there {
                let name = ImageName::of(old).map_or_else(|| old.digest.to_string(), |name| name.to_string());
                return Err(Error::conflict(format!("another process changed what `{name}` stands on")).subject(name).hint("run the same command again"));
            }
        }
        Ok(())
    }

    /// The entry `old` for the new image.
    fn entry(&self, old: &Descriptor, root: &Descriptor, changes: &Changes) -> Descriptor {
        let level = if Kind::of(&root.media_type) == Kind::Index { Level::IndexDescriptor } else { Level::ManifestDescriptor };
        let mut new = replaced(old, root);
        new.annotations = annotations::edited(&new.annotations, level, None, &changes.annotations);
        new
    }
}

fn named(entry: &Descriptor, name: &ImageName) -> Descriptor {
    let mut entry = entry.clone();
    name.apply(&mut entry);
    entry
}

/// Names of the form `sha256-…`, by which signatures and other attachments are found where there are no referrers, for content that is gone.
fn left_behind(index: &ImageIndex, gone: &HashSet<Digest>) -> Vec<String> {
    let digest = |name: &str| name.split('.').next().and_then(|bound| bound.replacen('-', ":", 1).parse::<Digest>().ok());
    let names = index.manifests.iter().filter_map(|entry| ImageName::of(entry)?.tag());
    names.filter(|name| digest(name).is_some_and(|digest| gone.contains(&digest))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::MediaType;

    #[test]
    fn lay_66_and_sig_15_what_is_bound_to_content_by_its_name_is_found() {
        let (old, other) = (Digest::sha256(b"old"), Digest::sha256(b"other"));
        let entry = |name: String| {
            let mut entry = Descriptor::new(MediaType::ImageManifest, Digest::sha256(name.as_bytes()), 1);
            ImageName::tag_only(&name).expect("a tag").apply(&mut entry);
            entry
        };
        let bound = |digest: &Digest, suffix: &str| format!("sha256-{}{suffix}", digest.encoded());
        let names = [bound(&old, ".sig"), bound(&old, ""), bound(&other, ".sig"), "1.0".into(), "sha256-1".into()];
        let index = ImageIndex::new(names.iter().cloned().map(entry).collect());
        assert_eq!(left_behind(&index, &HashSet::from([old])), names[..2]);
    }
}
