//! Doing a job: many images at once, each from where it is to where it goes.
//!
//! ```text
//! routes --select--> images under their new names --group--> work --carry--> outcome of each image --> report
//! ```
//!
//! Which images there are is found out first, by name. Each of them then takes one question about its new name, and where that has the right digest it is
//! done: an image that did not change costs one request. Only of the others documents are read and content is asked for. The engine that copies is the one of
//! `larder copy`; what all images of a registry share (tokens, limits, which blobs are where, which are on their way) is known to the one
//! [`Reach`] of the run, so each blob is sent to a registry once.
//!
//! Images do not know each other: one that fails stops no other, unless that is asked for, and a registry that refused the login is asked no more. At every moment
//! memory holds the names of all images, and documents only of those that are on their way.

mod archive;
mod arrivals;
mod carry;
mod forecast;
mod lone;
mod metadata;
mod outcome;
mod prune;
mod reach;
mod report;
mod select;
mod stores;
#[cfg(test)]
mod tests;
mod toward;
mod work;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};
use crate::exec::Run;
use crate::fsio::{Patience, Target as FileTarget};
use crate::spec::text;
use crate::store::{Location, Options};
use crate::sync::{Endpoint, Journal, Route, Shard};

pub use forecast::{Planned, PlannedImage, RegistryForecast, SyncPlanReport, TargetForecast};
pub use prune::{Confirm, PruneCandidate};
pub use reach::{Reach, Repository};
pub use report::{ContentReport, Counts, Failure, ImageReport, PruneState, PrunedReport, State, SyncReport};

use arrivals::Arrivals;
use carry::Carrying;
use select::Selection;
use stores::Stores;

/// A job, and how it is done.
pub struct SyncRequest<'a> {
    /// Which images go where.
    pub routes: Vec<Route>,
    /// The share of it that is done here.
    pub shard: Shard,
    /// What a failure means for the other images.
    pub failing: Failing,
    /// Where it is noted what is finished.
    pub journal: Option<Arc<Journal>>,
    /// Who says whether tags may go; asked before anything is carried.
    pub confirm: Confirm<'a>,
    /// Where to write metadata in buildx's form.
    pub metadata_file: Option<PathBuf>,
    /// How stores of this machine are opened.
    pub options: Options,
    /// The registries.
    pub reach: &'a dyn Reach,
}

/// What a failure means for the other images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Failing {
    /// Nothing.
    #[default]
    Alone,
    /// No other image is begun.
    StopsAll,
}

/// A journal.
#[derive(Clone, Debug)]
pub struct JournalRequest {
    /// The file.
    pub path: PathBuf,
    /// How long it holds.
    pub validity: Duration,
    /// What it means that it cannot be written.
    pub need: JournalNeed,
}

/// What it means that a journal cannot be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JournalNeed {
    /// The job fails: somebody asked for it.
    Must,
    /// A warning: the job is in a place that cannot be written.
    May,
    /// Nothing: it is kept among others of which nobody has to know. It is not waited for either.
    Handy,
}

/// Does the job.
///
/// Fails where it cannot be begun: with kind `usage` where tags would go and nobody said so; and with `interrupted`. What becomes of images is in the report; see [`SyncReport::verdict`].
pub fn execute(run: &Run, request: &SyncRequest<'_>) -> Result<SyncReport> {
    let metadata_file = match &request.metadata_file {
        Some(path) => Some(FileTarget::prepare(path).map_err(|error| error.context("cannot write the metadata file"))?),
        None => None,
    };
    let stores = Stores::new(request.reach, &request.options);
    let selection = select::select(run, &request.routes, &stores)?;
    let prune = prune::plan(run, request, &stores, &selection)?;
    if !prune.is_empty() && !(request.confirm)(&prune.candidates())? {
        return Err(Error::usage(format!("{} would be removed, and nobody agreed to it", prune.amount())).hint("nothing was changed"));
    }
    let Selection { images, failures, nameless, attached, .. } = selection;
    let images = images.into_iter().filter(|image| request.shard.has(&select::full_name(&request.routes[image.route], &image.target))).collect();
    let mut carrying = Carrying::new(run, request, &stores, request.journal.as_deref(), images);
    carrying.look_at_layouts();
    carrying.all()?;
    let (images, content) = carrying.finish(failures);
    let pruned = prune.execute(run, &stores, &images)?;
    let shard = (request.shard != Shard::WHOLE).then(|| request.shard.to_string());
    let attached_left = if request.routes.iter().all(|route| route.attached == crate::sync::Attached::Carried) { 0 } else { attached };
    let counts = Counts::of(&images);
    let report = SyncReport { images, counts, content, traffic: request.reach.traffic(), pruned, shard, nameless, attached_left };
    if let Some(mut file) = metadata_file.filter(|_| report.failures() == 0) {
        file.fill(&metadata::of(&report)?, 0o644)?;
        file.show(&run.cancel)?;
    }
    if let Some(journal) = request.journal.as_ref().filter(|_| report.failures() == 0) {
        // A job that is through begins anew the next time.
        journal.complete()?;
    }
    Ok(report)
}

/// Says what the job would do. Reads, asks, and changes nothing. Fails with kind `interrupted` only.
pub fn plan(run: &Run, request: &SyncRequest<'_>) -> Result<SyncPlanReport> {
    forecast::forecast(run, request)
}

/// Opens the journal of a job, which then serves the request and, for uploads that were begun, the network. None where it cannot be kept and need not.
///
/// Kinds: `conflict` where another run of the job has it.
pub fn open_journal(run: &Run, journal: &JournalRequest, options: &Options) -> Result<Option<Arc<Journal>>> {
    let timeout = if journal.need == JournalNeed::Handy { Duration::ZERO } else { options.lock_timeout };
    let mut patience = Patience::new(timeout, run.cancel.clone());
    if let (JournalNeed::Handy, Some(directory)) = (journal.need, journal.path.parent()) {
        // What is wrong with it shows in a moment.
        let _ = std::fs::create_dir_all(directory);
        Journal::sweep(directory, journal.validity, run.clock);
    }
    match (Journal::open(&journal.path, journal.validity, run.clock, &mut patience), journal.need) {
        (Ok(open), _) => Ok(Some(Arc::new(open))),
        (Err(error), JournalNeed::Handy) if error.kind() != ErrorKind::Interrupted => Ok(None),
        (Err(error), JournalNeed::May) if error.kind() == ErrorKind::Io => {
            let reason = error.causes().pop().unwrap_or_else(|| error.message().to_owned());
            run.events.warn(format!("no journal is kept at {} ({reason}): a run that is killed begins anew", text::path(&journal.path)));
            Ok(None)
        }
        (Err(error), _) => Err(error),
    }
}

/// The layouts that routes lead to, each open once, or why it is not.
type Layouts = HashMap<String, Result<Arrivals, Failure>>;

/// Whether a location is, or becomes, something that grows image by image, and not one file as a whole.
fn is_layout(location: &Location) -> bool {
    crate::store::transport::of(location).is_ok_and(|transport| transport.scheme() == crate::store::transport::LAYOUT)
}

/// The location that a route leads to, where it is on this machine.
fn local_target(route: &Route) -> Option<&Location> {
    match &route.to.value {
        Endpoint::Local(location) => Some(location),
        Endpoint::Repository(_) | Endpoint::Below(_) => None,
    }
}
