//! Extended attributes of a tree's files.
//!
//! The calls that do not follow a final link take a path, so the path goes through `/proc/self/fd/N`, where N is the directory that was opened safely.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::{Found, Tree, Xattrs, changed, fail};
use crate::error::{Error, Result};

/// The kernel's own limit for one value and for one list of names (`XATTR_SIZE_MAX`, `XATTR_LIST_MAX`).
const MAX_XATTR: usize = 64 * 1024;

pub(super) fn read(tree: &Tree, found: &Found) -> Result<Xattrs> {
    let (parent, name): (Arc<OwnedFd>, &[u8]) = if found.path.is_empty() { (tree.root.clone(), b".") } else { tree.parent_of(&found.path)? };
    // For files, three calls on a descriptor are faster than one through `/proc`.
    let outcome = if found.stat.is_file() { by_descriptor(found, &parent, name) } else { by_path(found, &parent, name) };
    outcome.map_err(|error| explain(error, &tree.path_of(found)))
}

/// The attributes of an open file.
pub(super) fn of(fd: &OwnedFd) -> Result<Xattrs, Errno> {
    collect(|buf| rustix::fs::flistxattr(fd, buf), |key, buf| rustix::fs::fgetxattr(fd, key, buf))
}

pub(super) fn explain(error: Errno, path: &Path) -> Error {
    match error {
        Errno::NOENT | Errno::LOOP | Errno::NODATA => changed(path),
        Errno::OPNOTSUPP => fail("read the extended attributes without /proc of", path, error).hint("mount /proc"),
        error => fail("read the extended attributes of", path, error),
    }
}

pub(super) fn by_path(found: &Found, parent: &OwnedFd, name: &[u8]) -> Result<Xattrs, Errno> {
    let path = [format!("/proc/self/fd/{}/", parent.as_raw_fd()).as_bytes(), name].concat();
    match collect(|buf| rustix::fs::llistxattr(path.as_slice(), buf), |key, buf| rustix::fs::lgetxattr(path.as_slice(), key, buf)) {
        Err(Errno::NOENT) if !has_proc(parent) => by_descriptor(found, parent, name),
        outcome => outcome,
    }
}

fn has_proc(directory: &OwnedFd) -> bool {
    rustix::fs::stat(format!("/proc/self/fd/{}", directory.as_raw_fd())).is_ok()
}

pub(super) fn by_descriptor(found: &Found, parent: &OwnedFd, name: &[u8]) -> Result<Xattrs, Errno> {
    if !found.stat.is_file() && !found.stat.is_dir() {
        return Err(Errno::OPNOTSUPP);
    }
    let fd = rustix::fs::openat(parent, name, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())?;
    of(&fd)
}

fn collect(list: impl Fn(&mut [u8]) -> Result<usize, Errno>, get: impl Fn(&[u8], &mut [u8]) -> Result<usize, Errno>) -> Result<Xattrs, Errno> {
    let names = match complete(list) {
        Ok(names) => names,
        // The file system has no attributes at all.
        Err(Errno::OPNOTSUPP) => return Ok(Xattrs::new()),
        Err(error) => return Err(error),
    };
    let mut xattrs = Xattrs::new();
    for name in names.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        xattrs.insert(name.to_vec(), complete(|buf| get(name, buf))?);
    }
    Ok(xattrs)
}

/// Calls with a small buffer first, which is nearly always enough, and with the largest possible one if it is not.
fn complete(call: impl Fn(&mut [u8]) -> Result<usize, Errno>) -> Result<Vec<u8>, Errno> {
    let mut small = [0; 512];
    match call(&mut small) {
        Ok(length) => Ok(small[..length].to_vec()),
        Err(Errno::RANGE) => {
            let mut large = vec![0; MAX_XATTR];
            let length = call(&mut large)?;
            large.truncate(length);
            Ok(large)
        }
        Err(error) => Err(error),
    }
}
