#![allow(clippy::unwrap_used)]

mod accept;
mod refuse;
mod round_trip;

use std::io::Read;
use std::ops::Range;

use super::block::{self, Block};
use super::write::padding;
use super::*;
use super::{Entry, EntryKind};
use crate::error::{Error, ErrorKind, Result};

/// A hand-made archive.
#[derive(Clone, Default)]
struct Archive(Vec<u8>);

impl Archive {
    /// Adds a header as `edit` leaves it, and content with its padding.
    fn raw(mut self, name: &[u8], flag: u8, content: &[u8], edit: impl FnOnce(&mut Block)) -> Self {
        let mut header: Block = [0; BLOCK];
        header[..name.len()].copy_from_slice(name);
        block::put_octal(&mut header, &block::MODE, 0o644);
        for field in [block::UID, block::GID, block::MTIME, block::MAJOR, block::MINOR] {
            block::put_octal(&mut header, &field, 0);
        }
        block::put_octal(&mut header, &block::SIZE, content.len() as u64);
        header[block::TYPE] = flag;
        header[block::MAGIC].copy_from_slice(block::USTAR);
        block::seal(&mut header);
        let sealed = header;
        edit(&mut header);
        if header[block::CHECKSUM] == sealed[block::CHECKSUM] {
            block::seal(&mut header);
        }
        self.0.extend_from_slice(&header);
        self.0.extend_from_slice(content);
        self.0.resize(self.0.len() + padding(content.len() as u64), 0);
        self
    }

    fn entry(self, name: &[u8], flag: u8) -> Self {
        self.raw(name, flag, b"", |_| {})
    }

    fn file(self, name: &[u8], content: &[u8]) -> Self {
        self.raw(name, b'0', content, |_| {})
    }

    fn link(self, name: &[u8], flag: u8, target: &[u8]) -> Self {
        self.raw(name, flag, b"", |block| block[block::LINK.start..][..target.len()].copy_from_slice(target))
    }

    fn pax(self, records: &[(&str, &[u8])]) -> Self {
        let mut content = Vec::new();
        for (key, value) in records {
            pax::put(&mut content, &[key.as_bytes()], value);
        }
        self.raw(b"PaxHeaders/x", b'x', &content, |_| {})
    }

    fn gnu(self, flag: u8, content: &[u8]) -> Self {
        self.raw(b"././@LongLink", flag, content, gnu)
    }

    fn end(mut self) -> Self {
        self.0.resize(self.0.len() + write::END, 0);
        self
    }

    fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// Every entry with its content, the number of hidden bytes and the warnings.
    fn read(&self) -> Result<Listing> {
        read(&self.0[..])
    }

    fn names(&self) -> Vec<String> {
        self.read().unwrap().entries.iter().map(|(entry, _)| String::from_utf8(entry.path.clone()).unwrap()).collect()
    }
}

struct Listing {
    entries: Vec<(Entry, Vec<u8>)>,
    hidden: u64,
    warnings: Vec<String>,
}

fn read(source: impl Read) -> Result<Listing> {
    let mut reader = Reader::new(source);
    let mut entries = Vec::new();
    while let Some(entry) = reader.next_entry()? {
        let mut content = Vec::new();
        reader.read_to_end(&mut content).map_err(|error| Error::io("cannot read the content", error))?;
        entries.push((entry, content));
    }
    let hidden = reader.finish()?;
    Ok(Listing { entries, hidden, warnings: reader.warnings().map(str::to_owned).collect() })
}

fn gnu(block: &mut Block) {
    block[block::MAGIC].copy_from_slice(block::GNU);
}

fn v7(block: &mut Block) {
    block[block::MAGIC.start..].fill(0);
}

fn set(field: Range<usize>, text: &[u8]) -> impl FnOnce(&mut Block) {
    move |block| {
        block[field.clone()].fill(0);
        block[field.start..][..text.len()].copy_from_slice(text);
    }
}

#[track_caller]
fn refused(archive: &Archive, kind: ErrorKind, why: &str) {
    let error = archive.read().err().unwrap_or_else(|| panic!("must be refused: {why}"));
    let mut lines = error.causes();
    lines.insert(0, error.message().to_owned());
    assert!(error.kind() == kind && lines.iter().any(|line| line.contains(why)), "{:?}: {lines:?}", error.kind());
}

#[track_caller]
fn corrupt(archive: &Archive, why: &str) {
    refused(archive, ErrorKind::Corrupt, why);
}

#[track_caller]
fn unsupported(archive: &Archive, why: &str) {
    refused(archive, ErrorKind::Unsupported, why);
}

fn archive() -> Archive {
    Archive::default()
}
