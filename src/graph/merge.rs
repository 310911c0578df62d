//! Images of several sources put together in one index.
//!
//! The order is that of the arguments. The same manifest counts once, where it came first; two different ones for one platform are an error unless the later one
//! is to replace the earlier. What an index.json said of names does not enter: names belong to layouts. image-spec, image-index.md.

use std::collections::{HashMap, HashSet};

use crate::error::{Error, Result};
use crate::exec::Run;
use crate::spec::{Annotations, Descriptor, Digest, Document, ImageIndex, ImageName, Kind, MediaType, Platform, limits, media_type, shape};
use crate::store::Source;

use super::attestation::{is_attestation, subject_of};
use super::image::platform_of;

/// What becomes of indexes among the sources.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Nesting {
    /// Their manifests become members.
    #[default]
    Flattened,
    /// They become members themselves.
    Kept,
}

/// What becomes of a second manifest for the same platform.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Clash {
    /// It is an error.
    #[default]
    Refused,
    /// It takes the place of the first.
    Replaces,
}

/// A member of an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The entry in the index.
    pub descriptor: Descriptor,
    /// Which source has it: its position among those that were added.
    pub source: usize,
}

/// An index in the making.
#[derive(Clone)]
pub struct Merge<'a> {
    run: &'a Run,
    sources: Vec<&'a dyn Source>,
    nesting: Nesting,
    clash: Clash,
    members: Vec<Member>,
    by_digest: HashMap<Digest, Vec<usize>>,
    /// The first member for each platform, by the text of the platform.
    by_platform: HashMap<String, usize>,
    /// What lost its place to another manifest for its platform, with the attestations about it.
    pub replaced: Vec<Descriptor>,
}

impl std::fmt::Debug for Merge<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Merge").field("members", &self.members).field("replaced", &self.replaced).finish_non_exhaustive()
    }
}

impl<'a> Merge<'a> {
    /// An index without members.
    pub fn new(run: &'a Run, nesting: Nesting, clash: Clash) -> Self {
        Merge { run, sources: Vec::new(), nesting, clash, members: Vec::new(), by_digest: HashMap::new(), by_platform: HashMap::new(), replaced: Vec::new() }
    }

    /// Adds the image or index at `root`. Returns the position of its source.
    ///
    /// Kinds: `conflict` for a platform that is there already; those of [`Source::open`] for documents.
    pub fn add(&mut self, source: &'a dyn Source, root: &Descriptor) -> Result<usize> {
        let position = self.sources.len();
        self.sources.push(source);
        let mut found = Vec::new();
        self.flatten(source, root, 0, &mut HashSet::new(), &mut found)?;
        for descriptor in found {
            self.enter(Member { descriptor, source: position })?;
        }
        Ok(position)
    }

    /// Adds `members` as they are, two for one platform as well: who made that index wanted it so. Returns the position of their source.
    pub fn add_members(&mut self, source: &'a dyn Source, members: &[Descriptor]) -> usize {
        let position = self.sources.len();
        self.sources.push(source);
        members.iter().for_each(|descriptor| self.push(Member { descriptor: descriptor.clone(), source: position }));
        position
    }

    /// The manifests below `entry`, in order.
    fn flatten(&self, source: &dyn Source, entry: &Descriptor, depth: usize, seen: &mut HashSet<Digest>, found: &mut Vec<Descriptor>) -> Result<()> {
        self.run.cancel.check()?;
        match Kind::of(&entry.media_type) {
            Kind::Index if self.nesting == Nesting::Flattened => {
                if depth == limits::INDEX_DEPTH {
                    return Err(Error::corrupt(format!("indexes are nested more than {} deep at {}", limits::INDEX_DEPTH, entry.digest)).subject(&entry.digest));
                }
                // What an index lists it lists once, however often it is listed itself.
                if !seen.insert(entry.digest.clone()) {
                    return Ok(());
                }
                let index = shape::index(entry, &source.read(entry, limits::MANIFEST_BYTES)?)?;
                index.manifests.iter().try_for_each(|entry| self.flatten(source, entry, depth + 1, seen, found))
            }
            _ => {
                let mut entry = entry.clone();
                ImageName::clear(&mut entry);
                entry.platform = match Kind::of(&entry.media_type) {
                    Kind::Manifest => platform_of(source, &entry)?,
                    _ => entry.platform,
                };
                found.push(entry);
                Ok(())
            }
        }
    }

