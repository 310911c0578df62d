//! Removing a directory with all its content, without ever leaving it.

use std::os::fd::{AsFd as _, AsRawFd as _};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::error::{ErrorKind, IoContext, Result};
use crate::fsio::{Dir, beneath};

/// How often a directory is emptied before it is given up to whoever keeps filling it.
const ATTEMPTS: usize = 8;

/// Removes the directory `name` in `dir` and everything in it. Symbolic links are removed and not followed, whoever puts them there and whenever.
///
/// Works without recursion and with one open directory at a time, so that neither depth nor breadth exhausts anything. Fails with kind `io`, also where others keep
/// adding to it; an absent directory is no error.
pub fn tree(dir: &Dir, name: &Path) -> Result<()> {
    let mut pending = vec![(name.to_owned(), 0)];
    while let Some((path, attempts)) = pending.last_mut() {
        *attempts += 1;
        let directories = match remove(dir, path, AtFlags::REMOVEDIR) {
            Err(Errno::NOTEMPTY | Errno::EXIST) if *attempts <= ATTEMPTS => empty(dir, path)?,
            outcome => {
                outcome.at("remove", &dir.path().join(path))?;
                pending.pop();
                continue;
            }
        };
        pending.extend(directories.into_iter().map(|path| (path, 0)));
    }
    Ok(())
}

/// Removes what is at `path`; that it is gone already is no failure.
fn remove(dir: &Dir, path: &Path, flags: AtFlags) -> Result<(), Errno> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let opened = parent.map(|parent| beneath::open(dir.as_fd(), parent, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())).transpose();
    let parent = opened.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    let name = path.file_name().unwrap_or_default();
    match rustix::fs::unlinkat(parent.as_ref().map_or(dir.as_fd(), |parent| parent.as_fd()), name, flags) {
        Err(Errno::NOENT) => Ok(()),
        outcome => outcome,
    }
}

/// Removes everything but directories from the directory at `path`; returns the directories.
fn empty(dir: &Dir, path: &Path) -> Result<Vec<PathBuf>> {
    let directory = match dir.open_below(path) {
        Err(error) if error.kind() == ErrorKind::Io => {
            unlock(dir, path)?;
            dir.open_below(path)?
        }
        opened => opened?,
    };
    // Nothing can be removed from a directory that may not be written to. Where it is somebody else's, removing tells.
    let _ = rustix::fs::fchmod(&directory, Mode::RWXU);
    let mut directories = Vec::new();
    for (name, kind) in directory.entries()? {
        let name = Path::new(&name);
        match kind {
            FileType::Directory => directories.push(path.join(name)),
            _ => match rustix::fs::unlinkat(&directory, name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(error) => return Err(error).at("remove", &directory.path().join(name)),
            },
        }
    }
    Ok(directories)
}

/// Lets the owner of a directory read it.
fn unlock(dir: &Dir, path: &Path) -> Result<()> {
    let full = dir.path().join(path);
    let handle = beneath::open(dir.as_fd(), path, OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).at("open directory", &full)?;
    // Through the handle, because the name may mean something else by now.
    rustix::fs::chmod(format!("/proc/self/fd/{}", handle.as_raw_fd()), Mode::RWXU).at("set the permissions of", &full)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    fn outside_and_inside() -> (tempfile::TempDir, Dir) {
        let temp = tempfile::tempdir().expect("temporary directory");
        fs::create_dir_all(temp.path().join("outside/kept")).expect("created");
        fs::create_dir_all(temp.path().join("inside/a/b")).expect("created");
        let dir = Dir::open(temp.path()).expect("opened");
        (temp, dir)
    }

    #[test]
    fn cra_25_links_are_removed_and_not_followed() {
        let (temp, dir) = outside_and_inside();
        symlink("../outside", temp.path().join("inside/link")).expect("linked");
        symlink("../../../outside/kept", temp.path().join("inside/a/b/link")).expect("linked");
        symlink("outside", temp.path().join("top")).expect("linked");
        tree(&dir, Path::new("inside")).expect("removed");
        assert!(!temp.path().join("inside").exists() && temp.path().join("outside/kept").exists());
        assert!(tree(&dir, Path::new("top")).is_err());
        assert!(temp.path().join("outside/kept").exists());
        tree(&dir, Path::new("absent")).expect("nothing to do");
    }

    #[test]
    fn locked_directories_and_deep_ones_go() {
        let (temp, dir) = outside_and_inside();
        let mut deep = temp.path().join("inside/a/b");
        for _ in 0..300 {
            deep.push("deeper");
        }
        fs::create_dir_all(&deep).expect("created");
        fs::write(temp.path().join("inside/a/file"), "").expect("written");
        for (path, mode) in [("inside/a/b", 0o000), ("inside/a", 0o555), ("inside", 0o000)] {
            fs::set_permissions(temp.path().join(path), fs::Permissions::from_mode(mode)).expect("own directory");
        }
        tree(&dir, Path::new("inside")).expect("removed");
        assert!(!temp.path().join("inside").exists());
    }
}
