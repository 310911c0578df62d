//! A new index of images from anywhere.

use crate::copy::{self, CopyPlan};
use crate::error::{Result, Side};
use crate::exec::Run;
use crate::graph::merge::{self, Merge};
use crate::spec::name::same_name;
use crate::spec::{Descriptor, Digest, ImageName};
use crate::store::{Location, Options, Source, transport};

use super::{CreateRequest, Effect, IndexReport, entries, no_name, report, select};

/// Makes the index, and brings what it lists along.
///
/// Kinds: `conflict` for two images of one platform; those of [`copy::execute`] and [`Source::resolve`].
pub fn create(run: &Run, request: &CreateRequest) -> Result<IndexReport> {
    if request.names.is_empty() {
        return Err(no_name(&request.destination));
    }
    let sources = open(&request.sources, &request.options)?;
    let mut merge = Merge::new(run, request.nesting, request.clash);
    for ((source, root), location) in sources.iter().zip(&request.sources) {
        merge.add(&**source, root).map_err(|error| error.context(format!("cannot take in {location}")))?;
    }
    let index = merge::document(request.annotations.clone(), merge.members().iter().map(|member| member.descriptor.clone()).collect())?;
    let before = request.names.first().and_then(|name| standing(request, name));
    if request.effect == Effect::Done {
        let mut plans = content(run, &merge, &sources)?;
        if let Some((source, _)) = sources.first() {
            plans.push(CopyPlan::of_indexes(&**source, [&index], entries(&index.descriptor, &request.names))?);
        }
        let destination = transport::destination(&request.destination, &request.options).map_err(|error| error.side(Side::Destination))?;
        copy::execute(run, &plans, &*destination, request.how)?;
    }
    Ok(report(&request.destination, &request.names, &index, before, &merge.replaced))
}

/// What a name stands on at the destination; none where it is new, and where the destination cannot be read, which is told when it is opened for writing.
fn standing(request: &CreateRequest, name: &ImageName) -> Option<Digest> {
    let index = transport::source(&request.destination, &request.options).and_then(|destination| destination.index()).ok()?;
    index.manifests.iter().find(|entry| same_name(entry, name)).map(|entry| entry.digest.clone())
}

/// A source and the image that is meant in it.
pub(super) type Opened = (Box<dyn Source>, Descriptor);

/// Opens sources and finds the images in them.
pub(super) fn open(locations: &[Location], options: &Options) -> Result<Vec<Opened>> {
    let open = |location| {
        let source = transport::source(location, options).map_err(|error| error.side(Side::Source))?;
        let root = select(&*source, location)?;
        Ok((source, root))
    };
    locations.iter().map(open).collect()
}

/// What must come along, source by source. The sources were added in their order, before or after nothing else.
pub(super) fn content<'a>(run: &Run, merge: &Merge<'_>, sources: &'a [Opened]) -> Result<Vec<CopyPlan<'a>>> {
    content_from(run, merge, sources, 0)
}

/// As [`content`], where `before` other sources were added before.
pub(super) fn content_from<'a>(run: &Run, merge: &Merge<'_>, sources: &'a [Opened], before: usize) -> Result<Vec<CopyPlan<'a>>> {
    let plan = |(position, (source, _)): (usize, &'a Opened)| CopyPlan::of_content(run, &**source, &merge.members_of(before + position));
    sources.iter().enumerate().map(plan).collect()
}
