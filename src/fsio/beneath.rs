//! Opening a path below a directory without ever leaving it.
//!
//! One `openat2` where the kernel has it; where it has not, or a seccomp profile hides it, a walk component by component with the same guarantees:
//! no symbolic link is followed anywhere on the way, and nothing outside the directory is reached.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Component, Path};

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// Opens `path`, which must be relative and free of `..`, below `root`. `O_CLOEXEC` and `O_NOFOLLOW` are always added.
///
/// With `O_PATH` the last component may be a symbolic link, which is then opened itself: who asks for that must look at what it got.
/// Fails with `ELOOP` or `ENOTDIR` where a component is a symbolic link, and with `InvalidInput` for a path of another form.
pub fn open(root: BorrowedFd<'_>, path: &Path, flags: OFlags, mode: Mode) -> io::Result<OwnedFd> {
    let names = components(path)?;
    let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    match rustix::io::retry_on_intr(|| rustix::fs::openat2(root, path, flags, mode, resolve)) {
        // EPERM is what seccomp profiles answer to calls they do not know; a true EPERM comes back from the walk.
        Err(Errno::NOSYS | Errno::PERM | Errno::AGAIN) => walk(root, &names, flags, mode),
        outcome => Ok(outcome?),
    }
}

fn components(path: &Path) -> io::Result<Vec<&std::ffi::OsStr>> {
    let names: Option<Vec<_>> = path.components().map(|component| if let Component::Normal(name) = component { Some(name) } else { None }).collect();
    names.filter(|names| !names.is_empty()).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "not a relative path without `..`"))
}

fn walk(root: BorrowedFd<'_>, names: &[&std::ffi::OsStr], flags: OFlags, mode: Mode) -> io::Result<OwnedFd> {
    let Some((last, parents)) = names.split_last() else { return Err(io::ErrorKind::InvalidInput.into()) };
    let mut parent: Option<OwnedFd> = None;
    for name in parents {
        let at = parent.as_ref().map_or(root, |fd| fd.as_fd());
        let step = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        parent = Some(rustix::io::retry_on_intr(|| rustix::fs::openat(at, *name, step, Mode::empty()))?);
    }
    let at = parent.as_ref().map_or(root, |fd| fd.as_fd());
    Ok(rustix::io::retry_on_intr(|| rustix::fs::openat(at, *last, flags, mode))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    type Opener = fn(BorrowedFd<'_>, &Path) -> io::Result<OwnedFd>;

    fn both() -> [Opener; 2] {
        [
            |root, path| open(root, path, OFlags::RDONLY, Mode::empty()),
            |root, path| walk(root, &components(path)?, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()),
        ]
    }

    #[test]
    fn cra_13_the_walk_refuses_what_openat2_refuses() {
        let dir = tempfile::tempdir().expect("temporary directory");
        fs::create_dir(dir.path().join("in")).expect("created");
        fs::write(dir.path().join("in/file"), "x").expect("written");
        symlink("file", dir.path().join("in/link")).expect("linked");
        symlink("in", dir.path().join("dirlink")).expect("linked");
        symlink("/etc", dir.path().join("out")).expect("linked");
        let root = fs::File::open(dir.path()).expect("opened");
        for open in both() {
            assert!(open(root.as_fd(), Path::new("in/file")).is_ok());
            for refused in ["in/link", "dirlink/file", "out/passwd", "in/../in/file", "../x", "/etc/passwd", "", "absent", "in/file/below"] {
                assert!(open(root.as_fd(), Path::new(refused)).is_err(), "{refused}");
            }
        }
    }
}
