//! Open directories of the tree that is being unpacked.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};

use super::fail;
use crate::error::{IoContext, Result};
use crate::fsio::{Dir, beneath};
use crate::layer::apply::{NodeId, Rootfs};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

/// How many stay open. Entries come one directory after the other; more than one serves hard links and directories whose content is mixed.
const OPEN: usize = 8;

/// The directories that were used last.
#[derive(Debug)]
pub(in crate::layer) struct Directories {
    root: OwnedFd,
    recent: Vec<(NodeId, OwnedFd)>,
    /// The place in `recent` that is given to the next one.
    next: usize,
}

impl Directories {
    /// The directories below `root`.
    pub(in crate::layer) fn below(root: &Dir) -> Result<Directories> {
        let root = rustix::io::fcntl_dupfd_cloexec(root, 0).at("open directory", root.path())?;
        Ok(Directories { root, recent: Vec::new(), next: 0 })
    }

    /// The directory `id`, to work on the names in it.
    pub(in crate::layer) fn open<T>(&mut self, rootfs: &Rootfs<T>, id: NodeId) -> Result<BorrowedFd<'_>> {
        let place = self.place(rootfs, id)?;
        Ok(place.map_or(self.root.as_fd(), |place| self.recent[place].1.as_fd()))
    }

    /// Two directories.
    pub(in crate::layer) fn open_both<T>(&mut self, rootfs: &Rootfs<T>, one: NodeId, other: NodeId) -> Result<(BorrowedFd<'_>, BorrowedFd<'_>)> {
        let mut first = self.place(rootfs, one)?;
        let second = self.place(rootfs, other)?;
        if first.is_some() && first == second && one != other {
            first = self.place(rootfs, one)?;
        }
        let handle = |place: Option<usize>| place.map_or(self.root.as_fd(), |place| self.recent[place].1.as_fd());
        Ok((handle(first), handle(second)))
    }

    /// The directory at `path`, which is in the form of [`Entry::path`](crate::layer::Entry::path), to change its attributes.
    pub(in crate::layer) fn open_to_change(&self, path: &[u8]) -> Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let opened = match path {
            b"" => rustix::fs::openat(&self.root, ".", flags | OFlags::CLOEXEC, Mode::empty()).map_err(std::io::Error::from),
            path => beneath::open(self.root.as_fd(), Path::new(OsStr::from_bytes(path)), flags, Mode::empty()),
        };
        opened.map_err(|error| cannot_open(path, &error))
    }

    /// Where in `recent` the directory is; none for the root.
    fn place<T>(&mut self, rootfs: &Rootfs<T>, id: NodeId) -> Result<Option<usize>> {
        if id == Rootfs::<T>::ROOT {
            return Ok(None);
        }
        if let Some(place) = self.recent.iter().position(|(recent, _)| *recent == id) {
            return Ok(Some(place));
        }
        let path = rootfs.path(id);
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let opened = beneath::open(self.root.as_fd(), Path::new(OsStr::from_bytes(&path)), flags, Mode::empty());
        let opened = (id, opened.map_err(|error| cannot_open(&path, &error))?);
        let place = self.next;
        self.next = (place + 1) % OPEN;
        match self.recent.get_mut(place) {
            Some(old) => *old = opened,
            None => self.recent.push(opened),
        }
        Ok(Some(place))
    }
}

fn cannot_open(path: &[u8], error: &std::io::Error) -> crate::Error {
    fail("open the directory", path, Errno::from_io_error(error).unwrap_or(Errno::IO))
}
