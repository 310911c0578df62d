//! The entries of a layer without their content, kept so that the layer need not be read again to know what is in it.

use std::collections::HashMap;
use std::io::Read;
use std::ops::ControlFlow;

use crate::build::Cache;
use crate::error::{Error, Result};
use crate::exec::Run;
use crate::layer::stack::Stack;
use crate::layer::{Entry, EntryKind};
use crate::spec::{Descriptor, DiffId};
use crate::store::layout::Layout;

/// What is in a layer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Listing {
    /// Its entries, in their order.
    pub(super) entries: Vec<Entry>,
    /// The content of those that are looked into, by position.
    pub(super) small: HashMap<usize, Vec<u8>>,
}

/// The files that say which number a user has.
const LOOKED_INTO: [&[u8]; 2] = [b"etc/passwd", b"etc/group"];

/// Larger ones are read from the layer where they are needed.
const SMALL: u64 = 256 << 10;

/// The folder of the cache.
const FOLDER: &str = "listings";

impl Listing {
    /// What is in a layer of `layout`: as the cache remembers it, else as the layer says, which is read and proved.
    pub(super) fn of(run: &Run, label: &str, layout: &Layout, descriptor: &Descriptor, diff_id: &DiffId, cache: Option<&Cache>) -> Result<Listing> {
        let name = diff_id.0.encoded();
        if let Some(known) = cache.and_then(|cache| cache.read(FOLDER, name)).and_then(|bytes| decode(&bytes)) {
            return Ok(known);
        }
        let listing = Self::read(run, label, layout, descriptor, diff_id)?;
        if let Some(cache) = cache {
            // What cannot be kept is read again.
            let _ = cache.keep(FOLDER, name, &encode(&listing));
        }
        Ok(listing)
    }

    fn read(run: &Run, label: &str, layout: &Layout, descriptor: &Descriptor, diff_id: &DiffId) -> Result<Listing> {
        let mut listing = Listing::default();
        let task = run.events.start(label, Some(descriptor.size));
        Stack::new(run, layout, [(descriptor, diff_id)])?.read(&task, |_, entries| {
            while let Some(entry) = entries.next_entry()? {
                if Listing::keeps(&entry.path, entry.size()) {
                    let mut content = Vec::new();
                    entries.read_to_end(&mut content).map_err(|error| Error::io("cannot read the layer", error))?;
                    listing.small.insert(listing.entries.len(), content);
                }
                listing.entries.push(entry);
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(listing)
    }

    /// Whether the content of such a file is kept.
    pub(super) fn keeps(path: &[u8], size: u64) -> bool {
        LOOKED_INTO.contains(&path) && size <= SMALL
    }
}

const MAGIC: &[u8; 8] = b"larder-2";

/// Magic, number of entries, entries, number of contents, contents, check sum of all that. Numbers have eight bytes, bytes their number before them.
fn encode(listing: &Listing) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    put_number(&mut out, listing.entries.len() as u64);
    for entry in &listing.entries {
        put_bytes(&mut out, &entry.path);
        let (kind, number, target): (u8, u64, &[u8]) = match &entry.kind {
            EntryKind::File { size } => (0, *size, &[]),
            EntryKind::Directory => (1, 0, &[]),
            EntryKind::Symlink { target } => (2, 0, target),
            EntryKind::Hardlink { target } => (3, 0, target),
            EntryKind::CharDevice { major, minor } => (4, u64::from(*major) << 32 | u64::from(*minor), &[]),
            EntryKind::BlockDevice { major, minor } => (5, u64::from(*major) << 32 | u64::from(*minor), &[]),
            EntryKind::Fifo => (6, 0, &[]),
        };
        out.push(kind);
        put_number(&mut out, number);
        put_bytes(&mut out, target);
        for number in [entry.mode, entry.uid, entry.gid] {
            put_number(&mut out, u64::from(number));
        }
        put_number(&mut out, entry.mtime.cast_unsigned());
        put_number(&mut out, entry.xattrs.len() as u64);
        for (name, value) in &entry.xattrs {
            put_bytes(&mut out, name);
            put_bytes(&mut out, value);
        }
    }
    let mut small: Vec<_> = listing.small.iter().collect();
    small.sort();
    put_number(&mut out, small.len() as u64);
    for (position, content) in small {
        put_number(&mut out, *position as u64);
        put_bytes(&mut out, content);
    }
    let check = blake3::hash(&out);
    out.extend_from_slice(check.as_bytes());
    out
}

fn put_number(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(&number.to_le_bytes());
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn decode(bytes: &[u8]) -> Option<Listing> {
    let (body, check) = bytes.split_last_chunk::<32>()?;
    if blake3::hash(body).as_bytes() != check {
        return None;
    }
    let mut rest = Rest(body.strip_prefix(MAGIC)?);
    let mut listing = Listing::default();
    for _ in 0..rest.number()? {
        listing.entries.push(rest.entry()?);
    }
    for _ in 0..rest.number()? {
        let position = usize::try_from(rest.number()?).ok()?;
        listing.small.insert(position, rest.bytes()?);
    }
    rest.0.is_empty().then_some(listing)
}

/// What is still to be read.
struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn number(&mut self) -> Option<u64> {
        let (number, rest) = self.0.split_first_chunk::<8>()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*number))
    }

