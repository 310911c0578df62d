//! Source trees: directories of this machine that become layers.
//!
//! Everything is opened relative to the root's file descriptor and never through a symbolic link (`openat2` with `RESOLVE_BENEATH`, or one component
//! after the other where the kernel has no `openat2`), so a tree that changes while it is read can make an operation fail but never makes it leave the tree.
//! What a walk saw is compared with what is read later: a difference is an error, not a mixture.

mod file;
mod stat;
mod walk;
mod xattr;

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

pub use file::SourceFile;
pub use stat::Stat;

use super::entry::{MAX_PATH, Xattrs};
use crate::error::{Error, ErrorKind, Result};
use crate::exec::Run;
use crate::spec::text;

/// What a walk's filter says of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// It is found; a directory is walked too.
    Yes,
    /// It is left out; a directory is walked all the same.
    No,
    /// It is left out with everything below it.
    Prune,
}

/// One path of a tree as a walk saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Relative to the root of the tree, in the form of [`Entry::path`](super::Entry::path); empty for the root itself.
    pub path: Vec<u8>,
    /// What the file system says of it; symbolic links are not followed.
    pub stat: Stat,
}

/// A directory whose content can be walked and read.
#[derive(Debug)]
pub struct Tree {
    /// Names the directory in errors.
    path: Arc<Path>,
    root: Arc<OwnedFd>,
    stat: Stat,
    /// The directory that was looked into last, since files are mostly read one directory after the other.
    parent: Mutex<Option<Parent>>,
}

#[derive(Debug)]
struct Parent {
    path: Vec<u8>,
    directory: Arc<OwnedFd>,
}

impl Tree {
    /// Opens the directory `path`. Where `path` is a symbolic link it is followed. Fails with kind `not_found` or `io`.
    pub fn open(path: &Path) -> Result<Tree> {
        let cannot = |error| fail("open the directory", path, error);
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(path, flags, Mode::empty()).map_err(cannot)?;
        let stat = Stat::from(rustix::fs::fstat(&root).map_err(cannot)?);
        Ok(Tree { path: path.into(), root: Arc::new(root), stat, parent: Mutex::new(None) })
    }

    /// Finds the tree's paths, in the order of [`path_order`](super::entry::path_order) whatever the order on disk. The root comes first and is not
    /// shown to `filter`; every other path is, together with whether it is a directory, from several threads and only below directories that are walked.
    ///
    /// Sockets and devices are found like everything else. Fails with kind `io` when a directory cannot be read or changes meanwhile, and with
    /// `unsupported` when a path is longer than [`MAX_PATH`].
    pub fn walk(&self, run: &Run, filter: impl Fn(&[u8], bool) -> Keep + Sync) -> Result<Vec<Found>> {
        walk::walk(self, run, &filter)
    }

    /// Looks at one path. Fails with kind `not_found` when it does not exist.
    pub fn find(&self, path: &[u8]) -> Result<Found> {
        let stat = if path.is_empty() {
            self.stat
        } else {
            let (parent, name) = self.parent_of(path)?;
            let stat = rustix::fs::statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW).map_err(|error| fail("look at", &self.path_of_bytes(path), error))?;
            Stat::from(stat)
        };
        Ok(Found { path: path.to_vec(), stat })
    }

    /// Where a found path lies on this machine, for messages.
    pub fn path_of(&self, found: &Found) -> PathBuf {
        self.path_of_bytes(&found.path)
    }

    /// The text of a symbolic link.
    pub fn read_link(&self, found: &Found) -> Result<Vec<u8>> {
        let (parent, name) = self.parent_of(&found.path)?;
        match rustix::fs::readlinkat(&parent, name, Vec::new()) {
            Ok(target) => Ok(target.into_bytes()),
            Err(Errno::INVAL | Errno::NOENT) => Err(changed(&self.path_of(found))),
            Err(error) => Err(fail("read the link", &self.path_of(found), error)),
        }
    }

    /// Every extended attribute that the kernel shows to this process; none where the file system has none.
    ///
    /// Fails with kind `io`, also where `/proc` is not mounted and `found` is neither a file nor a directory.
    pub fn xattrs(&self, found: &Found) -> Result<Xattrs> {
        xattr::read(self, found)
    }

    /// Opens a regular file. Fails with kind `io` when it is no longer what the walk saw.
    pub fn open_file(&self, found: &Found) -> Result<SourceFile> {
        let (parent, name) = self.parent_of(&found.path)?;
        SourceFile::open(&self.path, &parent, name, found)
    }

    fn path_of_bytes(&self, path: &[u8]) -> PathBuf {
        self.path.join(std::ffi::OsStr::from_bytes(path))
    }

    /// The directory that holds `path`, which is not the root, and the last component.
    fn parent_of<'a>(&self, path: &'a [u8]) -> Result<(Arc<OwnedFd>, &'a [u8])> {
        let Some(slash) = path.iter().rposition(|byte| *byte == b'/') else {
            return Ok((self.root.clone(), path));
        };
        let (parent, name) = (&path[..slash], &path[slash + 1..]);
        let mut cached = self.parent.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cached) = &*cached
            && cached.path == parent
        {
            return Ok((cached.directory.clone(), name));
        }
        let directory = Arc::new(self.directory(parent, OFlags::PATH)?);
        *cached = Some(Parent { path: parent.to_vec(), directory: directory.clone() });
        Ok((directory, name))
    }

    /// Opens a directory of the tree without following any link.
    fn directory(&self, path: &[u8], access: OFlags) -> Result<OwnedFd> {
        let place = || self.path_of_bytes(path);
        if path.len() > MAX_PATH {
            return Err(too_long(&place()));
        }
        beneath(&self.root, path, access).map_err(|error| match error {
            Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV => changed(&place()),
            error => fail("open the directory", &place(), error),
        })
    }
}

/// Attempts of `openat2` when renames elsewhere make the kernel doubt its answer.
const RACE_ATTEMPTS: usize = 64;

fn beneath(root: &OwnedFd, path: &[u8], access: OFlags) -> Result<OwnedFd, Errno> {
    let flags = access | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let whole = if path.is_empty() { b"." } else { path };
    for _ in 0..RACE_ATTEMPTS {
        match rustix::fs::openat2(root, whole, flags, Mode::empty(), resolve) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            // Old kernels lack the call and some sandboxes forbid it.
            Err(Errno::NOSYS | Errno::PERM) => break,
            result => return result,
        }
    }
    by_component(root, whole, flags)
}

fn by_component(root: &OwnedFd, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
    let step = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut above: Option<OwnedFd> = None;
    let mut rest = path;
    while let Some(slash) = rest.iter().position(|byte| *byte == b'/') {
        let from = above.as_ref().map_or(root.as_fd(), AsFd::as_fd);
        above = Some(rustix::fs::openat(from, &rest[..slash], step, Mode::empty())?);
        rest = &rest[slash + 1..];
    }
    rustix::fs::openat(above.as_ref().map_or(root.as_fd(), AsFd::as_fd), rest, flags, Mode::empty())
}

fn fail(doing: &str, path: &Path, error: Errno) -> Error {
    Error::io(format!("cannot {doing} {}", text::path(path)), error).subject(text::path(path))
}

fn changed(path: &Path) -> Error {
    Error::new(ErrorKind::Io, format!("{} changed while it was being read", text::path(path)))
        .subject(text::path(path))
        .hint("build again when nothing writes to it")
}

fn too_long(path: &Path) -> Error {
    Error::unsupported(format!("{} is longer than {MAX_PATH} bytes below its source", text::path(path)))
}

#[cfg(test)]
mod tests;
