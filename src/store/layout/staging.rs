//! Where a writer keeps what is not yet complete.

use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, FileType, Mode, OFlags};

use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::fsio::dir::Created;
use crate::fsio::durable::TempFile;
use crate::fsio::{Dir, Lock, beneath, lock};
use crate::spec::text;

/// What the names of staging directories begin with.
pub(super) const PREFIX: &str = ".larder-staging-";

/// A directory for temporary files in the root of a layout, locked while it is in use and removed when dropped.
#[derive(Debug)]
pub(super) struct Staging {
    root: Arc<Dir>,
    name: PathBuf,
    dir: Arc<Dir>,
    next: AtomicU64,
    /// Held for as long as the directory is in use, where the file system knows locks.
    _lock: Option<Lock>,
}

impl Staging {
    /// Creates a staging directory in `root`.
    pub(super) fn create(root: &Arc<Dir>) -> Result<Staging> {
        // A sweeper may take a new directory for a dead one in the moment before it is locked: then another one is made.
        const ATTEMPTS: usize = 100;
        for _ in 1..ATTEMPTS {
            match Staging::try_create(root) {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                outcome => return outcome,
            }
        }
        Staging::try_create(root)
    }

    /// Fails with kind `not_found` where a sweeper was faster.
    fn try_create(root: &Arc<Dir>) -> Result<Staging> {
        let unique = RandomState::new().hash_one(0);
        let name = PathBuf::from(format!("{PREFIX}{}-{unique:016x}", std::process::id()));
        let path = root.path().join(&name);
        let swept = || Error::not_found(format!("{} was removed by another process", text::path(&path))).subject(text::path(&path));
        if root.create(&name, 0o700)? == Created::Existed {
            return Err(swept());
        }
        let handle = open(root, &name)?;
        let check = handle.try_clone().at("open directory", &path)?;
        // Where the file system knows no locks, nobody sweeps.
        let held = match Lock::try_exclusive(handle, &path) {
            Ok(None) => return Err(swept()),
            Ok(held) => held,
            Err(_) => None,
        };
        if !lock::is_named(&check, root, &name)? {
            return Err(swept());
        }
        let dir = Arc::new(root.open_below(&name)?);
        Ok(Staging { root: root.clone(), name, dir, next: AtomicU64::new(0), _lock: held })
    }

    /// A new temporary file.
    pub(super) fn file(&self) -> Result<TempFile> {
        TempFile::create(self.dir.clone(), self.unique())
    }

    /// Another, temporary name for `file`; none where the file system cannot do that.
    pub(super) fn link(&self, file: File) -> Result<Option<TempFile>> {
        TempFile::link(self.dir.clone(), self.unique(), file)
    }

    fn unique(&self) -> String {
        self.next.fetch_add(1, Ordering::Relaxed).to_string()
    }

    /// Removes the staging directories in `root` whose owners no longer live; returns how many.
    pub(super) fn sweep(root: &Dir) -> Result<usize> {
        let mut swept = 0;
        for name in all(root)? {
            match sweep_one(root, &name) {
                Ok(Swept::Gone) => swept += 1,
                Ok(Swept::Alive) => {}
                // Another sweeper was faster.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(swept)
    }

    /// The names of the staging directories in `root` whose owners no longer live.
    pub(super) fn dead(root: &Dir) -> Result<Vec<PathBuf>> {
        let mut dead = Vec::new();
        for name in all(root)? {
            // Where the file system knows no locks, nobody sweeps.
            if let Ok(Some(_free)) = open(root, &name).and_then(|dir| Lock::try_exclusive(dir, &root.path().join(&name))) {
                dead.push(name);
            }
        }
        Ok(dead)
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // Removed before the lock goes, so that no sweeper sees it.
        let _ = rustix::fs::unlinkat(&*self.root, &self.name, AtFlags::REMOVEDIR);
    }
}

/// The names of the staging directories in `root`.
fn all(root: &Dir) -> Result<Vec<PathBuf>> {
    let staging = |(name, kind): &(std::ffi::OsString, FileType)| *kind == FileType::Directory && name.as_bytes().starts_with(PREFIX.as_bytes());
    Ok(root.entries()?.into_iter().filter(staging).map(|(name, _)| PathBuf::from(name)).collect())
}

enum Swept {
    Gone,
    Alive,
}

fn sweep_one(root: &Dir, name: &Path) -> Result<Swept> {
    let path = root.path().join(name);
    let Some(_held) = Lock::try_exclusive(open(root, name)?, &path)? else { return Ok(Swept::Alive) };
    let dir = root.open_below(name)?;
    for (file, _) in dir.entries()? {
        rustix::fs::unlinkat(&dir, &file, AtFlags::empty()).at("remove", &path.join(&file))?;
    }
    rustix::fs::unlinkat(root, name, AtFlags::REMOVEDIR).at("remove", &path)?;
    Ok(Swept::Gone)
}

fn open(root: &Dir, name: &Path) -> Result<File> {
    let fd = beneath::open(root.as_fd(), name, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).at("open directory", &root.path().join(name))?;
    Ok(File::from(fd))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn cra_23_sweeps_the_dead_and_spares_the_living() {
        let temp = tempfile::tempdir().expect("temporary directory");
        let root = Arc::new(Dir::open(temp.path()).expect("opened"));
        let alive = Staging::create(&root).expect("created");
        let file = alive.file().expect("created");
        file.file().as_ref().write_all(b"x").expect("written");
        let dead = temp.path().join(format!("{PREFIX}1-dead"));
        std::fs::create_dir(&dead).expect("created");
        std::fs::write(dead.join("0"), "rest").expect("written");
        std::fs::create_dir(temp.path().join("other")).expect("created");

        assert_eq!(Staging::dead(&root).expect("listed"), [dead.file_name().expect("a name")]);
        assert_eq!(Staging::sweep(&root).expect("swept"), 1);
        assert!(!dead.exists());
        assert_eq!(Staging::sweep(&root).expect("swept"), 0);
        drop(file);
        drop(alive);
        let left: Vec<_> = root.entries().expect("listed").into_iter().map(|(name, _)| name).collect();
        assert_eq!(left, ["other"]);
    }

    #[test]
    fn a_sweeper_never_takes_what_is_in_use() {
        let temp = tempfile::tempdir().expect("temporary directory");
        let root = Arc::new(Dir::open(temp.path()).expect("opened"));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let staging = Staging::create(&root).expect("created");
                        staging.file().expect("still there");
                    }
                });
                scope.spawn(|| (0..100).for_each(|_| assert!(Staging::sweep(&root).is_ok())));
            }
        });
        assert!(root.entries().expect("listed").is_empty());
    }
}
