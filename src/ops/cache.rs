//! What builds remember, shown and removed.

use std::time::Duration;

use serde::Serialize;

use crate::build::Cache;
use crate::build::cache::{BUILDS_KEEP, Entry, EntryForm, Pruned, Wanted};
use crate::error::Result;
use crate::exec::{Run, Timestamps};
use crate::spec::Digest;
use crate::store::layout::Options;

/// What to remove of a cache.
#[derive(Clone, Debug)]
pub struct PruneRequest {
    /// The cache.
    pub cache: Cache,
    /// How much.
    pub amount: Amount,
    /// How its layout is opened.
    pub options: Options,
}

/// How much of a cache is to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    /// What builds would remove by themselves: what is beyond their bound.
    Usual,
    /// Everything.
    All,
    /// What no build used for `unused`, and beyond it what leaves more than `most` bytes.
    Beyond {
        /// An age.
        unused: Option<Duration>,
        /// A number of bytes.
        most: Option<u64>,
    },
}

/// What is in a cache.
#[derive(Clone, Debug, Serialize)]
pub struct CacheReport {
    /// Where it is.
    pub directory: String,
    /// What a person may want to know of; what was used last comes last.
    pub entries: Vec<CacheEntry>,
    /// Lists and tables that go with it.
    pub notes: NoteTally,
    /// All bytes.
    pub bytes: u64,
    /// The bytes that builds leave at most.
    pub bound: u64,
}

/// What was removed, or would be.
#[derive(Clone, Debug, Serialize)]
pub struct PruneReport {
    /// Where the cache is.
    pub directory: String,
    /// What went.
    pub removed: Vec<CacheEntry>,
    /// What would have gone, but is in use.
    pub busy: Vec<CacheEntry>,
    /// Lists and tables that went.
    pub notes: NoteTally,
    /// Bytes of all that went.
    pub removed_bytes: u64,
    /// Bytes of what stays.
    pub kept_bytes: u64,
}

/// Something in a cache.
#[derive(Clone, Debug, Serialize)]
pub struct CacheEntry {
    /// `step` for the layer of a step of a Dockerfile; `layer` for what is known of a layer that lies in a layout; `mount` for the directory of a
    /// `RUN --mount=type=cache`; `stray` for a layer that nothing tells of.
    #[serde(rename = "type")]
    pub form: &'static str,
    /// What a person knows it by: the step, the layer, the name of the mount.
    pub label: String,
    /// The layer.
    pub digest: Option<Digest>,
    /// The bytes that it takes here.
    pub size: u64,
    /// When a build used it last, as RFC 3339.
    pub used: String,
    /// Seconds since then.
    pub age: u64,
}

/// Lists and tables: how many, and their bytes.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct NoteTally {
    /// How many.
    pub count: usize,
    /// Their bytes.
    pub bytes: u64,
}

/// Says what is in a cache. One that is not there is empty.
pub fn list(run: &Run, cache: &Cache, options: &Options) -> Result<CacheReport> {
    let kept = cache.kept(options)?;
    let (bytes, (entries, notes)) = (kept.bytes(), shown(run, &kept.entries));
    Ok(CacheReport { directory: cache.shown(), entries, notes, bytes, bound: BUILDS_KEEP })
}

/// Says what [`prune`] would remove, and removes nothing.
pub fn plan(run: &Run, request: &PruneRequest) -> Result<PruneReport> {
    Ok(report(run, request, &request.cache.would_prune(run, request.amount.into(), &request.options)?))
}

/// Removes what is asked for. Builds that run keep what they use: layers go when none runs any more, which is waited for, and mounts that are in use stay.
///
/// Kinds: `conflict` where a build runs past the timeout; `io`.
pub fn prune(run: &Run, request: &PruneRequest) -> Result<PruneReport> {
    Ok(report(run, request, &request.cache.prune(run, request.amount.into(), &request.options)?))
}

impl From<Amount> for Wanted {
    fn from(amount: Amount) -> Wanted {
        match amount {
            Amount::All => Wanted::All,
            Amount::Usual => Wanted::Beyond { unused: None, most: Some(BUILDS_KEEP) },
            Amount::Beyond { unused, most } => Wanted::Beyond { unused, most },
        }
    }
}

fn report(run: &Run, request: &PruneRequest, pruned: &Pruned) -> PruneReport {
    let bytes = |entries: &[Entry]| entries.iter().map(|entry| entry.size).sum::<u64>();
    let (removed, notes) = shown(run, &pruned.removed);
    PruneReport {
        directory: request.cache.shown(),
        removed,
        busy: shown(run, &pruned.busy).0,
        notes,
        removed_bytes: bytes(&pruned.removed),
        kept_bytes: bytes(&pruned.kept) + bytes(&pruned.busy),
    }
}

fn shown(run: &Run, entries: &[Entry]) -> (Vec<CacheEntry>, NoteTally) {
    let (mut all, mut notes) = (Vec::new(), NoteTally::default());
    for entry in entries {
        let form = match entry.form {
            EntryForm::Step => "step",
            EntryForm::Layer => "layer",
            EntryForm::Mount => "mount",
            EntryForm::Stray => "stray",
            EntryForm::Note => {
                notes.count += 1;
                notes.bytes += entry.size;
                continue;
            }
        };
        all.push(CacheEntry {
            form,
            label: entry.label.clone(),
            digest: entry.digest.clone(),
            size: entry.size,
            used: Timestamps::written(i64::try_from(entry.used.as_secs()).unwrap_or(i64::MAX)),
            age: run.clock.now().saturating_sub(entry.used).as_secs(),
        });
    }
    (all, notes)
}
