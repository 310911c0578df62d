//! One platform's image: from what a name stands on to the manifest, the config and the layers.
//!
//! An index, however nested, is a list of images; which of them is meant is decided here, in containerd's order of preference. Attestations and other
//! artifacts are no images. What an index does not say of an image's platform, its config does. image-spec, image-index.md.

use std::collections::HashSet;

use crate::error::{Error, Result};
use crate::spec::{Descriptor, DiffId, Document, ImageConfig, ImageManifest, Kind, Platform, limits, platform, shape, text};
use crate::store::Source;

use super::attestation::is_attestation;

/// Which of several images is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// The one that serves this platform best, of its own operating system and architecture.
    For(Platform),
    /// The only one there is; of several the one that runs best on this platform, that of the machine.
    OnlyOr(Platform),
}

/// An image for one platform. It has as many layers as diff IDs; what kind of content its layers are is not checked.
#[derive(Clone, Debug)]
pub struct Image {
    /// The manifest.
    pub manifest: Document<ImageManifest>,
    /// The config.
    pub config: ImageConfig,
    /// What it runs on, as its config says.
    pub platform: Platform,
    /// The diff IDs of the layers, bottom first.
    pub diff_ids: Vec<DiffId>,
}

/// An image that a name leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The manifest, as its index points to it.
    pub descriptor: Descriptor,
    /// What it runs on: what the index says, else what its config says.
    pub platform: Platform,
}

impl Image {
    /// The image that is meant, of those that `root` leads to.
    ///
    /// Kinds: `not_found` where there is none for the platform, with the platforms there are; `unsupported` where `root` is no image; `corrupt` for documents
    /// that are not what they must be; those of [`Source::open`].
    pub fn find(source: &dyn Source, root: &Descriptor, choice: &Choice) -> Result<Image> {
        Image::of(source, &select(source, root, choice)?)
    }

    /// The image that was chosen. Kinds as [`Image::find`], without `not_found`.
    pub fn of(source: &dyn Source, chosen: &Candidate) -> Result<Image> {
        let image = Image::read(source, &chosen.descriptor)?;
        let (said, own) = (chosen.platform.normalized(), image.platform.normalized());
        if (&said.os, &said.architecture) != (&own.os, &own.architecture) {
            return Err(Error::corrupt(format!("the index says that the image is for {}, its config for {}", chosen.platform, image.platform))
                .subject(&chosen.descriptor.digest));
        }
        Ok(image)
    }

    /// The image whose manifest `descriptor` names. Kinds as [`Image::find`], without `not_found`.
    pub fn read(source: &dyn Source, descriptor: &Descriptor) -> Result<Image> {
        let manifest = read_manifest(source, descriptor)?;
        let config: ImageConfig = read_config(source, &manifest.value)?;
        let about = |error: Error| error.context(format!("cannot use the image {}", descriptor.digest)).subject(&descriptor.digest);
        let platform = config.platform().map_err(about)?;
        let diff_ids = config.diff_ids_for(manifest.value.layers.len()).map_err(about)?;
        Ok(Image { manifest, config, platform, diff_ids })
    }
}

/// Which of the images that `root` leads to is meant. What an index says enough of is not read, so neither manifest nor config need be there.
///
/// Kinds as [`Image::find`].
pub fn select(source: &dyn Source, root: &Descriptor, choice: &Choice) -> Result<Candidate> {
    choose(&candidates(source, root)?, choice).cloned().map_err(|error| error.subject(&root.digest))
}

/// The images that `root` leads to, in the order of its indexes, each once.
///
/// Kinds: `unsupported` where `root` itself is neither an image nor an index; `corrupt` for documents that are not what they must be; those of
/// [`Source::open`].
pub fn candidates(source: &dyn Source, root: &Descriptor) -> Result<Vec<Candidate>> {
    if !matches!(Kind::of(&root.media_type), Kind::Index | Kind::Manifest) {
        return Err(Error::unsupported(format!("`{}` is neither an image nor an index", text::shown(root.media_type.as_ref()))).subject(&root.digest));
    }
    let mut found = Vec::new();
    let mut seen = HashSet::new();
    // A stack and not recursion, and each document once: nesting and repetition are what somebody else wrote.
    let mut pending = vec![(root.clone(), 0)];
    while let Some((descriptor, depth)) = pending.pop() {
        if depth > limits::INDEX_DEPTH {
            return Err(Error::corrupt(format!("indexes are nested more than {} deep", limits::INDEX_DEPTH)).subject(&descriptor.digest));
        }
        if is_attestation(&descriptor) || !seen.insert((descriptor.digest.clone(), descriptor.platform.as_ref().map(ToString::to_string))) {
            continue;
        }
        match Kind::of(&descriptor.media_type) {
            Kind::Index => {
                let index = shape::index(&descriptor, &source.read(&descriptor, limits::MANIFEST_BYTES)?)?;
                pending.extend(index.manifests.into_iter().rev().map(|child| (child, depth + 1)));
            }
            Kind::Manifest => {
                if let Some(platform) = platform_of(source, &descriptor)? {
                    found.push(Candidate { descriptor, platform });
                }
            }
            _ => {}
        }
    }
    match (found.is_empty(), Kind::of(&root.media_type)) {
        (true, Kind::Manifest) => Err(not_an_image(root)),
        _ => Ok(found),
    }
}

