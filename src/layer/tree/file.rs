//! Regular files of a tree, read exactly as long as the walk said.

use std::ffi::OsStr;
use std::fs::File;
use std::io::IoSliceMut;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Mode, OFlags};
use rustix::io::{Errno, retry_on_intr};

use super::{Found, Stat, Xattrs, changed, fail, xattr};
use crate::error::{Error, ErrorKind, Result};
use crate::spec::text;

/// A regular file being read, which must stay what the walk saw until [`SourceFile::finish`].
#[derive(Debug)]
pub struct SourceFile {
    fd: OwnedFd,
    root: Arc<Path>,
    path: Vec<u8>,
    stat: Stat,
    left: u64,
    /// A read that asked for more than was left got only that.
    at_end: bool,
}

impl SourceFile {
    pub(super) fn open(root: &Arc<Path>, parent: &OwnedFd, name: &[u8], found: &Found) -> Result<SourceFile> {
        let place = || root.join(OsStr::from_bytes(&found.path));
        // Without blocking, because a pipe may have taken the file's place.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(parent, name, flags, Mode::empty()).map_err(|error| match error {
            Errno::NOENT | Errno::LOOP | Errno::NXIO => changed(&place()),
            error => fail("open", &place(), error),
        })?;
        let now = Stat::from(rustix::fs::fstat(&fd).map_err(|error| fail("open", &place(), error))?);
        if !now.is_unchanged(&found.stat) || !now.is_file() {
            return Err(changed(&place()));
        }
        Ok(SourceFile { fd, root: root.clone(), path: found.path.clone(), stat: now, left: now.size, at_end: false })
    }

    /// The open file, for who reads it at offsets and looks whether it changed.
    pub fn into_file(self) -> File {
        File::from(self.fd)
    }

    /// Bytes that are still to be read.
    pub fn left(&self) -> u64 {
        self.left
    }

    /// Every extended attribute that the kernel shows to this process; none where the file system has none.
    pub fn xattrs(&self) -> Result<Xattrs> {
        xattr::of(&self.fd).map_err(|error| xattr::explain(error, &self.place()))
    }

    /// Fills `buf`, or as much of it as the file's size leaves, and tells how many bytes that is. Fails with kind `io` when the file became shorter.
    pub fn read_into(&mut self, buf: &mut [u8]) -> Result<usize> {
        let wanted = usize::try_from(self.left).map_or(buf.len(), |left| left.min(buf.len()));
        let mut filled = 0;
        while filled < wanted {
            match self.read(&mut buf[filled..wanted])? {
                0 => return Err(changed(&self.place())),
                read => filled += read,
            }
        }
        Ok(filled)
    }

    /// Checks that the file was read to its end, that it has no more bytes than it had, and that it did not change. Fails with kind `io` otherwise.
    pub fn finish(mut self) -> Result<()> {
        if self.left > 0 {
            return Err(Error::new(ErrorKind::Io, format!("{} was not read to its end", text::path(&self.place()))));
        }
        if !self.at_end {
            self.read(&mut [])?;
        }
        let now = Stat::from(rustix::fs::fstat(&self.fd).map_err(|error| fail("read", &self.place(), error))?);
        if now.is_unchanged(&self.stat) { Ok(()) } else { Err(changed(&self.place())) }
    }

    /// One system call. The read that takes the last bytes asks for one more, which spares a call to see the end.
    fn read(&mut self, buf: &mut [u8]) -> Result<usize> {
        let mut beyond = [0];
        let asked = buf.len();
        let read = if self.left == asked as u64 {
            retry_on_intr(|| rustix::io::readv(&self.fd, &mut [IoSliceMut::new(buf), IoSliceMut::new(&mut beyond)]))
        } else {
            retry_on_intr(|| rustix::io::read(&self.fd, &mut *buf))
        };
        let read = read.map_err(|error| fail("read", &self.place(), error))?;
        if read > asked {
            return Err(changed(&self.place()));
        }
        // A shorter read says nothing about the end: there may be more to come.
        self.at_end = read == asked && self.left == asked as u64;
        self.left -= read as u64;
        Ok(read)
    }

    fn place(&self) -> PathBuf {
        self.root.join(OsStr::from_bytes(&self.path))
    }
}
