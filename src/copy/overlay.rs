//! A source with documents of ours in front of it.

use std::fs::File;
use std::io::Read;

use crate::error::Result;
use crate::spec::{Descriptor, ImageIndex, Selector};
use crate::store::{Destination as _, MemoryStore, Source};

/// Serves what was made while planning, and the rest from the source. The entries are those of the source.
pub(super) struct Overlay<'a> {
    pub(super) made: &'a MemoryStore,
    pub(super) source: &'a dyn Source,
}

impl Source for Overlay<'_> {
    fn location(&self) -> String {
        self.source.location()
    }

    fn index(&self) -> Result<ImageIndex> {
        self.source.index()
    }

    fn entries_for(&self, selector: &Selector) -> Result<ImageIndex> {
        self.source.entries_for(selector)
    }

    fn referrers(&self, subject: &Descriptor) -> Result<Option<Vec<Descriptor>>> {
        self.source.referrers(subject)
    }

    fn open(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send + '_>> {
        match self.made.has(descriptor)? {
            true => self.made.open(descriptor),
            false => self.source.open(descriptor),
        }
    }

    fn open_unproved(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send + '_>> {
        match self.made.has(descriptor)? {
            true => self.made.open_unproved(descriptor),
            false => self.source.open_unproved(descriptor),
        }
    }

    fn open_unproved_from(&self, descriptor: &Descriptor, start: u64) -> Result<Box<dyn Read + Send + '_>> {
        match self.made.has(descriptor)? {
            true => self.made.open_unproved_from(descriptor, start),
            false => self.source.open_unproved_from(descriptor, start),
        }
    }

    fn may_heal(&self) -> bool {
        self.source.may_heal()
    }

    fn local_file(&self, descriptor: &Descriptor) -> Result<Option<File>> {
        match self.made.has(descriptor)? {
            true => Ok(None),
            false => self.source.local_file(descriptor),
        }
    }
}
