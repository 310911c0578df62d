//! What deserves attention in a layer that can be applied all the same.

use std::io::Read;

use super::{Entry, EntryKind, whiteout};
use crate::exec::Run;
use crate::spec::{Descriptor, text};
use crate::tar;

/// What was seen in one layer.
#[derive(Clone, Debug, Default)]
pub struct Remarks {
    repeated: Seen,
    reserved: Seen,
    /// What reading it as tar brought up.
    read: Vec<String>,
}

/// Entries of one sort, of which one is named.
#[derive(Clone, Debug, Default)]
struct Seen {
    count: u64,
    first: Option<Vec<u8>>,
}

impl Remarks {
    /// Looks at an entry by itself.
    pub fn look(&mut self, entry: &Entry) {
        let directory = match entry.kind {
            EntryKind::Directory => entry.path.as_slice(),
            _ => entry.path.iter().rposition(|byte| *byte == b'/').map_or(&[][..], |slash| &entry.path[..slash]),
        };
        if whiteout::is_reserved(directory) {
            self.reserved.add(entry);
        }
    }

    /// Notes an entry whose path an earlier one of the layer has.
    pub fn repeated(&mut self, entry: &Entry) {
        self.repeated.add(entry);
    }

    /// Notes what reading the layer brought up, which is complete behind its last entry.
    pub fn hear<R: Read>(&mut self, entries: &tar::Reader<R>) {
        self.read = entries.warnings().map(str::to_owned).collect();
    }

    /// Warns of all that was noted.
    pub fn tell(&self, run: &Run, layer: &Descriptor) {
        let warn = |message: &str| run.events.warn(format!("layer {}: {message}", layer.digest.short()));
        self.read.iter().for_each(|message| warn(message));
        if let Some(which) = self.repeated.line() {
            warn(&format!("{which} with the path of an earlier one, which they replace"));
        }
        if let Some(which) = self.reserved.line() {
            warn(&format!("{which} in directories that are named like whiteouts, which are taken for directories"));
        }
    }
}

impl Seen {
    fn add(&mut self, entry: &Entry) {
        self.count += 1;
        self.first.get_or_insert_with(|| entry.path.clone());
    }

    fn line(&self) -> Option<String> {
        let first = text::bytes(self.first.as_ref()?);
        Some(if self.count > 1 { format!("{} entries, such as `{first}`,", self.count) } else { format!("entry `{first}`") })
    }
}
