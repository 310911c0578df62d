//! What is attached to images: signatures, attestations and the like that no image points to, because they point to it.
//!
//! Stores that can be asked are asked ([`Inquiry`]); of the others the entries are looked through ([`Referrers`]). Two conventions: a manifest whose `subject` is the image (image-spec, manifest.md), and an entry whose tag is made of the image's digest,
//! `sha256-<hex>`, alone as distribution-spec's referrers tag or with `.sig`, `.att` or `.sbom` behind it as cosign writes it.

use std::collections::HashSet;

use crate::error::{Error, ErrorKind, Result};
use crate::exec::Run;
use crate::spec::links::{self, Node};
use crate::spec::{Descriptor, Digest, ImageName, limits};
use crate::store::Source;

use super::Graph;

/// How closely the other entries of a store are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Search {
    /// Only those that look attached: without a name, with the type of an artifact, or with a tag made of a digest. A store may have very many names.
    Likely,
    /// All of them are read.
    Every,
}

/// What other entries of a store are attached to.
#[derive(Debug)]
pub struct Referrers {
    candidates: Vec<Candidate>,
    /// Entries that could not be read, so that nobody knows what they are attached to.
    pub unreadable: Vec<(Descriptor, Error)>,
}

#[derive(Clone, Debug)]
struct Candidate {
    entry: Descriptor,
    subject: Digest,
}

impl Referrers {
    /// Looks through `entries`. Fails with kind `interrupted` only.
    pub fn find(run: &Run, source: &dyn Source, entries: &[Descriptor], search: Search) -> Result<Referrers> {
        let examined: Vec<&Descriptor> = entries.iter().filter(|entry| search == Search::Every || looks_attached(entry)).collect();
        let subjects = run.pool.try_map(examined.clone(), |entry| {
            run.cancel.check()?;
            match subject(source, entry) {
                Err(error) if error.kind() == ErrorKind::Interrupted => Err(error),
                outcome => Ok(outcome),
            }
        })?;
        let mut referrers = Referrers { candidates: Vec::new(), unreadable: Vec::new() };
        for (entry, subject) in examined.into_iter().zip(subjects) {
            match subject {
                Ok(Some(subject)) => referrers.candidates.push(Candidate { entry: entry.clone(), subject }),
                Ok(None) => {}
                Err(error) => referrers.unreadable.push((entry.clone(), error)),
            }
        }
        Ok(referrers)
    }

    /// The entries that are attached to something in `graph` and not in it themselves, or whose name is not among `taken`: what is attached may have several names.
    /// What is attached to these in turn is found once they are in the graph.
    pub fn of<'a>(&'a self, graph: &'a Graph, taken: &'a HashSet<EntryKey>) -> impl Iterator<Item = &'a Descriptor> {
        self.candidates
            .iter()
            .filter(|candidate| graph.contains(&candidate.subject) && !taken.contains(&key(&candidate.entry)))
            .map(|candidate| &candidate.entry)
    }

    /// Every entry that is attached to something, with the digest of what that is, in the order of the entries.
    pub fn all(&self) -> impl Iterator<Item = (&Digest, &Descriptor)> {
        self.candidates.iter().map(|candidate| (&candidate.subject, &candidate.entry))
    }

    /// The entries that are attached to one of `digests` and not among `taken`.
    pub fn of_digests(&self, digests: &HashSet<Digest>, taken: &HashSet<EntryKey>) -> Vec<Descriptor> {
        let attached = self.candidates.iter().filter(|candidate| digests.contains(&candidate.subject) && !taken.contains(&key(&candidate.entry)));
        attached.map(|candidate| candidate.entry.clone()).collect()
    }
}

/// Asks a store what is attached to the documents of graphs, for stores whose entries do not tell.
#[derive(Debug, Default)]
pub struct Inquiry {
    asked: HashSet<Digest>,
}

impl Inquiry {
    /// What is attached to the documents in `graph` that were not asked for before, in their order. Nothing where the entries of the store tell it.
    ///
    /// Kinds: those of [`Source::referrers`]; `interrupted`.
    pub fn about(&mut self, run: &Run, source: &dyn Source, graph: &Graph) -> Result<Vec<Descriptor>> {
        let documents = graph.reached().iter().filter(|reached| reached.is_document()).map(|reached| &reached.descriptor);
        let mut new: Vec<&Descriptor> = documents.filter(|document| self.asked.insert(document.digest.clone())).collect();
        let Some(first) = new.first().copied() else { return Ok(Vec::new()) };
        let Some(mut found) = source.referrers(first)? else { return Ok(Vec::new()) };
        new.remove(0);
        let others = run.pool.waiting(new, |document| {
            run.cancel.check()?;
            source.referrers(document)
        })?;
        found.extend(others.into_iter().flatten().flatten());
        Ok(found)
    }
}

/// What makes an entry this entry: its name and its content.
pub type EntryKey = (Option<String>, Digest);

/// The key of an entry.
pub fn key(entry: &Descriptor) -> EntryKey {
    (ImageName::of(entry).map(|name| name.as_str().to_owned()), entry.digest.clone())
}

