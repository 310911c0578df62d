//! What a copy carries, decided from names and documents.

use std::collections::{BTreeMap, HashSet};

use crate::error::{Error, ErrorKind, Result, Side};
use crate::exec::Run;
use crate::graph::filter::{Filter, Filtered};
use crate::graph::referrers::{self, Search};
use crate::graph::{Graph, find, image};
use crate::spec::{Descriptor, Digest, Document, ImageIndex, Kind, MediaType, Selector, annotation, limits, media_type};
use crate::store::entries::Identity;
use crate::store::{Destination as _, MemoryStore, Source};

use super::overlay::Overlay;
use super::request::{CopyRequest, Names, Platforms, Referrers, Wanted};

/// What is carried from one source. Plain data but for the source itself.
#[derive(Clone)]
pub struct CopyPlan<'a> {
    source: &'a dyn Source,
    /// Documents that exist nowhere yet.
    made: MemoryStore,
    /// Configs, layers and what else has no children, each digest once, in the order of the images.
    pub blobs: Vec<Descriptor>,
    /// Manifests, then indexes of manifests, then indexes of these: what is in one list references only what comes before it.
    pub documents: Vec<Vec<Descriptor>>,
    /// What each document leads to directly.
    below: BTreeMap<Digest, Vec<Digest>>,
    /// The names, and what they will stand on.
    pub entries: Vec<Descriptor>,
    /// Which of these names must not leave another image that has them at the destination. None, unless somebody adds them.
    pub claimed: HashSet<Identity>,
    /// Indexes that were written anew because they lost platforms.
    pub rewritten: Vec<Rewritten>,
    /// What belongs to the images and is not carried.
    pub left_out: Vec<LeftOut>,
}

/// An index that was written anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewritten {
    /// What it was.
    pub from: Digest,
    /// What it is.
    pub to: Digest,
}

/// Something that is not carried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// What it is.
    pub descriptor: Descriptor,
    /// Why it stays.
    pub why: Why,
}

/// Why something is not carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Why {
    /// It is for a platform that was not asked for, or about one.
    Platform,
    /// It is attached to an image that is carried, and attachments were not asked for.
    Attached,
    /// Its licence forbids distribution, and the source does not have it.
    NonDistributable,
    /// It may be attached to an image that is carried; nobody can read it.
    Unreadable,
}

impl Why {
    /// The word in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Why::Platform => "platform",
            Why::Attached => "attached",
            Why::NonDistributable => "non-distributable",
            Why::Unreadable => "unreadable",
        }
    }
}

impl std::fmt::Debug for CopyPlan<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CopyPlan").field("blobs", &self.blobs).field("documents", &self.documents).field("entries", &self.entries).finish_non_exhaustive()
    }
}

