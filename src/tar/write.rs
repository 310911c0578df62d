//! Writing: header blocks of entries, the same bytes for the same entry on every machine.
//!
//! A plain ustar header where the entry fits one; else one extended header before it with just the records that do not fit. Names of users and groups
//! are never written, times are whole seconds.

use super::block::{self, Block, octal_max};
use super::entry::MAX_PATH;
use super::{BLOCK, MAX_EXTENSION, MAX_MAJOR, MAX_MINOR, pax};
use super::{Entry, EntryKind};
use crate::error::{Error, Result};
use crate::spec::text;

/// Zeros at the end of an archive, in bytes.
pub const END: usize = 2 * BLOCK;

/// Zeros behind `size` bytes of content, in bytes.
pub fn padding(size: u64) -> usize {
    // Less than a block.
    (size.wrapping_neg() % BLOCK as u64) as usize
}

/// Appends everything that stands before the content of `entry`.
///
/// Fails with kind `corrupt` when the entry breaks the rules of [`Entry`], and with `unsupported` when a field is larger than tar or Linux allows.
pub fn header(entry: &Entry, out: &mut Vec<u8>) -> Result<()> {
    let name = name_of(entry)?;
    let mut block: Block = [0; BLOCK];
    let mut records = Vec::new();
    put_name(&mut block, &mut records, &name);
    block::put_octal(&mut block, &block::MODE, checked(entry, "mode", entry.mode.into(), 0o7777)?);
    put_number(&mut block, &mut records, &block::UID, b"uid", entry.uid.into());
    put_number(&mut block, &mut records, &block::GID, b"gid", entry.gid.into());
    put_number(&mut block, &mut records, &block::SIZE, b"size", entry.size());
    put_mtime(&mut block, &mut records, entry.mtime);
    block[block::MAGIC].copy_from_slice(block::USTAR);
    let (mut major, mut minor) = (0, 0);
    block[block::TYPE] = match &entry.kind {
        EntryKind::File { .. } => b'0',
        EntryKind::Hardlink { target } => {
            put_link(&mut block, &mut records, entry, target)?;
            b'1'
        }
        EntryKind::Symlink { target } => {
            put_link(&mut block, &mut records, entry, target)?;
            b'2'
        }
        EntryKind::CharDevice { major: a, minor: b } => {
            (major, minor) = (*a, *b);
            b'3'
        }
        EntryKind::BlockDevice { major: a, minor: b } => {
            (major, minor) = (*a, *b);
            b'4'
        }
        EntryKind::Directory => b'5',
        EntryKind::Fifo => b'6',
    };
    block::put_octal(&mut block, &block::MAJOR, checked(entry, "major device number", major.into(), MAX_MAJOR)?);
    block::put_octal(&mut block, &block::MINOR, checked(entry, "minor device number", minor.into(), MAX_MINOR)?);
    put_xattrs(&mut records, entry)?;
    block::seal(&mut block);
    if !records.is_empty() {
        extended_header(entry, &records, out)?;
    }
    out.extend_from_slice(&block);
    Ok(())
}

/// The name in the archive: directories end with `/`.
fn name_of(entry: &Entry) -> Result<Vec<u8>> {
    let path = &entry.path;
    if path.len() > MAX_PATH {
        return Err(refuse_size(entry, &format!("its path is longer than {MAX_PATH} bytes")));
    }
    if path.is_empty() {
        return if entry.kind == EntryKind::Directory { Ok(b"./".to_vec()) } else { Err(refuse(entry, "the root can only be a directory")) };
    }
    check_path(path).map_err(|why| refuse(entry, &format!("its path {why}")))?;
    let mut name = Vec::with_capacity(path.len() + 1);
    name.extend_from_slice(path);
    if entry.kind == EntryKind::Directory {
        name.push(b'/');
    }
    Ok(name)
}

fn check_path(path: &[u8]) -> Result<(), &'static str> {
    if path.contains(&0) {
        return Err("has a NUL byte");
    }
    if path.split(|byte| *byte == b'/').any(|component| matches!(component, b"" | b"." | b"..")) {
        return Err("has an empty component, a `.` or a `..`");
    }
    Ok(())
}

fn put_name(block: &mut Block, records: &mut Vec<u8>, name: &[u8]) {
    if name.len() <= block::NAME.len() {
        block[..name.len()].copy_from_slice(name);
        return;
    }
    match split(name) {
        Some((prefix, rest)) => {
            block[block::PREFIX.start..][..prefix.len()].copy_from_slice(prefix);
            block[..rest.len()].copy_from_slice(rest);
        }
        None => {
            pax::put(records, &[b"path"], name);
            // For readers that know no extended headers.
            block[block::NAME].copy_from_slice(&name[..block::NAME.len()]);
        }
    }
}