fn looks_attached(entry: &Descriptor) -> bool {
    let name = ImageName::of(entry);
    entry.artifact_type.is_some() || name.is_none_or(|name| tagged_subject(&name).is_some())
}

/// What an entry is attached to.
fn subject(source: &dyn Source, entry: &Descriptor) -> Result<Option<Digest>> {
    if let Some(subject) = ImageName::of(entry).as_ref().and_then(tagged_subject) {
        return Ok(Some(subject));
    }
    if !Node::manifest(entry.clone()).is_document() {
        return Ok(None);
    }
    let bytes = source.read(entry, limits::MANIFEST_BYTES)?;
    Ok(links::subject(entry, &bytes)?.map(|subject| subject.digest))
}

/// Whether something is attached by its name alone.
pub fn is_attached(name: &ImageName) -> bool {
    tagged_subject(name).is_some()
}

/// The digest that a tag is made of.
fn tagged_subject(name: &ImageName) -> Option<Digest> {
    let tag = name.tag()?;
    let digest = match tag.split_once('.') {
        None => tag.as_str(),
        Some((digest, "sig" | "att" | "sbom")) => digest,
        Some(_) => return None,
    };
    let (algorithm, encoded) = digest.split_once('-')?;
    let digest: Digest = format!("{algorithm}:{encoded}").parse().ok()?;
    digest.algorithm().hasher().is_ok().then_some(digest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{Document, ImageManifest, MediaType};
    use crate::store::{Destination as _, MemoryStore};
    use std::num::NonZeroUsize;

    fn run() -> Run {
        Run::new(NonZeroUsize::MIN).expect("a pool")
    }

    fn manifest(store: &MemoryStore, what: &str, subject: Option<&Descriptor>) -> Descriptor {
        let config = Descriptor::new("application/vnd.oci.empty.v1+json", Digest::sha256(b"{}"), 2);
        store.put(&config, &mut &b"{}"[..]).expect("stored");
        let mut manifest = ImageManifest::new(config, Vec::new());
        manifest.annotations.insert("what".into(), what.into());
        manifest.subject = subject.map(Descriptor::bare);
        let document = Document::create(MediaType::ImageManifest, manifest).expect("created");
        store.put(&document.descriptor, &mut &document.bytes[..]).expect("stored");
        document.descriptor
    }

    fn named(mut entry: Descriptor, tag: &str) -> Descriptor {
        ImageName::tag_only(tag).expect("a tag").apply(&mut entry);
        entry
    }

    fn attached(store: &MemoryStore, entries: &[Descriptor], image: &Descriptor, search: Search) -> Vec<Descriptor> {
        let graph = Graph::walk(&run(), store, std::slice::from_ref(image)).expect("walked");
        let referrers = Referrers::find(&run(), store, entries, search).expect("found");
        assert!(referrers.unreadable.is_empty());
        referrers.of(&graph, &HashSet::from([key(image)])).cloned().collect()
    }

    #[test]
    fn lay_66_tags_made_of_a_digest_and_subjects_are_found() {
        let store = MemoryStore::default();
        let image = manifest(&store, "image", None);
        let other = manifest(&store, "other", None);
        let hex = |entry: &Descriptor| entry.digest.encoded().to_owned();
        let signature = named(manifest(&store, "signature", None), &format!("sha256-{}.sig", hex(&image)));
        let list = named(manifest(&store, "list", None), &format!("sha256-{}", hex(&image)));
        let of_other = named(manifest(&store, "signature", None), &format!("sha256-{}.sig", hex(&other)));
        let unnamed = manifest(&store, "sbom", Some(&image));
        let hidden = named(manifest(&store, "hidden", Some(&image)), "sbom");
        let entries = [image.clone(), named(other, "1"), signature.clone(), list.clone(), of_other, unnamed.clone(), hidden.clone()];
        assert_eq!(attached(&store, &entries, &image, Search::Likely), [signature.clone(), list.clone(), unnamed.clone()]);
        assert_eq!(attached(&store, &entries, &image, Search::Every), [signature, list, unnamed, hidden]);
    }

    #[test]
    fn what_cannot_be_read_is_told_and_not_taken_for_unattached() {
        let store = MemoryStore::default();
        let lost = Descriptor::new(MediaType::ImageManifest, Digest::sha256(b"lost"), 4);
        let referrers = Referrers::find(&run(), &store, std::slice::from_ref(&lost), Search::Likely).expect("found");
        assert_eq!(referrers.unreadable.len(), 1);
        assert_eq!((&referrers.unreadable[0].0, referrers.unreadable[0].1.kind()), (&lost, ErrorKind::NotFound));
    }

    #[test]
    fn only_tags_of_that_form_name_a_subject() {
        let hex = "a".repeat(64);
        for (tag, is) in
            [("sha256-HEX", true), ("sha256-HEX.sbom", true), ("sha256-HEX.txt", false), ("sha256-HEX.sig.att", false), ("sha256-abc", false), ("1-2", false)]
        {
            let name = ImageName::tag_only(&tag.replace("HEX", &hex)).expect("a tag");
            assert_eq!(tagged_subject(&name).is_some(), is, "{tag}");
        }
    }
}
