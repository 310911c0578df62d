//! Where content will stand in an archive.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::{Error, Result};
use crate::fsio::Mismatch;
use crate::spec::{Descriptor, Digest};

use super::extent::Extent;
use super::{BLOBS, blob_name, frame};

/// The largest file, with room for what stands behind the content.
const LARGEST: u64 = (i64::MAX as u64) - (1 << 40);

/// Places in the order in which they were given away, one behind the other.
#[derive(Clone, Debug, Default)]
pub(in crate::store) struct Plan {
    next: u64,
    slots: HashMap<Digest, Arc<Slot>>,
    directories: BTreeSet<String>,
}

/// The place of one piece of content.
#[derive(Debug)]
pub(in crate::store) struct Slot {
    /// Where its headers begin.
    pub(in crate::store) begin: u64,
    /// Directories that are entered before it.
    directories: Vec<String>,
    /// Where its bytes stand.
    pub(in crate::store) content: Extent,
    /// Whether they do. Held by who writes them: others with the same content wait.
    pub(in crate::store) state: Mutex<Fill>,
}

/// Whether content is where it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Fill {
    /// Not yet, or it was tried in vain.
    Awaited,
    /// It is, and it was verified.
    Written,
}

impl Plan {
    /// Begins at `next`, in an archive that has `directories`.
    pub(in crate::store) fn from(next: u64, directories: impl Iterator<Item = String>) -> Self {
        Plan { next, slots: HashMap::new(), directories: directories.collect() }
    }

    /// Where the next member will begin.
    pub(in crate::store) fn next(&self) -> u64 {
        self.next
    }

    /// Goes on at `next`, behind what somebody else wrote.
    pub(in crate::store) fn resume(&mut self, next: u64) {
        self.next = next;
    }

    /// The place that was given to this content. Fails with kind `corrupt` where it was given for another size.
    pub(in crate::store) fn slot(&self, descriptor: &Descriptor) -> Result<Option<Arc<Slot>>> {
        let Some(slot) = self.slots.get(&descriptor.digest) else { return Ok(None) };
        match slot.content.size == descriptor.size {
            true => Ok(Some(slot.clone())),
            false => Err(Mismatch::Size { actual: slot.content.size, expected: descriptor.size }.of(&descriptor.digest)),
        }
    }

    /// The place that this content would get, behind all others. Fails with kind `unsupported` where no file is that large.
    pub(in crate::store) fn propose(&self, descriptor: &Descriptor) -> Result<Slot> {
        let digest = &descriptor.digest;
        let parents = [BLOBS.to_owned(), format!("{BLOBS}/{}", digest.algorithm().as_str())];
        let directories: Vec<String> = parents.into_iter().filter(|directory| !self.directories.contains(directory)).collect();
        let mut slot = Slot { begin: self.next, directories, content: Extent { offset: 0, size: descriptor.size }, state: Mutex::new(Fill::Awaited) };
        slot.content.offset = self.next + slot.headers(digest)?.len() as u64;
        match slot.content.offset.checked_add(descriptor.size) {
            Some(end) if end <= LARGEST => Ok(slot),
            _ => Err(Error::unsupported(format!("{digest} has {} bytes, more than a file can have", descriptor.size)).subject(digest)),
        }
    }

    /// Gives the place that was proposed last to this content.
    pub(in crate::store) fn take(&mut self, digest: &Digest, slot: Slot) -> Arc<Slot> {
        self.next = slot.end();
        self.directories.extend(slot.directories.iter().cloned());
        let slot = Arc::new(slot);
        self.slots.insert(digest.clone(), slot.clone());
        slot
    }

    /// The first content that has a place and is not there.
    pub(in crate::store) fn awaited(&self) -> Option<&Digest> {
        let awaited = self.slots.iter().filter(|(_, slot)| *slot.state.lock().unwrap_or_else(PoisonError::into_inner) == Fill::Awaited);
        awaited.min_by_key(|(_, slot)| slot.begin).map(|(digest, _)| digest)
    }
}

impl Slot {
    /// What stands before the content with this digest.
    pub(in crate::store) fn headers(&self, digest: &Digest) -> Result<Vec<u8>> {
        let mut headers = Vec::new();
        for directory in &self.directories {
            headers.extend(frame::directory(directory.as_bytes())?);
        }
        headers.extend(frame::file(blob_name(digest).as_bytes(), self.content.size)?);
        Ok(headers)
    }

    /// Where the next member may begin.
    pub(in crate::store) fn end(&self) -> u64 {
        self.content.offset + self.content.size + frame::padding(self.content.size) as u64
    }
}
