//! A changed index in the place of an old one.

use crate::copy::{self, CopyPlan};
use crate::error::{Error, Result};
use crate::exec::Run;
use crate::graph::attestation;
use crate::graph::filter::Filter;
use crate::graph::merge::{self, Merge};
use crate::spec::{Descriptor, Document, ImageIndex, ImageName, Kind, Platform, Selector, limits, shape};
use crate::store::layout::Layout;
use crate::store::{Location, entries as names};

use super::create::{Opened, content_from, open};
use super::{Change, ChangeRequest, Effect, IndexReport, Target, entries, no_name, report};

/// How often a change is made anew because somebody else was faster. Each time somebody else has got something done.
const ATTEMPTS: usize = 1000;

/// Changes the index.
///
/// Kinds: `not_found` for an index or a target that is not there; `usage` where it has no name to take; `unsupported` for what is no index;
/// `conflict` for two images of one platform; those of [`copy::execute`].
pub fn change(run: &Run, request: &ChangeRequest) -> Result<IndexReport> {
    let layout = Layout::open(request.index.layout()?, request.options.clone())?;
    let sources = match &request.change {
        Change::Append { sources, .. } => open(sources, &request.options)?,
        _ => Vec::new(),
    };
    for _ in 0..ATTEMPTS {
        if let Some(report) = attempt(run, request, &layout, &sources)? {
            return Ok(report);
        }
    }
    Err(Error::conflict(format!("{} is changed by others all the time", request.index)).subject(&request.index))
}

/// None where the name was moved meanwhile.
fn attempt(run: &Run, request: &ChangeRequest, layout: &Layout, sources: &[Opened]) -> Result<Option<IndexReport>> {
    let selector = request.index.selector();
    let index = layout.index()?;
    let old = selector.select(&index).map_err(|error| error.context(format!("cannot find {}", request.index)))?.clone();
    let names = new_names(request, selector, &index)?;
    let change = Changing { run, layout, sources, old: &old };
    let Changed { index: new, below, removed, content } = change.make(&request.change)?;
    let mut root =
        Descriptor { media_type: new.descriptor.media_type.clone(), digest: new.descriptor.digest.clone(), size: new.descriptor.size, ..old.clone() };
    if new.descriptor.digest != old.digest {
        root.data = None;
        // What ran on one platform may run on several now.
        root.platform = None;
    }
    if request.effect == Effect::Done {
        let mut plans = content;
        plans.push(CopyPlan::of_indexes(layout, below.iter().chain([&new]), Vec::new())?);
        copy::execute(run, &plans, layout, request.how)?;
        if !commit(layout, selector, &old, &entries(&root, &names))? {
            return Ok(None);
        }
    }
    Ok(Some(report(&request.index, &names, &new, Some(old.digest.clone()), &removed)))
}

/// The names of the changed index.
fn new_names(request: &ChangeRequest, selector: &Selector, index: &ImageIndex) -> Result<Vec<ImageName>> {
    if !request.names.is_empty() {
        return Ok(request.names.clone());
    }
    if matches!(selector, Selector::Digest(_)) {
        return Err(
            Error::usage(format!("`{}` is chosen by its digest, so no name says what the changed index is called", request.index)).hint("add --tag NAME")
        );
    }
    let mut names: Vec<ImageName> = Vec::new();
    for name in selector.entries(index).into_iter().map(ImageName::of) {
        let name = name.ok_or_else(|| no_name(&request.index))?;
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(names)
}

/// Enters the names unless what was changed is no longer what is meant.
fn commit(layout: &Layout, selector: &Selector, old: &Descriptor, new: &[Descriptor]) -> Result<bool> {
    layout.update_index(|index| {
        let same = selector.select(index).is_ok_and(|now| now.digest == old.digest);
        if same {
            names::enter(index, new);
        }
        Ok(same)
    })
}

/// The making of one change.
struct Changing<'a> {
    run: &'a Run,
    layout: &'a Layout,
    sources: &'a [Opened],
    old: &'a Descriptor,
}

struct Changed<'a> {
    index: Document<ImageIndex>,
    /// New indexes that it lists, those below before those above.
    below: Vec<Document<ImageIndex>>,
    removed: Vec<Descriptor>,
    content: Vec<CopyPlan<'a>>,
}

