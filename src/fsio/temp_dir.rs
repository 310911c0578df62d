//! A directory that is filled under a temporary name and then appears whole, or not at all.

use std::ffi::OsString;
use std::hash::{BuildHasher as _, RandomState};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::process::getegid;

use crate::error::{Error, IoContext, Result};
use crate::fsio::{Dir, durable, remove};
use crate::spec::text;

/// A new directory under a temporary name, which only its owner can enter. Dropped, it is gone with all its content; [`persist`](TempDir::persist) gives it its name.
#[derive(Debug)]
pub struct TempDir {
    parent: Arc<Dir>,
    name: PathBuf,
    dir: Dir,
    state: State,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Temporary,
    Persisted,
}

impl TempDir {
    /// Creates a directory in `parent` that is to be called `name`. Nothing of the parent passes on to what will be created below: neither its group nor an access
    /// control list.
    pub fn create(parent: Arc<Dir>, name: &Path) -> Result<TempDir> {
        let mut temporary = OsString::from(".");
        temporary.push(name);
        temporary.push(format!(".larder-{}-{:016x}", std::process::id(), RandomState::new().hash_one(0)));
        let path = parent.path().join(&temporary);
        rustix::fs::mkdirat(&*parent, &temporary, Mode::RWXU).at("create directory", &path)?;
        let dir = parent.open_below(Path::new(&temporary))?;
        let made = TempDir { parent, name: temporary.into(), dir, state: State::Temporary };
        let group = getegid();
        // Not where it is that one already: some file systems know no owners, and refuse whoever sets one.
        if rustix::fs::fstat(&made.dir).at("look at", &path)?.st_gid != group.as_raw() {
            rustix::fs::fchown(&made.dir, None, Some(group)).at("set the group of", &path)?;
        }
        for list in ["system.posix_acl_access", "system.posix_acl_default"] {
            match rustix::fs::fremovexattr(&made.dir, list) {
                Ok(()) | Err(Errno::NODATA | Errno::OPNOTSUPP) => {}
                Err(error) => return Err(error).at("remove the access control list of", &path),
            }
        }
        // Last, because a list is a part of the permissions. It also takes away that the group passes on.
        rustix::fs::fchmod(&made.dir, Mode::RWXU).at("set the permissions of", &path)?;
        Ok(made)
    }

    /// The open directory. Its path is the temporary one.
    pub fn dir(&self) -> &Dir {
        &self.dir
    }

    /// Renames it to `name` beside it, which must be free or an empty directory. Fails with kind `conflict` where it is something else. What was written is as durable
    /// as the caller made it.
    pub fn persist(mut self, name: &Path) -> Result<()> {
        durable::rename_dir(&self.parent, &self.name, name)?;
        self.state = State::Persisted;
        Ok(())
    }

    /// Removes it with all its content, now and telling of failures.
    pub fn remove(mut self) -> Result<()> {
        self.state = State::Persisted;
        remove::tree(&self.parent, &self.name).map_err(|error| {
            let path = self.parent.path().join(&self.name);
            Error::new(error.kind(), format!("cannot remove {}", text::path(&path))).because(error)
        })
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        if self.state == State::Temporary {
            // There is nobody to tell: who wants to know calls `remove`.
            let _ = remove::tree(&self.parent, &self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

    fn parent() -> (tempfile::TempDir, Arc<Dir>) {
        let temp = tempfile::tempdir().expect("temporary directory");
        let dir = Arc::new(Dir::open(temp.path()).expect("opened"));
        (temp, dir)
    }

    #[test]
    fn it_appears_whole_or_leaves_nothing() {
        let (temp, dir) = parent();
        let made = TempDir::create(dir.clone(), Path::new("a")).expect("created");
        fs::create_dir_all(made.dir().path().join("x/y")).expect("written");
        drop(made);
        assert_eq!(fs::read_dir(temp.path()).expect("listed").count(), 0);
        let made = TempDir::create(dir, Path::new("a")).expect("created");
        fs::write(made.dir().path().join("x"), "").expect("written");
        made.persist(Path::new("a")).expect("renamed");
        assert!(temp.path().join("a/x").exists());
        assert_eq!(fs::read_dir(temp.path()).expect("listed").count(), 1);
    }

    #[test]
    fn tar_20_only_an_empty_directory_is_replaced() {
        let (temp, dir) = parent();
        let persist = |name: &str| TempDir::create(dir.clone(), Path::new(name)).expect("created").persist(Path::new(name));
        fs::create_dir(temp.path().join("empty")).expect("created");
        persist("empty").expect("replaced");
        fs::create_dir_all(temp.path().join("full/x")).expect("created");
        fs::write(temp.path().join("file"), "").expect("written");
        std::os::unix::fs::symlink("empty", temp.path().join("link")).expect("linked");
        for name in ["full", "file", "link"] {
            assert_eq!(persist(name).expect_err(name).kind(), ErrorKind::Conflict);
        }
        assert_eq!(fs::read_dir(temp.path()).expect("listed").count(), 4);
    }

    #[test]
    fn a_parent_that_passes_its_group_on_does_not() {
        let (temp, dir) = parent();
        fs::set_permissions(temp.path(), fs::Permissions::from_mode(0o2777)).expect("own directory");
        let made = TempDir::create(dir, Path::new("a")).expect("created");
        let metadata = fs::metadata(made.dir().path()).expect("there");
        assert_eq!((metadata.permissions().mode() & 0o7777, metadata.gid()), (0o700, getegid().as_raw()));
    }
}
