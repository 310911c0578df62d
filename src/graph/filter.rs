//! An image reduced to some of its platforms: an index with fewer manifests, and everything below these untouched.
//!
//! What was asked for must be there. Attestations stay with the manifests that they are about, and go with them. image-spec, image-index.md; for
//! attestations, BuildKit's `attestation-storage.md`.

use std::collections::{HashMap, HashSet};

use crate::error::{Error, Result};
use crate::exec::Run;
use crate::spec::{Descriptor, Digest, Document, ImageIndex, Kind, MediaType, Platform, annotation, limits, media_type, shape};
use crate::store::Source;

use super::attestation::{is_attestation, subject_of};
use super::image::platform_of;

/// What is left of an image.
#[derive(Clone, Debug)]
pub struct Filtered {
    /// The new root; the old one where nothing had to go.
    pub root: Descriptor,
    /// The indexes that were written anew, those below before those above, each with the digest of the one it stands for.
    pub made: Vec<(Digest, Document<ImageIndex>)>,
    /// The digests of the entries that stay, as they are now.
    pub kept: HashSet<Digest>,
    /// What the image no longer has.
    pub left_out: Vec<Descriptor>,
}

/// Which platforms stay.
#[derive(Clone)]
pub struct Filter<'a> {
    run: &'a Run,
    source: &'a dyn Source,
    wanted: &'a [Platform],
}

impl std::fmt::Debug for Filter<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Filter").field("wanted", &self.wanted).finish_non_exhaustive()
    }
}

/// An index after filtering.
#[derive(Clone)]
struct Pruned {
    descriptor: Descriptor,
    /// For each of the wanted platforms, whether the index has it.
    found: Vec<bool>,
}

/// What is known so far.
struct Progress {
    filtered: Filtered,
    /// The platforms there are.
    there: Vec<Platform>,
    /// Indexes that were looked at: an index may be listed any number of times, by any number of others.
    known: HashMap<Digest, Option<Pruned>>,
}

impl<'a> Filter<'a> {
    /// Keeps what runs on one of `wanted`.
    pub fn new(run: &'a Run, source: &'a dyn Source, wanted: &'a [Platform]) -> Self {
        Filter { run, source, wanted }
    }

    /// Reduces the image at `root`.
    ///
    /// Kinds: `not_found` where a wanted platform is not there, with those that are; those of [`Source::open`] for documents.
    pub fn apply(&self, root: &Descriptor) -> Result<Filtered> {
        let filtered = Filtered { root: root.clone(), made: Vec::new(), kept: HashSet::new(), left_out: Vec::new() };
        let mut progress = Progress { filtered, there: Vec::new(), known: HashMap::new() };
        let found = match Kind::of(&root.media_type) {
            Kind::Index => match self.prune(root, &mut progress, 1)? {
                Some(pruned) => {
                    progress.filtered.root = pointer(root, &pruned.descriptor);
                    pruned.found
                }
                None => vec![false; self.wanted.len()],
            },
            _ => {
                let platform = self.platform(root)?;
                progress.there.extend(platform.clone());
                self.matches(platform.as_ref())
            }
        };
        match self.wanted.iter().zip(found).find(|(_, found)| !found) {
            Some((missing, _)) => Err(absent(missing, &progress.there).subject(&root.digest)),
            None => Ok(progress.filtered),
        }
    }

    /// The index at `descriptor` with what is wanted of it; none where nothing is.
    fn prune(&self, descriptor: &Descriptor, progress: &mut Progress, depth: usize) -> Result<Option<Pruned>> {
        if let Some(known) = progress.known.get(&descriptor.digest) {
            return Ok(known.clone());
        }
        self.run.cancel.check()?;
        if depth > limits::INDEX_DEPTH {
            return Err(
                Error::corrupt(format!("indexes are nested more than {} deep at {}", limits::INDEX_DEPTH, descriptor.digest)).subject(&descriptor.digest)
            );
        }
        let index = shape::index(descriptor, &self.source.read(descriptor, limits::MANIFEST_BYTES)?)?;
        let mut found = vec![false; self.wanted.len()];
        let mut kept = Vec::with_capacity(index.manifests.len());
        for entry in &index.manifests {
            kept.push(self.keep(entry, &mut found, progress, depth)?);
        }
        // An attestation names its manifest by digest, and a manifest keeps its digest.
        let runnable: HashSet<String> = kept.iter().flatten().map(|entry: &Descriptor| entry.digest.to_string()).collect();
        for (entry, kept) in index.manifests.iter().zip(&mut kept) {
            if subject_of(entry).is_some_and(|about| runnable.contains(about)) {
                *kept = Some(entry.clone());
            }
        }
        let pruned = self.finish(descriptor, index, kept, progress)?.map(|descriptor| Pruned { descriptor, found });
        progress.known.insert(descriptor.digest.clone(), pruned.clone());
        Ok(pruned)
    }

