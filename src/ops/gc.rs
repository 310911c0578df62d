//! Removing the content that nothing leads to any more.
//!
//! What stays: everything that the entries of `index.json` lead to; every manifest that is attached to something that stays (its `subject`), with all below it,
//! though no entry names it; and whatever is younger than the grace period, with all below it, because tools that take no locks write content before they name
//! it. Everything else that has the name of a digest goes. What has another name stays and is reported.
//!
//! The plan is made first and as a whole, under locks that keep every other larder out, and nothing is removed where any document that stays cannot be read:
//! what lies below it would be unknown. Removing looks at each file again. Killed at any moment, it leaves a layout in which everything that is named is whole.

mod loose;
mod plan;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use crate::error::{Error, ErrorKind, Result};
use crate::exec::Run;
use crate::spec::{Digest, text};
use crate::store::layout::{Layout, Options, Removal, StoredBlob};

pub use super::absent::Absent;

/// What to clean, and how carefully.
#[derive(Clone, Debug)]
pub struct GcRequest {
    /// The directory of the layout.
    pub layout: PathBuf,
    /// Content that nothing leads to stays for this long. With zero nothing is young, whatever the clocks say.
    pub grace: Duration,
    /// What it means where an index lists manifests that are not there; of damage nothing is removed.
    pub absent: Absent,
    /// How the layout is opened.
    pub options: Options,
}

/// How long content that nothing leads to stays, unless somebody says otherwise: longer than any tool takes from its first blob to its name.
pub const GRACE: Duration = Duration::from_secs(60 * 60);

/// What is to be removed, and why the rest is not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GcPlan {
    /// The layout.
    pub layout: String,
    /// What the entries lead to.
    pub named: Tally,
    /// What is attached to something that stays, and what lies below it, where no entry leads there.
    pub attached: Tally,
    /// What nothing leads to but is young, and what lies below it.
    pub young: Tally,
    /// What nothing leads to, in the order of removal: documents before what they lead to.
    pub garbage: Vec<Garbage>,
    /// Bytes of the garbage.
    pub garbage_bytes: u64,
    /// What lies among the content and is none, as paths in the layout. It stays.
    pub strays: Vec<String>,
    /// Directories of temporary files whose owners no longer live. They go too.
    pub staging: Vec<String>,
}

/// Some content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// How many blobs.
    pub blobs: usize,
    /// Their bytes.
    pub bytes: u64,
}

/// Content that nothing leads to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Garbage {
    /// What it is.
    #[serde(rename = "type")]
    pub form: GarbageForm,
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    #[serde(skip)]
    blob: StoredBlob,
}

/// What garbage is, as far as it says so itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum GarbageForm {
    /// An image index.
    Index,
    /// A manifest.
    Manifest,
    /// Anything else.
    Blob,
}

/// What was removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GcReport {
    /// What was to be removed, and why the rest was not.
    #[serde(flatten)]
    pub plan: GcPlan,
    /// What was removed.
    pub removed: Tally,
    /// What somebody changed in the moment before it would have been removed, so that it stays.
    pub changed: Vec<Digest>,
}

/// Says what [`execute`] would remove. Takes no lock that keeps others out, and changes nothing.
///
/// Kinds: as [`execute`].
pub fn plan(run: &Run, request: &GcRequest) -> Result<GcPlan> {
    let layout = Layout::open(&request.layout, request.options.clone())?;
    plan::make(run, request, &layout, &layout.index()?).map_err(|error| refused(error, request))
}

/// Removes what nothing leads to.
///
/// Kinds: those of [`Layout::open_for_sweep`]; `corrupt` and `unsupported` where something that stays cannot be read as what it must be, and `io` where it cannot
/// be read at all: then nothing was removed. `conflict` where another tool changed the names meanwhile; `interrupted`.
pub fn execute(run: &Run, request: &GcRequest) -> Result<GcReport> {
    let sweep = Layout::open_for_sweep(&request.layout, request.options.clone())?;
    let plan = plan::make(run, request, sweep.layout(), sweep.index()).map_err(|error| refused(error, request))?;
    let mut report = GcReport { plan, removed: Tally::default(), changed: Vec::new() };
    let task = run.events.start("remove", Some(report.plan.garbage_bytes));
    for garbage in &report.plan.garbage {
        run.cancel.check()?;
        let stopped = |error: Error| error.context(format!("stopped after {} of {} blobs", report.removed.blobs, report.plan.garbage.len()));
        match sweep.remove(&garbage.blob).map_err(stopped)? {
            Removal::Removed => report.removed.add(garbage.size),
            Removal::Changed => report.changed.push(garbage.digest.clone()),
        }
        task.advance(garbage.size);
    }
    sweep.finish()?;
    if let Err(error) = sweep.layout().sweep_staging() {
        run.events.warn(format!("temporary files of a writer that died are left: {error}"));
    }
    Ok(report)
}

impl Tally {
    fn add(&mut self, bytes: u64) {
        self.blobs += 1;
        self.bytes = self.bytes.saturating_add(bytes);
    }
}

/// That nothing was removed. What is missing makes a layout corrupt, and is nothing that was asked for and not found.
fn refused(error: Error, request: &GcRequest) -> Error {
    let is_missing = error.kind() == ErrorKind::NotFound;
    let refused = error.context(format!("nothing was removed from oci:{}", text::path(&request.layout)));
    match (is_missing, request.absent) {
        (false, _) => refused,
        (true, Absent::LeftOut) => refused.with_kind(ErrorKind::Corrupt),
        (true, Absent::Damage) => refused
            .with_kind(ErrorKind::Corrupt)
            .hint("`larder verify` shows all damage; if the images were copied for some platforms only, allow that with --sparse"),
    }
}
