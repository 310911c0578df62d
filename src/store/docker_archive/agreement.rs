//! The two views of an archive that is an image layout too: whoever looks at `manifest.json` must see the images that the layout names.

use std::collections::BTreeSet;

use crate::error::{Error, ErrorKind, Result};
use crate::spec::{Descriptor, Digest, ImageIndex, ImageName, Kind, limits, shape, text};
use crate::store::entries::Identity;
use crate::store::tarfile::{MANIFESTS, Reading, blob_name, resolve};

use super::manifests::Item;

/// Checks that every image of `items` is one of the entries of `index`, under the names that both have. Names that `manifest.json` alone has are added.
///
/// Fails with kind `corrupt` where they are different images.
pub(super) fn check(archive: &Reading, mut index: ImageIndex, items: &[Item]) -> Result<ImageIndex> {
    let entries = index.manifests.iter().map(|entry| Ok((entry.clone(), configs(archive, entry)?))).collect::<Result<Vec<_>>>()?;
    for (position, item) in items.iter().enumerate() {
        let ambiguous = |why: String| {
            let shown = &archive.input.shown;
            Error::corrupt(format!("ambiguous: image {position} of {MANIFESTS} in archive {shown} {why}")).subject(shown)
        };
        let path = resolve(b"", item.config.as_bytes())
            .ok_or_else(|| Error::corrupt(format!("`{}` would escape from the archive", text::shown(&item.config))).subject(&archive.input.shown))?;
        let is_meant = |configs: &BTreeSet<Digest>| configs.iter().any(|config| blob_name(config).as_bytes() == &*path);
        let Some((image, _)) = entries.iter().find(|(_, configs)| is_meant(configs)) else {
            return Err(ambiguous(format!("has the config `{}`, which no image of its layout has", text::shown(&item.config))));
        };
        for name in item.repo_tags.iter().flatten().filter_map(|tag| ImageName::parse_reference(tag).ok()) {
            let identity = Identity::of(&name);
            let mut namesakes = entries.iter().filter(|(entry, _)| Identity::of_entry(entry).as_ref() == Some(&identity)).peekable();
            if namesakes.peek().is_none() {
                let mut entry = image.clone();
                name.apply(&mut entry);
                index.manifests.push(entry);
            } else if !namesakes.any(|(_, configs)| is_meant(configs)) {
                return Err(ambiguous(format!("is not what its layout calls `{name}`")));
            }
        }
    }
    Ok(index)
}

/// The configs of all manifests below an entry that are in the archive.
fn configs(archive: &Reading, entry: &Descriptor) -> Result<BTreeSet<Digest>> {
    let (mut configs, mut seen) = (BTreeSet::new(), BTreeSet::new());
    let mut next = vec![(entry.clone(), 0)];
    while let Some((descriptor, depth)) = next.pop() {
        let kind = Kind::of(&descriptor.media_type);
        if !matches!(kind, Kind::Index | Kind::Manifest) || depth > limits::INDEX_DEPTH || !seen.insert(descriptor.digest.clone()) {
            continue;
        }
        let bytes = match archive.open_blob(&descriptor).and_then(|content| content.read_to_vec(limits::MANIFEST_BYTES)) {
            Ok(bytes) => bytes,
            // Images are saved without the platforms that nobody asked for.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        match kind {
            Kind::Index => next.extend(shape::index(&descriptor, &bytes)?.manifests.into_iter().map(|child| (child, depth + 1))),
            _ => {
                configs.insert(shape::manifest(&descriptor, &bytes)?.config.digest);
            }
        }
    }
    Ok(configs)
}