impl<'a> CopyPlan<'a> {
    /// Decides what is carried. Reads documents, and of layers nothing.
    ///
    /// Kinds: `not_found` and `usage` for images that are not there or not clear, and for platforms that they do not have; `corrupt`, `unsupported` and `io` for
    /// documents that cannot be read.
    pub fn new(run: &Run, request: &CopyRequest<'a, '_>) -> Result<CopyPlan<'a>> {
        let index = match request.wanted {
            Wanted::All => request.source.index(),
            Wanted::One(selector, _) => request.source.entries_for(selector),
        };
        let index = index.map_err(|error| error.side(Side::Source))?;
        let mut plan = CopyPlan::empty(request.source);
        let chosen = plan.choose(request, &index)?;
        let excluded = plan.narrow(run, request)?;
        let mut graph = Graph::default();
        let roots = plan.entries.clone();
        graph.extend(run, &plan.overlay(), &roots, |_, child| !excluded.contains(&child.digest))?;
        plan.attach(run, request.referrers, &index, chosen, &mut graph)?;
        plan.arrange(&graph)?;
        Ok(plan)
    }

    /// Everything below `roots`, under no name. Kinds as for [`CopyPlan::new`].
    pub fn of_content(run: &Run, source: &'a dyn Source, roots: &[Descriptor]) -> Result<CopyPlan<'a>> {
        let mut plan = CopyPlan::empty(source);
        plan.arrange(&Graph::walk(run, source, roots)?)?;
        Ok(plan)
    }

    /// New indexes that other plans have the members of, those below before those above, and names. `source` is asked for nothing.
    pub fn of_indexes<'d>(
        source: &'a dyn Source,
        indexes: impl IntoIterator<Item = &'d Document<ImageIndex>>,
        entries: Vec<Descriptor>,
    ) -> Result<CopyPlan<'a>> {
        let mut plan = CopyPlan::empty(source);
        // Above whatever they may list.
        plan.documents = vec![Vec::new(); limits::INDEX_DEPTH + 1];
        for index in indexes {
            plan.made.put(&index.descriptor, &mut &index.bytes[..])?;
            plan.documents.push(vec![index.descriptor.clone()]);
        }
        plan.entries = entries;
        Ok(plan)
    }

    fn empty(source: &'a dyn Source) -> CopyPlan<'a> {
        CopyPlan {
            source,
            made: MemoryStore::default(),
            blobs: Vec::new(),
            documents: Vec::new(),
            below: BTreeMap::new(),
            entries: Vec::new(),
            claimed: HashSet::new(),
            rewritten: Vec::new(),
            left_out: Vec::new(),
        }
    }

    /// The source, with what was made in front.
    pub(super) fn overlay(&self) -> Overlay<'_> {
        Overlay { made: &self.made, source: self.source }
    }

    /// Sets the entries. Returns the keys of those of the source that are meant.
    fn choose(&mut self, request: &CopyRequest<'_, '_>, index: &ImageIndex) -> Result<HashSet<referrers::EntryKey>> {
        let (selector, names) = match request.wanted {
            Wanted::All => {
                self.entries = index.manifests.clone();
                return Ok(index.manifests.iter().map(referrers::key).collect());
            }
            Wanted::One(selector, names) => (selector, names),
        };
        let entry = &find::select(request.source, index, selector).map_err(|error| {
            let several = error.kind() == ErrorKind::Usage;
            let error = error.context(format!("cannot find what to copy in {}", request.source.location())).side(Side::Source);
            if several { error.hint("name one of them, or copy them all with --all-names") } else { error }
        })?;
        match names {
            Names::Kept => self.entries.extend(all_names(index, selector, entry)),
            Names::New(names) => self.entries.extend(names.iter().map(|name| {
                let mut named = entry.clone();
                name.apply(&mut named);
                named
            })),
        }
        Ok(index.manifests.iter().filter(|other| other.digest == entry.digest).map(referrers::key).collect())
    }

    /// Reduces the entries to the wanted platforms. Returns what is not followed.
    fn narrow(&mut self, run: &Run, request: &CopyRequest<'_, '_>) -> Result<HashSet<Digest>> {
        let (platforms, sparse) = match request.platforms {
            Platforms::All => return Ok(HashSet::new()),
            Platforms::Filtered(platforms) => (platforms, false),
            Platforms::Sparse(platforms) => (platforms, true),
        };
        let filter = Filter::new(run, request.source, platforms);
        let mut excluded = HashSet::new();
        let mut roots: BTreeMap<Digest, Filtered> = BTreeMap::new();
        for position in 0..self.entries.len() {
            let digest = self.entries[position].digest.clone();
            let filtered = match roots.get(&digest) {
                Some(filtered) => filtered,
                None => {
                    if *request.wanted == Wanted::All && !is_image(run, request.source, &self.entries[position])? {
                        continue;
                    }
                    let filtered = filter.apply(&self.entries[position]).map_err(|error| error.side(Side::Source))?;
                    self.left_out.extend(filtered.left_out.iter().map(|descriptor| LeftOut { descriptor: descriptor.clone(), why: Why::Platform }));
                    if !sparse {
                        self.keep_made(&filtered)?;
                    }
                    roots.entry(digest.clone()).or_insert(filtered)
                }
            };
            match sparse {
                true => excluded.extend(filtered.left_out.iter().map(|descriptor| descriptor.digest.clone())),
                false => repoint(&mut self.entries[position], &filtered.root),
            }
        }
        // One manifest may serve a platform that is wanted and another that is not.
        for digest in roots.values().flat_map(|filtered| &filtered.kept) {
            excluded.remove(digest);
        }
        Ok(excluded)
    }

    fn keep_made(&mut self, filtered: &Filtered) -> Result<()> {
        for (from, document) in &filtered.made {
            self.made.put(&document.descriptor, &mut &document.bytes[..])?;
            let rewritten = Rewritten { from: from.clone(), to: document.descriptor.digest.clone() };
            if !self.rewritten.contains(&rewritten) {
                self.rewritten.push(rewritten);
            }
        }
        Ok(())
    }

    /// Finds what is attached, and takes it in or notes that it is left.
    fn attach(&mut self, run: &Run, wanted: Referrers, index: &ImageIndex, mut taken: HashSet<referrers::EntryKey>, graph: &mut Graph) -> Result<()> {
        let search = match wanted {
            Referrers::Carried => Search::Every,
            Referrers::Left => Search::Likely,
        };
        let others: Vec<Descriptor> = index.manifests.iter().filter(|entry| !taken.contains(&referrers::key(entry))).cloned().collect();
        let found = referrers::Referrers::find(run, self.source, &others, search)?;
        let mut inquiry = referrers::Inquiry::default();
        // Every round takes in at least one more entry.
        loop {
            let mut attached: Vec<Descriptor> = found.of(graph, &taken).cloned().collect();
            if wanted == Referrers::Carried {
                attached.extend(inquiry.about(run, self.source, graph).map_err(|error| error.side(Side::Source))?);
                let mut new = HashSet::new();
                attached.retain(|entry| !taken.contains(&referrers::key(entry)) && new.insert(referrers::key(entry)));
            }
            if attached.is_empty() {
                break;
            }
            taken.extend(attached.iter().map(referrers::key));
            match wanted {
                Referrers::Carried => {
                    graph.extend(run, &Overlay { made: &self.made, source: self.source }, &attached, |_, _| true)?;
                    self.entries.extend(attached);
                }
                Referrers::Left => self.left_out.extend(attached.into_iter().map(|descriptor| LeftOut { descriptor, why: Why::Attached })),
            }
        }
        // What is attached to an index that lost platforms says nothing about the new one.
        let orphaned = found.of_digests(&self.rewritten.iter().map(|index| index.from.clone()).collect(), &taken);
        self.left_out.extend(orphaned.into_iter().map(|descriptor| LeftOut { descriptor, why: Why::Attached }));
        let unreadable = found.unreadable.into_iter().map(|(descriptor, _)| LeftOut { descriptor, why: Why::Unreadable });
        self.left_out.extend(unreadable);
        Ok(())
    }

    /// Sets blobs and documents.
    fn arrange(&mut self, graph: &Graph) -> Result<()> {
        for reached in graph.reached() {
            let descriptor = reached.descriptor.clone();
            if reached.height > 0 {
                self.documents.resize_with(self.documents.len().max(reached.height), Vec::new);
                let below = reached.children.iter().map(|child| graph.reached()[*child].descriptor.digest.clone());
                self.below.insert(descriptor.digest.clone(), below.collect());
                self.documents[reached.height - 1].push(descriptor);
            } else if is_non_distributable(&descriptor.media_type) && self.is_absent(&descriptor)? {
                self.left_out.push(LeftOut { descriptor, why: Why::NonDistributable });
            } else {
                self.blobs.push(descriptor);
            }
        }
        Ok(())
    }

    fn is_absent(&self, descriptor: &Descriptor) -> Result<bool> {
        match self.source.open(descriptor) {
            Ok(_) => Ok(false),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(true),
            Err(error) => Err(error.side(Side::Source)),
        }
    }

    /// All content in the order in which it is announced, with its height: 0 for blobs.
    pub fn content(&self) -> impl Iterator<Item = (usize, &Descriptor)> {
        let documents = self.documents.iter().zip(1..).flat_map(|(documents, height)| documents.iter().map(move |document| (height, document)));
        self.blobs.iter().map(|blob| (0, blob)).chain(documents)
    }

    /// What a document leads to directly. Nothing for an index that is new: its members are in plans of their own.
    pub(super) fn below(&self, document: &Digest) -> &[Digest] {
        self.below.get(document).map_or(&[], Vec::as_slice)
    }

    /// What the source is called.
    pub fn source(&self) -> String {
        self.source.location()
    }
}