impl<'a> Changing<'a> {
    fn make(&self, change: &Change) -> Result<Changed<'a>> {
        match change {
            Change::Append { sources, nesting, clash } => self.append(sources, Merge::new(self.run, *nesting, *clash)),
            Change::Remove(targets) => self.remove(targets),
            Change::Filter(platforms) => self.filter(platforms),
            Change::Annotate { targets, set, unset, platform } => {
                let mut index = self.index()?;
                for entry in meant(&mut index, targets)? {
                    if let Some(platform) = platform {
                        entry.platform = Some(platform.clone());
                    }
                    entry.annotations.extend(set.clone());
                    entry.annotations.retain(|key, _| !unset.iter().any(|unset| unset == key));
                }
                if let Some(platform) = platform {
                    merge::refuse_two_for(platform, &index.manifests)?;
                }
                if targets.is_empty() {
                    index.annotations.extend(set.clone());
                    index.annotations.retain(|key, _| !unset.iter().any(|unset| unset == key));
                }
                self.changed(index, Vec::new())
            }
        }
    }

    /// The index as it is.
    fn index(&self) -> Result<ImageIndex> {
        if Kind::of(&self.old.media_type) != Kind::Index {
            return Err(Error::unsupported(format!("{} is a single image and no index", self.old.digest))
                .subject(&self.old.digest)
                .hint("`larder index create` makes an index of images"));
        }
        shape::index(self.old, &self.layout.read(self.old, limits::MANIFEST_BYTES)?)
    }

    /// The index with the members it has now.
    fn changed(&self, index: ImageIndex, removed: Vec<Descriptor>) -> Result<Changed<'a>> {
        Ok(Changed { index: self.rewritten(index)?, below: Vec::new(), removed, content: Vec::new() })
    }

    /// The index with this body: the very same document where it says nothing new.
    fn rewritten(&self, body: ImageIndex) -> Result<Document<ImageIndex>> {
        if Kind::of(&self.old.media_type) != Kind::Index {
            return merge::document(body.annotations, body.manifests);
        }
        let bytes = self.layout.read(self.old, limits::MANIFEST_BYTES)?;
        match shape::index(self.old, &bytes)? == body {
            true => Ok(Document { descriptor: self.old.bare(), bytes, value: body }),
            false => merge::changed(self.old, body),
        }
    }

    fn append(&self, locations: &[Location], mut merge: Merge<'a>) -> Result<Changed<'a>> {
        let body = match Kind::of(&self.old.media_type) {
            Kind::Index => {
                let index = self.index()?;
                merge.add_members(self.layout, &index.manifests);
                index
            }
            _ => {
                merge.add(self.layout, self.old)?;
                ImageIndex::new(Vec::new())
            }
        };
        for ((source, root), location) in self.sources.iter().zip(locations) {
            merge.add(&**source, root).map_err(|error| error.context(format!("cannot take in {location}")))?;
        }
        let content = content_from(self.run, &merge, self.sources, 1)?;
        let members = merge.members().iter().map(|member| member.descriptor.clone()).collect();
        let index = self.rewritten(ImageIndex { manifests: members, ..body })?;
        Ok(Changed { index, below: Vec::new(), removed: merge.replaced, content })
    }

    fn remove(&self, targets: &[Target]) -> Result<Changed<'a>> {
        let mut index = self.index()?;
        let doomed: Vec<Descriptor> = meant(&mut index, targets)?.into_iter().map(|entry| entry.clone()).collect();
        let goes = |entry: &Descriptor| doomed.contains(entry) || doomed.iter().any(|image| attestation::is_about(entry, image));
        let removed: Vec<Descriptor> = index.manifests.iter().filter(|entry| goes(entry)).cloned().collect();
        index.manifests.retain(|entry| !goes(entry));
        match index.manifests.is_empty() {
            true => Err(Error::usage("nothing would be left in the index").subject(&self.old.digest).hint("`larder untag` removes the name of an image")),
            false => self.changed(index, removed),
        }
    }

    fn filter(&self, platforms: &[Platform]) -> Result<Changed<'a>> {
        let index = self.index()?;
        let filtered = Filter::new(self.run, self.layout, platforms).apply(self.old)?;
        let mut made: Vec<Document<ImageIndex>> = filtered.made.into_iter().map(|(_, made)| made).collect();
        let Some(last) = made.pop() else { return self.changed(index, Vec::new()) };
        Ok(Changed { index: last, below: made, removed: filtered.left_out, content: Vec::new() })
    }
}

/// The entries that are meant; every target must mean one.
fn meant<'i>(index: &'i mut ImageIndex, targets: &[Target]) -> Result<Vec<&'i mut Descriptor>> {
    let is = |target: &Target, entry: &Descriptor| match target {
        Target::Digest(digest) => entry.digest == *digest,
        Target::Platform(wanted) => !attestation::is_attestation(entry) && entry.platform.as_ref().is_some_and(|platform| platform.strict_eq(wanted)),
    };
    if let Some(absent) = targets.iter().find(|target| !index.manifests.iter().any(|entry| is(target, entry))) {
        let there: Vec<String> = index.manifests.iter().filter_map(|entry| entry.platform.as_ref()).map(ToString::to_string).collect();
        let what = match absent {
            Target::Platform(platform) => format!("platform {platform}"),
            Target::Digest(digest) => format!("manifest {digest}"),
        };
        return Err(Error::not_found(format!("the index has no {what}")).hint(format!("it has {}", there.join(", "))));
    }
    Ok(index.manifests.iter_mut().filter(|entry| targets.iter().any(|target| is(target, entry))).collect())
}
