//! Looking at a root filesystem as its own processes do: links in it lead nowhere else.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::error::{Error, IoContext as _, Result};
use crate::spec::text;

/// Opens `path`, whatever links it leads through, in the directory `root` as if that were the root of everything.
pub(super) fn open(root: BorrowedFd<'_>, path: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    loop {
        match rustix::fs::openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
            Err(Errno::INTR | Errno::AGAIN) => {}
            outcome => return outcome,
        }
    }
}

/// Opens a directory of the keeper.
pub(super) fn open_directory(path: &str) -> Result<OwnedFd> {
    rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).at("open directory", Path::new(path))
}

/// What is at `path`, following links.
pub(super) fn kind(root: BorrowedFd<'_>, path: &str) -> Result<FileType, Errno> {
    let found = open(root, path, OFlags::PATH)?;
    Ok(FileType::from_raw_mode(rustix::fs::fstat(found)?.st_mode))
}

/// The content of the regular file at `path`; none where there is no such file. Fails with kind `unsupported` beyond `limit` bytes.
pub(super) fn read(root: BorrowedFd<'_>, path: &str, limit: u64) -> Result<Option<Vec<u8>>> {
    match kind(root, path) {
        Ok(FileType::RegularFile) => {}
        Ok(_) | Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(None),
        Err(error) => return Err(error).at("examine", Path::new(path)),
    }
    let file = File::from(open(root, path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY).at("open", Path::new(path))?);
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).at("read", Path::new(path))?;
    match bytes.len() as u64 > limit {
        true => Err(Error::unsupported(format!("{} of the root filesystem is larger than {limit} bytes", text::shown(path)))),
        false => Ok(Some(bytes)),
    }
}

/// The first bytes of the regular file at `path`, at most `length`.
pub(super) fn head(root: BorrowedFd<'_>, path: &str, length: u64) -> std::io::Result<Vec<u8>> {
    let file = File::from(open(root, path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)?);
    let mut head = Vec::new();
    file.take(length).read_to_end(&mut head)?;
    Ok(head)
}

/// `path` as an absolute path without `.`, `..` and empty names, as they are taken out before any link is followed.
pub(super) fn clean(path: &str) -> String {
    let mut names: Vec<&str> = Vec::new();
    for name in path.split('/') {
        match name {
            "" | "." => {}
            ".." => drop(names.pop()),
            name => names.push(name),
        }
    }
    format!("/{}", names.join("/"))
}

/// The directory of a clean path and the name in it; none for the root.
pub(super) fn split(path: &str) -> Option<(&str, &str)> {
    let (parent, name) = path.rsplit_once('/')?;
    if name.is_empty() { None } else { Some((if parent.is_empty() { "/" } else { parent }, name)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd as _;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_lead_nowhere_else() {
        let temp = tempfile::tempdir().expect("temporary directory");
        let at = |name: &str| temp.path().join(name);
        std::fs::create_dir(at("root")).expect("created");
        std::fs::create_dir(at("root/etc")).expect("created");
        std::fs::write(at("root/etc/passwd"), "inside").expect("written");
        std::fs::write(at("passwd"), "outside").expect("written");
        symlink("/etc/passwd", at("root/absolute")).expect("linked");
        symlink("../../../../etc/passwd", at("root/etc/up")).expect("linked");
        symlink("loop", at("root/loop")).expect("linked");
        let root = File::open(at("root")).expect("opened");
        for path in ["/etc/passwd", "/absolute", "/etc/up", "/../../etc/passwd"] {
            assert_eq!(read(root.as_fd(), path, 6).expect("read").as_deref(), Some(&b"inside"[..]), "{path}");
        }
        for path in ["/passwd", "/loop", "/etc", "/etc/passwd/x", "/absent"] {
            assert_eq!(read(root.as_fd(), path, 6).expect("no file"), None, "{path}");
        }
        assert!(read(root.as_fd(), "/absolute", 5).is_err());
    }

    #[test]
    fn paths_are_cleaned_before_links_are_followed() {
        for (path, cleaned) in [("/", "/"), ("/a//b/./c/", "/a/b/c"), ("/a/../../b", "/b"), ("/..", "/")] {
            assert_eq!(clean(path), cleaned);
        }
        assert_eq!((split("/a/b"), split("/a"), split("/")), (Some(("/a", "b")), Some(("/", "a")), None));
    }
}
