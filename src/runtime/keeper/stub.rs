//! What has to be in a root filesystem before something can be mounted there, or a process begin there.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;

use super::within;
use crate::error::{Error, ErrorKind, IoContext as _, Result};
use crate::fsio::replica;
use crate::spec::text;

/// How many links one path may lead through, as in Linux.
const MAX_LINKS: usize = 40;

/// What has to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Directory,
    /// Anything else.
    File,
}

/// What becomes of the time of a directory in which something is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Times {
    /// As ever.
    Change,
    /// It stays: nobody is to see that something was made.
    Keep,
}

/// Makes `path` with all directories above it where it is missing, as a process would whose root is `root`: a link that leads nowhere gets what it leads to.
///
/// Fails with kind `usage` where something else is there.
pub(super) fn ensure(root: BorrowedFd<'_>, path: &str, kind: Kind, times: Times) -> Result<()> {
    ensure_path(root, &within::clean(path), kind, times, MAX_LINKS)
}

fn ensure_path(root: BorrowedFd<'_>, path: &str, kind: Kind, times: Times, links: usize) -> Result<()> {
    let shown = text::shown(path);
    match (within::kind(root, path), kind) {
        (Ok(FileType::Directory), Kind::Directory) => return Ok(()),
        (Ok(FileType::Directory), Kind::File) => {
            return Err(Error::usage(format!("`{shown}` is a directory in the root filesystem, and a file is to be there")));
        }
        (Ok(_), Kind::File) => return Ok(()),
        (Ok(_), Kind::Directory) | (Err(Errno::NOTDIR), _) => {
            return Err(Error::usage(format!("`{shown}` cannot be a directory: the root filesystem has something else there or above")));
        }
        (Err(Errno::NOENT), _) => {}
        (Err(error), _) => return Err(error).at("examine", Path::new(path)),
    }
    // The root itself is always there.
    let Some((parent, name)) = within::split(path) else { return Err(Error::new(ErrorKind::Io, "the root filesystem is gone")) };
    ensure_path(root, parent, Kind::Directory, times, links)?;
    if name == ".." {
        return Ok(());
    }
    let directory = within::open(root, parent, OFlags::RDONLY | OFlags::DIRECTORY).at("open directory", Path::new(parent))?;
    match make(&directory, name, kind, times) {
        Err(Errno::EXIST) if links > 0 => {
            let target = rustix::fs::readlinkat(&directory, name, Vec::new()).at("read the link", Path::new(path))?;
            let target = target.to_str().map_err(|_| Error::unsupported(format!("the link `{shown}` leads to a name that is not UTF-8")))?;
            // Not cleaned: what is above is where links led to.
            let target = if target.starts_with('/') { target.to_owned() } else { format!("{parent}/{target}") };
            ensure_path(root, target.trim_end_matches('/'), kind, times, links - 1)
        }
        outcome => outcome.at("create", Path::new(path)),
    }
}

fn make(directory: &OwnedFd, name: &str, kind: Kind, times: Times) -> Result<(), Errno> {
    let before = rustix::fs::fstat(directory)?;
    match kind {
        Kind::Directory => rustix::fs::mkdirat(directory, name, Mode::from_raw_mode(0o755))?,
        Kind::File => rustix::fs::mknodat(directory.as_fd(), name, FileType::RegularFile, Mode::from_raw_mode(0o644), 0)?,
    }
    match times {
        Times::Change => Ok(()),
        Times::Keep => rustix::fs::futimens(directory, &replica::times(&before)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{Timespec, Timestamps};
    use std::fs::{self, File};
    use std::os::unix::fs::{MetadataExt as _, symlink};

    #[test]
    fn what_is_missing_is_made_where_links_lead_and_nowhere_else() {
        let temp = tempfile::tempdir().expect("temporary directory");
        let at = |name: &str| temp.path().join("root").join(name);
        fs::create_dir_all(at("etc")).expect("created");
        fs::create_dir(at("run")).expect("created");
        symlink("../run/systemd/stub", at("etc/resolv.conf")).expect("linked");
        symlink("/../../../../outside", at("etc/out")).expect("linked");
        symlink("circle", at("circle")).expect("linked");
        fs::write(at("file"), "").expect("written");
        let old = Timestamps { last_access: Timespec { tv_sec: 1, tv_nsec: 2 }, last_modification: Timespec { tv_sec: 3, tv_nsec: 4 } };
        for directory in ["etc", "run", ""] {
            rustix::fs::futimens(File::open(at(directory)).expect("opened"), &old).expect("set back");
        }
        let root = File::open(at("")).expect("opened");
        let ensure = |path, kind| ensure(root.as_fd(), path, kind, Times::Keep);
        ensure("/etc/resolv.conf", Kind::File).expect("made");
        ensure("/etc/out", Kind::File).expect("made");
        ensure("/a/b/../c", Kind::Directory).expect("made");
        ensure("/etc/resolv.conf", Kind::File).expect("there");
        assert!(at("run/systemd/stub").is_file() && at("outside").is_file() && at("a/c").is_dir() && !at("a/b").exists());
        assert!(!temp.path().join("outside").exists());
        for directory in ["etc", "run", ""] {
            assert_eq!((fs::metadata(at(directory)).expect("there").mtime(), fs::metadata(at(directory)).expect("there").mtime_nsec()), (3, 4), "{directory}");
        }
        for (path, kind) in [("/file", Kind::Directory), ("/file/below", Kind::File), ("/etc", Kind::File)] {
            assert_eq!(ensure(path, kind).expect_err(path).kind(), ErrorKind::Usage, "{path}");
        }
        assert!(ensure("/circle", Kind::File).is_err());
    }
}
