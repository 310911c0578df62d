//! What a job did, image by image.

use std::collections::HashSet;

use serde::Serialize;

use crate::copy::{Carried, Tally};
use crate::error::{Error, ErrorKind, Side};
use crate::ops::copy::TallyReport;
use crate::spec::Digest;
use crate::store::registry::Traffic;

/// What a job did.
#[derive(Clone, Debug, Serialize)]
pub struct SyncReport {
    /// Every image, in the order of the job.
    pub images: Vec<ImageReport>,
    /// How many images there are of each state.
    pub counts: Counts,
    /// What became of blobs and documents.
    pub content: ContentReport,
    /// What was sent to registries and received from them.
    pub traffic: Traffic,
    /// What was to be removed from targets.
    pub pruned: Vec<PrunedReport>,
    /// The share of the job, where it is not all of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shard: Option<String>,
    /// Entries of layouts that have no name and so no place to go.
    pub nameless: usize,
    /// What is attached to images and was left where it is, as far as it was seen.
    pub attached_left: usize,
}

/// One image.
#[derive(Clone, Debug, Serialize)]
pub struct ImageReport {
    /// What it is called where it comes from. Foreign text.
    pub source: String,
    /// What it is called where it goes; none where that could not be found out. Foreign text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// What became of it.
    pub state: State,
    /// What its name stands on now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// What its name stood on before, where that was something else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub moved_from: Option<Digest>,
    /// The platforms that were asked for and that it does not have.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lacking: Vec<String>,
    /// Why it did not arrive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

/// What became of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It was carried, and has its name.
    Copied,
    /// It was there already, under its name.
    Unchanged,
    /// An earlier run of the job carried it, as the journal says.
    Finished,
    /// Another image has its name, and was to keep it.
    Kept,
    /// The source does not have it, and need not.
    Absent,
    /// It did not arrive.
    Failed,
    /// It was not tried, because something else had failed.
    NotTried,
}

impl State {
    /// The word in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Copied => "copied",
            State::Unchanged => "unchanged",
            State::Finished => "finished",
            State::Kept => "kept",
            State::Absent => "absent",
            State::Failed => "failed",
            State::NotTried => "not-tried",
        }
    }
}

/// How many images there are of each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Were carried.
    pub copied: usize,
    /// Were there.
    pub unchanged: usize,
    /// Were carried by an earlier run.
    pub finished: usize,
    /// Were not to replace another image.
    pub kept: usize,
    /// Are not in the source.
    pub absent: usize,
    /// Did not arrive.
    pub failed: usize,
    /// Were not tried.
    pub not_tried: usize,
}

impl Counts {
    pub(super) fn of(images: &[ImageReport]) -> Counts {
        let mut counts = Counts::default();
        for image in images {
            let count = match image.state {
                State::Copied => &mut counts.copied,
                State::Unchanged => &mut counts.unchanged,
                State::Finished => &mut counts.finished,
                State::Kept => &mut counts.kept,
                State::Absent => &mut counts.absent,
                State::Failed => &mut counts.failed,
                State::NotTried => &mut counts.not_tried,
            };
            *count += 1;
        }
        counts
    }

    /// All of them.
    pub fn all(&self) -> usize {
        self.copied + self.unchanged + self.finished + self.kept + self.absent + self.failed + self.not_tried
    }
}

/// What became of blobs and documents.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct ContentReport {
    /// Was there already, where somebody had to ask.
    pub present: TallyReport,
    /// Was in another repository of the same registry and taken from there, or came with another image meanwhile.
    pub taken: TallyReport,
    /// Is shared with the source, as the same file or the same blocks.
    pub shared: TallyReport,
    /// Was read, verified and written.
    pub copied: TallyReport,
}

impl ContentReport {
    pub(super) fn add(&mut self, carried: &Carried) {
        let add = |sum: &mut TallyReport, more: Tally| {
            sum.count += more.count;
            sum.bytes = sum.bytes.saturating_add(more.bytes);
        };
        add(&mut self.present, carried.present);
        add(&mut self.taken, carried.taken);
        add(&mut self.shared, carried.linked);
        add(&mut self.shared, carried.reflinked);
        add(&mut self.copied, carried.copied);
    }
}

