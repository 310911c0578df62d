//! Extended attributes of a tree's files.
//!
//! The calls that do not follow a final link take a path, so the path goes through `/proc/self/fd/N`, where N is the directory that was opened safely.

use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::{Found, Tree, Xattrs, changed, fail};
use crate::error::Result;

/// The kernel's own limit for one value and for one list of names (`XATTR_SIZE_MAX`, `XATTR_LIST_MAX`).
const MAX_XATTR: usize = 64 * 1024;

pub(super) fn read(tree: &Tree, found: &Found) -> Result<Xattrs> {
    let (parent, name): (Arc<OwnedFd>, &[u8]) = if found.path.is_empty() { (tree.root.clone(), b".") } else { tree.parent_of(&found.path)? };
    let path = [format!("/proc/self/fd/{}/", parent.as_raw_fd()).as_bytes(), name].concat();
    let outcome = match collect(|buf| rustix::fs::llistxattr(path.as_slice(), buf), |key, buf| rustix::fs::lgetxattr(path.as_slice(), key, buf)) {
        Err(Errno::NOENT) if !has_proc(&parent) => by_descriptor(found, &parent, name),
        outcome => outcome,
    };
    outcome.map_err(|error| match error {
        Errno::NOENT | Errno::NODATA => changed(&tree.path_of(found)),
        Errno::OPNOTSUPP => fail("read the extended attributes without /proc of", &tree.path_of(found), error).hint("mount /proc"),
        error => fail("read the extended attributes of", &tree.path_of(found), error),
    })
}

fn has_proc(directory: &OwnedFd) -> bool {
    rustix::fs::stat(format!("/proc/self/fd/{}", directory.as_raw_fd())).is_ok()
}

pub(super) fn by_descriptor(found: &Found, parent: &OwnedFd, name: &[u8]) -> Result<Xattrs, Errno> {
    if !found.stat.is_file() && !found.stat.is_dir() {
        return Err(Errno::OPNOTSUPP);
    }
    let fd = rustix::fs::openat(parent, name, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())?;
    collect(|buf| rustix::fs::flistxattr(&fd, buf), |key, buf| rustix::fs::fgetxattr(&fd, key, buf))
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