    fn enter(&mut self, new: Member) -> Result<()> {
        let same = |known: &&mut Member| known.descriptor.digest == new.descriptor.digest && is_same_platform(&known.descriptor, &new.descriptor);
        if let Some(position) = self.by_digest.get(&new.descriptor.digest).into_iter().flatten().copied().find(|position| same(&&mut self.members[*position])) {
            let annotations = &mut self.members[position].descriptor.annotations;
            // What was there first counts.
            let first = std::mem::replace(annotations, new.descriptor.annotations);
            annotations.extend(first);
            return Ok(());
        }
        let clashing = platform_key(&new.descriptor).and_then(|key| self.by_platform.get(&key).copied());
        match (clashing, self.clash) {
            (None, _) => self.push(new),
            (Some(position), Clash::Replaces) => self.replace(position, new),
            (Some(position), Clash::Refused) => {
                return Err(two_images(&self.members[position].descriptor, &new.descriptor).hint("--replace takes the later one"));
            }
        }
        Ok(())
    }

    fn push(&mut self, member: Member) {
        let position = self.members.len();
        self.by_digest.entry(member.descriptor.digest.clone()).or_default().push(position);
        if let Some(key) = platform_key(&member.descriptor) {
            self.by_platform.entry(key).or_insert(position);
        }
        self.members.push(member);
    }

    /// Puts `new` in the place of the member at `position`; others for its platform and the attestations about all of these go.
    fn replace(&mut self, position: usize, new: Member) {
        let key = platform_key(&new.descriptor);
        let goes = |member: &Member| platform_key(&member.descriptor) == key;
        let doomed: HashSet<String> = self.members.iter().filter(|member| goes(member)).map(|member| member.descriptor.digest.to_string()).collect();
        let members = std::mem::take(&mut self.members);
        (self.by_digest, self.by_platform) = Default::default();
        let mut new = Some(new);
        for (at, member) in members.into_iter().enumerate() {
            let replaced = goes(&member) || subject_of(&member.descriptor).is_some_and(|about| doomed.contains(about));
            if at == position {
                new.take().into_iter().for_each(|new| self.push(new));
            }
            match replaced {
                true => self.replaced.push(member.descriptor),
                false => self.push(member),
            }
        }
    }

    /// The members, in order.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The members of one source.
    pub fn members_of(&self, source: usize) -> Vec<Descriptor> {
        self.members.iter().filter(|member| member.source == source).map(|member| member.descriptor.clone()).collect()
    }
}

/// A new index of `members`. Where everything in it is Docker's it is a manifest list, which has no annotations.
///
/// Fails with kind `unsupported` where it should have some.
pub fn document(annotations: Annotations, members: Vec<Descriptor>) -> Result<Document<ImageIndex>> {
    let docker = !members.is_empty() && members.iter().all(|member| media_type::is_docker(&member.media_type));
    let media_type = if docker { MediaType::from(media_type::DOCKER_MANIFEST_LIST) } else { MediaType::ImageIndex };
    let body = ImageIndex { annotations, ..ImageIndex::new(members) };
    of_type(media_type, body)
}

/// The index `old` with another body. A manifest list stays one for as long as everything in it is Docker's. Fails as [`document`].
pub fn changed(old: &Descriptor, body: ImageIndex) -> Result<Document<ImageIndex>> {
    let list = media_type::is_docker(&old.media_type) && body.manifests.iter().all(|member| media_type::is_docker(&member.media_type));
    of_type(if list { old.media_type.clone() } else { MediaType::ImageIndex }, body)
}

fn of_type(media_type: MediaType, mut body: ImageIndex) -> Result<Document<ImageIndex>> {
    if media_type::is_docker(&media_type) && !body.annotations.is_empty() {
        return Err(Error::unsupported("all images are of Docker's media types, and its manifest list has no annotations")
            .hint("convert one of the images to OCI media types, or leave out the annotations"));
    }
    body.media_type = Some(media_type.clone());
    Document::create(media_type, body)
}

