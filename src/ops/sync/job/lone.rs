//! One image of a source, as if it were alone there.
//!
//! A store may have very many entries, and planning one image after the other must not look at all of them each time. What is read of documents is kept until
//! the image is through: planning reads them, and carrying would read them again, which over a network is a request each.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Cursor, Read};
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::Result;
use crate::spec::{Descriptor, Digest, ImageIndex, ImageName, Kind, Selector, limits};
use crate::store::Source;

use super::stores::Attachments;

/// Bytes of documents that are kept for one image: 16 MiB, far above what an image with all its platforms has. What goes beyond is read again.
const KEPT: usize = 16 << 20;

/// One image of a source.
pub(super) struct Lone<'a> {
    source: &'a dyn Source,
    index: ImageIndex,
    /// None where the source is asked.
    attached: Option<Arc<Attachments>>,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    documents: HashMap<Digest, Arc<[u8]>>,
    bytes: usize,
}

impl<'a> Lone<'a> {
    /// The image at `root`, without a name.
    pub(super) fn new(source: &'a dyn Source, root: &Descriptor, attached: Option<Arc<Attachments>>) -> Self {
        let mut entry = root.clone();
        ImageName::clear(&mut entry);
        Lone { source, index: ImageIndex::new(vec![entry]), attached, kept: Mutex::default() }
    }

    fn document(&self, descriptor: &Descriptor) -> Result<Arc<[u8]>> {
        let kept = || self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = kept().documents.get(&descriptor.digest).filter(|bytes| bytes.len() as u64 == descriptor.size) {
            return Ok(known.clone());
        }
        let bytes: Arc<[u8]> = self.source.read(descriptor, limits::MANIFEST_BYTES)?.into();
        let mut kept = kept();
        if kept.bytes + bytes.len() <= KEPT && kept.documents.insert(descriptor.digest.clone(), bytes.clone()).is_none() {
            kept.bytes += bytes.len();
        }
        Ok(bytes)
    }
}

fn is_document(descriptor: &Descriptor) -> bool {
    matches!(Kind::of(&descriptor.media_type), Kind::Index | Kind::Manifest)
}

impl Source for Lone<'_> {
    fn location(&self) -> String {
        self.source.location()
    }

    fn index(&self) -> Result<ImageIndex> {
        Ok(self.index.clone())
    }

    fn entries_for(&self, _: &Selector) -> Result<ImageIndex> {
        self.index()
    }

    fn referrers(&self, subject: &Descriptor) -> Result<Option<Vec<Descriptor>>> {
        match &self.attached {
            Some(attached) => Ok(Some(attached.get(&subject.digest).cloned().unwrap_or_default())),
            None => self.source.referrers(subject),
        }
    }

    fn open(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send + '_>> {
        match is_document(descriptor) {
            true => Ok(Box::new(Cursor::new(self.document(descriptor)?))),
            false => self.source.open(descriptor),
        }
    }

    fn open_unproved(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send + '_>> {
        match is_document(descriptor) {
            true => self.open(descriptor),
            false => self.source.open_unproved(descriptor),
        }
    }

    fn open_unproved_from(&self, descriptor: &Descriptor, start: u64) -> Result<Box<dyn Read + Send + '_>> {
        self.source.open_unproved_from(descriptor, start)
    }

    fn may_heal(&self) -> bool {
        self.source.may_heal()
    }

    fn local_file(&self, descriptor: &Descriptor) -> Result<Option<File>> {
        self.source.local_file(descriptor)
    }
}
