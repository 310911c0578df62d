//! The bytes around members: what larder writes before and behind content, always the same.

use crate::error::Result;
use crate::tar::{Entry, EntryKind, write};

const FILE_MODE: u32 = 0o644;
const DIRECTORY_MODE: u32 = 0o755;

/// Zeros that mark the end of an archive, in bytes.
pub(in crate::store) const END: usize = write::END;

/// Bytes of a header block.
pub(in crate::store) const BLOCK: u64 = 512;

/// The header of the file `name` with `size` bytes.
pub(in crate::store) fn file(name: &[u8], size: u64) -> Result<Vec<u8>> {
    header(name, EntryKind::File { size }, FILE_MODE)
}

/// The header of the directory `name`.
pub(in crate::store) fn directory(name: &[u8]) -> Result<Vec<u8>> {
    header(name, EntryKind::Directory, DIRECTORY_MODE)
}

/// A whole file: header, content and padding.
pub(in crate::store) fn whole(name: &[u8], content: &[u8]) -> Result<Vec<u8>> {
    let mut bytes = file(name, content.len() as u64)?;
    bytes.extend_from_slice(content);
    bytes.resize(bytes.len() + padding(content.len() as u64), 0);
    Ok(bytes)
}

/// Zeros behind `size` bytes of content, in bytes.
pub(in crate::store) fn padding(size: u64) -> usize {
    write::padding(size)
}

fn header(name: &[u8], kind: EntryKind, mode: u32) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let entry = Entry { path: name.to_vec(), kind, mode, uid: 0, gid: 0, mtime: 0, xattrs: Default::default() };
    write::header(&entry, &mut bytes)?;
    Ok(bytes)
}