/// Splits at the last `/` that leaves a prefix that fits, where the rest then fits too.
fn split(name: &[u8]) -> Option<(&[u8], &[u8])> {
    // The `/` at the end of a directory's name leaves nothing for the rest.
    let last = (name.len() - 2).min(block::PREFIX.len());
    let slash = name[..=last].iter().rposition(|byte| *byte == b'/')?;
    let (prefix, rest) = (&name[..slash], &name[slash + 1..]);
    (rest.len() <= block::NAME.len()).then_some((prefix, rest))
}

fn put_link(block: &mut Block, records: &mut Vec<u8>, entry: &Entry, target: &[u8]) -> Result<()> {
    if target.is_empty() || target.contains(&0) {
        return Err(refuse(entry, "its link target is empty or has a NUL byte"));
    }
    if target.len() > MAX_PATH {
        return Err(refuse_size(entry, &format!("its link target is longer than {MAX_PATH} bytes")));
    }
    if matches!(entry.kind, EntryKind::Hardlink { .. }) {
        check_path(target).map_err(|why| refuse(entry, &format!("its link target {why}")))?;
    }
    if target.len() <= block::LINK.len() {
        block[block::LINK.start..][..target.len()].copy_from_slice(target);
    } else {
        pax::put(records, &[b"linkpath"], target);
        block[block::LINK].copy_from_slice(&target[..block::LINK.len()]);
    }
    Ok(())
}

fn put_number(block: &mut Block, records: &mut Vec<u8>, field: &std::ops::Range<usize>, key: &[u8], value: u64) {
    if value <= octal_max(field) {
        block::put_octal(block, field, value);
    } else {
        block::put_octal(block, field, 0);
        pax::put(records, &[key], value.to_string().as_bytes());
    }
}

fn put_mtime(block: &mut Block, records: &mut Vec<u8>, mtime: i64) {
    match u64::try_from(mtime) {
        Ok(mtime) => put_number(block, records, &block::MTIME, b"mtime", mtime),
        Err(_) => {
            block::put_octal(block, &block::MTIME, 0);
            pax::put(records, &[b"mtime"], mtime.to_string().as_bytes());
        }
    }
}

fn put_xattrs(records: &mut Vec<u8>, entry: &Entry) -> Result<()> {
    for (name, value) in &entry.xattrs {
        if name.is_empty() || name.contains(&0) {
            return Err(refuse(entry, "it has an extended attribute whose name is empty or has a NUL byte"));
        }
        if name.contains(&b'=') {
            return Err(refuse_size(entry, &format!("the name of its extended attribute `{}` has a `=`", text::bytes(name))));
        }
        pax::put(records, &[pax::XATTR, name], value);
    }
    Ok(())
}

/// The header that carries records for the entry after it. Its own fields say nothing but its length.
fn extended_header(entry: &Entry, records: &[u8], out: &mut Vec<u8>) -> Result<()> {
    const FOLDER: &[u8] = b"PaxHeaders/";
    let size = records.len() as u64;
    if size > MAX_EXTENSION {
        return Err(refuse_size(entry, &format!("its extended attributes need more than {MAX_EXTENSION} bytes")));
    }
    let mut block: Block = [0; BLOCK];
    let base = entry.path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    let base = &base[..base.len().min(block::NAME.len() - FOLDER.len())];
    block[..FOLDER.len()].copy_from_slice(FOLDER);
    block[FOLDER.len()..][..base.len()].copy_from_slice(base);
    block::put_octal(&mut block, &block::MODE, 0o644);
    block::put_octal(&mut block, &block::SIZE, size);
    for field in [block::UID, block::GID, block::MTIME, block::MAJOR, block::MINOR] {
        block::put_octal(&mut block, &field, 0);
    }
    block[block::TYPE] = b'x';
    block[block::MAGIC].copy_from_slice(block::USTAR);
    block::seal(&mut block);
    out.extend_from_slice(&block);
    out.extend_from_slice(records);
    out.resize(out.len() + padding(size), 0);
    Ok(())
}

fn checked(entry: &Entry, what: &str, value: u64, max: u64) -> Result<u64> {
    if value > max { Err(refuse_size(entry, &format!("its {what} {value} is larger than {max}"))) } else { Ok(value) }
}

fn refuse(entry: &Entry, why: &str) -> Error {
    Error::corrupt(format!("cannot write entry `{}`: {why}", text::bytes(&entry.path)))
}

fn refuse_size(entry: &Entry, why: &str) -> Error {
    Error::unsupported(format!("cannot write entry `{}`: {why}", text::bytes(&entry.path)))
}
