//! Writing `manifest.json` for the images of a layout.

use std::collections::HashMap;

use crate::error::{ErrorKind, Result};
use crate::exec::Events;
use crate::spec::{Descriptor, Digest, ImageIndex, ImageManifest, ImageName, Kind, Platform, annotation, json, limits, shape};
use crate::store::tarfile::{Form, INDEX, MANIFESTS, ReadDocument, Reading, blob_name};

use super::SCHEME;
use super::manifests::Item;

/// What a `docker-archive` has besides content: `manifest.json` and the index.
pub(super) struct Docker;

impl Form for Docker {
    fn scheme(&self) -> &'static str {
        SCHEME
    }

    fn documents(&self) -> &'static [&'static str] {
        &[MANIFESTS, INDEX]
    }

    fn reads_documents(&self) -> bool {
        true
    }

    fn write(&self, index: &ImageIndex, read: ReadDocument<'_>, events: &Events) -> Result<Vec<Vec<u8>>> {
        let items = Writer { read, events }.items(index)?;
        Ok(vec![json::canonical(&items)?, json::canonical(index)?])
    }

    fn accept(&self, _: &Reading) -> Result<()> {
        Ok(())
    }
}

/// Makes items from entries.
struct Writer<'a> {
    read: ReadDocument<'a>,
    events: &'a Events,
}

impl Writer<'_> {
    /// One item for each image, with all of its names, in the order of the entries.
    fn items(&self, index: &ImageIndex) -> Result<Vec<Item>> {
        let mut items: Vec<Item> = Vec::new();
        let mut positions: HashMap<&Digest, Option<usize>> = HashMap::new();
        for entry in &index.manifests {
            let position = match positions.get(&entry.digest) {
                Some(position) => *position,
                None => {
                    let position = self.item(entry)?.map(|item| {
                        items.push(item);
                        items.len() - 1
                    });
                    positions.insert(&entry.digest, position);
                    position
                }
            };
            if let (Some(position), Some(tag)) = (position, self.repo_tag(entry)) {
                items[position].repo_tags.get_or_insert_default().push(tag);
            }
        }
        Ok(items)
    }

    /// What an entry is called there: the short form, as Docker writes it.
    fn repo_tag(&self, entry: &Descriptor) -> Option<String> {
        let name = ImageName::of(entry)?;
        let tag = name.reference().filter(|reference| reference.tag().is_some()).map(|reference| reference.familiar());
        if tag.is_none() {
            self.events.warn(format!("`{name}` has no repository, so {MANIFESTS} cannot name it, and Docker may load it without a name"));
        }
        tag
    }

    fn item(&self, entry: &Descriptor) -> Result<Option<Item>> {
        let shown = ImageName::of(entry).map_or_else(|| entry.digest.to_string(), |name| name.to_string());
        let Some((descriptor, manifest)) = self.image(entry, &shown)? else { return Ok(None) };
        if Kind::of(&manifest.config.media_type) != Kind::Config {
            self.events.warn(format!("{} of `{shown}` is no image, so {MANIFESTS} does not list it", descriptor.digest));
            return Ok(None);
        }
        let layers = manifest.layers.iter().map(|layer| blob_name(&layer.digest)).collect();
        Ok(Some(Item { config: blob_name(&manifest.config.digest), layers: Some(layers), repo_tags: None }))
    }

    /// The manifest that stands for an entry.
    fn image(&self, entry: &Descriptor, shown: &str) -> Result<Option<(Descriptor, ImageManifest)>> {
        match Kind::of(&entry.media_type) {
            Kind::Manifest => self.manifest(entry),
            Kind::Index => {
                let mut there = Vec::new();
                for candidate in self.below(entry)? {
                    there.extend(self.manifest(&candidate)?);
                }
                let chosen = there.iter().position(|(descriptor, _)| is_preferred(descriptor)).unwrap_or(0);
                if there.len() > 1 {
                    let platform = there[chosen].0.platform.as_ref().map_or_else(|| there[chosen].0.digest.to_string(), Platform::to_string);
                    let others = there.len() - 1;
                    self.events.warn(format!(
                        "{MANIFESTS} names {platform} of `{shown}` and not its {others} other platform{}, which Docker before 25 does not see; the archive has them all",
                        if others == 1 { "" } else { "s" }
                    ));
                }
                Ok(there.into_iter().nth(chosen))
            }
            _ => {
                self.events.warn(format!("`{shown}` is no image, so {MANIFESTS} does not list it"));
                Ok(None)
            }
        }
    }

    /// The manifests below an index, in their order, without those that are about others.
    fn below(&self, index: &Descriptor) -> Result<Vec<Descriptor>> {
        let (mut manifests, mut next) = (Vec::new(), vec![(index.clone(), 1)]);
        while let Some((descriptor, depth)) = next.pop() {
            let is_about_another = descriptor.platform.as_ref().is_some_and(Platform::is_attestation)
                || descriptor.annotation(annotation::DOCKER_REFERENCE_TYPE) == Some(annotation::ATTESTATION_MANIFEST);
            match Kind::of(&descriptor.media_type) {
                Kind::Manifest if !is_about_another => manifests.push(descriptor),
                Kind::Index if depth <= limits::INDEX_DEPTH => {
                    let Some(bytes) = self.bytes(&descriptor)? else { continue };
                    let children = shape::index(&descriptor, &bytes)?.manifests;
                    next.extend(children.into_iter().rev().map(|child| (child, depth + 1)));
                }
                _ => {}
            }
        }
        Ok(manifests)
    }

    fn manifest(&self, descriptor: &Descriptor) -> Result<Option<(Descriptor, ImageManifest)>> {
        let Some(bytes) = self.bytes(descriptor)? else { return Ok(None) };
        Ok(Some((descriptor.clone(), shape::manifest(descriptor, &bytes)?)))
    }

    /// A document; none where the archive does not have it, as with platforms that were left out of a copy.
    fn bytes(&self, descriptor: &Descriptor) -> Result<Option<Vec<u8>>> {
        match (self.read)(descriptor) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// What most machines run that know no other way.
fn is_preferred(descriptor: &Descriptor) -> bool {
    descriptor.platform.as_ref().is_some_and(|platform| platform.normalized() == Platform::new("linux", "amd64", ""))
}
