//! What is attached to the documents of a report: signatures, bills of material and the like that are entries of the same store.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use crate::error::{ErrorKind, Result};
use crate::exec::Run;
use crate::graph::referrers::{Referrers, Search};
use crate::spec::{Descriptor, Digest, ImageIndex, ImageName, Kind, limits, shape};
use crate::store::Source;

use super::read::artifact_type;
use super::{InspectReport, ReferrerReport, Via};

/// Adds to every document of the report what is attached to it, as far as the entries show that they may be attached: nobody who asks for one image of a
/// store with very many waits until all are read. What cannot be read is left out, because it is no part of what was asked for.
pub(super) fn attach(run: &Run, source: &dyn Source, index: &ImageIndex, report: &mut InspectReport) -> Result<()> {
    let wanted: HashSet<Digest> = report.documents().into_iter().map(|document| document.content.digest.clone()).collect();
    let referrers = Referrers::find(run, source, &index.manifests, Search::Likely)?;
    let mut attached: HashMap<Digest, Vec<ReferrerReport>> = HashMap::new();
    let mut known: HashMap<(Digest, Digest), usize> = HashMap::new();
    for (subject, entry) in referrers.all().filter(|(subject, _)| wanted.contains(subject)) {
        run.cancel.check()?;
        let name = ImageName::of(entry).map(|name| name.as_str().to_owned());
        let all = attached.entry(subject.clone()).or_default();
        if let Some(position) = known.get(&(subject.clone(), entry.digest.clone())) {
            all[*position].names.extend(name);
            continue;
        }
        for mut referrer in match tell(source, subject, entry) {
            Err(error) if error.kind() != ErrorKind::Interrupted => continue,
            told => told?,
        } {
            if referrer.digest == entry.digest {
                referrer.names.extend(name.clone());
            }
            if let Entry::Vacant(place) = known.entry((subject.clone(), referrer.digest.clone())) {
                place.insert(all.len());
                all.push(referrer);
            }
        }
    }
    report.change_documents(|document| {
        if !document.repeated {
            document.referrers = attached.get(&document.content.digest).cloned().unwrap_or_default();
        }
    });
    Ok(())
}

/// What `entry` attaches to `subject`: itself, or what it lists where it is the index under the tag of the subject's digest.
fn tell(source: &dyn Source, subject: &Digest, entry: &Descriptor) -> Result<Vec<ReferrerReport>> {
    let bytes = source.read(entry, limits::MANIFEST_BYTES)?;
    let via = |own: &Option<Descriptor>| if own.as_ref().is_some_and(|own| own.digest == *subject) { Via::Subject } else { Via::Tag };
    if Kind::of(&entry.media_type) != Kind::Index {
        let manifest = shape::manifest(entry, &bytes)?;
        let referrer = report(via(&manifest.subject), entry, artifact_type(&manifest));
        return Ok(vec![ReferrerReport { annotations: manifest.annotations, ..referrer }]);
    }
    let index = shape::index(entry, &bytes)?;
    let listed = |child: &Descriptor| ReferrerReport { annotations: child.annotations.clone(), ..report(Via::Tag, child, child.artifact_type.clone()) };
    Ok(match via(&index.subject) {
        Via::Subject => vec![ReferrerReport { annotations: index.annotations, ..report(Via::Subject, entry, index.artifact_type) }],
        Via::Tag => index.manifests.iter().map(listed).collect(),
    })
}

fn report(via: Via, descriptor: &Descriptor, artifact_type: Option<String>) -> ReferrerReport {
    let Descriptor { digest, media_type, size, .. } = descriptor;
    let (digest, media_type) = (digest.clone(), media_type.to_string());
    ReferrerReport { via, digest, media_type, size: *size, artifact_type, names: Vec::new(), annotations: Default::default() }
}
