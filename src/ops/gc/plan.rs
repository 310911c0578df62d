//! Deciding what goes and what stays.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::exec::Run;
use crate::graph::Graph;
use crate::spec::{Descriptor, Digest, ImageIndex, Kind, limits, links, text};
use crate::store::Layout;
use crate::store::layout::StoredBlob;

use super::loose::{self, Document};
use super::{Absent, Garbage, GarbageForm, GcPlan, GcRequest, Tally};

/// What is decided so far.
struct Marks<'a> {
    layout: &'a Layout,
    absent: Absent,
    /// What the entries lead to.
    named: Graph,
    /// Documents that they do not lead to.
    documents: HashMap<Digest, Document>,
    /// What is attached to what stays, and all below.
    attached: HashSet<Digest>,
}

/// Decides about everything in the layout, which nobody else changes meanwhile. Errors are those of documents that stay.
pub(super) fn make(run: &Run, request: &GcRequest, layout: &Layout, index: &ImageIndex) -> Result<GcPlan> {
    let named = walk(run, request, layout, &index.manifests)?;
    let stored = layout.stored()?;
    let loose: Vec<&StoredBlob> = stored.blobs.iter().filter(|blob| !named.contains(&blob.digest)).collect();
    let documents = loose::documents(run, layout, &loose)?;
    let mut marks = Marks { layout, absent: request.absent, named, documents, attached: HashSet::new() };
    marks.attach()?;
    let young = marks.young(&loose, request.grace, run.clock.now());

    let mut plan = GcPlan {
        layout: format!("oci:{}", text::path(&request.layout)),
        named: Tally::default(),
        attached: Tally::default(),
        young: Tally::default(),
        garbage: Vec::new(),
        garbage_bytes: 0,
        strays: stored.strays.iter().map(|path| text::path(path).into_owned()).collect(),
        staging: layout.dead_staging()?.iter().map(|path| text::path(path).into_owned()).collect(),
    };
    for blob in &stored.blobs {
        let digest = &blob.digest;
        let tally = if marks.named.contains(digest) {
            &mut plan.named
        } else if marks.attached.contains(digest) {
            &mut plan.attached
        } else if young.contains(digest) {
            &mut plan.young
        } else {
            let form = marks.documents.get(digest).map_or(GarbageForm::Blob, |document| document.form);
            plan.garbage.push(Garbage { form, digest: digest.clone(), size: blob.size(), blob: blob.clone() });
            plan.garbage_bytes = plan.garbage_bytes.saturating_add(blob.size());
            continue;
        };
        tally.add(blob.size());
    }
    let order = marks.order(plan.garbage.iter().map(|garbage| &garbage.digest).collect());
    plan.garbage.sort_by_key(|garbage| order.get(&garbage.digest).copied());
    Ok(plan)
}

/// What the entries lead to. Fails where any of it cannot be known.
fn walk(run: &Run, request: &GcRequest, layout: &Layout, entries: &[Descriptor]) -> Result<Graph> {
    // An error of looking is found again by reading.
    let is_there = |child: &Descriptor| layout.has(child).unwrap_or(true);
    Graph::walk_where(run, layout, entries, |parent, child| match request.absent {
        Absent::LeftOut if Kind::of(&parent.media_type) == Kind::Index => is_there(child),
        _ => true,
    })
}