/// That an index must not have both.
fn two_images(old: &Descriptor, new: &Descriptor) -> Error {
    let platform = new.platform.as_ref().map(ToString::to_string).unwrap_or_default();
    Error::conflict(format!("there are two images for {platform}: {} and {}", old.digest, new.digest)).subject(&new.digest)
}

/// Fails with kind `conflict` where several entries are images for `platform`.
pub fn refuse_two_for(platform: &Platform, members: &[Descriptor]) -> Result<()> {
    let mut images = members.iter().filter(|member| runnable(member).is_some_and(|other| other.strict_eq(platform)));
    match (images.next(), images.next()) {
        (Some(old), Some(new)) => Err(two_images(old, new)),
        _ => Ok(()),
    }
}

/// Whether two entries say the same of what they run on, or one says nothing.
fn is_same_platform(a: &Descriptor, b: &Descriptor) -> bool {
    match (&a.platform, &b.platform) {
        (Some(a), Some(b)) => a.strict_eq(b),
        _ => true,
    }
}

/// A text that is the same for the same platform; none for what is no image.
fn platform_key(entry: &Descriptor) -> Option<String> {
    runnable(entry).map(|platform| platform.normalized().to_string())
}

/// What an entry runs on, where it is an image.
fn runnable(entry: &Descriptor) -> Option<&Platform> {
    entry.platform.as_ref().filter(|_| !is_attestation(entry))
}

#[cfg(test)]
mod tests {
    use super::document as document_of;
    use super::*;
    use crate::error::ErrorKind;
    use crate::spec::ImageManifest;
    use crate::spec::annotation;
    use crate::store::{Destination as _, MemoryStore};
    use serde_json::json;
    use std::num::NonZeroUsize;

    fn document<T: serde::Serialize>(store: &MemoryStore, media_type: impl Into<MediaType>, value: T) -> Descriptor {
        let document = Document::create(media_type, value).expect("created");
        store.put(&document.descriptor, &mut &document.bytes[..]).expect("stored");
        document.descriptor
    }

    fn image(store: &MemoryStore, architecture: &str, what: &str) -> Descriptor {
        let config = json!({"os": "linux", "architecture": architecture, "author": what, "rootfs": {"type": "layers", "diff_ids": []}});
        let config = document(store, "application/vnd.oci.image.config.v1+json", config);
        document(store, MediaType::ImageManifest, ImageManifest::new(config, Vec::new()))
    }

    fn on(entry: &Descriptor, platform: &str) -> Descriptor {
        Descriptor { platform: Some(Platform::parse(platform).expect("a platform")), ..entry.clone() }
    }

    fn attestation(store: &MemoryStore, about: &Descriptor) -> Descriptor {
        let mut entry = image(store, "unknown", about.digest.as_str());
        entry.platform = Some(Platform::new("unknown", "unknown", ""));
        entry.annotations.insert(annotation::DOCKER_REFERENCE_TYPE.into(), annotation::ATTESTATION_MANIFEST.into());
        entry.annotations.insert(annotation::DOCKER_REFERENCE_DIGEST.into(), about.digest.to_string());
        entry
    }

    fn merged(store: &MemoryStore, roots: &[&Descriptor], nesting: Nesting, clash: Clash) -> Result<(Vec<Descriptor>, Vec<Descriptor>)> {
        let run = Run::new(NonZeroUsize::MIN).expect("a pool");
        let mut merge = Merge::new(&run, nesting, clash);
        for root in roots {
            merge.add(store, root)?;
        }
        Ok((merge.members().iter().map(|member| member.descriptor.clone()).collect(), merge.replaced))
    }

    #[test]
    fn images_and_indexes_become_one_flat_index_and_missing_platforms_are_read() {
        let store = MemoryStore::default();
        let (amd64, arm64) = (image(&store, "amd64", "a"), image(&store, "arm64", "b"));
        let proof = attestation(&store, &arm64);
        let index = document(&store, MediaType::ImageIndex, ImageIndex::new(vec![on(&arm64, "linux/arm64"), proof.clone(), on(&amd64, "linux/amd64")]));
        let mut named = amd64.clone();
        ImageName::tag_only("1").expect("a tag").apply(&mut named);
        named.annotations.insert("kept".into(), "yes".into());
        let (members, _) = merged(&store, &[&named, &index], Nesting::Flattened, Clash::Refused).expect("merged");
        let mut first = on(&amd64, "linux/amd64");
        first.annotations.insert("kept".into(), "yes".into());
        assert_eq!(members, [first.clone(), on(&arm64, "linux/arm64"), proof]);
        let (members, _) = merged(&store, &[&named, &index], Nesting::Kept, Clash::Refused).expect("merged");
        assert_eq!(members, [first, index]);
    }