    /// An entry with what is wanted of it; none where nothing is, and for attestations.
    fn keep(&self, entry: &Descriptor, found: &mut [bool], progress: &mut Progress, depth: usize) -> Result<Option<Descriptor>> {
        match Kind::of(&entry.media_type) {
            _ if is_attestation(entry) => Ok(None),
            Kind::Index => Ok(self.prune(entry, progress, depth + 1)?.map(|pruned| {
                unite(found, &pruned.found);
                pointer(entry, &pruned.descriptor)
            })),
            _ => {
                let platform = self.platform(entry)?;
                progress.there.extend(platform.clone());
                let matches = self.matches(platform.as_ref());
                unite(found, &matches);
                Ok(matches.contains(&true).then(|| entry.clone()))
            }
        }
    }

    /// The index with the entries that are kept, written anew where some are not.
    fn finish(&self, old: &Descriptor, mut index: ImageIndex, kept: Vec<Option<Descriptor>>, progress: &mut Progress) -> Result<Option<Descriptor>> {
        let filtered = &mut progress.filtered;
        filtered.left_out.extend(index.manifests.iter().zip(&kept).filter(|(_, kept)| kept.is_none()).map(|(entry, _)| entry.clone()));
        let before = index.manifests;
        index.manifests = kept.into_iter().flatten().collect();
        if index.manifests.is_empty() {
            return Ok(None);
        }
        filtered.kept.extend(index.manifests.iter().map(|entry| entry.digest.clone()));
        if index.manifests == before {
            return Ok(Some(old.clone()));
        }
        let new = rewritten(old, index)?;
        let descriptor = new.descriptor.clone();
        filtered.made.push((old.digest.clone(), new));
        Ok(Some(descriptor))
    }

    /// What an entry runs on; none for what is no image.
    fn platform(&self, entry: &Descriptor) -> Result<Option<Platform>> {
        match Kind::of(&entry.media_type) {
            Kind::Manifest => platform_of(self.source, entry),
            _ => Ok(entry.platform.clone()),
        }
    }

    /// Which of the wanted platforms `platform` is.
    fn matches(&self, platform: Option<&Platform>) -> Vec<bool> {
        self.wanted.iter().map(|wanted| platform.is_some_and(|platform| serves(wanted, platform))).collect()
    }
}

/// Whether `platform` is what `wanted` names. A version or features that were not asked for do not matter.
fn serves(wanted: &Platform, platform: &Platform) -> bool {
    let (wanted, platform) = (wanted.normalized(), platform.normalized());
    (&wanted.os, &wanted.architecture, &wanted.variant) == (&platform.os, &platform.architecture, &platform.variant)
        && (wanted.os_version.is_none() || wanted.os_version == platform.os_version)
        && wanted.os_features.iter().all(|feature| platform.os_features.contains(feature))
}

fn unite(found: &mut [bool], more: &[bool]) {
    for (found, more) in found.iter_mut().zip(more) {
        *found |= more;
    }
}

/// The pointer `old`, leading to `new`.
fn pointer(old: &Descriptor, new: &Descriptor) -> Descriptor {
    if old.digest == new.digest {
        return old.clone();
    }
    Descriptor { digest: new.digest.clone(), size: new.size, data: None, ..old.clone() }
}

/// The new form of the index `old`. It says which one it comes from, where its kind has room for that.
fn rewritten(old: &Descriptor, mut index: ImageIndex) -> Result<Document<ImageIndex>> {
    if !media_type::is_docker(&old.media_type) {
        // The first one is what others know.
        if !index.annotations.contains_key(annotation::FILTERED_FROM) {
            index.annotations.insert(annotation::FILTERED_FROM.into(), old.digest.to_string());
        }
    }
    let media_type: MediaType = old.media_type.clone();
    Document::create(media_type, index)
}