impl Marks<'_> {
    fn stays(&self, digest: &Digest) -> bool {
        self.named.contains(digest) || self.attached.contains(digest)
    }

    /// Marks what is attached to what stays, what is attached to that, and so on.
    fn attach(&mut self) -> Result<()> {
        let mut referrers: HashMap<Digest, Vec<Digest>> = HashMap::new();
        for (digest, document) in &self.documents {
            if let Some(subject) = &document.subject {
                referrers.entry(subject.clone()).or_default().push(digest.clone());
            }
        }
        let mut pending: Vec<Digest> = referrers.iter().filter(|(subject, _)| self.named.contains(subject)).flat_map(|(_, digests)| digests.clone()).collect();
        while let Some(digest) = pending.pop() {
            if self.named.contains(&digest) || !self.attached.insert(digest.clone()) {
                continue;
            }
            pending.extend(referrers.get(&digest).into_iter().flatten().cloned());
            let children = self.documents.get(&digest).map(|document| document.children.clone()).unwrap_or_default();
            for child in children {
                if child.is_document() && !self.known(&child.descriptor)? {
                    continue;
                }
                pending.push(child.descriptor.digest);
            }
        }
        Ok(())
    }

    /// Whether it is known what lies below the document `child` of something that stays. If it is not there, that may be on purpose; all else is an error.
    fn known(&self, child: &Descriptor) -> Result<bool> {
        if self.stays(&child.digest) || self.documents.contains_key(&child.digest) {
            return Ok(true);
        }
        if self.absent == Absent::LeftOut && !self.layout.has(child)? {
            return Ok(false);
        }
        // Reading it again tells what is wrong with it.
        let digest = &child.digest;
        let bytes = self.layout.read(child, limits::MANIFEST_BYTES)?;
        links::children(child, &bytes)?;
        Err(Error::corrupt(format!("{digest} is not the document that it should be")).subject(digest))
    }

    /// Where in the order of removal each piece of garbage stands: everything before what it leads to, so that nothing that is left when the work is
    /// interrupted points to what is gone. Documents come first, and beyond that the order is that of `garbage`.
    fn order(&self, garbage: Vec<&Digest>) -> HashMap<Digest, usize> {
        let all: HashSet<&Digest> = garbage.iter().copied().collect();
        let below = |digest: &Digest| {
            let children = self.documents.get(digest).into_iter().flat_map(|document| &document.children);
            let unique: HashSet<&Digest> = children.map(|child| &child.descriptor.digest).filter(|child| all.contains(child)).collect();
            unique
        };
        let mut parents: HashMap<&Digest, usize> = HashMap::new();
        for child in garbage.iter().flat_map(|digest| below(digest)) {
            *parents.entry(child).or_default() += 1;
        }
        let (documents, blobs): (Vec<&Digest>, Vec<&Digest>) = garbage.into_iter().partition(|digest| self.documents.contains_key(digest));
        let mut order: HashMap<Digest, usize> = HashMap::new();
        let mut ready: Vec<&Digest> = documents.into_iter().filter(|digest| !parents.contains_key(digest)).rev().collect();
        while let Some(digest) = ready.pop() {
            order.insert(digest.clone(), order.len());
            let mut children: Vec<&Digest> = below(digest).into_iter().filter(|child| self.documents.contains_key(child)).collect();
            children.sort();
            for child in children {
                if let Some(left) = parents.get_mut(child) {
                    *left -= 1;
                    if *left == 0 {
                        ready.push(child);
                    }
                }
            }
        }
        for digest in blobs {
            order.insert(digest.clone(), order.len());
        }
        order
    }

    /// What is young among the blobs that no entry leads to, and everything below it. What cannot be read is young alone.
    fn young(&self, loose: &[&StoredBlob], grace: Duration, now: Duration) -> HashSet<Digest> {
        // A time to come is that of another clock, which tells nothing of the age.
        let is_young = |blob: &&&StoredBlob| !grace.is_zero() && blob.changed().saturating_add(grace) > now;
        let mut young = HashSet::new();
        let mut pending: Vec<Digest> = loose.iter().filter(is_young).map(|blob| blob.digest.clone()).collect();
        while let Some(digest) = pending.pop() {
            if !self.stays(&digest) && young.insert(digest.clone()) {
                let children = self.documents.get(&digest).into_iter().flat_map(|document| &document.children);
                pending.extend(children.map(|child| child.descriptor.digest.clone()));
            }
        }
        young
    }
}