/// The image under the names that are meant: with a name those that it is short for, else all that the image has.
fn all_names(index: &ImageIndex, selector: &Selector, image: &Descriptor) -> Vec<Descriptor> {
    let mut entries: Vec<Descriptor> = selector.entries(index).into_iter().cloned().collect();
    if entries.is_empty() {
        // A manifest below an index has no name of its own.
        entries.push(image.clone());
    }
    let mut seen = HashSet::new();
    entries.retain(|entry| seen.insert(referrers::key(entry)));
    entries
}

/// Makes `entry` stand on `root`. Where the index itself cannot say what it comes from, the entry does.
fn repoint(entry: &mut Descriptor, root: &Descriptor) {
    if entry.digest == root.digest {
        return;
    }
    if media_type::is_docker(&root.media_type) {
        entry.annotations.insert(annotation::FILTERED_FROM.into(), entry.digest.to_string());
    }
    (entry.digest, entry.size, entry.data) = (root.digest.clone(), root.size, None);
}

/// Whether an entry is an image or an index, and nothing that is attached to one.
fn is_image(run: &Run, source: &dyn Source, entry: &Descriptor) -> Result<bool> {
    run.cancel.check()?;
    match Kind::of(&entry.media_type) {
        Kind::Index => Ok(true),
        Kind::Manifest => Ok(image::platform_of(source, entry)?.is_some()),
        _ => Ok(false),
    }
}

fn is_non_distributable(media_type: &MediaType) -> bool {
    matches!(Kind::of(media_type), Kind::Layer(layer) if layer.non_distributable)
}

/// That a destination cannot be told two things about one digest.
pub(super) fn two_sizes(digest: &Digest, one: u64, other: u64) -> Error {
    Error::corrupt(format!("{digest} has two sizes: {one} and {other}")).subject(digest)
}
