//! Archives made by hand, for tests of whatever reads tars: also those that no tool writes.

use std::ops::Range;

use super::block::{self, Block};
use super::write::padding;
use super::{BLOCK, pax, write};

/// A hand-made archive.
#[derive(Clone, Default)]
pub(crate) struct Archive(pub(crate) Vec<u8>);

impl Archive {
    /// Adds a header as `edit` leaves it, and content with its padding.
    pub(super) fn raw(mut self, name: &[u8], flag: u8, content: &[u8], edit: impl FnOnce(&mut Block)) -> Self {
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

    pub(crate) fn entry(self, name: &[u8], flag: u8) -> Self {
        self.raw(name, flag, b"", |_| {})
    }

    pub(crate) fn file(self, name: &[u8], content: &[u8]) -> Self {
        self.raw(name, b'0', content, |_| {})
    }

    pub(crate) fn link(self, name: &[u8], flag: u8, target: &[u8]) -> Self {
        self.raw(name, flag, b"", |block| block[block::LINK.start..][..target.len()].copy_from_slice(target))
    }

    pub(crate) fn pax(self, records: &[(&str, &[u8])]) -> Self {
        let mut content = Vec::new();
        for (key, value) in records {
            pax::put(&mut content, &[key.as_bytes()], value);
        }
        self.raw(b"PaxHeaders/x", b'x', &content, |_| {})
    }

    pub(crate) fn gnu(self, flag: u8, content: &[u8]) -> Self {
        self.raw(b"././@LongLink", flag, content, gnu)
    }

    pub(crate) fn end(mut self) -> Self {
        self.0.resize(self.0.len() + write::END, 0);
        self
    }

    pub(crate) fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }
}

/// An archive without entries.
pub(crate) fn archive() -> Archive {
    Archive::default()
}

pub(super) fn gnu(block: &mut Block) {
    block[block::MAGIC].copy_from_slice(block::GNU);
}

pub(super) fn v7(block: &mut Block) {
    block[block::MAGIC.start..].fill(0);
}

pub(super) fn set(field: Range<usize>, text: &[u8]) -> impl FnOnce(&mut Block) {
    move |block| {
        block[field.clone()].fill(0);
        block[field.start..][..text.len()].copy_from_slice(text);
    }
}
