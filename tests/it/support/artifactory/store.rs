//! Where a manifest goes in the storage view, what goes there with it, and what is said about it.

use std::collections::BTreeMap;

use serde_json::Value;

use super::manifests::is_tag;
use super::media::{self, Kind};
use super::storage::{Child, Properties, UPLOADS, sha256_of};
use super::world::World;

/// A manifest that may be stored.
pub(super) struct Manifest {
    pub(super) kind: Kind,
    pub(super) media_type: String,
    pub(super) digest: String,
    pub(super) bytes: Vec<u8>,
    pub(super) document: Value,
}

impl World {
    /// Stores a manifest under a tag or its digest, with its blobs beside it.
    pub(super) fn store_manifest(&mut self, manifest: &Manifest, repository: &str, image: &str, reference: &str, user: &str) {
        let place = format!("{repository}/{image}/{reference}");
        if is_tag(reference) {
            self.retain_old(repository, image, reference, &manifest.digest);
        }
        let blobs: Vec<&str> = match manifest.kind {
            Kind::List => Vec::new(),
            Kind::Image => media::children(manifest.kind, &manifest.document).iter().filter_map(|child| sha256_of(child["digest"].as_str()?)).collect(),
        };
        if manifest.kind == Kind::Image {
            self.remove_what_was_of_another(&place, &blobs);
        }
        let properties = self.properties_of(manifest, repository, image, reference);
        let path = format!("{place}/{}", manifest.kind.file_name());
        self.storage.put(&path, &manifest.bytes, user, self.now).properties = properties;
        for hex in blobs {
            let waiting = format!("{repository}/{image}/{UPLOADS}/sha256__{hex}");
            let source = if self.storage.file(&waiting).is_some() { Some(waiting) } else { self.storage.with_content(repository, hex) };
            let to = format!("{place}/sha256__{hex}");
            self.storage.copy(&source.expect("it was checked"), &to);
            self.storage.file_mut(&to).expect("just put").properties.insert("sha256".into(), vec![hex.into()]);
        }
        if is_tag(reference) {
            if manifest.kind == Kind::List && self.switches.arch_tag_duplication {
                self.add_arch_tags(manifest, repository, image, reference);
            }
            self.remove_too_old(repository, image);
        }
    }

    /// A manifest of one platform replaces one of one platform, whose blobs go. It need not replace a list.
    fn remove_what_was_of_another(&mut self, place: &str, blobs: &[&str]) {
        for child in self.storage.children(place) {
            let Child::File(name) = child else { continue };
            let is_old_blob = name.strip_prefix("sha256__").is_some_and(|hex| !blobs.contains(&hex));
            if is_old_blob || (name == Kind::List.file_name() && !self.switches.keep_list_on_single_push) {
                self.storage.remove(&format!("{place}/{name}"));
            }
        }
    }

    /// What a tag was is kept under its digest, where the repository retains old tags.
    fn retain_old(&mut self, repository: &str, image: &str, tag: &str, digest: &str) {
        if self.repository(repository).is_none_or(|repository| repository.tag_retention < 2) {
            return;
        }
        let place = format!("{repository}/{image}/{tag}");
        let old = Kind::ALL.iter().find_map(|kind| self.storage.file(&format!("{place}/{}", kind.file_name()))).map(|file| file.sha256.clone());
        if let Some(old) = old.filter(|old| sha256_of(digest) != Some(old)) {
            self.storage.copy_folder(&place, &format!("{repository}/{image}/sha256__{old}"));
            self.storage.remove(&place);
        }
    }

    /// The oldest tags make place, where the repository has a limit.
    fn remove_too_old(&mut self, repository: &str, image: &str) {
        let limit = self.repository(repository).map_or(0, |repository| repository.max_unique_tags);
        let mut ages: BTreeMap<String, u64> = BTreeMap::new();
        for (path, _) in self.manifests_of(repository, image) {
            let folder = path.rsplit_once('/').expect("in a folder").0;
            let order = self.storage.file(path).expect("it is listed").order;
            if folder.rsplit('/').next().is_some_and(is_tag) {
                let age = ages.entry(folder.to_owned()).or_default();
                *age = order.max(*age);
            }
        }
        while limit > 0 && ages.len() > limit {
            let oldest = ages.iter().min_by_key(|(_, order)| **order).map(|(folder, _)| folder.clone()).expect("more than none");
            self.storage.remove(&oldest);
            ages.remove(&oldest);
        }
    }

    /// Gives every platform of a list a tag of its own.
    fn add_arch_tags(&mut self, manifest: &Manifest, repository: &str, image: &str, tag: &str) {
        for child in media::children(manifest.kind, &manifest.document) {
            let (Some(suffix), Some(digest)) = (media::platform_suffix(child), child["digest"].as_str()) else { continue };
            let Some(path) = self.manifest_by_digest(repository, image, digest) else { continue };
            let (folder, to) = (path.rsplit_once('/').expect("in a folder").0, format!("{tag}-{suffix}"));
            self.storage.copy_folder(folder, &format!("{repository}/{image}/{to}"));
            self.rename_in_properties(repository, image, &to);
        }
    }

    /// Writes into the properties of the manifests of a tag what image and tag they belong to.
    pub(super) fn rename_in_properties(&mut self, repository: &str, image: &str, reference: &str) {
        for kind in Kind::ALL {
            if let Some(file) = self.storage.file_mut(&format!("{repository}/{image}/{reference}/{}", kind.file_name())) {
                file.properties.insert("docker.manifest".into(), vec![reference.to_owned()]);
                file.properties.insert("docker.repoName".into(), vec![image.to_owned()]);
            }
        }
    }

    fn properties_of(&self, manifest: &Manifest, repository: &str, image: &str, reference: &str) -> Properties {
        let config_type = manifest.document["config"]["mediaType"].as_str();
        let artifact_type = manifest.document["artifactType"].as_str().or(config_type).unwrap_or_default();
        let mut all: Vec<(String, String)> = [
            ("docker.manifest", reference),
            ("docker.manifest.digest", &manifest.digest),
            ("docker.manifest.type", &manifest.media_type),
            ("docker.repoName", image),
            ("sha256", sha256_of(&manifest.digest).expect("it is one")),
            ("artifactory.content-type", &manifest.media_type),
            ("oci.artifact.type", artifact_type),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        let config = self.config(repository, &manifest.document).unwrap_or_default();
        for (name, value) in config["config"]["Labels"].as_object().into_iter().flatten() {
            all.push((format!("docker.label.{name}"), value.as_str().unwrap_or_default().to_owned()));
        }
        all.into_iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| (name, vec![value])).collect()
    }
}