    #[test]
    fn a_second_image_for_a_platform_is_refused_or_takes_the_place_of_the_first_and_its_attestations() {
        let store = MemoryStore::default();
        let (old, new, other) = (image(&store, "arm64", "old"), image(&store, "arm64", "new"), image(&store, "amd64", "x"));
        let proof = attestation(&store, &old);
        let index = document(&store, MediaType::ImageIndex, ImageIndex::new(vec![on(&old, "linux/arm64/v8"), proof.clone(), on(&other, "linux/amd64")]));
        let error = merged(&store, &[&index, &new], Nesting::Flattened, Clash::Refused).expect_err("two");
        assert_eq!((error.kind(), error.hint_text()), (ErrorKind::Conflict, Some("--replace takes the later one")));
        let (members, replaced) = merged(&store, &[&index, &new], Nesting::Flattened, Clash::Replaces).expect("merged");
        assert_eq!(members, [on(&new, "linux/arm64"), on(&other, "linux/amd64")]);
        assert_eq!(replaced, [on(&old, "linux/arm64/v8"), proof]);
    }

    #[test]
    fn dockers_images_make_a_manifest_list_without_annotations() {
        let store = MemoryStore::default();
        let config = document(&store, media_type::DOCKER_CONFIG, json!({"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": []}}));
        let mut manifest = ImageManifest::new(config, Vec::new());
        manifest.media_type = Some(media_type::DOCKER_MANIFEST.into());
        let docker = document(&store, media_type::DOCKER_MANIFEST, manifest);
        let annotations: Annotations = [("a".to_owned(), "b".to_owned())].into();
        let list = document_of(Annotations::new(), vec![docker.clone()]).expect("a list");
        assert_eq!(list.descriptor.media_type.to_string(), media_type::DOCKER_MANIFEST_LIST);
        assert_eq!(document_of(annotations.clone(), vec![docker.clone()]).expect_err("no room").kind(), ErrorKind::Unsupported);
        let mixed = document_of(annotations.clone(), vec![docker.clone(), image(&store, "arm64", "x")]).expect("an index");
        assert_eq!(mixed.descriptor.media_type, MediaType::ImageIndex);
        // An index that exists stays what it is.
        let rest = ImageIndex { annotations, ..ImageIndex::new(vec![docker]) };
        assert_eq!(changed(&mixed.descriptor, rest).expect("an index").descriptor.media_type, MediaType::ImageIndex);
    }

    #[test]
    fn one_manifest_for_two_platforms_stays_and_indexes_listed_many_times_are_read_once() {
        let store = MemoryStore::default();
        let arm = image(&store, "arm", "x");
        let both = vec![on(&arm, "linux/arm/v6"), on(&arm, "linux/arm/v7")];
        let mut root = document(&store, MediaType::ImageIndex, ImageIndex::new(both.clone()));
        for _ in 2..limits::INDEX_DEPTH {
            root = document(&store, MediaType::ImageIndex, ImageIndex::new(vec![root; 30]));
        }
        assert_eq!(merged(&store, &[&root], Nesting::Flattened, Clash::Refused).expect("merged").0, both);
    }

    #[test]
    fn what_an_index_has_already_is_not_touched_by_what_is_added() {
        let store = MemoryStore::default();
        let run = Run::new(NonZeroUsize::MIN).expect("a pool");
        let (one, two, new) = (image(&store, "amd64", "1"), image(&store, "amd64", "2"), image(&store, "arm64", "3"));
        let twice = [on(&one, "linux/amd64"), on(&two, "linux/amd64"), on(&one, "linux/amd64")];
        let mut merge = Merge::new(&run, Nesting::Flattened, Clash::Refused);
        merge.add_members(&store, &twice);
        merge.add(&store, &new).expect("another platform");
        assert_eq!(merge.members().len(), 4);
    }
}