    fn small(&mut self) -> Option<u32> {
        self.number()?.try_into().ok()
    }

    fn bytes(&mut self) -> Option<Vec<u8>> {
        let length = usize::try_from(self.number()?).ok()?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes.to_vec())
    }

    fn entry(&mut self) -> Option<Entry> {
        let path = self.bytes()?;
        let (kind, rest) = self.0.split_first()?;
        self.0 = rest;
        let (number, target) = (self.number()?, self.bytes()?);
        let (major, minor) = (u32::try_from(number >> 32).ok()?, u32::try_from(number & u64::from(u32::MAX)).ok()?);
        let kind = match kind {
            0 => EntryKind::File { size: number },
            1 => EntryKind::Directory,
            2 => EntryKind::Symlink { target },
            3 => EntryKind::Hardlink { target },
            4 => EntryKind::CharDevice { major, minor },
            5 => EntryKind::BlockDevice { major, minor },
            6 => EntryKind::Fifo,
            _ => return None,
        };
        let (mode, uid, gid, mtime) = (self.small()?, self.small()?, self.small()?, self.number()?.cast_signed());
        let mut xattrs = crate::layer::entry::Xattrs::new();
        for _ in 0..self.number()? {
            xattrs.insert(self.bytes()?, self.bytes()?);
        }
        Some(Entry { path, kind, mode, uid, gid, mtime, xattrs })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_entry_comes_back_and_damage_does_not() {
        let kinds = [
            EntryKind::File { size: 7 },
            EntryKind::Directory,
            EntryKind::Symlink { target: b"/x".to_vec() },
            EntryKind::Hardlink { target: b"a".to_vec() },
            EntryKind::CharDevice { major: 1, minor: 3 },
            EntryKind::BlockDevice { major: 8, minor: 1 },
            EntryKind::Fifo,
        ];
        let entry = |(number, kind): (usize, EntryKind)| Entry {
            path: format!("d/{number}").into(),
            kind,
            mode: 0o4755,
            uid: 1000,
            gid: u32::MAX,
            mtime: -1,
            xattrs: [(b"user.a".to_vec(), b"b".to_vec())].into(),
        };
        let listing = Listing { entries: kinds.into_iter().enumerate().map(entry).collect(), small: HashMap::from([(0, b"root".to_vec())]) };
        let bytes = encode(&listing);
        assert_eq!(decode(&bytes), Some(listing));
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert_eq!(decode(&damaged), None, "{at}");
            assert_eq!(decode(&bytes[..at]), None, "{at}");
        }
    }
}
