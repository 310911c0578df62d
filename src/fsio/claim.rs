//! Directories that are locked for as long as their owners live: what the dead left is told from what the living use.

use std::ffi::OsString;
use std::fs::File;
use std::hash::{BuildHasher as _, RandomState};
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FileType, Mode, OFlags};

use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::fsio::dir::Created;
use crate::fsio::{Dir, Lock, beneath, lock};
use crate::spec::text;

/// A directory of this process, which only its owner can enter. Dropping it gives up the claim and removes nothing.
#[derive(Debug)]
pub struct Claim {
    root: Arc<Dir>,
    name: PathBuf,
    dir: Arc<Dir>,
    /// Held for as long as the directory is in use, where the file system knows locks.
    _lock: Option<Lock>,
}

/// A directory whose owner no longer lives. Nobody else takes it for one while this lives.
#[derive(Debug)]
pub struct Dead {
    name: PathBuf,
    _lock: Lock,
}

impl Claim {
    /// Creates a directory in `root` whose name begins with `prefix`.
    pub fn create(root: &Arc<Dir>, prefix: &str) -> Result<Claim> {
        // A sweeper may take a new directory for a dead one in the moment before it is locked: then another one is made.
        const ATTEMPTS: usize = 100;
        for _ in 1..ATTEMPTS {
            match Claim::try_create(root, prefix) {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                outcome => return outcome,
            }
        }
        Claim::try_create(root, prefix)
    }

    /// Fails with kind `not_found` where a sweeper was faster.
    fn try_create(root: &Arc<Dir>, prefix: &str) -> Result<Claim> {
        let unique = RandomState::new().hash_one(0);
        let name = PathBuf::from(format!("{prefix}{}-{unique:016x}", std::process::id()));
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
        Ok(Claim { root: root.clone(), name, dir, _lock: held })
    }

    /// The open directory.
    pub fn dir(&self) -> &Arc<Dir> {
        &self.dir
    }

    /// The directory it is in.
    pub fn root(&self) -> &Arc<Dir> {
        &self.root
    }

    /// Its name there.
    pub fn name(&self) -> &Path {
        &self.name
    }
}

impl Dead {
    /// Those of the directories in `root` whose names begin with `prefix`. Where the file system knows no locks, nobody is known to be dead.
    pub fn all(root: &Dir, prefix: &str) -> Result<Vec<Dead>> {
        let claimed = |(name, kind): &(OsString, FileType)| *kind == FileType::Directory && name.as_bytes().starts_with(prefix.as_bytes());
        let mut dead = Vec::new();
        for (name, _) in root.entries()?.into_iter().filter(claimed) {
            let name = PathBuf::from(name);
            let path = root.path().join(&name);
            // One that is gone meanwhile was swept by somebody else.
            if let Ok(Some(lock)) = open(root, &name).and_then(|dir| Lock::try_exclusive(dir, &path)) {
                dead.push(Dead { name, _lock: lock });
            }
        }
        Ok(dead)
    }

    /// Its name.
    pub fn name(&self) -> &Path {
        &self.name
    }
}

fn open(root: &Dir, name: &Path) -> Result<File> {
    let fd = beneath::open(root.as_fd(), name, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).at("open directory", &root.path().join(name))?;
    Ok(File::from(fd))
}