/// What the image runs on; none for an artifact.
pub fn platform_of(source: &dyn Source, descriptor: &Descriptor) -> Result<Option<Platform>> {
    if let Some(platform) = &descriptor.platform {
        return Ok(Some(platform.clone()));
    }
    let manifest = read_manifest(source, descriptor)?;
    match Kind::of(&manifest.value.config.media_type) {
        Kind::Config => read_config(source, &manifest.value)?.platform().map(Some),
        _ => Ok(None),
    }
}

fn read_manifest(source: &dyn Source, descriptor: &Descriptor) -> Result<Document<ImageManifest>> {
    Document::parse(descriptor.clone(), source.read(descriptor, limits::MANIFEST_BYTES)?, limits::MANIFEST_BYTES)
}

fn read_config(source: &dyn Source, manifest: &ImageManifest) -> Result<ImageConfig> {
    if Kind::of(&manifest.config.media_type) != Kind::Config {
        return Err(not_an_image(&manifest.config));
    }
    Document::parse(manifest.config.clone(), source.read(&manifest.config, limits::CONFIG_BYTES)?, limits::CONFIG_BYTES).map(|document| document.value)
}

fn not_an_image(descriptor: &Descriptor) -> Error {
    Error::unsupported("it is an artifact and not a container image").subject(&descriptor.digest)
}

fn choose<'a>(candidates: &'a [Candidate], choice: &Choice) -> Result<&'a Candidate> {
    match (candidates, choice) {
        ([only], Choice::OnlyOr(_)) => Ok(only),
        // Configs of old images leave the variant out, and with a single one there is nothing to confuse it with.
        ([only], Choice::For(wanted)) if only.descriptor.platform.is_none() && is_same_machine(&only.platform, wanted) => Ok(only),
        (_, Choice::For(wanted)) => best(candidates.iter().filter(|candidate| is_same_machine(&candidate.platform, wanted)).collect(), wanted),
        (_, Choice::OnlyOr(host)) => best(candidates.iter().collect(), host),
    }
    .map_err(|error| {
        let there: Vec<String> = candidates.iter().map(|candidate| candidate.platform.to_string()).collect();
        if there.is_empty() { error } else { error.hint(format!("it has {}", there.join(", "))) }
    })
}

fn best<'a>(candidates: Vec<&'a Candidate>, wanted: &Platform) -> Result<&'a Candidate> {
    let found = platform::select(wanted, candidates.iter().map(|candidate| &candidate.platform));
    found.map(|position| candidates[position]).ok_or_else(|| Error::not_found(format!("there is no image for platform {wanted}")))
}