/// A tag or name that was to be removed.
#[derive(Clone, Debug, Serialize)]
pub struct PrunedReport {
    /// What it is called. Foreign text.
    pub name: String,
    /// Whether it is gone.
    pub state: PruneState,
    /// Why it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

/// What became of a name that was to be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PruneState {
    /// It is gone.
    Removed,
    /// It stays, because images did not arrive in its repository.
    Spared,
    /// It could not be removed.
    Failed,
}

/// Why something did not work, as plain data.
#[derive(Clone, Debug, Serialize)]
pub struct Failure {
    /// The code of the kind.
    pub code: &'static str,
    /// What could not be done.
    pub message: String,
    /// Why, from the outside to the inside.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<String>,
    /// Which end failed, where that is known: `source` or `destination`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub side: Option<&'static str>,
    /// What would help.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    #[serde(skip)]
    kind: ErrorKind,
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        Failure {
            code: error.kind().code(),
            message: error.message().to_owned(),
            causes: error.causes(),
            side: error.failed_side().map(Side::as_str),
            hint: error.hint_text().map(str::to_owned),
            kind: error.kind(),
        }
    }
}

impl Failure {
    /// The same as an error.
    pub(super) fn error(&self) -> Error {
        let error = Error::new(self.kind, self.message.clone());
        match &self.hint {
            Some(hint) => error.hint(hint.clone()),
            None => error,
        }
    }
}

/// What decides of several kinds: first what tells of damage, last what may be gone at the next try.
const WORST_FIRST: [ErrorKind; 9] = [
    ErrorKind::Interrupted,
    ErrorKind::Corrupt,
    ErrorKind::Io,
    ErrorKind::Denied,
    ErrorKind::Conflict,
    ErrorKind::Usage,
    ErrorKind::Unsupported,
    ErrorKind::NotFound,
    ErrorKind::Unavailable,
];

/// The kind that decides of all these.
pub(super) fn worst<'f>(failures: impl Iterator<Item = &'f Failure>) -> Option<ErrorKind> {
    let kinds: HashSet<ErrorKind> = failures.map(|failure| failure.kind).collect();
    WORST_FIRST.into_iter().find(|kind| kinds.contains(kind))
}

impl SyncReport {
    /// The kind of failure that the job amounts to: the worst there is, with `unavailable` only where all else went well, so that trying again may help. None
    /// where everything arrived.
    pub fn verdict(&self) -> Option<ErrorKind> {
        let images = self.images.iter().filter_map(|image| image.failure.as_ref());
        worst(images.chain(self.pruned.iter().filter_map(|name| name.failure.as_ref())))
    }

    /// How many things did not go as they were to.
    pub fn failures(&self) -> usize {
        self.counts.failed + self.counts.not_tried + self.pruned.iter().filter(|name| name.state == PruneState::Failed).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_rank_and_the_worst_decides() {
        for kind in ErrorKind::ALL {
            assert_eq!(WORST_FIRST.iter().filter(|other| **other == kind).count(), 1, "{kind:?}");
        }
        let failed = |kind| ImageReport {
            source: String::new(),
            target: None,
            state: State::Failed,
            digest: None,
            moved_from: None,
            lacking: Vec::new(),
            failure: Some(Failure::from(&Error::new(kind, "x"))),
        };
        let verdict = |kinds: &[ErrorKind]| {
            let images: Vec<ImageReport> = kinds.iter().map(|kind| failed(*kind)).collect();
            let report = SyncReport {
                counts: Counts::of(&images),
                images,
                content: ContentReport::default(),
                traffic: Traffic::default(),
                pruned: Vec::new(),
                shard: None,
                nameless: 0,
                attached_left: 0,
            };
            assert_eq!(report.failures(), kinds.len());
            report.verdict()
        };
        assert_eq!(verdict(&[]), None);
        assert_eq!(verdict(&[ErrorKind::Unavailable, ErrorKind::NotFound]), Some(ErrorKind::NotFound));
        assert_eq!(verdict(&[ErrorKind::Unavailable, ErrorKind::Unavailable]), Some(ErrorKind::Unavailable));
        assert_eq!(verdict(&[ErrorKind::Denied, ErrorKind::Corrupt, ErrorKind::Io]), Some(ErrorKind::Corrupt));
    }
}
