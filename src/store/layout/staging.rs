//! Where a writer keeps what is not yet complete.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::AtFlags;

use crate::error::{ErrorKind, IoContext, Result};
use crate::fsio::Dir;
use crate::fsio::claim::{Claim, Dead};
use crate::fsio::durable::TempFile;

/// What the names of staging directories begin with.
pub(super) const PREFIX: &str = ".larder-staging-";

/// A directory for temporary files in the root of a layout, locked while it is in use and removed when dropped.
#[derive(Debug)]
pub(super) struct Staging {
    claim: Claim,
    next: AtomicU64,
}

impl Staging {
    /// Creates a staging directory in `root`.
    pub(super) fn create(root: &Arc<Dir>) -> Result<Staging> {
        Ok(Staging { claim: Claim::create(root, PREFIX)?, next: AtomicU64::new(0) })
    }

    /// A new temporary file.
    pub(super) fn file(&self) -> Result<TempFile> {
        TempFile::create(self.claim.dir().clone(), self.unique())
    }

    /// Another, temporary name for `file`; none where the file system cannot do that.
    pub(super) fn link(&self, file: File) -> Result<Option<TempFile>> {
        TempFile::link(self.claim.dir().clone(), self.unique(), file)
    }

    fn unique(&self) -> String {
        self.next.fetch_add(1, Ordering::Relaxed).to_string()
    }

    /// Removes the staging directories in `root` whose owners no longer live; returns how many.
    pub(super) fn sweep(root: &Dir) -> Result<usize> {
        let mut swept = 0;
        for dead in Dead::all(root, PREFIX)? {
            match sweep_one(root, dead.name()) {
                Ok(()) => swept += 1,
                // Another sweeper was faster.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(swept)
    }

    /// The names of the staging directories in `root` whose owners no longer live.
    pub(super) fn dead(root: &Dir) -> Result<Vec<PathBuf>> {
        Ok(Dead::all(root, PREFIX)?.iter().map(|dead| dead.name().to_owned()).collect())
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // Removed before the claim goes, so that no sweeper sees it.
        let _ = rustix::fs::unlinkat(&**self.claim.root(), self.claim.name(), AtFlags::REMOVEDIR);
    }
}

fn sweep_one(root: &Dir, name: &Path) -> Result<()> {
    let path = root.path().join(name);
    let dir = root.open_below(name)?;
    for (file, _) in dir.entries()? {
        rustix::fs::unlinkat(&dir, &file, AtFlags::empty()).at("remove", &path.join(&file))?;
    }
    rustix::fs::unlinkat(root, name, AtFlags::REMOVEDIR).at("remove", &path)
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