fn absent(missing: &Platform, there: &[Platform]) -> Error {
    let mut there: Vec<String> = there.iter().filter(|platform| !platform.is_attestation()).map(ToString::to_string).collect();
    there.dedup();
    let error = Error::not_found(format!("the image has no platform {missing}"));
    match there.is_empty() {
        true => error.hint("it has none at all: leave out --platform"),
        false => error.hint(format!("it has {}", there.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::spec::ImageManifest;
    use crate::store::{Destination as _, MemoryStore};
    use serde_json::json;
    use std::num::NonZeroUsize;

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

    fn image(store: &MemoryStore, architecture: &str, variant: &str) -> Descriptor {
        let config = json!({"os": "linux", "architecture": architecture, "variant": variant, "rootfs": {"type": "layers", "diff_ids": []}});
        let config = put(store, "application/vnd.oci.image.config.v1+json", config.to_string().as_bytes());
        document(store, MediaType::ImageManifest, ImageManifest::new(config, Vec::new()))
    }

    fn on(mut entry: Descriptor, platform: &str) -> Descriptor {
        entry.platform = Some(Platform::parse(platform).expect("a platform"));
        entry
    }

    fn attestation(store: &MemoryStore, about: &Descriptor) -> Descriptor {
        let config = put(store, "application/vnd.oci.empty.v1+json", b"{}");
        let statement = put(store, "application/vnd.in-toto+json", about.digest.as_str().as_bytes());
        let mut entry = document(store, MediaType::ImageManifest, ImageManifest::new(config, vec![statement]));
        entry.platform = Some(Platform::new("unknown", "unknown", ""));
        entry.annotations.insert(annotation::DOCKER_REFERENCE_TYPE.into(), annotation::ATTESTATION_MANIFEST.into());
        entry.annotations.insert(annotation::DOCKER_REFERENCE_DIGEST.into(), about.digest.to_string());
        entry
    }

    fn filtered(store: &MemoryStore, root: &Descriptor, wanted: &str) -> Result<Filtered> {
        let run = Run::new(NonZeroUsize::MIN).expect("a pool");
        Filter::new(&run, store, &Platform::parse_list(wanted).expect("platforms")).apply(root)
    }

    #[test]
    fn kept_platforms_keep_their_attestations_and_the_others_lose_theirs() {
        let store = MemoryStore::default();
        let (amd64, arm) = (on(image(&store, "amd64", ""), "linux/amd64"), on(image(&store, "arm", "v7"), "linux/arm/v7"));
        let (proof, other) = (attestation(&store, &amd64), attestation(&store, &arm));
        let root = document(&store, MediaType::ImageIndex, ImageIndex::new(vec![amd64.clone(), arm.clone(), proof.clone(), other.clone()]));
        let out = filtered(&store, &root, "linux/amd64").expect("filtered");
        let [(from, made)] = &out.made[..] else { panic!("one new index: {:?}", out.made) };
        assert_eq!((from, &made.value.manifests), (&root.digest, &vec![amd64, proof]));
        assert_eq!(made.value.annotations.get(annotation::FILTERED_FROM), Some(root.digest.as_str()));
        assert_eq!((&out.root.digest, out.left_out), (&made.descriptor.digest, vec![arm, other]));
        // Filtering again changes nothing.
        store.put(&made.descriptor, &mut &made.bytes[..]).expect("stored");
        assert!(filtered(&store, &out.root, "linux/amd64").expect("filtered").made.is_empty());
    }

    #[test]
    fn what_is_kept_whole_keeps_its_digest() {
        let store = MemoryStore::default();
        let entries = vec![on(image(&store, "amd64", ""), "linux/amd64"), image(&store, "arm64", "v8")];
        let mut root = document(&store, MediaType::ImageIndex, ImageIndex::new(entries));
        root.annotations.insert("name".into(), "x".into());
        let out = filtered(&store, &root, "linux/arm64,linux/amd64").expect("the config says what an entry does not");
        assert_eq!(out.root, root);
        let single = image(&store, "amd64", "");
        assert_eq!(filtered(&store, &single, "linux/amd64").expect("the same").root, single);
    }

    #[test]
    fn a_platform_that_is_missing_is_an_error_that_lists_those_there_are() {
        let store = MemoryStore::default();
        let root = document(&store, MediaType::ImageIndex, ImageIndex::new(vec![on(image(&store, "amd64", ""), "linux/amd64")]));
        for (root, wanted) in [(&root, "linux/amd64,linux/arm64"), (&root, "linux/arm64"), (&image(&store, "amd64", ""), "linux/arm64")] {
            let error = filtered(&store, root, wanted).expect_err("absent");
            assert_eq!((error.kind(), error.hint_text()), (ErrorKind::NotFound, Some("it has linux/amd64")));
        }
    }

    #[test]
    fn lay_50_indexes_listed_many_times_are_looked_at_once() {
        let store = MemoryStore::default();
        let mut root = document(
            &store,
            MediaType::ImageIndex,
            ImageIndex::new(vec![on(image(&store, "amd64", ""), "linux/amd64"), on(image(&store, "arm", "v7"), "linux/arm/v7")]),
        );
        for _ in 2..limits::INDEX_DEPTH {
            root = document(&store, MediaType::ImageIndex, ImageIndex::new(vec![root; 30]));
        }
        let out = filtered(&store, &root, "linux/amd64").expect("filtered");
        assert_eq!((out.made.len(), out.left_out.len()), (limits::INDEX_DEPTH - 1, 1));
    }

    #[test]
    fn nested_indexes_are_rewritten_from_below() {
        let store = MemoryStore::default();
        let (amd64, arm64) = (on(image(&store, "amd64", ""), "linux/amd64"), on(image(&store, "arm64", ""), "linux/arm64"));
        let inner = document(&store, MediaType::ImageIndex, ImageIndex::new(vec![amd64.clone(), arm64.clone()]));
        let only = document(&store, MediaType::ImageIndex, ImageIndex::new(vec![arm64.clone()]));
        let root = document(&store, MediaType::ImageIndex, ImageIndex::new(vec![inner.clone(), only.clone()]));
        let out = filtered(&store, &root, "linux/amd64").expect("filtered");
        let from: Vec<_> = out.made.iter().map(|(from, _)| from.clone()).collect();
        assert_eq!(from, [inner.digest, root.digest]);
        assert_eq!(out.made[1].1.value.manifests, [out.made[0].1.descriptor.clone()]);
        assert!(out.left_out.contains(&only) && out.left_out.contains(&arm64));
    }
}