/// An image for another architecture may run on this one, but somebody who names an architecture means it.
fn is_same_machine(platform: &Platform, wanted: &Platform) -> bool {
    let (platform, wanted) = (platform.normalized(), wanted.normalized());
    (platform.os, platform.architecture) == (wanted.os, wanted.architecture)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::spec::{Digest, ImageIndex, MediaType};
    use crate::store::{Destination as _, MemoryStore};
    use serde_json::json;

    fn put(store: &MemoryStore, media_type: &str, bytes: &[u8]) -> Descriptor {
        let descriptor = Descriptor::new(media_type, Digest::sha256(bytes), bytes.len() as u64);
        store.put(&descriptor, &mut &bytes[..]).expect("stored");
        descriptor
    }

    fn document<T: serde::Serialize>(store: &MemoryStore, media_type: MediaType, value: T) -> Descriptor {
        let document = Document::create(media_type, value).expect("created");
        store.put(&document.descriptor, &mut &document.bytes[..]).expect("stored");
        document.descriptor
    }

    /// An image whose config says `platform`.
    fn image(store: &MemoryStore, platform: &str) -> Descriptor {
        let mut parts = platform.split('/');
        let mut part = || parts.next().unwrap_or_default();
        let config = json!({"os": part(), "architecture": part(), "variant": part(), "rootfs": {"type": "layers", "diff_ids": []}});
        let config = put(store, "application/vnd.oci.image.config.v1+json", config.to_string().as_bytes());
        document(store, MediaType::ImageManifest, ImageManifest::new(config, Vec::new()))
    }

    /// The same as an index points to it.
    fn entry(store: &MemoryStore, platform: &str) -> Descriptor {
        Descriptor { platform: Some(Platform::parse(platform).expect("a platform")), ..image(store, platform) }
    }

    fn artifact(store: &MemoryStore) -> Descriptor {
        let config = put(store, "application/vnd.oci.empty.v1+json", b"{}");
        document(store, MediaType::ImageManifest, ImageManifest::new(config, Vec::new()))
    }

    fn index(store: &MemoryStore, manifests: Vec<Descriptor>) -> Descriptor {
        document(store, MediaType::ImageIndex, ImageIndex::new(manifests))
    }

    fn found(store: &MemoryStore, root: &Descriptor, choice: &Choice) -> Result<String> {
        Image::find(store, root, choice).map(|image| image.platform.to_string())
    }

    fn wanted(text: &str) -> Choice {
        Choice::For(Platform::parse(text).expect("a platform"))
    }

    fn host(text: &str) -> Choice {
        Choice::OnlyOr(Platform::parse(text).expect("a platform"))
    }

    #[test]
    fn a_named_platform_must_be_there_and_the_machine_takes_what_it_runs() {
        let store = MemoryStore::default();
        let root = index(&store, vec![entry(&store, "linux/386"), entry(&store, "linux/arm/v6"), entry(&store, "linux/arm/v7")]);
        assert_eq!(found(&store, &root, &wanted("linux/arm/v7")).expect("there"), "linux/arm/v7");
        assert_eq!(found(&store, &root, &wanted("linux/arm/v8")).expect("v8 runs v7"), "linux/arm/v7");
        let error = found(&store, &root, &wanted("linux/amd64")).expect_err("only 386");
        assert_eq!((error.kind(), error.hint_text()), (ErrorKind::NotFound, Some("it has linux/386, linux/arm/v6, linux/arm/v7")));
        assert_eq!(found(&store, &root, &host("linux/amd64")).expect("amd64 runs 386"), "linux/386");
        assert_eq!(found(&store, &root, &host("linux/s390x")).expect_err("no such image").kind(), ErrorKind::NotFound);
    }

    #[test]
    fn the_only_image_needs_no_choice() {
        let store = MemoryStore::default();
        let single = image(&store, "linux/arm");
        for root in [single.clone(), index(&store, vec![single.clone()]), index(&store, vec![entry(&store, "linux/arm"), artifact(&store)])] {
            assert_eq!(found(&store, &root, &host("linux/amd64")).expect("the only one"), "linux/arm");
            assert_eq!(found(&store, &root, &wanted("linux/amd64")).expect_err("it is for arm").kind(), ErrorKind::NotFound);
        }
        assert_eq!(found(&store, &single, &wanted("linux/arm/v6")).expect("the config does not say the variant"), "linux/arm");
    }

    #[test]
    fn lay_70_attestations_are_never_selected_and_nested_indexes_are() {
        let store = MemoryStore::default();
        let mut proof = artifact(&store);
        proof.platform = Some(Platform::new("unknown", "unknown", ""));
        let nested = index(&store, vec![proof.clone(), image(&store, "linux/arm64")]);
        let root = index(&store, vec![proof, entry(&store, "linux/amd64"), nested]);
        let all: Vec<_> = candidates(&store, &root).expect("read").iter().map(|candidate| candidate.platform.to_string()).collect();
        assert_eq!(all, ["linux/amd64", "linux/arm64"]);
        assert_eq!(found(&store, &root, &wanted("linux/arm64")).expect("there"), "linux/arm64");
    }

    #[test]
    fn lay_48_an_artifact_is_no_image() {
        let store = MemoryStore::default();
        let error = found(&store, &artifact(&store), &host("linux/amd64")).expect_err("no image");
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        let blob = put(&store, "application/octet-stream", b"x");
        assert_eq!(found(&store, &blob, &host("linux/amd64")).expect_err("no image").kind(), ErrorKind::Unsupported);
    }

    #[test]
    fn lay_50_a_diamond_is_walked_once() {
        let store = MemoryStore::default();
        let mut root = entry(&store, "linux/amd64");
        for _ in 0..limits::INDEX_DEPTH {
            root = index(&store, vec![root.clone(), root.clone(), root]);
        }
        assert_eq!(candidates(&store, &root).expect("walked").len(), 1);
        assert_eq!(candidates(&store, &index(&store, vec![root])).expect_err("too deep").kind(), ErrorKind::Corrupt);
    }

    #[test]
    fn an_index_that_contradicts_the_config_is_corrupt() {
        let store = MemoryStore::default();
        let mut lie = entry(&store, "linux/amd64");
        lie.platform = Some(Platform::new("linux", "arm64", ""));
        let root = index(&store, vec![lie]);
        assert_eq!(found(&store, &root, &wanted("linux/arm64")).expect_err("a lie").kind(), ErrorKind::Corrupt);
    }

    #[test]
    fn lay_39_there_is_a_diff_id_for_each_layer() {
        let store = MemoryStore::default();
        let config = json!({"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": []}});
        let config = put(&store, "application/vnd.oci.image.config.v1+json", config.to_string().as_bytes());
        let layer = put(&store, "application/vnd.oci.image.layer.v1.tar", &[0; 1024]);
        let root = document(&store, MediaType::ImageManifest, ImageManifest::new(config, vec![layer]));
        assert_eq!(found(&store, &root, &host("linux/amd64")).expect_err("one layer, no diff ID").kind(), ErrorKind::Corrupt);
    }
}
