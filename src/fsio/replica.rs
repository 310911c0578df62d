//! Copies that have everything that the original has: content, owner, permissions, extended attributes, times.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use crate::fsio::place;

/// The kernel's own limit for one value and for one list of names (`XATTR_SIZE_MAX`, `XATTR_LIST_MAX`).
const MAX_XATTR: usize = 64 << 10;

/// Copies what is called `name` in the directory `from`, which is no directory itself and was examined as `stat`, to the directory `to`, where the name must be free.
pub fn file(from: impl AsFd, to: impl AsFd, name: &Path, stat: &Stat) -> io::Result<()> {
    let kind = FileType::from_raw_mode(stat.st_mode);
    match kind {
        FileType::RegularFile => {
            let source = File::from(rustix::fs::openat(&from, name, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())?);
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            place::copy(&source, &File::from(rustix::fs::openat(&to, name, flags, Mode::RUSR | Mode::WUSR)?))?;
        }
        FileType::Symlink => rustix::fs::symlinkat(rustix::fs::readlinkat(&from, name, Vec::new())?, &to, name)?,
        kind => rustix::fs::mknodat(&to, name, kind, Mode::RUSR | Mode::WUSR, stat.st_rdev)?,
    }
    rustix::fs::chownat(&to, name, Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)), AtFlags::SYMLINK_NOFOLLOW)?;
    xattrs(&at(from.as_fd(), name), &at(to.as_fd(), name))?;
    if kind != FileType::Symlink {
        // What was made a moment ago is no link.
        rustix::fs::chmodat(&to, name, Mode::from_raw_mode(stat.st_mode & 0o7777), AtFlags::empty())?;
    }
    Ok(rustix::fs::utimensat(&to, name, &times(stat), AtFlags::SYMLINK_NOFOLLOW)?)
}

/// Gives the directory `to` owner, permissions, attributes and times of the directory `from`.
pub fn directory(from: impl AsFd, to: impl AsFd) -> io::Result<()> {
    let stat = rustix::fs::fstat(&from)?;
    rustix::fs::fchown(&to, Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)))?;
    xattrs(&at(from.as_fd(), Path::new(".")), &at(to.as_fd(), Path::new(".")))?;
    rustix::fs::fchmod(&to, Mode::from_raw_mode(stat.st_mode & 0o7777))?;
    Ok(rustix::fs::futimens(&to, &times(&stat))?)
}

/// Both times of what was examined.
#[allow(clippy::unnecessary_cast, reason = "the fields have other widths and signs on other processors")]
pub fn times(stat: &Stat) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: stat.st_atime as _, tv_nsec: stat.st_atime_nsec as _ },
        last_modification: Timespec { tv_sec: stat.st_mtime as _, tv_nsec: stat.st_mtime_nsec as _ },
    }
}

/// A path through a directory handle: the calls for attributes take none of them.
fn at(directory: BorrowedFd<'_>, name: &Path) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd())).join(name)
}

/// Copies extended attributes, but for those in which overlayfs notes what is between directories, and those that this process may not give.
fn xattrs(from: &Path, to: &Path) -> io::Result<()> {
    let mut names = vec![0; MAX_XATTR];
    let length = match rustix::fs::llistxattr(from, &mut names[..]) {
        Ok(length) => length,
        Err(Errno::OPNOTSUPP) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let mut value = Vec::new();
    for name in names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        if name.starts_with(b"trusted.overlay.") || name.starts_with(b"user.overlay.") {
            continue;
        }
        value.resize(MAX_XATTR, 0);
        let length = rustix::fs::lgetxattr(from, name, &mut value[..])?;
        match rustix::fs::lsetxattr(to, name, &value[..length], XattrFlags::empty()) {
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::PERM) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fsio::Dir;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

    #[test]
    fn a_copy_has_everything_that_the_original_has() {
        let temp = tempfile::tempdir().expect("temporary directory");
        let path = |name: &str| temp.path().join(name);
        std::fs::create_dir_all(path("from")).expect("created");
        std::fs::create_dir(path("to")).expect("created");
        std::fs::write(path("from/file"), "content").expect("written");
        std::fs::set_permissions(path("from/file"), std::fs::Permissions::from_mode(0o6751)).expect("own file");
        rustix::fs::lsetxattr(path("from/file"), "user.x", b"y", XattrFlags::empty()).expect("the file system has attributes");
        rustix::fs::lsetxattr(path("from/file"), "user.overlay.opaque", b"y", XattrFlags::empty()).expect("the file system has attributes");
        symlink("nowhere", path("from/link")).expect("linked");
        rustix::fs::mknodat(rustix::fs::CWD, path("from/pipe"), FileType::Fifo, Mode::RUSR, 0).expect("made");
        std::fs::set_permissions(path("from"), std::fs::Permissions::from_mode(0o1700)).expect("own directory");
        let old = Timestamps { last_access: Timespec { tv_sec: 1, tv_nsec: 2 }, last_modification: Timespec { tv_sec: 3, tv_nsec: 4 } };
        for name in ["from/file", "from/link", "from/pipe", "from"] {
            rustix::fs::utimensat(rustix::fs::CWD, path(name), &old, AtFlags::SYMLINK_NOFOLLOW).expect("set back");
        }
        let [from, to] = ["from", "to"].map(|name| Dir::open(&path(name)).expect("opened"));
        for name in ["file", "link", "pipe"] {
            let stat = rustix::fs::statat(&from, name, AtFlags::SYMLINK_NOFOLLOW).expect("there");
            file(&from, &to, Path::new(name), &stat).expect("copied");
        }
        directory(&from, &to).expect("copied");
        for name in ["", "/file", "/link", "/pipe"] {
            let of = |side: &str| {
                let metadata = std::fs::symlink_metadata(path(&format!("{side}{name}"))).expect("there");
                (metadata.mode(), metadata.uid(), metadata.gid(), metadata.mtime(), metadata.mtime_nsec())
            };
            assert_eq!(of("from"), of("to"), "{name}");
        }
        assert_eq!(std::fs::read(path("to/file")).expect("there"), b"content");
        assert_eq!(std::fs::read_link(path("to/link")).expect("there"), Path::new("nowhere"));
        let mut names = [0; 64];
        let length = rustix::fs::llistxattr(path("to/file"), &mut names[..]).expect("readable");
        assert_eq!(&names[..length], b"user.x\0");
    }
}
